//! What a process does, judged as the hooks judge it.

use agent_abi::{
    Event, EventKind, FileRights, Image, Label, Reason, Right, Verdict,
    image::{IMAGE_MAGIC, RELEASED_MAGIC},
    ledger::{NO_RULE, ledger_index},
    share::{NOBODYS_ACCOUNT, record_bytes},
    superblock::{CANDIDATES, NOBODY, candidate},
};
use agent_decide::{Record, Refusal, judge, path::follow};
use nix::time::{ClockId, clock_gettime};

use super::{MemoryKernel, State};
use crate::kernel::OwnedEvent;

/// Something that a process does to a file.
#[derive(Clone, Copy)]
pub(crate) struct Act<'a> {
    pub(crate) pid: u32,
    /// The file's filesystem, by kernel device.
    pub(crate) dev: u32,
    /// From the filesystem's root: a `/` and a name for each component.
    pub(crate) path: &'a [u8],
    pub(crate) right: Right,
}

/// Why an act is refused, and by which rule.
struct Denial {
    right: Right,
    rule: u16,
    reason: Reason,
}

impl MemoryKernel {
    /// What becomes of an act; counted, and told where it is refused.
    pub(crate) fn act(&self, act: &Act<'_>) -> Verdict {
        let verdict = self.state().act(act);
        self.events.notify_one();
        verdict
    }
}

impl State {
    fn act(&mut self, act: &Act<'_>) -> Verdict {
        let label = self.processes.get(&act.pid).map(|process| process.label);
        let Some(label) = label.filter(|label| label.is_some() && !label.is_armed()) else {
            return Verdict::Allow;
        };
        let image = self.images.get(&label.slot);
        let image = image.filter(|image| image.header.generation == label.generation);
        if image.is_some_and(|image| image.header.magic == RELEASED_MAGIC) {
            return Verdict::Allow;
        }
        let image = image.filter(|image| image.header.magic == IMAGE_MAGIC);
        let is_audit = image.is_some_and(|image| image.header.audit != 0);
        let account = image.map_or(NOBODYS_ACCOUNT, |_| label.slot);
        let judged = match image {
            Some(image) => self.judge(image, act),
            None => Err(Denial {
                right: act.right,
                rule: NO_RULE,
                reason: Reason::SessionEnded,
            }),
        };
        match judged {
            Ok(rule) => {
                let index = ledger_index(label.slot, rule);
                self.ledger.entry(index).or_default().allowed += 1;
                Verdict::Allow
            }
            Err(denial) => {
                let index = ledger_index(account, denial.rule);
                self.ledger.entry(index).or_default().refused += 1;
                let verdict = if is_audit {
                    Verdict::WouldDeny
                } else {
                    Verdict::Deny
                };
                self.report(act, label, account, verdict, &denial);
                verdict
            }
        }
    }

    /// The rule that allows it.
    fn judge(&self, image: &Image, act: &Act<'_>) -> Result<u16, Denial> {
        let unplaced = |reason| Denial {
            right: act.right,
            rule: NO_RULE,
            reason,
        };
        let number = self.number(act.dev);
        let number = number.ok_or_else(|| unplaced(Reason::UnknownMount))?;
        let root = image.roots[number as usize].into();
        let state = follow(image, root, act.path).map_err(unplaced)?;
        let wanted = FileRights::only(act.right);
        let record = Record::of(image, state);
        match judge(image, record, wanted) {
            Ok(()) => Ok(record.rule(image, wanted.lowest().into())),
            Err(Refusal {
                missing,
                rule,
                reason,
            }) => Err(Denial {
                right: missing.first().unwrap_or(act.right),
                rule,
                reason,
            }),
        }
    }

    /// A filesystem's number, looked for where the hooks look.
    fn number(&self, dev: u32) -> Option<u32> {
        let places = (0..CANDIDATES).map(|choice| candidate(dev, choice));
        places.chain([NOBODY]).find(|number| {
            let entry = self.superblocks.get(number);
            entry.is_some_and(|entry| entry.dev == dev)
        })
    }

    /// Puts an event into the ring buffer, if its account's share has room for it.
    fn report(
        &mut self,
        act: &Act<'_>,
        label: Label,
        account: u32,
        verdict: Verdict,
        denial: &Denial,
    ) {
        let size = record_bytes((size_of::<Event>() + act.path.len()) as u64);
        let used = self.events.iter().map(OwnedEvent::bytes).sum();
        let free = self.room.saturating_sub(used);
        let taken = self.taken.get(&account).copied().unwrap_or(0);
        let cgroup = self.processes.get(&act.pid).map_or(0, |it| it.cgroup);
        let share = self.shares.entry(account).or_default();
        if share.bytes.saturating_sub(taken) + size > free {
            share.lost += 1;
            return;
        }
        share.bytes += size;
        let mut comm = [0; 16];
        comm[..5].copy_from_slice(b"agent");
        let event = Event {
            time: since_boot(),
            cgroup,
            slot: account,
            generation: label.generation,
            pid: act.pid,
            tid: act.pid,
            dev: act.dev,
            rule: denial.rule,
            path_len: act.path.len() as u16,
            kind: EventKind::Decision as u8,
            verdict: verdict as u8,
            right: denial.right as u8,
            reason: denial.reason as u8,
            comm,
            ..Event::default()
        };
        let path = act.path.to_vec();
        self.events.push_back(OwnedEvent { event, path });
    }
}

/// Nanoseconds of `CLOCK_BOOTTIME`.
fn since_boot() -> u64 {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |time| {
        let (seconds, nanoseconds) = (time.tv_sec().unsigned_abs(), time.tv_nsec().unsigned_abs());
        seconds * 1_000_000_000 + nanoseconds
    })
}
