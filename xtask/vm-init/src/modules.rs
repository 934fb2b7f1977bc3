//! Loads the kernel modules that the initramfs carries, in the order in which it lists them.

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use std::fs::{self, File};

const LIST: &str = "/modules/order";

pub(crate) fn load_carried() -> Result<()> {
    let Ok(list) = fs::read_to_string(LIST) else {
        return Ok(());
    };
    for name in list.lines() {
        let path = format!("/modules/{name}");
        let file = File::open(&path).with_context(|| format!("open {path}"))?;
        match finit_module(&file, c"", ModuleInitFlags::empty()) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(error).with_context(|| format!("load module {name}")),
        }
    }
    Ok(())
}
