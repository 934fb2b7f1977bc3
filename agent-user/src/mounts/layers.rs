//! Of which directories an overlay is made, as whoever mounted it wrote them.

use super::{Mount, escape::unescape};

/// The layers of an overlay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layers {
    /// Where everything goes that is written; `None`: nothing can be.
    pub upper: Option<Vec<u8>>,
    /// What shows through.
    pub lower: Vec<Vec<u8>>,
}

impl Layers {
    /// `None`: it is no overlay, or of layers that cannot be told.
    ///
    /// The kernel writes the options as they were given (`ovl_show_options`): one list in `lowerdir`, or
    /// `lowerdir+` and `datadir+` for each (from 6.7 on). A colon or a backslash in a name is written in
    /// different ways by different kernels: such names are not told.
    #[must_use]
    pub fn of(mount: &Mount) -> Option<Self> {
        if mount.fstype != "overlay" {
            return None;
        }
        let mut layers = Self::default();
        for option in mount.options.split(|byte| *byte == b',') {
            let Some(equals) = option.iter().position(|byte| *byte == b'=') else {
                continue;
            };
            let value = &option[equals + 1..];
            match &option[..equals] {
                b"lowerdir" => {
                    // Two colons come before layers that hold data only.
                    let listed = value.split(|byte| *byte == b':');
                    for path in listed.filter(|path| !path.is_empty()) {
                        layers.lower.push(path_of(path)?);
                    }
                }
                b"lowerdir+" | b"datadir+" => layers.lower.push(path_of(value)?),
                b"upperdir" => layers.upper = Some(path_of(value)?),
                _ => {}
            }
        }
        (!layers.lower.is_empty()).then_some(layers)
    }
}

fn path_of(written: &[u8]) -> Option<Vec<u8>> {
    let path = unescape(written);
    let is_plain = !path.contains(&b'\\') && !written.windows(4).any(|four| four == br"\072");
    is_plain.then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mounts::parse;

    fn layers(options: &str) -> (Option<String>, Vec<String>) {
        let line = format!("1 0 0:40 / /m rw - overlay none {options}\n");
        let mounts = parse(line.as_bytes()).unwrap();
        let text = |path: &Vec<u8>| String::from_utf8(path.clone()).unwrap();
        let layers = Layers::of(&mounts[0]).unwrap();
        (
            layers.upper.as_ref().map(text),
            layers.lower.iter().map(text).collect(),
        )
    }

    #[test]
    fn every_way_to_write_layers_is_read() {
        let (upper, lower) = layers(r"rw,lowerdir=/a\040b:/c::/data,upperdir=/up,workdir=/work");
        assert_eq!(upper.as_deref(), Some("/up"));
        assert_eq!(lower, ["/a b", "/c", "/data"]);
        let (upper, lower) = layers("ro,lowerdir+=/a,lowerdir+=/b:c,datadir+=/d,uuid=on");
        assert_eq!(
            (upper, lower),
            (None, ["/a", "/b:c", "/d"].map(Into::into).into())
        );
        let (_, lower) = layers(r"rw,lowerdir=/b\054upperdir\075/c:/d");
        assert_eq!(lower, ["/b,upperdir=/c", "/d"]);
    }

    #[test]
    fn names_that_kernels_write_differently_are_not_told() {
        for options in [
            // `/a:b` by 6.8, by 6.6; a name with a backslash; none at all.
            r"rw,lowerdir=/a\134:b:/d",
            r"rw,lowerdir=/a\072b:/d",
            r"rw,lowerdir=/d,upperdir=/a\134b",
            "rw,upperdir=/a",
        ] {
            let line = format!("1 0 0:40 / /m rw - overlay none {options}\n");
            let mounts = parse(line.as_bytes()).unwrap();
            assert_eq!(Layers::of(&mounts[0]), None, "{options}");
        }
    }

    #[test]
    fn what_is_no_overlay_has_none() {
        let mounts = parse(b"1 0 8:1 / / rw - ext4 /dev/sda1 rw,lowerdir=/a\n").unwrap();
        assert_eq!(Layers::of(&mounts[0]), None);
    }
}
