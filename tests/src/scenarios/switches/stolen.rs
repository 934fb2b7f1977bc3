//! Descriptors of a session, taken from outside.

use std::fs;

use super::grant;
use crate::{
    harness::{Check, Doing, ensure, process, session::Launch},
    scenarios::Context,
};

/// Looks for Bailiff's maps and programs in every way that `bpf(2)` has, and says how many it saw and how
/// many it got.
const STEAL: &str = r#"import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def bpf(command, *words, size=72):
    attributes = ctypes.create_string_buffer(struct.pack(f'{len(words)}I', *words), size)
    value = libc.syscall(ctypes.c_long(321), ctypes.c_long(command), attributes, ctypes.c_long(size))
    return (value if value >= 0 else -ctypes.get_errno()), attributes
def ids(command):
    at = 0
    while True:
        value, attributes = bpf(command, at)
        if value < 0:
            return
        at = struct.unpack_from('I', attributes, 4)[0]
        yield at
names = set(sys.argv[1].split(','))
seen = got = own = 0
for next_command, get, offset in ((12, 14, 24), (11, 13, 64)):
    for number in ids(next_command):
        seen += 1
        fd, _ = bpf(get, number)
        if fd < 0:
            continue
        info = ctypes.create_string_buffer(256)
        attributes = ctypes.create_string_buffer(struct.pack('IIQ', fd, 256, ctypes.addressof(info)), 72)
        libc.syscall(ctypes.c_long(321), ctypes.c_long(15), attributes, ctypes.c_long(72))
        name = info.raw[offset:offset + 16].rstrip(b'\0').decode()
        if name in names:
            got += 1
            print('got', name)
        os.close(fd)
for path in sys.argv[2:]:
    path = ctypes.create_string_buffer(path.encode())
    attributes = ctypes.create_string_buffer(struct.pack('Q', ctypes.addressof(path)), 72)
    fd = libc.syscall(ctypes.c_long(321), ctypes.c_long(7), attributes, ctypes.c_long(72))
    if fd >= 0:
        got += 1
        print('got', path.value)
fd, _ = bpf(0, 2, 4, 4, 1)
print('seen', seen > 20, 'got', got, 'own', fd >= 0)
"#;

pub(super) fn steal(_: &mut Context) -> Check {
    let pins = process::must(&["find", "/sys/fs/bpf/bailiff", "-type", "f", "-name", "*"])?;
    let pins = pins
        .stdout
        .lines()
        .filter(|path| path.contains("/maps/") || path.contains("program"))
        .map(str::to_owned)
        .collect::<Vec<_>>();
    ensure(pins.len() > 10, || format!("expected pins, saw {pins:?}"))?;
    let maps = pins
        .iter()
        .filter_map(|path| path.split_once("/maps/"))
        .map(|(_, name)| name)
        .collect::<Vec<_>>()
        .join(",");
    let hooks = "file_open,capable,task_alloc,bpf,sb_delete,cgroup_attach_t";
    let every = super::rows::agent_grant_names()
        .iter()
        .map(|name| format!("\"{name}\""))
        .collect::<Vec<_>>()
        .join(", ");
    let process = format!("capabilities = [{every}]");
    fs::create_dir_all("/w").doing("make a directory")?;
    fs::write(
        "/grant-steal.toml",
        grant(&process, "bpf = true\nperf = true\nload = true"),
    )
    .doing("write the grant")?;
    let mut words = vec![
        "python3".to_owned(),
        "-c".into(),
        STEAL.into(),
        format!("{maps},{hooks}"),
    ];
    words.extend(pins);
    let ended = Launch::grant("/grant-steal.toml").run(&words)?;
    ensure(ended.stdout == "seen True got 0 own True\n", || {
        format!("expected to see and to get none, saw {}", ended.tail())
    })?;
    // Outside all of it is there to be got.
    let ended = process::run(&words)?;
    ensure(
        ended.stdout.contains("got LABELS") && ended.stdout.contains("got file_open"),
        || format!("expected it outside, saw {}", ended.tail()),
    )
}
