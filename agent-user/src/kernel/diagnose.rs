//! What a host must have, looked at without changing it.

use std::{fs, path::Path};

use crate::api::doctor::HostCheck;

/// Looks at this host without changing it: privileges, kernel, lockdown, LSM list, BTF, cgroup v2, bpffs.
#[must_use]
pub fn diagnose() -> Vec<HostCheck> {
    vec![
        HostCheck::new("privileges", privileges()),
        HostCheck::new("kernel", kernel()),
        HostCheck::new("lockdown", lockdown()),
        HostCheck::new("BPF LSM", bpf_lsm()),
        HostCheck::new("type information", type_information()),
        HostCheck::new("cgroup v2", cgroup2()),
        HostCheck::new("bpffs", bpffs()),
    ]
}

/// What is as it must be; or what is not, and what to do about it.
pub type Found = Result<String, (String, String)>;

impl HostCheck {
    pub(crate) fn new(name: &str, found: Found) -> Self {
        let (ok, found, remedy) = match found {
            Ok(found) => (true, found, None),
            Err((found, remedy)) => (false, found, Some(remedy)),
        };
        Self {
            name: name.into(),
            ok,
            found,
            remedy,
        }
    }
}

fn privileges() -> Found {
    if nix::unistd::geteuid().is_root() {
        return Ok("root".into());
    }
    Err((
        format!("user {}", nix::unistd::geteuid()),
        "start the daemon as root, for example with `sudo bailiff daemon`".into(),
    ))
}

fn kernel() -> Found {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= (6, 1) => Ok(release.into()),
        _ => Err((
            format!("Linux {release}"),
            "Bailiff needs Linux 6.1 or newer".into(),
        )),
    }
}

/// `lockdown=confidentiality` keeps programs from reading kernel memory
/// (`LOCKDOWN_BPF_READ_KERNEL`), which every walk along a path does.
fn lockdown() -> Found {
    // Without the module, or without securityfs, nothing is locked down, or another check tells.
    let text = fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    let level = text
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or("none", |(level, _)| level);
    if level != "confidentiality" {
        return Ok(level.into());
    }
    Err((
        "the kernel is locked down for confidentiality: eBPF programs may not read its memory"
            .into(),
        "boot with `lockdown=integrity`, or without `lockdown=`, on the kernel command line".into(),
    ))
}

fn bpf_lsm() -> Found {
    let path = "/sys/kernel/security/lsm";
    let remedy = |list: &str| {
        let list = if list.is_empty() {
            "landlock,lockdown,yama,integrity,apparmor"
        } else {
            list
        };
        format!(
            "boot with `lsm={list},bpf` on the kernel command line (in GRUB: \
             GRUB_CMDLINE_LINUX in /etc/default/grub, then update-grub), on a kernel built with \
             CONFIG_BPF_LSM=y"
        )
    };
    let Ok(list) = fs::read_to_string(path) else {
        return Err((
            format!("{path} cannot be read"),
            "mount securityfs: `mount -t securityfs securityfs /sys/kernel/security`".into(),
        ));
    };
    let list = list.trim();
    if list.split(',').any(|module| module == "bpf") {
        return Ok(list.into());
    }
    Err((
        format!("`bpf` is not among the active security modules ({list})"),
        remedy(list),
    ))
}

fn type_information() -> Found {
    let path = Path::new("/sys/kernel/btf/vmlinux");
    match fs::metadata(path) {
        Ok(metadata) => Ok(format!(
            "{} ({} KiB)",
            path.display(),
            metadata.len() / 1024
        )),
        Err(_) => Err((
            format!("{} does not exist", path.display()),
            "use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as distributions' kernels are".into(),
        )),
    }
}

fn cgroup2() -> Found {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let at = |kind: &str| {
        mounts.lines().find_map(|line| {
            let mut words = line.split(' ').skip(1);
            let place = words.next()?;
            (words.next()? == kind).then(|| place.to_owned())
        })
    };
    match (at("cgroup2"), at("cgroup")) {
        (Some(place), None) => Ok(place),
        (Some(place), Some(old)) => Err((
            format!("both cgroup v2 ({place}) and v1 ({old}) are mounted"),
            "boot with `systemd.unified_cgroup_hierarchy=1`: sessions are cgroups of the unified \
             hierarchy, and v1 controllers would let processes be moved behind its back"
                .into(),
        )),
        (None, _) => Err((
            "no cgroup v2 hierarchy is mounted".into(),
            "boot with `systemd.unified_cgroup_hierarchy=1`, or mount it: `mount -t cgroup2 \
             cgroup2 /sys/fs/cgroup`"
                .into(),
        )),
    }
}

fn bpffs() -> Found {
    let path = Path::new("/sys/fs/bpf");
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    if mounts
        .lines()
        .any(|line| line.contains(" /sys/fs/bpf bpf "))
    {
        return Ok(path.display().to_string());
    }
    Err((
        format!("no BPF filesystem is mounted at {}", path.display()),
        "mount it: `mount -t bpf bpf /sys/fs/bpf`".into(),
    ))
}
