//! Programs that an act executes.

use std::{
    ffi::CString,
    os::fd::{AsRawFd, OwnedFd},
    ptr,
};

use crate::acts::raw::{Done, Fault, check, in_child, owned, read, syscall, text, write};

fn strings(words: &[&str]) -> Done<(Vec<CString>, Vec<*const libc::c_char>)> {
    let owned = words
        .iter()
        .map(|word| text(word))
        .collect::<Done<Vec<_>>>()?;
    let pointers = owned
        .iter()
        .map(|word| word.as_ptr())
        .chain([ptr::null()])
        .collect();
    Ok((owned, pointers))
}

/// Runs `exec`, which returns only if it fails, in a child, and tells its error or exit code.
fn outcome_of(exec: impl FnOnce()) -> Done {
    let mut ends = [0; 2];
    // SAFETY: two live integers.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    let (from, to) = (owned(ends[0].into()), owned(ends[1].into()));
    let status = in_child(|| {
        exec();
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
        i32::from(write(&to, &errno.to_ne_bytes()).is_err()) + 120
    })?;
    drop(to);
    let told = read(&from)?;
    if let Some(errno) = told.first_chunk::<4>() {
        return Err(Fault::Errno(i32::from_ne_bytes(*errno)));
    }
    if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0 {
        return Ok(());
    }
    Err(Fault::Other(format!(
        "the program ended with status {status:#x}"
    )))
}

pub(super) fn execute(program: &str, arguments: &[&str], variables: &[&str]) -> Done {
    let program = text(program)?;
    let (_kept, arguments) = strings(arguments)?;
    let (_also, variables) = strings(variables)?;
    outcome_of(|| {
        // SAFETY: NULL-terminated arrays of NUL-terminated strings.
        unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), variables.as_ptr()) };
    })
}

pub(super) fn execute_descriptor(program: &OwnedFd, mark: &str) -> Done {
    let (_kept, arguments) = strings(&["touch", mark])?;
    let nothing = [ptr::null::<libc::c_char>()];
    let words = [
        program.as_raw_fd().into(),
        c"".as_ptr() as i64,
        arguments.as_ptr() as i64,
        nothing.as_ptr() as i64,
        libc::AT_EMPTY_PATH.into(),
    ];
    outcome_of(|| drop(syscall(libc::SYS_execveat, &words)))
}
