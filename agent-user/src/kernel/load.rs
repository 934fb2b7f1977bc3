//! Loading, attaching and pinning the programs.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::LazyLock,
};

use agent_abi::{
    names,
    relocation::{VALUES, Value},
};
use aya::{
    Ebpf, EbpfLoader,
    maps::MapData,
    programs::{BtfTracePoint, FEntry, FExit, Iter, Lsm, ProgramInfo, links::FdLink},
};

use super::{
    btf::{Btf, LSM_HOOK},
    detach::detach_all,
    error::KernelError,
    forking,
    hooks::{Attach, HOOKS, Hook},
    maps::pinned_maps,
    pinned,
    relocate::{Values, relocate},
    symbols, sys,
};
use crate::api::doctor::HookCoverage;

/// The eBPF object, embedded when the binary was built.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bailiff-ebpf.o"));

/// What a program's pin is called after its link's.
pub(super) const PROGRAM: &str = "_program";

/// The section by which programs have the map of forks at hand, as a variable of theirs.
const FORKS_SECTION: &str = ".bss.forks";

/// Where a map is pinned.
pub(super) fn map_pin(name: &str) -> PathBuf {
    Path::new(names::PIN_ROOT).join("maps").join(name)
}

/// Where the link of this build's iterator over tasks is pinned.
pub(super) fn census_pin() -> PathBuf {
    build_directory().join("census")
}

/// Where this build's program of this name is pinned.
pub(super) fn program_pin(name: &str) -> PathBuf {
    build_directory().join(format!("{name}{PROGRAM}"))
}

/// Directory of this build's links and programs: another build's are replaced only once its own
/// are attached.
fn build_directory() -> &'static Path {
    // Megabytes are read for it, and each program's pin is asked for.
    static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
        Path::new(names::PIN_ROOT).join(format!("programs-{:016x}", fingerprint(OBJECT)))
    });
    &DIRECTORY
}

/// FNV-1a: tells builds apart, nothing more.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// What [`ensure_attached`] found and made.
pub(super) struct Attached {
    pub(super) coverage: Vec<HookCoverage>,
    /// Names of the programs that are attached.
    pub(super) programs: Vec<&'static str>,
    /// Where this build's links and programs are pinned.
    pub(super) directory: &'static Path,
    /// Sessions were in the maps and no programs attached.
    pub(super) interrupted: bool,
}

/// Makes sure that this build's programs are attached and pinned; takes over what an earlier
/// daemon of the same build left.
pub(super) fn ensure_attached() -> Result<Attached, KernelError> {
    has_object()?;
    let btf = Btf::of_running_kernel()?;
    let directory = build_directory();
    let mut wanted = wanted_hooks(&btf)?;
    choose_for_forks(&mut wanted, directory)?;
    make_directory(Path::new(names::PIN_ROOT))?;
    let mut interrupted = false;
    if !is_complete(directory, &wanted) {
        // Images, and nothing that looks at them: sessions were not limited for a time.
        interrupted = map_pin(names::IMAGES).exists() && !any_build_is_whole();
        // What a daemon that died in the middle left behind.
        detach_all(directory)?;
        attach_all(&btf, &wanted, directory)?;
        remove_other_builds(directory)?;
    }
    Ok(Attached {
        coverage: HOOKS
            .iter()
            .map(|hook| coverage_of(hook, &wanted, directory))
            .collect(),
        programs: wanted.iter().map(|hook| hook.name).collect(),
        directory,
        interrupted,
    })
}

fn has_object() -> Result<(), KernelError> {
    if OBJECT.is_empty() {
        return Err(KernelError::Load(
            "this binary was built without the eBPF object; build it with `cargo xtask build`"
                .into(),
        ));
    }
    Ok(())
}

