//! What `bpf(2)` gives past the limits of a cgroup.

use std::fs;

use super::grant;
use crate::{
    harness::{Check, Doing, ensure, events, process, session::Launch},
    scenarios::Context,
};

/// Makes a map that is charged and what is not, holds it, and counts the kernel's threads for packets.
const HOLD: &str = r#"import ctypes, glob, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def bpf(command, attributes):
    attributes = ctypes.create_string_buffer(attributes, 72)
    return libc.syscall(ctypes.c_long(321), ctypes.c_long(command), attributes, ctypes.c_long(72))
def entry(fd, value):
    key, value = ctypes.c_uint32(0), ctypes.c_uint32(value)
    bpf(2, struct.pack('IIQQQ', fd, 0, ctypes.addressof(key), ctypes.addressof(value), 0))
names, kinds = b'\0int\0', struct.pack('IIII', 1, 1 << 24, 4, 1 << 24 | 32)
types = ctypes.create_string_buffer(
    struct.pack('HBBIIIII', 0xeb9f, 1, 0, 24, 0, len(kinds), len(kinds), len(names)) + kinds + names)
held = {
    'array': bpf(0, struct.pack('IIII', 2, 4, 4, 1)),
    'processors': bpf(0, struct.pack('IIII', 16, 4, 4, os.cpu_count())),
    'events': bpf(0, struct.pack('IIII', 4, 4, 4, 1)),
    'types': bpf(18, struct.pack('QQII', ctypes.addressof(types), 0, len(types) - 1, 0)),
}
if held['processors'] >= 0:
    entry(held['processors'], 192)
def is_for_packets(stat):
    try:
        return '(cpumap' in open(stat).read()
    except OSError:
        return False
threads = sum(map(is_for_packets, glob.glob('/proc/[0-9]*/stat')))
print(*(name for name, fd in held.items() if fd >= 0), threads)
"#;

pub(super) fn hold(_: &mut Context) -> Check {
    fs::write(
        "/grant-hold.toml",
        grant("capabilities = [\"bpf\"]", "bpf = true"),
    )
    .doing("write the grant")?;
    let words = ["python3", "-c", HOLD].map(str::to_owned);
    let before = events::query(&["--right", "kernel.bpf"])?.len();
    let ended = Launch::grant("/grant-hold.toml").run(&words)?;
    ensure(ended.stdout == "array 0\n", || {
        format!("expected an array and no thread, saw {}", ended.tail())
    })?;
    let told = events::query(&["--right", "kernel.bpf"])?.len();
    ensure(told > before, || "no event tells of it".into())?;
    // Outside it is all there to be had.
    let ended = process::run(&words)?;
    ensure(ended.stdout == "array processors events types 1\n", || {
        format!("expected it outside, saw {}", ended.tail())
    })
}
