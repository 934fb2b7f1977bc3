//! Acts by Bash: with its own means where it has some, else by the tool.

use super::{Act, SendBy, SignalBy};

/// In single quotes.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

impl Act {
    /// A command for a subshell of its own.
    pub(crate) fn bash(&self) -> Option<String> {
        let own = match self {
            Self::Read { path } => format!("grep -q secret {}", quoted(path)),
            Self::ReadFrom { dir, path } => {
                format!("cd {} && grep -q secret {}", quoted(dir), quoted(path))
            }
            Self::Open { path } => format!("exec 3< {}", quoted(path)),
            Self::ReadWrite { path } => format!("exec 3<> {}", quoted(path)),
            Self::Write { path } => {
                format!(
                    "printf overwritten | dd conv=notrunc status=none of={}",
                    quoted(path)
                )
            }
            Self::Udp {
                by: SendBy::SendTo, ..
            } => {
                let words = self.direct()?;
                let words = words.iter().map(|word| quoted(word)).collect::<Vec<_>>();
                format!("printf x | {}", words.join(" "))
            }
            Self::WriteText { path, text } => {
                format!("printf %s {} > {}", quoted(text), quoted(path))
            }
            Self::Append { path } => format!("echo overwritten >> {}", quoted(path)),
            Self::TruncateOpen { path } => format!(": > {}", quoted(path)),
            Self::Create { path } => format!("set -C; : > {}", quoted(path)),
            Self::Tcp { address, port } => format!("exec 3<>/dev/tcp/{address}/{port}"),
            Self::Udp {
                address,
                port,
                by: SendBy::Connect,
            } => {
                format!("exec 3<>/dev/udp/{address}/{port} && echo overwritten >&3")
            }
            Self::Signal {
                pid,
                by: SignalBy::Kill,
                ..
            } => format!("kill -KILL {pid}"),
            Self::Signal {
                by: SignalBy::Pkill,
                marker,
                ..
            } => format!(
                "pgrep -f {} | xargs -r kill -KILL",
                quoted(&format!("^{marker} "))
            ),
            Self::SignalChild { by: SignalBy::Kill } => {
                "sleep 60 & kill -KILL $!; wait $! 2>&-; [ $? = 137 ]".into()
            }
            _ => {
                let words = self.direct()?;
                words
                    .iter()
                    .map(|word| quoted(word))
                    .collect::<Vec<_>>()
                    .join(" ")
            }
        };
        Some(own)
    }
}
