//! `[process]` and `[kernel]` tables.

use agent_abi::Surface;
use toml::de::DeTable;

use super::{
    capabilities,
    reader::{Reader, Text},
};

/// `[process]` and `[kernel]` as written; `None` is not given.
#[derive(Clone, Debug, Default)]
pub struct RawSettings {
    /// Every switch with its value.
    pub surface: Vec<(Surface, bool)>,
    /// Capability numbers with their place.
    pub capabilities: Option<Vec<(u8, Text)>>,
}

pub(crate) const KERNEL_SWITCHES: [(&str, Surface); 8] = [
    ("mount", Surface::Mount),
    ("namespaces", Surface::Namespaces),
    ("bpf", Surface::Bpf),
    ("perf", Surface::Perf),
    ("io_uring", Surface::IoUring),
    ("userfaultfd", Surface::Userfaultfd),
    ("keyrings", Surface::Keyrings),
    ("load", Surface::Load),
];

pub(crate) fn read_process(reader: &mut Reader, table: &DeTable<'_>, out: &mut RawSettings) {
    const KEYS: &[&str] = &["signal", "ptrace", "control", "jit", "capabilities"];
    reader.check_keys(table, "`[process]`", KEYS);
    let scopes = [
        (
            "signal",
            Surface::SignalAny,
            [("session", false), ("any", true)],
        ),
        (
            "ptrace",
            Surface::PtraceSession,
            [("none", false), ("session", true)],
        ),
        (
            "control",
            Surface::ControlAny,
            [("session", false), ("any", true)],
        ),
    ];
    for (key, switch, words) in scopes {
        if let Some(on) = table
            .get(key)
            .and_then(|value| reader.word(value, key, &words))
        {
            out.surface.push((switch, on));
        }
    }
    if let Some(jit) = table
        .get("jit")
        .and_then(|value| reader.boolean(value, "jit"))
    {
        out.surface.push((Surface::Jit, jit));
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
