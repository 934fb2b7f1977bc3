//! Execution: scenarios 7, 8 and 20 of the fixture, and section C of the catalogue.
//!
//! Programs are copies of `touch`: a program that ran has left a mark.
#![expect(
    clippy::redundant_closure_for_method_calls,
    reason = "a method's path stands for one lifetime, the closures for any"
)]

use crate::{
    acts::{Act, Way},
    harness::{ground::Ground, matrix::Case},
};

const EXEC: &str = "file.exec";

fn case(name: &'static str, refused: impl Fn(&mut Ground<'_>) -> Act + 'static) -> Case {
    Case::new("exec", name, EXEC, refused)
}

fn touch_at(g: &mut Ground<'_>, place: fn(&mut Ground<'_>, &str) -> String) -> String {
    let path = place(g, "program");
    g.touch(path)
}

fn outside(g: &mut Ground<'_>) -> String {
    touch_at(g, |g, name| g.outside(name))
}

fn inside(g: &mut Ground<'_>) -> String {
    touch_at(g, |g, name| g.inside(name))
}

/// Readable, not executable.
fn reference(g: &mut Ground<'_>) -> String {
    touch_at(g, |g, name| g.reference(name))
}

fn run(g: &mut Ground<'_>, program: String) -> Act {
    Act::Run {
        program,
        mark: g.mark(),
    }
}

/// A program that asks for this interpreter.
fn with_interpreter(g: &mut Ground<'_>, interpreter: &str) -> String {
    let path = g.inside("program");
    let mut bytes = std::fs::read("/usr/bin/touch").unwrap_or_default();
    let usual = b"/lib64/ld-linux-x86-64.so.2\0";
    let place = bytes
        .windows(usual.len())
        .position(|window| window == usual);
    match place {
        Some(at) if interpreter.len() < usual.len() => {
            bytes[at..at + usual.len()].fill(0);
            bytes[at..at + interpreter.len()].copy_from_slice(interpreter.as_bytes());
        }
        _ => g.error = Some("the program's interpreter cannot be changed".into()),
    }
    g.content(path, &bytes, 0o755)
}

/// A script that leaves the mark, for this shell.
fn script(g: &mut Ground<'_>, shell: &str) -> String {
    let path = g.inside("script");
    g.content(path, format!("#!{shell}\n: > \"$1\"\n").as_bytes(), 0o755)
}

/// A library that leaves the mark that `$MARK` names when it is loaded.
fn library(g: &mut Ground<'_>, path: String) -> String {
    const SOURCE: &str = "#include <stdio.h>\n#include <stdlib.h>\n\
        __attribute__((constructor)) static void loaded(void) {\n\
        const char *mark = getenv(\"MARK\"); if (mark) { FILE *f = fopen(mark, \"w\"); if (f) fclose(f); } }\n";
    const BUILT: &str = "/run/scenarios/library.so";
    if !std::path::Path::new(BUILT).exists() {
        let source = "/run/scenarios/library.c";
        if let Err(error) = std::fs::write(source, SOURCE) {
            g.error = Some(format!("write {source}: {error}"));
        }
        g.shell(&format!("gcc -shared -fPIC -o {BUILT} {source}"));
    }
    g.program(BUILT, path)
}

