//! Reads what the kernel wrote to its console: did it panic, did it report a defect of its own?

/// The kernel's words for defects. A line that holds one of them fails the run.
const DEFECTS: &[&str] = &[
    "WARNING: ",
    "BUG: ",
    "BUG at ",
    "kernel BUG",
    "Oops: ",
    "general protection fault, ",
    "Unable to handle kernel",
    "Kernel panic",
    "KASAN: ",
    "KCSAN: ",
    "KFENCE: ",
    "UBSAN: ",
    "detected stall",
    "self-detected stall",
    "blocked for more than",
    "soft lockup",
    "hard LOCKUP",
    "lockdep",
    "suspicious RCU usage",
    "possible circular locking",
    "possible recursive locking",
    "inconsistent lock state",
    "scheduling while atomic",
    "sleeping function called from invalid context",
    "refcount_t: ",
    "list_add corruption",
    "list_del corruption",
    "bad page state",
    "Call Trace:",
];

/// Lines that hold one of those words and report no defect.
const HARMLESS: &[&str] = &[
    // Advice about processor vulnerabilities.
    "WARNING: Unprivileged eBPF is enabled",
    "Spectre V2 : WARNING",
    "MDS: WARNING",
    // A program's own fault, not the kernel's.
    "traps: ",
];

pub(super) fn findings(console: &str) -> Vec<String> {
    let is_defect = |line: &&str| {
        DEFECTS.iter().any(|word| line.contains(word))
            && !HARMLESS.iter().any(|word| line.contains(word))
    };
    console
        .lines()
        .filter(is_defect)
        .map(str::to_owned)
        .collect()
}

/// The lines around the first that is `line`.
pub(super) fn around(console: &str, line: &str) -> String {
    let lines = console.lines().collect::<Vec<_>>();
    let at = lines.iter().position(|other| *other == line).unwrap_or(0);
    let shown = &lines[at.saturating_sub(12)..lines.len().min(at + 30)];
    shown.iter().map(|line| format!("  {line}\n")).collect()
}

pub(super) fn panicked(console: &str) -> bool {
    console.contains("Kernel panic - not syncing")
}

/// Firmware and tests can write anything to the console; a terminal must not obey it.
pub(super) fn clean(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars()
        .filter(|c| *c == '\n' || *c == '\t' || !c.is_control())
        .collect()
}

pub(super) fn tail(console: &str, lines: usize) -> String {
    let all: Vec<&str> = console.lines().collect();
    let from = all.len().saturating_sub(lines);
    all[from..]
        .iter()
        .map(|line| format!("  {line}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_defect_is_found_and_advice_is_not() {
        let console = "\
[    0.1] Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on
[    1.0] traps: foo[12] general protection fault, ip:1 sp:2 error:0
[    2.0] WARNING: CPU: 0 PID: 1 at kernel/bpf/verifier.c:1
[    2.1] rcu: INFO: rcu_preempt self-detected stall on CPU
[    3.0] systemd: all fine
";
        let found = findings(console);
        assert_eq!(found.len(), 2);
        assert!(found[0].contains("verifier.c"));
    }

    #[test]
    fn control_characters_are_dropped() {
        assert_eq!(clean(b"\x1b[2Ja\r\nb\tc"), "[2Ja\nb\tc");
    }
}
