//! Arguments of a system call.

use serde::{Deserialize, Serialize};

/// Argument of an `Act::Syscall`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Arg {
    Number(i64),
    /// A NUL-terminated string.
    Text(String),
    /// A buffer with this content.
    Bytes(Vec<u8>),
    /// A descriptor of this path, opened with these flags before.
    Open(String, i32),
}

impl From<i64> for Arg {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<i32> for Arg {
    fn from(number: i32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u32> for Arg {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u64> for Arg {
    fn from(number: u64) -> Self {
        Self::Number(number.cast_signed())
    }
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Arg {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<u8>> for Arg {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}
