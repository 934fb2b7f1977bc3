//! Reading `/proc/PID/mountinfo`.

use agent_abi::KernelFilesystem;

use super::{escape::unescape, path::is_plain};

/// One line of `/proc/PID/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub id: u32,
    pub parent: u32,
    /// Kernel `s_dev` of the superblock: major << 20 | minor.
    pub dev: u32,
    /// The directory (or file) of the superblock that is mounted.
    pub root: Vec<u8>,
    /// Where, relative to the root of the process whose file it is.
    pub point: Vec<u8>,
    pub fstype: String,
    /// What was mounted, as whoever mounted it said: a device, a server's directory, a word.
    pub source: String,
    /// What its filesystem was made with, as the kernel writes it: `rw,lowerdir=/a:/b`.
    pub options: Vec<u8>,
}

impl Mount {
    /// Whether its filesystem is told by its kind and not by its device.
    #[must_use]
    pub fn is_kernels_own(&self) -> bool {
        KernelFilesystem::of_type(self.fstype.as_bytes()).is_some()
    }

    /// Whether it shows a place of its filesystem that a path leads to: not one that was deleted
    /// (`/srv/a//deleted`), nor what never had a path (`net:[4026531840]`).
    #[must_use]
    pub fn has_place(&self) -> bool {
        is_plain(&self.root) && is_plain(&self.point)
    }
}

/// A line that is not as proc(5) says.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("mountinfo line {line} is not as proc(5) says: {text:?}")]
pub struct MountParseError {
    line: usize,
    text: String,
}

/// The mounts in the order of the file.
pub fn parse(text: &[u8]) -> Result<Vec<Mount>, MountParseError> {
    text.split(|byte| *byte == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| {
            parse_line(line).ok_or_else(|| MountParseError {
                line: number + 1,
                text: String::from_utf8_lossy(line).into_owned(),
            })
        })
        .collect()
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let dev = device(fields.next()?)?;
    let root = unescape(fields.next()?);
    let point = unescape(fields.next()?);
    let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
    let fstype = rest.next()?;
    let source = unescape(rest.next().unwrap_or_default());
    Some(Mount {
        id,
        parent,
        dev,
        root,
        point,
        fstype: String::from_utf8_lossy(fstype).into(),
        source: String::from_utf8_lossy(&source).into(),
        options: rest.next().unwrap_or_default().into(),
    })
}

fn device(field: &[u8]) -> Option<u32> {
    let colon = field.iter().position(|byte| *byte == b':')?;
    let (major, minor) = (number(&field[..colon])?, number(&field[colon + 1..])?);
    (major < 1 << 12 && minor < 1 << 20).then_some(major << 20 | minor)
}

fn number(field: &[u8]) -> Option<u32> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_field_that_counts() {
        let text = b"25 30 0:23 / /sys rw,nosuid shared:7 master:2 - sysfs sysfs rw\n\
                     36 30 8:1 /srv/my\\040data /data rw - ext4 /dev/sda1 rw,errors=continue\n";
        let mounts = parse(text).unwrap();
        assert_eq!(mounts[0].dev, 23);
        assert_eq!(mounts[0].fstype, "sysfs");
        assert_eq!(mounts[1].source, "/dev/sda1");
        assert_eq!(mounts[1].dev, 8 << 20 | 1);
        assert_eq!(mounts[1].options, b"rw,errors=continue");
        assert_eq!(mounts[1].root, b"/srv/my data");
        assert_eq!(mounts[1].point, b"/data");
        assert_eq!((mounts[1].id, mounts[1].parent), (36, 30));
    }

    #[test]
    fn says_which_line_is_wrong() {
        let error = parse(b"25 30 0:23 / /sys rw - sysfs sysfs rw\nnonsense\n").unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
        assert!(
            parse(b"25 30 0:23 / /sys rw shared:1\n").is_err(),
            "no separator"
        );
    }
}
