//! The label of a process as the kernel side keeps it, whatever the daemon says.

use super::{Check, process};

/// Reads or writes the label of a process as the kernel side keeps it.
const SCRIPT: &str = "
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def bpf(command, *words):
    attributes = (ctypes.c_uint64 * 4)(*words)
    result = libc.syscall(321, command, attributes, 32)
    assert result >= 0, os.strerror(ctypes.get_errno())
    return result
path = ctypes.create_string_buffer(b'/sys/fs/bpf/bailiff/maps/LABELS')
labels = bpf(7, ctypes.addressof(path))
key = ctypes.c_int(os.pidfd_open(int(sys.argv[1])))
value = ctypes.c_uint64(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
command = 2 if len(sys.argv) > 2 else 1
bpf(command, labels, ctypes.addressof(key), ctypes.addressof(value), 0)
print(value.value)
";

/// Its bits; an error where the process has none.
pub(crate) fn of(pid: i32) -> Check<u64> {
    let said = process::must(&["python3", "-c", SCRIPT, &pid.to_string()])?;
    let number = said.stdout.trim();
    number.parse().map_err(|_| format!("no label: {number}"))
}

pub(crate) fn give(pid: i32, bits: u64) -> Check {
    process::must(&["python3", "-c", SCRIPT, &pid.to_string(), &bits.to_string()]).map(drop)
}
