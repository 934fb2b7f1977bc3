//! Directories that take several spellings for one name: there a rule that depends on a name means
//! nothing, and what it would decide is refused.

use std::fs;

use super::Single;
use crate::harness::{
    Check, Doing, ensure, events,
    process::{run as run_program, shell},
    report::skip,
    session::Launch,
};

pub(crate) fn scenarios() -> Vec<Single> {
    vec![
        Single::new(
            "folding",
            "no spelling of a name gets around a rule where case is ignored",
            |_| casefolded_ext4(),
        ),
        Single::new(
            "folding",
            "no spelling and no short name gets around a rule on FAT",
            |_| fat(),
        ),
    ]
}

/// A filesystem that ignores case in the directories `folded` and `free`, of which `free` has no rule
/// that depends on a name. Scripts find the directory above them in `$base`.
struct Folding {
    base: &'static str,
    /// A script that makes and mounts it.
    make: &'static str,
    /// Where it is mounted, with `$base`.
    mounts: &'static str,
    /// A script for what it has besides [`FILL`], run in `$base`.
    fill: &'static str,
    steps: &'static [Step],
    contents: &'static [Content],
}

/// What is done below the base, and the error number that is due.
type Step = (&'static str, i32);

/// A file below the base, and what it says afterwards.
type Content = (&'static str, Option<&'static str>);

/// In `plain` case is told apart.
fn casefolded_ext4() -> Check {
    // Only where the kernel has none: whatever else fails here is a failure.
    if !fs::exists("/sys/fs/ext4/features/casefold").doing("look for the feature")? {
        return skip("this kernel's ext4 has no directories that ignore case");
    }
    Folding {
        base: "/folding-ext4",
        make: "truncate -s 32M $base.img && mkfs.ext4 -q -F -O casefold $base.img \
               && mount -o loop $base.img $base \
               && cd $base && mkdir plain folded free && chattr +F folded free",
        mounts: "$base",
        fill: "echo secret >plain/.env && echo other >plain/.ENV && echo x >plain/file",
        steps: &[
            ("open plain/file", 0),
            ("open plain/.ENV", 0),
            ("create plain/.Env", 0),
            ("open plain/.env", EACCES),
            ("rename folded/.ENV free/stolen", EACCES),
            ("link folded/file folded/linked", EACCES),
            ("rename plain/file folded/file", EACCES),
            ("rename plain/file folded/.ENV", EACCES),
        ],
        contents: &[
            ("plain/.env", Some("secret\n")),
            ("plain/file", Some("x\n")),
            ("free/stolen", None),
            ("folded/linked", None),
        ],
    }
    .check()
}

/// FAT ignores case everywhere, in its root too, so each directory is a filesystem of its own. A name
/// that is longer than eight and three bytes has a short one besides.
fn fat() -> Check {
    if run_program(&["modprobe", "--dry-run", "--quiet", "vfat"])?.code != 0 {
        return skip("this kernel has no FAT with long names");
    }
    Folding {
        base: "/folding-fat",
        make: "for d in folded free; do mkdir $base/$d && truncate -s 32M $base.$d.img \
               && mkfs.vfat $base.$d.img && mount -t vfat -o loop $base.$d.img $base/$d; done",
        mounts: "$base/folded $base/free",
        fill: "echo secret >folded/secret-keys.txt && grep secret folded/SECRET~1.TXT \
               && echo x >free/long-name.txt && grep x free/LONG-N~1.TXT",
        steps: &[
            ("open folded/secret-keys.txt", EACCES),
            ("open folded/SECRET~1.TXT", EACCES),
            ("open folded/secret~1.txt", EACCES),
            ("rename folded/SECRET~1.TXT folded/stolen", EACCES),
            ("rename folded/file folded/SECRET~1.TXT", EACCES),
            ("open free/long-name.txt", 0),
            ("open free/LONG-N~1.TXT", 0),
            ("rename free/LONG-N~1.TXT free/short", 0),
        ],
        contents: &[
            ("folded/secret-keys.txt", Some("secret\n")),
            ("free/long-name.txt", None),
            ("free/short", Some("x\n")),
        ],
    }
    .check()
}

const GRANT: &str = r#"version = 1
name = "folding"
[variables]
base = "/folding"
[[file]]
id = "driver"
allow = ["read", "exec"]
path = ["${base}/{driver,list}"]
[[file]]
id = "tree"
allow = ["read", "write", "create", "delete"]
path = ["${base}/{plain,folded,free}/**"]
[[file]]
id = "secrets"
deny = ["all"]
path = ["${base}/{plain,folded}/**/{.env,secret-keys.txt}"]
"#;

const EACCES: i32 = libc::EACCES;

const STEPS: &[Step] = &[
    ("open free/file", 0),
    ("open free/FILE", 0),
    ("open free/SUB/File", 0),
    ("create free/.ENV", 0),
    ("open folded/.env", EACCES),
    ("open folded/.ENV", EACCES),
    ("open folded/.eNv", EACCES),
    // It may be allowed or not: its spelling does not tell.
    ("open folded/file", EACCES),
    ("open folded/Sub/File", EACCES),
    ("create folded/Sub/.ENV", EACCES),
    ("create folded/new", EACCES),
    ("rename folded/.ENV folded/stolen", EACCES),
    ("rename folded/file folded/.ENV", EACCES),
    ("rename free/File free/moved", 0),
];

/// What was refused did not happen, and what was allowed did.
const CONTENTS: &[Content] = &[
    ("folded/.env", Some("secret\n")),
    ("folded/file", Some("x\n")),
    ("folded/new", None),
    ("folded/stolen", None),
    ("folded/sub/.env", None),
    ("free/.env", Some("")),
    ("free/moved", Some("x\n")),
];

/// Outside of a session every spelling names the same file.
const FILL: &str = "mkdir folded/sub free/sub && echo secret >folded/.env && grep secret folded/.eNv \
     && for d in folded free folded/sub free/sub; do echo x >$d/file; done && grep x free/FILE";

impl Folding {
    fn check(&self) -> Check {
        let Self { make, mounts, .. } = self;
        self.shell(&format!("modprobe loop; mkdir $base && {make}"))?;
        let checked = self.check_mounted();
        self.shell(&format!("umount {mounts} && rm -r $base $base.*"))?;
        checked
    }

    fn check_mounted(&self) -> Check {
        let driver = std::process::id();
        self.shell(&format!(
            "cd $base && cp /proc/{driver}/exe driver && {FILL} && {}",
            self.fill
        ))?;
        self.act()?;
        self.stands()?;
        self.told_why()
    }

    fn shell(&self, script: &str) -> Check {
        shell(&format!("base={}; {script}", self.base)).map(drop)
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.base)
    }

    fn act(&self) -> Check {
        let [list, driver] = ["list", "driver"].map(|name| self.path(name));
        // Not on the filesystem of the scenario: an earlier session could have made that.
        let grant = "/etc/bailiff/grants/folding.toml";
        fs::write(grant, GRANT).doing("write the grant")?;
        let steps: Vec<_> = STEPS.iter().chain(self.steps).collect();
        let lines = steps.iter().map(|(step, _)| {
            let (verb, names) = step.split_once(' ').unwrap_or((step, ""));
            let paths = names.split(' ').map(|name| format!(" {}", self.path(name)));
            format!("{verb}{}\n", paths.collect::<String>())
        });
        fs::write(&list, lines.collect::<String>()).doing("write the list")?;
        let mut launch = Launch::grant(grant);
        launch.sets.push(("base".into(), self.base.into()));
        let ended = launch.run(&[&driver, "do-all", &list])?;
        let told: Vec<&str> = ended.stdout.lines().collect();
        ensure(told.len() == steps.len(), || ended.tail())?;
        let wrong = steps
            .iter()
            .zip(told)
            .filter(|((_, due), saw)| due.to_string() != *saw);
        let wrong: Vec<_> = wrong
            .map(|((step, due), saw)| format!("{step}: {saw}, not {due}"))
            .collect();
        ensure(wrong.is_empty(), || wrong.join("; "))
    }

    fn stands(&self) -> Check {
        for (name, due) in CONTENTS.iter().chain(self.contents) {
            let saw = fs::read_to_string(self.path(name)).ok();
            ensure(saw.as_deref() == *due, || {
                format!("{name}: {saw:?}, not {due:?}")
            })?;
        }
        Ok(())
    }

    /// The event of a name that no rule denies says that it does not tell.
    fn told_why(&self) -> Check {
        let path = self.path("folded/file");
        let listed = events::query(&["--right", "file.read"])?;
        let mut of_path = listed
            .iter()
            .filter(|event| event.path.as_ref().is_some_and(|shown| shown.text == path));
        ensure(of_path.any(|event| event.reason == "ambiguous"), || {
            format!("expected an event about {path} with the reason ambiguous")
        })?;
        // A link is told by what it wanted, also where the walk already failed.
        if self.steps.iter().any(|(step, _)| step.starts_with("link ")) {
            let made = events::query(&["--right", "file.create"])?;
            let of_path =
                |event: &events::Event| event.path.as_ref().is_some_and(|shown| shown.text == path);
            ensure(made.iter().any(of_path), || {
                format!("no event tells of the link of {path}")
            })?;
        }
        Ok(())
    }
}