/// The hooks that this kernel has, checked against what the programs read.
fn wanted_hooks(btf: &Btf) -> Result<Vec<&'static Hook>, KernelError> {
    let mut wanted = Vec::new();
    for hook in HOOKS {
        match check(btf, hook) {
            Ok(()) => wanted.push(hook),
            Err(KernelError::NoSuchHook(_)) if hook.optional.is_some() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(wanted)
}

/// Leaves out what is for kernels that free the storage of whoever fails to fork, where this is none. What an
/// earlier daemon of this build found stays so.
///
/// # Errors
/// It is one, and has not all that would help.
fn choose_for_forks(wanted: &mut Vec<&Hook>, directory: &Path) -> Result<(), KernelError> {
    let (always, maybe): (Vec<&Hook>, Vec<&Hook>) =
        wanted.iter().partition(|hook| !hook.is_of_forks);
    let was_needed = maybe.iter().any(|hook| directory.join(hook.name).exists());
    if !was_needed && (is_complete(directory, &always) || forking::is_storage_kept()) {
        *wanted = always;
        return Ok(());
    }
    if maybe.len() == HOOKS.iter().filter(|hook| hook.is_of_forks).count() {
        return Ok(());
    }
    Err(KernelError::FreesLabels)
}

/// Compares a hook's arguments in BTF with those that the program reads.
fn check(btf: &Btf, hook: &Hook) -> Result<(), KernelError> {
    let missing = || KernelError::NoSuchHook(hook.name.into());
    let names = match hook.attach {
        Attach::Lsm => Some(
            btf.parameters_of(&function_of(hook.hook))
                .ok_or_else(missing)?,
        ),
        Attach::Entry | Attach::Exit => Some(btf.parameters_of(hook.hook).ok_or_else(missing)?),
        Attach::TaskIterator => Some(btf.parameters_of("bpf_iter_task").ok_or_else(missing)?),
        // BTF has no names for a probe's arguments.
        Attach::Tracepoint => None,
    };
    let found = match &names {
        Some(names) => names.len(),
        None => btf.tracepoint_arguments(hook.hook).ok_or_else(missing)?,
    };
    if found < hook.arguments.len() {
        let expected = hook.arguments.len();
        return Err(KernelError::HookChanged {
            hook: hook.name.into(),
            expected,
            found,
        });
    }
    for (expected, found) in hook.arguments.iter().zip(names.unwrap_or_default()) {
        let found = spelled(found);
        if *expected != "_" && *expected != found {
            let reason = format!("argument `{expected}` is called `{found}` on this kernel");
            return Err(KernelError::Program {
                hook: hook.name.into(),
                reason,
            });
        }
    }
    Ok(())
}

fn attach_all(btf: &Btf, wanted: &[&Hook], directory: &Path) -> Result<(), KernelError> {
    make_directory(&Path::new(names::PIN_ROOT).join("maps"))?;
    make_directory(directory)?;
    let mut ebpf = load_object(btf, wanted)?;
    let aya_btf = aya::Btf::from_sys_fs().map_err(|error| KernelError::Btf(error.to_string()))?;
    // All are verified before the first is attached: a kernel gets all or nothing.
    for hook in wanted {
        load_program(&mut ebpf, hook, &aya_btf).map_err(|reason| failed(hook, reason))?;
    }
    for hook in wanted {
        attach_program(&mut ebpf, hook, directory).map_err(|reason| failed(hook, reason))?;
    }
    Ok(())
}

fn failed(hook: &Hook, reason: String) -> KernelError {
    KernelError::Program {
        hook: hook.name.into(),
        reason,
    }
}

macro_rules! declare_field_table {
    ($($name:ident = $structure:literal, $($member:literal),+;)*) => {
        /// Structure and member, in the order of the table.
        const FIELDS: &[(&str, &[&str])] = &[$(($structure, &[$($member),+])),*];
    };
}

agent_abi::for_each_kernel_field!(declare_field_table);

macro_rules! declare_argument_table {
    ($($name:ident = $hook:literal, $argument:literal;)*) => {
        /// Hook and argument, in the order of the table.
        const ARGUMENTS: &[(&str, &str)] = &[$(($hook, $argument)),*];
    };
}

agent_abi::for_each_hook_argument!(declare_argument_table);

/// Size of an argument in a program's context.
const ARGUMENT_SIZE: usize = size_of::<u64>();

/// Where an argument that is looked for by name stands in a program's context. Whether the hook may
/// be missing is decided elsewhere; nothing is loaded for it then.
fn place_of_argument(btf: &Btf, hook: &str, argument: &str) -> Result<u32, KernelError> {
    let Some(names) = btf.parameters_of(&function_of(hook)) else {
        return Ok(0);
    };
    let position = names.iter().position(|name| spelled(name) == argument);
    let place = position.and_then(|position| u32::try_from(position * ARGUMENT_SIZE).ok());
    place.ok_or_else(|| KernelError::Program {
        hook: hook.into(),
        reason: format!("it has no argument `{argument}` on this kernel"),
    })
}

/// The function that stands for a hook in BTF.
fn function_of(hook: &str) -> String {
    format!("{LSM_HOOK}{hook}")
}

/// An argument's name. From 6.18 on a suffix says that it may be NULL, which programs allow for.
fn spelled(name: &str) -> &str {
    name.strip_suffix("__nullable").unwrap_or(name)
}

/// Does all that a start does before it attaches, and leaves nothing behind: whether this kernel
/// takes every program.
///
/// # Errors
/// What would keep the daemon from starting.
pub fn rehearse() -> Result<usize, KernelError> {
    has_object()?;
    let btf = Btf::of_running_kernel()?;
    let wanted = wanted_hooks(&btf)?;
    let mut ebpf = load_maps(&btf, true, [])?;
    let aya_btf = aya::Btf::from_sys_fs().map_err(|error| KernelError::Btf(error.to_string()))?;
    for hook in &wanted {
        load_program(&mut ebpf, hook, &aya_btf).map_err(|reason| failed(hook, reason))?;
    }
    Ok(wanted.len())
}

fn load_object(btf: &Btf, wanted: &[&Hook]) -> Result<Ebpf, KernelError> {
    make_labels()?;
    let forks_free_storage = wanted.iter().any(|hook| hook.is_of_forks);
    load_maps(btf, forks_free_storage, pinned_maps())
}

/// With these maps pinned, or taken over.
fn load_maps(
    btf: &Btf,
    forks_free_storage: bool,
    pinned: impl IntoIterator<Item = &'static str>,
) -> Result<Ebpf, KernelError> {
    let object = relocate(OBJECT, &values(btf, forks_free_storage)?)?;
    pinned::check(object.bytes())?;
    let pins = pinned.into_iter().map(|name| (name, map_pin(name)));
    let pins = pins.collect::<Vec<_>>();
    let mut loader = EbpfLoader::new();
    loader.allow_unsupported_maps();
    for (name, pin) in &pins {
        loader.map_pin_path(name, pin.as_path());
        if *name == names::FORKS {
            loader.map_pin_path(FORKS_SECTION, pin.as_path());
        }
    }
    loader
        .load(object.bytes())
        .map_err(|error| KernelError::Load(chain(&error)))
}

/// Makes the map of labels before any other, and pins it for the loader to find: of a task's storages the
/// first in the order of creation is at hand quickest (`bpf_local_storage_cache_idx_get()`), and the
/// loader's order is different each time.
fn make_labels() -> Result<(), KernelError> {
    let path = map_pin(names::LABELS);
    if path.exists() {
        return Ok(());
    }
    let labels = sys::task_storage::<agent_abi::Label>(names::LABELS)?;
    let pinned = MapData::from_fd(labels).map(|map| map.pin(&path).map_err(|error| chain(&error)));
    match pinned {
        Ok(Ok(())) => Ok(()),
        Ok(Err(reason)) => Err(KernelError::Pin { path, reason }),
        Err(error) => Err(KernelError::Pin {
            path,
            reason: chain(&error),
        }),
    }
}

fn values(btf: &Btf, forks_free_storage: bool) -> Result<Values, KernelError> {
    let mut values = [0; VALUES];
    values[Value::ForksFreeStorage as usize] = u64::from(forks_free_storage);
    values[Value::RenameLock as usize] = symbols::rename_lock()?;
    // From 6.18 on `f_path` is in a union.
    values[Value::FilePathTrusted as usize] = u64::from(!btf.is_shared("file", "f_path"));
    // A cast to a structure that begins with 64 bits makes any address readable (6.2+).
    let read_only_cast = btf.function("bpf_rdonly_cast");
    if read_only_cast.is_some() {
        let number = btf.structure("timespec64").unwrap_or_default();
        values[Value::NumberType as usize] = u64::from(number);
    }
    Ok(Values {
        members: FIELDS
            .iter()
            .map(|(structure, members)| btf.offset_of(structure, members))
            .collect::<Result<_, _>>()?,
        arguments: ARGUMENTS
            .iter()
            .map(|(hook, argument)| place_of_argument(btf, hook, argument))
            .collect::<Result<_, _>>()?,
        values,
        read_only_cast,
    })
}

fn load_program(ebpf: &mut Ebpf, hook: &Hook, btf: &aya::Btf) -> Result<(), String> {
    let program = ebpf
        .program_mut(hook.name)
        .ok_or("the object has no such program")?;
    match hook.attach {
        Attach::Lsm => {
            let program: &mut Lsm = program.try_into().map_err(|error| chain(&error))?;
            program.load(hook.hook, btf)
        }
        Attach::Tracepoint => {
            let program: &mut BtfTracePoint = program.try_into().map_err(|error| chain(&error))?;
            program.load(hook.hook, btf)
        }
        Attach::Entry => {
            let program: &mut FEntry = program.try_into().map_err(|error| chain(&error))?;
            program.load(hook.hook, btf)
        }
        Attach::Exit => {
            let program: &mut FExit = program.try_into().map_err(|error| chain(&error))?;
            program.load(hook.hook, btf)
        }
        Attach::TaskIterator => {
            let program: &mut Iter = program.try_into().map_err(|error| chain(&error))?;
            program.load("task", btf)
        }
    }
    .map_err(|error| chain(&error))
}

fn attach_program(ebpf: &mut Ebpf, hook: &Hook, directory: &Path) -> Result<(), String> {
    let program = ebpf
        .program_mut(hook.name)
        .ok_or("the object has no such program")?;
    program
        .pin(program_pin(hook.name))
        .map_err(|error| chain(&error))?;
    let link: FdLink = match hook.attach {
        Attach::Lsm => {
            let program: &mut Lsm = program.try_into().map_err(|error| chain(&error))?;
            let link = program.attach().map_err(|error| chain(&error))?;
            program
                .take_link(link)
                .map_err(|error| chain(&error))?
                .into()
        }
        Attach::Tracepoint => {
            let program: &mut BtfTracePoint = program.try_into().map_err(|error| chain(&error))?;
            let link = program.attach().map_err(|error| chain(&error))?;
            program
                .take_link(link)
                .map_err(|error| chain(&error))?
                .into()
        }
        Attach::Entry => {
            let program: &mut FEntry = program.try_into().map_err(|error| chain(&error))?;
            let link = program.attach().map_err(|error| chain(&error))?;
            program
                .take_link(link)
                .map_err(|error| chain(&error))?
                .into()
        }
        Attach::Exit => {
            let program: &mut FExit = program.try_into().map_err(|error| chain(&error))?;
            let link = program.attach().map_err(|error| chain(&error))?;
            program
                .take_link(link)
                .map_err(|error| chain(&error))?
                .into()
        }
        Attach::TaskIterator => {
            let program: &mut Iter = program.try_into().map_err(|error| chain(&error))?;
            let link = program.attach().map_err(|error| chain(&error))?;
            let link = program.take_link(link).map_err(|error| chain(&error))?;
            link.try_into().map_err(|error| chain(&error))?
        }
    };
    link.pin(directory.join(hook.name))
        .map(drop)
        .map_err(|error| chain(&error))
}

fn coverage_of(hook: &Hook, wanted: &[&Hook], directory: &Path) -> HookCoverage {
    let attached = wanted.iter().any(|other| other.name == hook.name);
    let info = ProgramInfo::from_pin(directory.join(format!("{}{PROGRAM}", hook.name)));
    HookCoverage {
        hook: format!("{}/{}", hook.attach.kind(), hook.name),
        family: hook.family.into(),
        attached,
        needed: hook.optional.is_none(),
        note: hook.optional.filter(|_| !attached).map(Into::into),
        verified_instructions: info.ok().and_then(|info| info.verified_instruction_count()),
    }
}

/// Whether some build's programs each have their link still.
fn any_build_is_whole() -> bool {
    let builds = fs::read_dir(names::PIN_ROOT)
        .into_iter()
        .flatten()
        .flatten();
    let whole = |directory: PathBuf| {
        let names = fs::read_dir(directory).into_iter().flatten().flatten();
        let names = names
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect::<Vec<_>>();
        let programs = names
            .iter()
            .filter_map(|name| name.strip_suffix("_program"))
            .collect::<Vec<_>>();
        !programs.is_empty()
            && programs
                .iter()
                .all(|program| names.iter().any(|name| name == program))
    };
    builds
        .filter(|entry| is_build(&entry.file_name()))
        .any(|entry| whole(entry.path()))
}

/// Where the iterators over tasks of every build in force are pinned.
pub(super) fn census_pins() -> impl Iterator<Item = PathBuf> {
    let builds = fs::read_dir(names::PIN_ROOT)
        .into_iter()
        .flatten()
        .flatten();
    builds
        .filter(|entry| is_build(&entry.file_name()))
        .map(|entry| entry.path().join("census"))
}

fn is_build(name: &OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| name.starts_with("programs-"))
}

