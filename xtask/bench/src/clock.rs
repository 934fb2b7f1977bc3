//! Counting instructions: under `-icount shift=0` the time-stamp counter of the emulated processor
//! advances by one for each, and reading it needs no kernel whose clock would have to settle.

use std::arch::x86_64::_rdtsc;

/// Discarded, while caches fill and the kernel allocates what it keeps.
const WARM_UP: usize = 40;

/// Instructions that the processor has executed.
pub(crate) fn instructions() -> u64 {
    // SAFETY: every x86-64 processor has it.
    unsafe { _rdtsc() }
}

/// What `act` takes.
pub(crate) fn count(act: impl FnOnce()) -> u64 {
    let before = instructions();
    act();
    instructions() - before
}

/// The least of so many samples: timer ticks and refilled caches only ever add.
pub(crate) fn least(samples: usize, mut sample: impl FnMut() -> u64) -> u64 {
    for _ in 0..WARM_UP {
        sample();
    }
    (0..samples).map(|_| sample()).min().unwrap_or_default()
}
