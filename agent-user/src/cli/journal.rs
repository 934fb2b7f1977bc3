//! A word in the journal of a unit that is not the caller's.

use std::os::unix::net::UnixDatagram;

const SOCKET: &str = "/run/systemd/journal/socket";

/// Says `text` to who reads `journalctl --unit UNIT`, which shows what root says about a unit
/// (`OBJECT_SYSTEMD_UNIT`). Where there is no journal, nobody reads it.
pub(super) fn tell(unit: &str, text: &str) {
    let socket = UnixDatagram::unbound();
    let _ = socket.and_then(|socket| socket.send_to(&entry(unit, text), SOCKET));
}

/// An entry of the journal's native protocol, one field on each line.
fn entry(unit: &str, text: &str) -> Vec<u8> {
    let line = |text: &str| text.replace(['\n', '\r'], " ");
    format!(
        "PRIORITY=3\nSYSLOG_IDENTIFIER=bailiff\nOBJECT_SYSTEMD_UNIT={}\nMESSAGE={}\n",
        line(unit),
        line(text)
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_makes_a_field_of_its_own() {
        let entry = entry("a.service\nMESSAGE=x", "one\ntwo");
        let entry = String::from_utf8(entry).unwrap();
        assert_eq!(entry.lines().count(), 4);
        assert!(entry.ends_with("MESSAGE=one two\n"), "{entry}");
    }
}
