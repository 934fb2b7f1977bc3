//! Device nodes of modules that are not loaded yet: opening one loads its module, as on any
//! distribution.

use anyhow::{Context, Result};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::sys::utsname::uname;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What udev lets everybody use.
const FOR_EVERYBODY: &[&str] = &["/dev/net/tun", "/dev/fuse"];

/// Makes the nodes that depmod listed for this kernel's modules.
pub(crate) fn make() -> Result<()> {
    let release = uname()?.release().to_string_lossy().into_owned();
    let list = format!("/usr/lib/modules/{release}/modules.devname");
    let text = fs::read_to_string(&list).with_context(|| format!("read {list}"))?;
    for (name, kind, major, minor) in text.lines().filter_map(parse) {
        let path = Path::new("/dev").join(name);
        make_one(&path, kind, makedev(major, minor))
            .with_context(|| format!("make {}", path.display()))?;
    }
    for path in FOR_EVERYBODY {
        // Where it is neither a module nor built in there is nothing to set.
        let _ = fs::set_permissions(path, Permissions::from_mode(0o666));
    }
    Ok(())
}

fn make_one(path: &Path, kind: SFlag, number: u64) -> Result<()> {
    if !path.exists() {
        fs::create_dir_all(path.parent().context("a device without a folder")?)?;
        mknod(path, kind, Mode::S_IRUSR | Mode::S_IWUSR, number)?;
    }
    Ok(())
}

/// A line such as `tun net/tun c10:200`.
fn parse(line: &str) -> Option<(&str, SFlag, u64, u64)> {
    let mut words = line.split(' ').skip(1);
    let (name, numbers) = (words.next()?, words.next()?);
    let kind = match numbers.as_bytes().first()? {
        b'c' => SFlag::S_IFCHR,
        b'b' => SFlag::S_IFBLK,
        _ => return None,
    };
    let (major, minor) = numbers[1..].split_once(':')?;
    Some((name, kind, major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_depmod_is_read() {
        let found = parse("tun net/tun c10:200");
        assert_eq!(found, Some(("net/tun", SFlag::S_IFCHR, 10, 200)));
        assert_eq!(
            parse("# Device nodes to trigger on-demand module loading."),
            None
        );
    }
}