pub(crate) fn cases() -> Vec<Case> {
    let compiled = &[Way::Compiled];
    vec![
        case("runs a program outside", |g| {
            let program = outside(g);
            run(g, program)
        })
        .twin(|g| {
            let program = inside(g);
            run(g, program)
        })
        .errno(libc::EACCES)
        .places(),
        case("runs a program that may only be read", |g| {
            let program = reference(g);
            run(g, program)
        })
        .twin(|g| Act::Read {
            path: g.file_reference("f"),
        })
        .places(),
        case("runs a program outside through /proc/self/root", |g| {
            let program = format!("/proc/self/root{}", outside(g));
            run(g, program)
        })
        .twin(|g| {
            let program = format!("/proc/self/root{}", inside(g));
            run(g, program)
        })
        .places(),
        case("runs a program outside through a link", |g| {
            let (target, link) = (outside(g), g.inside("link"));
            let program = g.symlink(&target, link);
            run(g, program)
        })
        .twin(|g| {
            let (target, link) = (inside(g), g.inside("link"));
            let program = g.symlink(&target, link);
            run(g, program)
        })
        .places(),
        case(
            "runs a copy that it made where nothing is executable",
            |g| {
                let path = g.dropbox("program");
                let program = g.touch(path);
                run(g, program)
            },
        )
        .twin(|g| {
            let program = inside(g);
            run(g, program)
        }),
        case("runs an open program", |g| Act::RunDescriptor {
            program: reference(g),
            mark: g.mark(),
        })
        .twin(|g| Act::RunDescriptor {
            program: inside(g),
            mark: g.mark(),
        })
        .places(),
        case("runs a program by the dynamic loader", |g| {
            Act::RunByLoader {
                program: reference(g),
                mark: g.mark(),
            }
        })
        .twin(|g| Act::RunByLoader {
            program: inside(g),
            mark: g.mark(),
        })
        .says("failed to map segment")
        // What the loader says is not heard here.
        .says_also("status 0x7f00")
        .places(),
        case("runs a program from a memfd", |g| Act::RunMemory {
            program: reference(g),
            mark: g.mark(),
        })
        .or_right("process.jit")
        .or_reason("unresolvable")
        .or_reason("unknown-mount")
        .or_reason("not-granted")
        // No path, so no rule.
        .never()
        .places(),
        case("runs a program with a loader outside", |g| {
            let path = format!("/srv/{}", g.tag());
            let loader = g.program("/lib64/ld-linux-x86-64.so.2", path);
            let program = with_interpreter(g, &loader);
            run(g, program)
        })
        .twin(|g| {
            let program = with_interpreter(g, "/lib64/ld-linux-x86-64.so.2");
            run(g, program)
        }),
        case("runs a script whose shell is outside", |g| {
            let path = g.outside("sh");
            let shell = g.program("/usr/bin/dash", path);
            let program = script(g, &shell);
            run(g, program)
        })
        .twin(|g| {
            let path = g.inside("sh");
            let shell = g.program("/usr/bin/dash", path);
            let program = script(g, &shell);
            run(g, program)
        })
        // Bash reads the first line itself to tell what is wrong.
        .says("bad interpreter")
        .places(),
        case("preloads a library that may only be read", |g| {
            let path = g.reference("library.so");
            Act::Preload {
                library: library(g, path),
                mark: g.mark(),
            }
        })
        .twin(|g| {
            let path = g.inside("library.so");
            Act::Preload {
                library: library(g, path),
                mark: g.mark(),
            }
        })
        .says("failed to map segment")
        // The loader's error goes to nobody here; that the mark is missing is the sign.
        .says_also("the program ended with status 0x100"),
        case("loads a library that may only be read", |g| {
            let path = g.reference("library.so");
            Act::Dlopen {
                library: library(g, path),
                mark: g.mark(),
            }
        })
        .twin(|g| {
            let path = g.inside("library.so");
            Act::Dlopen {
                library: library(g, path),
                mark: g.mark(),
            }
        })
        .errno(libc::EACCES)
        .says("failed to map segment")
        .ways(&[Way::Python]),
        case("maps a file executable that may only be read", |g| {
            Act::MapExecutable { path: reference(g) }
        })
        .twin(|g| Act::MapExecutable { path: inside(g) })
        .places(),
        case(
            "makes a mapping of a file executable that may only be read",
            |g| Act::ProtectExecutable { path: reference(g) },
        )
        .ways(compiled)
        .twin(|g| Act::ProtectExecutable { path: inside(g) }),
        Case::new(
            "exec",
            "makes a program's pages executable that it wrote over",
            "process.jit",
            |g| Act::WrittenProgram { path: inside(g) },
        )
        .twin(|g| Act::ProtectExecutable { path: inside(g) })
        .reason("not-granted"),
        Case::new(
            "exec",
            "makes memory executable that it wrote",
            "process.jit",
            |_| Act::AnonymousCode,
        )
        .reason("not-granted"),
        // A package's script runs with what its parent has: the child of a child of a child.
        Case::new(
            "exec",
            "reads a secret in the script of a package",
            "file.read",
            |g| {
                let path = g.home("wallet");
                let wallet = g.file(path);
                let hook = g.inside("postinstall");
                let text = format!(
                    "#!/bin/sh\n(exec sh -c 'exec cat \"{wallet}\"') > \"$1\" || exit 13\n"
                );
                let script = g.content(hook, text.as_bytes(), 0o755);
                let path = g.inside("install");
                let text = format!("#!/bin/sh\nsetsid sh -c '\"{script}\" \"$0\"' \"$1\"\n");
                let program = g.content(path, text.as_bytes(), 0o755);
                // Where the wallet's content would come out.
                let mark = g.inside("stolen");
                let mark = g.content(mark, b"", 0o644);
                g.watch(crate::acts::Witness::Content(mark.clone(), None));
                Act::Run { program, mark }
            },
        )
        .says("status 0xd00")
        .says_also("Permission denied")
        .says_also("exit code 13")
        .twin(|g| {
            let path = g.inside("wallet");
            let wallet = g.file(path);
            let hook = g.inside("postinstall");
            let text = format!("#!/bin/sh\n(exec sh -c 'exec cat \"{wallet}\"') > \"$1\"\n");
            let script = g.content(hook, text.as_bytes(), 0o755);
            let path = g.inside("install");
            let text = format!("#!/bin/sh\nsetsid sh -c '\"{script}\" \"$0\"' \"$1\"\n");
            let program = g.content(path, text.as_bytes(), 0o755);
            run(g, program)
        }),
    ]
}