fn is_complete(directory: &Path, wanted: &[&Hook]) -> bool {
    wanted.iter().all(|hook| directory.join(hook.name).exists())
        && pinned_maps().all(|name| map_pin(name).exists())
}

/// Makes a directory for root alone. Everybody may make one in a BPF filesystem that was mounted
/// without a mode, and would be the owner of what is pinned there.
pub(super) fn make_directory(path: &Path) -> Result<(), KernelError> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => return other.map_err(|error| pin_error(path, &error)),
    }
    let found = fs::symlink_metadata(path).map_err(|error| pin_error(path, &error))?;
    if !found.is_dir() || found.uid() != 0 {
        return Err(KernelError::Pin {
            path: path.into(),
            reason: format!(
                "uid {} made it, and could change what is pinned there; remove it",
                found.uid()
            ),
        });
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
        .map_err(|error| pin_error(path, &error))
}

/// Removes the pins of other builds; their programs detach with the last of them.
fn remove_other_builds(keep: &Path) -> Result<(), KernelError> {
    let root = Path::new(names::PIN_ROOT);
    for entry in fs::read_dir(root)
        .map_err(|error| pin_error(root, &error))?
        .flatten()
    {
        if is_build(&entry.file_name()) && entry.path() != keep {
            detach_all(&entry.path())?;
        }
    }
    Ok(())
}

