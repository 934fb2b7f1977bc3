//! A process that serves a filesystem to itself, and does not answer while it is being tagged.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use super::{
    Context, Single,
    lifecycle::{Scene, scene, tag_words},
};
use crate::harness::{
    Check, Doing,
    daemon::BAILIFF,
    ensure, fuse,
    process::{self, Background, eventually, shell},
};

pub(crate) fn scenarios() -> Vec<Single> {
    vec![
        Single::new(
            "who",
            "a process whose own server does not answer is tagged at once",
            tagged,
        )
        .once(),
    ]
}

fn tagged(context: &mut Context) -> Check {
    context.daemon()?;
    let scene: Scene = scene("silent")?;
    let (cgroup, top) = ("/sys/fs/cgroup/scenario-silent", "/srv/silent");
    shell(&format!(
        "modprobe -q fuse || :; mkdir -p {cgroup} {top}/links {top}/served; ln -sf x {top}/links/l"
    ))?;
    let served = format!("{top}/served");
    let server = fuse::Links::serve(&format!("{top}/links"), &served)?;
    let work = &scene.world.workspace;
    let script = format!(
        "exec 9<{served}; >{work}/ready; while ! test -e {work}/go; do sleep 0.1; done
         cat {} && >{work}/read; >{work}/tried; exec sleep 1000",
        scene.secret
    );
    let mut agent = Command::new("bash");
    agent.args(["-c", &script]).stderr(Stdio::null());
    let mut agent = Background::start(agent.stdout(Stdio::null()))?;
    fs::write(format!("{cgroup}/cgroup.procs"), agent.pid().to_string()).doing("move")?;
    let is_there = |name: &str| Path::new(work).join(name).exists();
    eventually("it has the descriptor", 10, || is_there("ready"))?;
    server.fall_silent();
    let mut words = vec!["timeout".to_owned(), "60".into()];
    words.extend(tag_words(&scene.launch, cgroup));
    let ended = process::run(&words)?;
    ensure(ended.code == 0, || ended.tail())?;
    // It was nobody's before.
    shell(&format!("touch {work}/go"))?;
    eventually("it has tried", 20, || is_there("tried"))?;
    ensure(!is_there("read"), || "it was not limited".into())?;
    process::must(&[BAILIFF, "untag", cgroup])?;
    agent.child.kill().doing("kill")?;
    agent.child.wait().doing("wait")?;
    drop(server);
    eventually("the cgroup is empty", 20, || fs::remove_dir(cgroup).is_ok())?;
    shell(&format!("rm -rf {top}")).map(drop)
}
