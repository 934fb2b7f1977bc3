//! Who is in which session, as the kernel has it: by label, never by the path of a cgroup.

use std::collections::{BTreeMap, BTreeSet};

use agent_abi::{
    Label,
    census::Member as Record,
    image::{IMAGE_MAGIC, RELEASED_MAGIC},
};

use crate::{
    api::{Extent, Member, Standing},
    daemon::{error::RequestError, state::Daemon},
    process,
};

impl Daemon {
    /// Every live thread that belongs to a session, or is where it should.
    pub(in crate::daemon) fn members(&self) -> Result<Vec<Member>, RequestError> {
        let (records, magics) = {
            let mut kernel = self.kernel();
            let records = kernel.members()?;
            let mut magics = kernel
                .installed()?
                .iter()
                .map(|(slot, header)| ((*slot, header.generation), header.magic))
                .collect::<BTreeMap<_, _>>();
            for label in records.iter().map(|record| record.process.in_force()) {
                let key = (label.slot, label.generation);
                if !magics.contains_key(&key) && kernel.was_released(label)? {
                    magics.insert(key, RELEASED_MAGIC);
                }
            }
            (records, magics)
        };
        let magic = |label: Label| magics.get(&(label.slot, label.generation)).copied();
        let name = |label: Label| label.is_some().then(|| self.name_of(label.generation));
        let is_process = |label: Label| {
            let live = self.sessions().by_number(label.generation);
            live.is_some_and(|live| live.row.extent() == Extent::Process)
        };
        let members = records.into_iter().map(|record| Member {
            session: name(record.process),
            pid: record.pid,
            tid: record.tid,
            command: process::comm(record.tid).unwrap_or_else(|| "?".into()),
            cgroup: record.cgroup,
            place: name(record.place),
            standing: standing(&record, magic, is_process).into(),
        });
        Ok(members.collect())
    }

    /// How many processes each session has, by its number.
    pub(in crate::daemon) fn populations(&self) -> BTreeMap<u32, u32> {
        let members = self.kernel().members().unwrap_or_else(|error| {
            tracing::warn!("{error}");
            Vec::new()
        });
        let processes = members
            .iter()
            .filter(|member| member.process.is_some())
            .map(|member| (member.process.generation, member.pid))
            .collect::<BTreeSet<_>>();
        let mut populations = BTreeMap::new();
        for (number, _) in processes {
            *populations.entry(number).or_default() += 1;
        }
        populations
    }

    /// The processes of a session.
    pub(in crate::daemon) fn processes_of(
        &self,
        label: Label,
    ) -> Result<BTreeSet<u32>, RequestError> {
        let members = self.kernel().members()?;
        let own = members
            .iter()
            .filter(|member| member.process.in_force() == label);
        Ok(own.map(|member| member.pid).collect())
    }

    fn name_of(&self, number: u32) -> String {
        let live = self.sessions().by_number(number);
        live.map_or_else(|| unknown(number), |live| live.row.name.clone())
    }
}

/// What a session is called that no daemon and no store knows, and what refuses without being one.
pub(in crate::daemon) fn unknown(number: u32) -> String {
    if number == Label::REFUSING.generation {
        "refusing".into()
    } else {
        format!("session-{number}")
    }
}

/// `is_process` tells whether a session has no cgroup.
fn standing(
    record: &Record,
    magic: impl Fn(Label) -> Option<u32>,
    is_process: impl Fn(Label) -> bool,
) -> Standing {
    let is_armed = record.process.is_armed();
    let [own, process, place] = [record.own, record.process, record.place].map(Label::in_force);
    let is_torn = own.is_some() && own != process;
    match magic(process) {
        _ if !process.is_some() && place.is_some() => Standing::Free,
        Some(RELEASED_MAGIC) if place.is_some() && place != process => Standing::Free,
        Some(RELEASED_MAGIC) => Standing::Leaving,
        _ if is_torn => Standing::Torn,
        Some(IMAGE_MAGIC) if is_armed => Standing::Armed,
        Some(IMAGE_MAGIC) if place == process || is_process(process) => Standing::Inside,
        Some(IMAGE_MAGIC) => Standing::Moved,
        _ => Standing::Ended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_and_a_place_agree_or_not() {
        let [none, one, other, alone] = [0, 7, 8, 9].map(|generation| Label {
            slot: generation,
            generation,
        });
        let judge = |own, process, place, magic| {
            let record = Record {
                own,
                process,
                place,
                ..Record::default()
            };
            standing(
                &record,
                |label: Label| magic_of(label, magic),
                |label| label == alone,
            )
        };
        let live = Some(IMAGE_MAGIC);
        assert_eq!(judge(one, one, one, live), Standing::Inside);
        assert_eq!(judge(none, one, one, live), Standing::Inside);
        assert_eq!(judge(one, one, none, live), Standing::Moved);
        assert_eq!(judge(alone, alone, none, live), Standing::Inside);
        let armed = one.armed();
        assert_eq!(judge(armed, armed, armed, live), Standing::Armed);
        assert_eq!(judge(armed, one, armed, live), Standing::Inside);
        assert_eq!(judge(none, none, armed, live), Standing::Free);
        assert_eq!(judge(armed, armed, none, None), Standing::Ended);
        assert_eq!(judge(one, one, other, live), Standing::Moved);
        assert_eq!(judge(one, one, one, None), Standing::Ended);
        assert_eq!(judge(none, none, one, live), Standing::Free);
        assert_eq!(judge(other, one, one, live), Standing::Torn);
        assert_eq!(judge(one, none, none, live), Standing::Torn);
        assert_eq!(
            judge(one, one, none, Some(RELEASED_MAGIC)),
            Standing::Leaving
        );
        assert_eq!(judge(one, one, other, Some(RELEASED_MAGIC)), Standing::Free);
    }

    fn magic_of(label: Label, magic: Option<u32>) -> Option<u32> {
        magic.filter(|_| label.is_some())
    }
}