fn pin_error(path: &Path, error: &io::Error) -> KernelError {
    KernelError::Pin {
        path: path.into(),
        reason: error.to_string(),
    }
}

/// An error with its causes, in a few lines: of the verifier's log only what it objects to.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    shorten(&text)
}

/// Lines of a log that are shown, and characters of each.
const LINES: usize = 3;
const WIDTH: usize = 200;

/// The first line, and the last ones that are not the verifier's counts. The whole is logged.
fn shorten(text: &str) -> String {
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| {
            let counts = [
                "processed ",
                "verification time ",
                "stack depth ",
                "subprog ",
            ];
            !line.is_empty() && !counts.iter().any(|begin| line.starts_with(begin))
        })
        .map(|line| line.chars().take(WIDTH).collect::<String>())
        .collect::<Vec<_>>();
    if lines.len() <= LINES + 1 {
        return lines.join("; ");
    }
    tracing::debug!("{text}");
    // Newer kernels (7.x) say at length what it is, and then where.
    let verdict = lines
        .iter()
        .position(|line| line.starts_with("Verification failed"));
    let from = verdict.unwrap_or(lines.len() - LINES);
    let said = lines.iter().skip(from).take(LINES);
    let said = said.map(String::as_str).collect::<Vec<_>>();
    format!("{}; … {}", lines[0], said.join("; "))
}

#[cfg(test)]
mod tests {
    use super::shorten;

    #[test]
    fn of_a_log_what_it_ends_with_is_said() {
        assert_eq!(shorten("one\n\ntwo"), "one; two");
        let log = format!(
            "refused\n{}not allowed\nprocessed 9 insns\n",
            "0: (b7) r0 = 0\n".repeat(5000)
        );
        let said = shorten(&log);
        assert!(
            said.starts_with("refused; … ") && said.ends_with("not allowed"),
            "{said}"
        );
        assert!(shorten(&"x".repeat(100_000)).len() <= 200);
        let newer =
            "load\n0: (b7)\nVerification failed: Safety\nReason:\nr4\nAt:\nx\nsubprog 1 (f)\n";
        assert!(shorten(newer).ends_with("Verification failed: Safety; Reason:; r4"));
    }
}
