//! What an image says of itself, and what it has done for it.

use std::fs;

use super::{DEEDS, attach, detach, is_free, is_limited, is_refused, prepare, run, volume};
use crate::{
    harness::{
        Check, Doing,
        daemon::BAILIFF,
        ensure,
        process::{self, must},
    },
    scenarios::Context,
};

pub(super) fn told_by(_: &mut Context) -> Check {
    prepare()?;
    let path = volume("told-by")?;
    let options = format!("--network none --volume {path}:/data");
    attach(&["--image", "localhost/box:*"])?;
    is_limited(&run(&options, DEEDS)?)?;
    detach("localhost/box:*")?;
    is_free(&run(&options, DEEDS)?)?;
    attach(&["--annotation", "agent=yes"])?;
    is_limited(&run(&format!("{options} --annotation agent=yes"), DEEDS)?)?;
    is_free(&run(&format!("{options} --annotation agent=no"), DEEDS)?)?;
    // A looser grant by what an image can say of itself, in a file that comes first.
    let loose = super::GRANT.replace("\"/etc/passwd\"", "\"/etc/**\"");
    fs::write("/etc/bailiff/grants/loose.toml", loose).doing("write a grant")?;
    must(&[
        BAILIFF,
        "attach",
        "--annotation",
        "trust=me",
        "--name",
        "0",
        "--grant",
        "loose",
    ])?;
    attach(&["--container", "named"])?;
    let both = format!("{options} --annotation trust=me");
    is_limited(&run(&format!("{both} --name named"), DEEDS)?)?;
    is_free(&run(&both, DEEDS)?)?;
    for name in ["agent=yes", "0", "named"] {
        detach(name)?;
    }
    Ok(())
}

pub(super) fn elsewhere(_: &mut Context) -> Check {
    prepare()?;
    let path = volume("elsewhere")?;
    // A store beside podman's own, of which the lists of the container's say nothing, and one of another driver.
    let beside = "--storage-opt additionalimagestore=/srv/store";
    let other = "--root /srv/plain --runroot /run/plain --storage-driver vfs";
    must(&[
        "sh",
        "-c",
        &format!(
            "set -e; tar -C /srv/box -c . > /run/box.tar
             podman --root /srv/store --runroot /run/store import /run/box.tar shared
             podman {other} import /run/box.tar plain"
        ),
    ])?;
    let start = |store: &str, name: &str, image: &str| {
        let words = format!(
            "podman {store} run --rm --network none --name {name} --volume {path}:/data {image} /bin/sh -c"
        );
        let mut words = words.split_whitespace().collect::<Vec<_>>();
        words.push(DEEDS);
        process::run(&words)
    };
    is_free(&start(beside, "any", "shared")?)?;
    attach(&["--image", "localhost/plain:*"])?;
    is_refused(
        &start(beside, "any", "shared")?,
        "do not say by which names its image is known",
    )?;
    is_limited(&start(other, "any", "plain")?)?;
    is_free(&start("", "any", "box")?)?;
    is_free(&start("", "any", "--rootfs /srv/box")?)?;
    // Whoever is named is known.
    attach(&["--container", "named"])?;
    is_limited(&start(beside, "named", "shared")?)?;
    detach("named")?;
    detach("localhost/plain:*")
}

/// A library in the place of one that runc loads.
const INTRUDER: &str = "#include <unistd.h>\n\
    __attribute__((constructor)) static void intrude(void) {\n\
        write(1, \"intruded\\n\", 9); execl(\"/bin/cat\", \"cat\", \"/etc/secret\", (char *)0); _exit(7);\n\
    }\n";

pub(super) fn hostile(_: &mut Context) -> Check {
    prepare()?;
    attach(&[super::attached::SCOPES, "--name", "hostile"])?;
    // The image's program is whatever executes it: its runtime, or a link to that; with the image's own library.
    let script =
        "set -e; rm -rf /srv/hostile; cp -a /srv/box /srv/hostile; mkdir -p /srv/hostile/lib64 /srv/hostile/usr/bin
         gcc -shared -fPIC -o /srv/hostile/bin/intruder.so /run/scenarios/intruder.c
         for file in $(ldd /usr/bin/runc | grep -o '/[^ ]*'); do
             mkdir -p /srv/hostile$(dirname $file); cp -L $file /srv/hostile$file; done
         ln -s /proc/self/exe /srv/hostile/bin/self; cp /usr/bin/runc /srv/hostile/usr/bin/runc
         tar -C /srv/hostile -c . | podman import - hostile";
    fs::create_dir_all("/run/scenarios").doing("make a directory")?;
    fs::write("/run/scenarios/intruder.c", INTRUDER).doing("write a library")?;
    must(&["sh", "-c", script])?;
    let start = |runtime: &str, program: &str| {
        let words = format!(
            "podman --runtime {runtime} run --rm --network none --env LD_PRELOAD=/bin/intruder.so \
             --volume /usr/bin/runc:/host/runc:ro --entrypoint {program} hostile init"
        );
        process::run(&words.split_whitespace().collect::<Vec<_>>())
    };
    let programs = ["/proc/self/exe", "/bin/self", "/host/runc"];
    for (runtime, programs) in [("runc", &programs[..]), ("crun", &programs[..1])] {
        for program in programs {
            let ended = start(runtime, program)?;
            ensure(!ended.stdout.contains("hidden"), || {
                format!("{program} of {runtime} read the secret")
            })?;
        }
    }
    // The library does what it says where nobody keeps it from it.
    detach("hostile")?;
    let free = start("crun", "/usr/bin/runc")?;
    ensure(free.stdout.contains("hidden"), || free.tail())
}
