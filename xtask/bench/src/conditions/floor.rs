//! LSM programs of two instructions: what any program on a hook costs, whatever it does.

use anyhow::{Context, Result};
use aya_obj::btf::{Btf, BtfKind};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_RAW_TRACEPOINT_OPEN: libc::c_int = 17;
const BPF_PROG_TYPE_LSM: u32 = 29;
const BPF_LSM_MAC: u32 = 27;

/// `r0 = 0; exit`
const PROGRAM: [u64; 2] = [0x0000_0000_0000_00b7, 0x0000_0000_0000_0095];
const LICENSE: &std::ffi::CStr = c"GPL";

/// The programs, loaded.
pub(super) struct Floor {
    programs: Vec<OwnedFd>,
}

/// Loads one for each hook.
pub(super) fn load(hooks: &[String]) -> Result<Floor> {
    let btf = Btf::from_sys_fs()?;
    let programs = hooks
        .iter()
        .map(|hook| {
            let function = btf.id_by_type_name_kind(&format!("bpf_lsm_{hook}"), BtfKind::Func)?;
            load_for(function).with_context(|| format!("load a program for {hook}"))
        })
        .collect::<Result<_>>()?;
    Ok(Floor { programs })
}

impl Floor {
    /// Attaches them; they stay attached as long as the result lives.
    pub(super) fn attach(&self) -> Result<Vec<OwnedFd>> {
        let links = self.programs.iter().map(open);
        links
            .collect::<io::Result<_>>()
            .context("attach the empty programs")
    }
}

/// The first members of `union bpf_attr` for `BPF_PROG_LOAD`.
#[derive(Default)]
#[repr(C)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
}

/// The members of `union bpf_attr` for `BPF_RAW_TRACEPOINT_OPEN`.
#[repr(C)]
struct Open {
    name: u64,
    prog_fd: u32,
    padding: u32,
}

fn load_for(attach_btf_id: u32) -> io::Result<OwnedFd> {
    bpf(
        BPF_PROG_LOAD,
        &Load {
            prog_type: BPF_PROG_TYPE_LSM,
            expected_attach_type: BPF_LSM_MAC,
            insn_cnt: 2,
            insns: PROGRAM.as_ptr() as u64,
            license: LICENSE.as_ptr() as u64,
            attach_btf_id,
            ..Load::default()
        },
    )
}

fn open(program: &OwnedFd) -> io::Result<OwnedFd> {
    use std::os::fd::AsRawFd;
    bpf(
        BPF_RAW_TRACEPOINT_OPEN,
        &Open {
            name: 0,
            prog_fd: program.as_raw_fd().cast_unsigned(),
            padding: 0,
        },
    )
}

/// `bpf(2)` for commands that return a descriptor.
fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: a live structure of the size given, laid out as the command expects it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of::<T>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that the kernel just gave to this process.
    Ok(unsafe { OwnedFd::from_raw_fd(result as i32) })
}
