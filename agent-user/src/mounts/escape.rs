//! `/proc` writes blanks, tabs, newlines and backslashes of paths as `\ooo`.

/// The bytes that an escaped field of `/proc/PID/mountinfo` stands for.
pub(super) fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'\\'
            && let Some(byte) = tail.get(..3).and_then(octal)
        {
            out.push(byte);
            rest = &tail[3..];
        } else {
            out.push(first);
            rest = tail;
        }
    }
    out
}

fn octal(digits: &[u8]) -> Option<u8> {
    digits.iter().try_fold(0u8, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|d| *d < 8)?;
        value.checked_mul(8)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn reads_octal_escapes_and_leaves_the_rest() {
        assert_eq!(unescape(br"/a\040b\011c\134d"), b"/a b\tc\\d");
        assert_eq!(unescape(br"/plain"), b"/plain");
        assert_eq!(unescape(br"/end\"), br"/end\");
        assert_eq!(unescape(br"/not\9zz\04"), br"/not\9zz\04");
        assert_eq!(unescape(br"/big\777"), br"/big\777");
    }
}
