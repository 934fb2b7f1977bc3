//! Paths are bytes; JSON has only text.

use serde::{Deserialize, Serialize};

/// A path, or another name of bytes, as text and, where the text does not tell all, as hexadecimal bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PathText {
    /// The path; what is no UTF-8 is replaced.
    pub text: String,
    /// The exact bytes, where `text` has replacement characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hex: Option<String>,
}

impl PathText {
    /// Of these bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self {
                text: text.into(),
                hex: None,
            },
            Err(_) => Self {
                text: String::from_utf8_lossy(bytes).into_owned(),
                hex: Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
            },
        }
    }

    /// The exact bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let decode = |hex: &String| {
            (0..hex.len() / 2)
                .map(|i| u8::from_str_radix(hex.get(2 * i..2 * i + 2)?, 16).ok())
                .collect()
        };
        let exact: Option<Vec<u8>> = self.hex.as_ref().and_then(decode);
        exact.unwrap_or_else(|| self.text.clone().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::PathText;

    #[test]
    fn keeps_every_byte() {
        for path in [
            b"/plain".as_slice(),
            b"/bad\xff\xfe/name",
            "/ümlaut".as_bytes(),
        ] {
            assert_eq!(PathText::new(path).bytes(), path);
        }
        assert_eq!(PathText::new(b"/plain").hex, None);
    }
}
