//! Cgroups that were there before the attachment that is for them.

use std::{collections::BTreeMap, sync::Arc};

use agent_abi::Label;

use super::Attachments;
use crate::daemon::{error::RequestError, state::Daemon};

impl Daemon {
    /// Tags every cgroup that is there already. Its processes are limited from their next program on: they are
    /// counted, so that the operator starts them anew. Answers with the sessions into which something came.
    pub(super) async fn tag_those_there(
        self: &Arc<Self>,
        state: &mut Attachments,
    ) -> Result<Vec<u32>, RequestError> {
        let mut wanted = Vec::new();
        for (number, held) in state.held.iter().enumerate() {
            let places = held.attachment.subject.places();
            let places = places.map_err(RequestError::BadRequest)?;
            wanted.push((number, places, held.by.label()));
        }
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let (early, come) = self
            .blocking(move |daemon| {
                let mut early = BTreeMap::<usize, u32>::new();
                let mut come = Vec::new();
                let mut tagged = daemon
                    .kernel()
                    .tagged_cgroups()?
                    .into_iter()
                    .filter(|(_, label)| label.in_force() != Label::REFUSING)
                    .collect::<BTreeMap<u64, Label>>();
                let all = daemon
                    .hierarchy
                    .all()
                    .map_err(|error| RequestError::failed("cannot list the cgroups", error))?;
                // Those above come first: who is below a tagged one is in its session.
                for (ancestors, cgroup) in all {
                    let path = daemon.hierarchy.path_of(&cgroup);
                    let meant = wanted.iter().find(|(_, places, _)| places.contain(&path));
                    let Some((number, _, label)) = meant else {
                        continue;
                    };
                    if ancestors
                        .iter()
                        .chain([&cgroup.id()])
                        .any(|id| tagged.contains_key(id))
                    {
                        continue;
                    }
                    tagged.insert(cgroup.id(), *label);
                    daemon.tag(cgroup.id(), *label)?;
                    if !cgroup.exists() {
                        // It went before it had a tag, which nobody takes from it.
                        daemon.kernel().untag_cgroup(cgroup.id())?;
                        continue;
                    }
                    let processes = cgroup.processes().unwrap_or_default().len();
                    *early.entry(*number).or_default() += processes as u32;
                    if label.in_force() != Label::REFUSING {
                        come.push(label.generation);
                    }
                }
                come.dedup();
                Ok::<_, RequestError>((early, come))
            })
            .await?;
        for (number, count) in early {
            let held = &mut state.held[number];
            held.early = count;
            if count > 0 {
                tracing::warn!(
                    "{count} processes of {} ran before it was attached: they are limited from the next \
                     program on that they execute; start them anew",
                    held.attachment.subject.text()
                );
            }
        }
        Ok(come)
    }
}
