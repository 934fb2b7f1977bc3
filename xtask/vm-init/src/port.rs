//! The virtio port to the host.

use anyhow::{Result, bail};
use std::fs::{self, File, OpenOptions};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use vm_init::frame::PORT;

pub(crate) fn open() -> Result<File> {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(device) = find()
            && let Ok(port) = OpenOptions::new().read(true).write(true).open(device)
        {
            return Ok(port);
        }
        if Instant::now() > until {
            bail!("no virtio port named {PORT}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn find() -> Option<PathBuf> {
    fs::read_dir("/sys/class/virtio-ports")
        .ok()?
        .flatten()
        .find_map(|entry| {
            let name = fs::read_to_string(entry.path().join("name")).ok()?;
            (name.trim_end() == PORT).then(|| PathBuf::from("/dev").join(entry.file_name()))
        })
}
