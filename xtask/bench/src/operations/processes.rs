use anyhow::{Result, ensure};
use std::io::{PipeReader, PipeWriter, Read};
use std::os::fd::AsRawFd;

use super::must;
use crate::{
    clock::{count, instructions, least},
    ground::{EXECUTABLE, path},
};

/// From the call to the first instruction of the program, which tells when that was.
pub(super) fn execve(depth: u32) -> Result<impl FnMut() -> u64> {
    let program = path(depth, EXECUTABLE)?;
    let (mut ran, runs) = std::io::pipe()?;
    let called = shared()?;
    Ok(move || {
        let arguments = [program.as_ptr(), std::ptr::null()];
        let environment = [std::ptr::null()];
        // SAFETY: one thread, a live mapping; the child executes or ends.
        unsafe {
            let child = must(libc::fork(), "fork");
            if child == 0 {
                must(libc::dup2(runs.as_raw_fd(), 1), "dup2");
                own_stack();
                called.write_volatile(0); // faults now, not while counting
                called.write_volatile(instructions());
                libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr());
                libc::_exit(1);
            }
            wait(child);
            time_in(&mut ran) - called.read_volatile()
        }
    })
}

/// A number that processes share.
fn shared() -> Result<*mut u64> {
    // SAFETY: a new mapping, which stays.
    let address = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    ensure!(address != libc::MAP_FAILED, "no shared memory");
    Ok(address.cast())
}

/// Copies the pages of the stack that the next calls use, which a child shares with its parent
/// until it writes to them.
#[inline(never)]
fn own_stack() {
    std::hint::black_box(&mut [0_u8; 16 << 10]);
}

fn time_in(pipe: &mut PipeReader) -> u64 {
    let mut bytes = [0; 8];
    let is_whole = pipe.read_exact(&mut bytes).is_ok();
    must(if is_whole { 0 } else { -1 }, "read the program's time");
    u64::from_le_bytes(bytes)
}

pub(super) fn fork() -> impl FnMut() -> u64 {
    || {
        count(|| {
            // SAFETY: one thread; the child ends at once.
            unsafe {
                let child = must(libc::fork(), "fork");
                if child == 0 {
                    libc::_exit(0);
                }
                wait(child);
            }
        })
    }
}

/// The least with each number of processes that sleep beside it.
///
/// What a process is made of comes from the slabs of the processor, and whether a slab that is left
/// behind is partly filled decides how dear it is to give back (`__slab_free()` in mm/slub.c): about
/// a thousand instructions, the same in every sample until somebody else takes a few objects.
pub(super) fn least_among_sleepers(mut act: impl FnMut() -> u64) -> Result<u64> {
    const SLEEPERS: usize = 7;
    const ROUND: usize = 31;
    let mut sleepers = Sleepers::new()?;
    let mut found = least(ROUND, &mut act);
    for _ in 0..SLEEPERS {
        sleepers.add();
        found = found.min(least(ROUND, &mut act));
    }
    Ok(found)
}

/// Processes that do nothing; ended with this value.
struct Sleepers {
    /// They wait for this pipe to be closed.
    bed: PipeReader,
    alarm: Option<PipeWriter>,
    processes: Vec<i32>,
}

impl Sleepers {
    fn new() -> Result<Self> {
        let (bed, alarm) = std::io::pipe()?;
        Ok(Self {
            bed,
            alarm: Some(alarm),
            processes: Vec::new(),
        })
    }

    fn add(&mut self) {
        // SAFETY: one thread; the child reads and ends.
        let child = unsafe { must(libc::fork(), "fork") };
        if child == 0 {
            self.alarm = None;
            let _ = self.bed.read(&mut [0]);
            // SAFETY: ends the process, without its parent's clean-up.
            unsafe { libc::_exit(0) };
        }
        self.processes.push(child);
    }
}

impl Drop for Sleepers {
    fn drop(&mut self) {
        self.alarm = None;
        for process in &self.processes {
            // SAFETY: an own child that nobody has waited for.
            unsafe { wait(*process) };
        }
    }
}

/// # Safety
/// `child` is one that nobody has waited for.
unsafe fn wait(child: i32) {
    let mut status = 0;
    // SAFETY: a live integer.
    must(
        unsafe { libc::waitpid(child, &raw mut status, 0) },
        "waitpid",
    );
    must(-status, "the child failed");
}
