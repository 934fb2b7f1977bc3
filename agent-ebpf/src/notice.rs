//! What the daemon has to see to: one record in a ring buffer of its own. A full buffer changes
//! nothing here; the loss is counted.

use agent_abi::{Event, EventKind, ledger::NO_RULE, share::NOBODYS_ACCOUNT};
use aya_ebpf::helpers::generated::{bpf_ktime_get_boot_ns, bpf_ringbuf_output};

use crate::{
    counter::add,
    maps::{NOTICES, SHARES},
};

/// Tells the daemon of something that no process is to blame for.
#[inline(never)]
pub(crate) fn tell(kind: EventKind, cgroup: u64) -> i32 {
    let event = Event {
        // SAFETY: a helper without preconditions.
        time: unsafe { bpf_ktime_get_boot_ns() },
        cgroup,
        rule: NO_RULE,
        kind: kind as u8,
        ..Event::default()
    };
    notify(&event);
    0
}

/// Tells the daemon of something that it has to see to. No flood of decisions holds that up, nor a store
/// that takes no more of them.
#[inline(always)]
pub(crate) fn notify(event: &Event) {
    // SAFETY: the map and a live value of that size.
    let sent = unsafe {
        bpf_ringbuf_output(
            (&raw const NOTICES).cast_mut().cast(),
            core::ptr::from_ref(event).cast_mut().cast(),
            size_of::<Event>() as u64,
            0,
        )
    };
    if sent != 0 {
        count_loss(NOBODYS_ACCOUNT);
    }
}

/// Counts an event that could not be sent.
#[inline(always)]
pub(crate) fn count_loss(slot: u32) {
    if let Some(share) = SHARES.get_ptr_mut(slot) {
        // SAFETY: a live map value; the addition is atomic.
        unsafe { add(&raw mut (*share).lost, 1) };
    }
}
