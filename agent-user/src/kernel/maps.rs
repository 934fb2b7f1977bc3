//! The maps of the kernel side: one row each. The build compares them with the object.
//!
//! To add a map: its name in `agent-abi/src/names.rs`, the map in `agent-ebpf/src/maps.rs`, a row here.

use agent_abi::names;

/// One map.
#[derive(Clone, Copy, Debug)]
pub(super) struct MapRow {
    pub(super) name: &'static str,
    /// Whether it outlives the daemon, below [`names::PIN_ROOT`]. One that is not pinned is made anew by
    /// each build that attaches, and lives as long as that build's programs.
    pub(super) pinned: bool,
}

const fn pinned(name: &'static str) -> MapRow {
    MapRow { name, pinned: true }
}

/// Every map.
pub(super) const MAPS: &[MapRow] = &[
    pinned(names::LABELS),
    pinned(names::CONNECTIONS),
    pinned(names::SCRATCH),
    pinned(names::DIRECTORIES),
    pinned(names::SOCKETS),
    pinned(names::TERMINALS),
    pinned(names::UNLOCKED),
    pinned(names::IMAGES),
    pinned(names::RELEASED),
    pinned(names::FORKING),
    pinned(names::FORKS),
    pinned(names::CGROUPS),
    pinned(names::ATTACHMENTS),
    MapRow {
        name: names::CGROUP_PATH,
        pinned: false,
    },
    pinned(names::OBJECTS),
    pinned(names::NUMBERS),
    pinned(names::JOBS),
    pinned(names::LAUNCHERS),
    pinned(names::RUNTIMES),
    pinned(names::VIEWED),
    pinned(names::WAITING),
    pinned(names::ATTENDED),
    pinned(names::QUEUES),
    pinned(names::SETTLING),
    pinned(names::CENSUS),
    pinned(names::DAEMON),
    pinned(names::SUPERBLOCKS),
    pinned(names::OWN),
    pinned(names::MADE),
    pinned(names::NET),
    pinned(names::LEDGER),
    pinned(names::EVENTS),
    pinned(names::NOTICES),
    pinned(names::SHARES),
    pinned(names::TAKEN),
];

/// Names of the maps that are pinned.
pub(super) fn pinned_maps() -> impl Iterator<Item = &'static str> {
    let pinned = MAPS.iter().filter(|map| map.pinned);
    pinned.map(|map| map.name)
}
