//! `[process]` and `[kernel]` tables.

use std::fmt;

use agent_abi::{Surface, words};
use toml::de::DeTable;

use super::{
    capabilities,
    reader::{Reader, Text},
};

/// `[process]` and `[kernel]` as written; `None` is not given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawSettings {
    /// Every switch with its value.
    pub surface: Vec<(Surface, bool)>,
    /// Capability numbers with their place.
    pub capabilities: Option<Vec<(u8, Text)>>,
}

pub(crate) const KERNEL_SWITCHES: [(&str, Surface); 9] = [
    ("containers", Surface::Containers),
    ("mount", Surface::Mount),
    ("namespaces", Surface::Namespaces),
    ("bpf", Surface::Bpf),
    ("perf", Surface::Perf),
    ("io_uring", Surface::IoUring),
    ("userfaultfd", Surface::Userfaultfd),
    ("keyrings", Surface::Keyrings),
    ("load", Surface::Load),
];

const PROCESS_SWITCHES: [(&str, Surface); 2] = [("jit", Surface::Jit), ("core", Surface::Core)];

/// A switch of `[process]` that is written as one of two words: off, then on.
struct Scope {
    key: &'static str,
    switch: Surface,
    words: [&'static str; 2],
}

const SCOPES: [Scope; 4] = [
    Scope {
        key: "signal",
        switch: Surface::SignalAny,
        words: ["session", "any"],
    },
    Scope {
        key: "ptrace",
        switch: Surface::PtraceSession,
        words: ["none", "session"],
    },
    Scope {
        key: "control",
        switch: Surface::ControlAny,
        words: ["session", "any"],
    },
    Scope {
        key: "ipc",
        switch: Surface::IpcAny,
        words: ["session", "any"],
    },
];

words! {
    /// The table that a switch stands in.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum SettingTable {
        /// `[process]`
        Process => "process",
        /// `[kernel]`
        Kernel => "kernel",
    }
}

impl fmt::Display for SettingTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A switch as a grant writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    pub switch: Surface,
    pub table: SettingTable,
    pub key: &'static str,
    /// The words for off, which is the default, and for on.
    pub words: [&'static str; 2],
}

impl Setting {
    /// Whether it is on in a grant's surface.
    #[must_use]
    pub fn is_on(&self, surface: u32) -> bool {
        surface & self.switch.bit() != 0
    }

    /// As a grant turns it on: `jit = true`, `signal = "any"`.
    #[must_use]
    pub fn turned_on(&self) -> String {
        match self.words[1] {
            "true" => format!("{} = true", self.key),
            word => format!("{} = \"{word}\"", self.key),
        }
    }

    /// The word for its value.
    #[must_use]
    pub fn value(&self, surface: u32) -> &'static str {
        self.words[usize::from(self.is_on(surface))]
    }
}

/// Every switch of `[process]` and `[kernel]`.
pub fn settings() -> impl Iterator<Item = Setting> {
    let scopes = SCOPES.map(|scope| Setting {
        switch: scope.switch,
        table: SettingTable::Process,
        key: scope.key,
        words: scope.words,
    });
    let plain = |table, key, switch| Setting {
        switch,
        table,
        key,
        words: ["false", "true"],
    };
    let process = PROCESS_SWITCHES.map(|(key, switch)| plain(SettingTable::Process, key, switch));
    let kernel = KERNEL_SWITCHES.map(|(key, switch)| plain(SettingTable::Kernel, key, switch));
    scopes.into_iter().chain(process).chain(kernel)
}

pub(crate) fn read_process(reader: &mut Reader, table: &DeTable<'_>, out: &mut RawSettings) {
    const KEYS: &[&str] = &[
        "signal",
        "ptrace",
        "control",
        "ipc",
        "jit",
        "core",
        "capabilities",
    ];
    reader.check_keys(table, "`[process]`", KEYS);
    for Scope { key, switch, words } in SCOPES {
        let words = [(words[0], false), (words[1], true)];
        if let Some(on) = table
            .get(key)
            .and_then(|value| reader.word(value, key, &words))
        {
            out.surface.push((switch, on));
        }
    }
    for (key, switch) in PROCESS_SWITCHES {
        if let Some(on) = table.get(key).and_then(|value| reader.boolean(value, key)) {
            out.surface.push((switch, on));
        }
    }
    if let Some(value) = table.get("capabilities") {
        let mut numbers = Vec::new();
        for word in reader.texts(value, "capabilities") {
            match capabilities::number(&word.value) {
                Some(number) => numbers.push((number, word)),
                None => reader.unknown_word(&word, "capability", &capabilities::NAMES),
            }
        }
        out.capabilities = Some(numbers);
    }
}

pub(crate) fn read_kernel(reader: &mut Reader, table: &DeTable<'_>, out: &mut RawSettings) {
    let keys: Vec<_> = KERNEL_SWITCHES.iter().map(|(key, _)| *key).collect();
    reader.check_keys(table, "`[kernel]`", &keys);
    for (key, switch) in KERNEL_SWITCHES {
        if let Some(on) = table.get(key).and_then(|value| reader.boolean(value, key)) {
            out.surface.push((switch, on));
        }
    }
}
