//! `bailiff oci-runtime`, or `bailiff-runc`: has another runtime run Bailiff's hook. For engines that know no hooks
//! of their own (Docker, containerd).

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    io::{self, Write as _},
    os::unix::{
        fs::{OpenOptionsExt as _, PermissionsExt as _},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::{
    attachments::{
        hook_file,
        runtimes::{self, CONFIG},
    },
    cli::failure,
    grants::OwnFiles,
    render::escape,
};

/// The name under which the program is a runtime.
pub(in crate::cli) const NAME: &str = "bailiff-runc";

const VARIABLE: &str = "BAILIFF_RUNTIME";

/// Words of the command line in front of the runtime's own command that take a value.
const VALUED: [&str; 7] = [
    "--log",
    "--log-format",
    "--log-level",
    "--root",
    "--criu",
    "--rootless",
    "--cgroup-manager",
];

/// Becomes the runtime; comes back only where it cannot.
pub(in crate::cli) fn runtime(args: &[OsString]) -> ExitCode {
    let error = match become_runtime(args) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    failure::say(&format!("no container starts: {error:#}"));
    ExitCode::from(failure::FAILED)
}

fn become_runtime(args: &[OsString]) -> anyhow::Result<std::convert::Infallible> {
    if let Some(bundle) = bundle_of(args)? {
        let file = bundle.join("config.json");
        add_hook(&file, &OwnFiles::program()?)
            .with_context(|| format!("cannot add the hook to {}", file.display()))?;
    }
    let runtime = behind()?;
    let error = Command::new(&runtime).args(args).exec();
    Err(error).with_context(|| format!("cannot execute {}", runtime.display()))
}

/// The runtime that does the work.
fn behind() -> anyhow::Result<PathBuf> {
    if let Some(path) = env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    match runtimes::named().context(CONFIG)? {
        Some(path) if path.is_absolute() => Ok(path),
        Some(_) => bail!("{CONFIG}: write the absolute path of a runtime into it"),
        None => runtimes::runc().with_context(|| {
            format!("there is no runc: write the path of a runtime into {CONFIG}")
        }),
    }
}

/// Commands of runtimes that make no container.
const MAKES_NONE: [&str; 18] = [
    "checkpoint",
    "delete",
    "events",
    "exec",
    "features",
    "help",
    "init",
    "kill",
    "list",
    "mounts",
    "pause",
    "ps",
    "resume",
    "spec",
    "start",
    "state",
    "unpause",
    "update",
];

/// The bundle of the container that these words make. `None`: they make none.
///
/// # Errors
/// It cannot be told, or what they make would run without the hook.
fn bundle_of(args: &[OsString]) -> anyhow::Result<Option<PathBuf>> {
    let mut words = args.iter();
    let command = loop {
        let Some(word) = words.next() else {
            return Ok(None);
        };
        let word = word.to_string_lossy();
        if !word.starts_with('-') {
            break word;
        }
        if VALUED.contains(&word.as_ref()) {
            words.next();
        }
    };
    match command.as_ref() {
        "create" | "run" => {}
        "restore" => bail!("processes that are restored execute nothing, so no grant takes force"),
        none if MAKES_NONE.contains(&none) => return Ok(None),
        other => bail!("whether `{}` makes a container is not known", escape(other)),
    }
    let rest = words.collect::<Vec<_>>();
    let after = |name: &str| {
        let place = rest.iter().position(|word| *word == name)?;
        rest.get(place + 1).map(|word| PathBuf::from(*word))
    };
    let joined = |name: &str| {
        let start = format!("{name}=");
        let mut words = rest.iter().filter_map(|word| word.to_str());
        words.find_map(|word| word.strip_prefix(&start).map(PathBuf::from))
    };
    let names = ["--bundle", "-b", "-bundle"];
    let named = names
        .iter()
        .find_map(|name| after(name).or_else(|| joined(name)));
    Ok(Some(named.unwrap_or_else(|| ".".into())))
}

/// Has a bundle's container run the hook; once, however often it is asked for.
fn add_hook(file: &Path, program: &Path) -> anyhow::Result<()> {
    let meta = fs::metadata(file)?;
    if !meta.is_file() {
        bail!("it is no regular file");
    }
    let mode = meta.permissions().mode();
    let mut config: Value = serde_json::from_slice(&fs::read(file)?)?;
    let whole = config.as_object_mut().context("it is no object")?;
    let hooks = whole.entry("hooks").or_insert_with(|| json!({}));
    if hooks.is_null() {
        *hooks = json!({});
    }
    let hooks = hooks.as_object_mut().context("its hooks are no object")?;
    let stage = hooks.entry("createRuntime").or_insert_with(|| json!([]));
    if stage.is_null() {
        *stage = json!([]);
    }
    let stage = stage.as_array_mut().context("its hooks are no list")?;
    let own = hook_file::hook(program);
    if stage.contains(&own) {
        return Ok(());
    }
    // First: what others do there, they do to who is limited already.
    stage.insert(0, own);
    let mut name = file
        .file_name()
        .unwrap_or(OsStr::new("config.json"))
        .to_owned();
    name.push(".bailiff");
    let beside = file.with_file_name(name);
    let _ = fs::remove_file(&beside);
    let mut options = fs::File::options();
    let new = options
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&beside)?;
    let mut writer = io::BufWriter::new(&new);
    serde_json::to_writer(&mut writer, &config)?;
    writer.flush()?;
    fs::rename(&beside, file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(words: &str) -> Option<String> {
        let args = words.split(' ').map(OsString::from).collect::<Vec<_>>();
        let bundle = bundle_of(&args).unwrap();
        bundle.map(|path| path.to_string_lossy().into_owned())
    }

    #[test]
    fn the_bundle_is_found_as_engines_write_it() {
        let dockers = "--root /run/docker/runtime-runc/moby --log /x/log.json --log-format json \
                       --systemd-cgroup create --bundle /run/b --pid-file /run/b/pid ab12";
        assert_eq!(bundle(dockers).as_deref(), Some("/run/b"));
        assert_eq!(bundle("run -b /b ab").as_deref(), Some("/b"));
        assert_eq!(
            bundle("--root=/r run --bundle=/b ab").as_deref(),
            Some("/b")
        );
        assert_eq!(bundle("run ab").as_deref(), Some("."));
        for none in [
            "--root create state ab",
            "exec ab create",
            "--version",
            "delete --force ab",
        ] {
            assert_eq!(bundle(none), None, "{none}");
        }
    }

    #[test]
    fn what_may_make_a_container_without_the_hook_is_not_passed_on() {
        for words in [
            "--new-option value create ab",
            "restore ab",
            "--root /r revive ab",
        ] {
            let args = words.split(' ').map(OsString::from).collect::<Vec<_>>();
            assert!(bundle_of(&args).is_err(), "{words}");
        }
    }

    #[test]
    fn the_hook_is_added_once_and_the_rest_stays() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config.json");
        let program = Path::new("/usr/bin/bailiff");
        let text = r#"{"process":{"cwd":"/"},"hooks":{"createRuntime":[{"path":"/x"}],"poststop":[{"path":"/y"}]}}"#;
        fs::write(&file, text).unwrap();
        add_hook(&file, program).unwrap();
        add_hook(&file, program).unwrap();
        let config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let stage = config["hooks"]["createRuntime"].as_array().unwrap();
        assert_eq!(stage.len(), 2);
        assert_eq!(stage[0]["args"], json!(["bailiff", "oci-hook"]));
        assert_eq!(
            (
                &config["hooks"]["poststop"][0]["path"],
                &config["process"]["cwd"]
            ),
            (&json!("/y"), &json!("/"))
        );
        fs::write(&file, "{}").unwrap();
        add_hook(&file, program).unwrap();
        for bad in ["[]", "{", r#"{"hooks":3}"#] {
            fs::write(&file, bad).unwrap();
            assert!(add_hook(&file, program).is_err(), "{bad}");
        }
    }
}
