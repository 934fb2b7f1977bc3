//! Opens while names change: what is reported is what was judged.

use std::{
    collections::BTreeMap,
    ffi::CString,
    fs, io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use super::{BASE, BETWEEN, go, on_ground, waiting};
use crate::{
    harness::{Check, Doing, ensure, events, process},
    scenarios::Context,
};

fn between() -> String {
    vec!["d"; BETWEEN].join("/")
}

/// Two names of one path change in turn, so that `u2` never stands above `l1`. That alone may be read.
pub(super) fn race(_: &mut Context) -> Check {
    let race = format!("{BASE}/race");
    let deny = |id: &str, upper: &str, lower: &str| {
        format!(
            "[[file]]\nid = \"{id}\"\ndeny = [\"read\"]\npath = [\"{race}/{upper}/**/{lower}/**\"]\n"
        )
    };
    let rules = format!(
        "[[file]]\nid = \"race\"\nallow = [\"all\"]\npath = [\"{race}/**\"]\n{}{}{}",
        deny("u1-l1", "u1", "l1"),
        deny("u1-l2", "u1", "l2"),
        deny("u2-l2", "u2", "l2"),
    );
    on_ground(&rules, |launch| {
        let deep = between();
        process::shell(&format!(
            "mkdir -p {race}/u1/{deep}/l1 {race}/still/{deep} {race}/storm/a && \
             echo secret > {race}/u1/{deep}/l1/file && echo x > {race}/still/{deep}/file"
        ))?;
        let (mut driver, session, _) = waiting(launch, "race", &["race", "8"])?;
        let stop = AtomicBool::new(false);
        let upper = directory(&race).doing("open the upper directory")?;
        let lower = directory(&format!("{race}/u1/{deep}")).doing("open the lower directory")?;
        let storm = directory(&format!("{race}/storm")).doing("open the storm's directory")?;
        let renames = thread::scope(|scope| {
            let turning = scope.spawn(|| {
                let mut turns = 0_u64;
                while !stop.load(Relaxed) {
                    for (at, from, to) in [
                        (&lower, c"l1", c"l2"),
                        (&upper, c"u1", c"u2"),
                        (&upper, c"u2", c"u1"),
                        (&lower, c"l2", c"l1"),
                    ] {
                        rename(at, from, to);
                        for _ in 0..4 {
                            rename(&storm, c"a", c"b");
                            rename(&storm, c"b", c"a");
                        }
                    }
                    turns += 1;
                }
                turns
            });
            let waited = go().and_then(|()| driver.child.wait().doing("wait for the session"));
            stop.store(true, Relaxed);
            let turns = turning
                .join()
                .map_err(|_| "the renamer panicked".to_owned())?;
            waited.map(|_| turns)
        })?;
        let result = fs::read_to_string(format!("{BASE}/open/race")).doing("read what happened")?;
        println!("     {renames} turns, {result}");
        let numbers = result
            .split_whitespace()
            .filter_map(|word| word.parse::<u64>().ok());
        let numbers = numbers.collect::<Vec<_>>();
        let [opened, refused, granted, disturbed] = numbers[..] else {
            return Err(format!("not understood: {result}"));
        };
        ensure(opened == 0, || {
            format!("a path was judged that never was: {result}")
        })?;
        ensure(disturbed == 0, || {
            format!("renames elsewhere disturbed an open: {result}")
        })?;
        ensure(refused > 500 && granted > 500 && renames > 100, || {
            format!("too little happened: {renames} turns, {result}")
        })?;
        let mut told = BTreeMap::<String, u64>::new();
        for event in events::of(&session)?
            .iter()
            .filter(|event| event.right == "file.read")
        {
            if event.moved {
                *told.entry("renamed meanwhile".into()).or_default() += 1;
                continue;
            }
            let path = event.path.as_ref().map_or("", |path| path.text.as_str());
            let names = path
                .strip_prefix(&race)
                .unwrap_or("")
                .split('/')
                .collect::<Vec<_>>();
            let expected = match names[..] {
                ["", upper, .., lower, "file"] => format!("{upper}-{lower}"),
                _ => String::new(),
            };
            let rule = event.rule_id().unwrap_or("-");
            ensure(rule == expected || event.reason == "unstable", || {
                format!("rule {rule} at {path}: {event:?}")
            })?;
            *told.entry(event.reason.clone()).or_default() += 1;
        }
        println!("     {told:?}");
        Ok(())
    })
}

fn directory(path: &str) -> io::Result<OwnedFd> {
    let path = CString::new(path)?;
    // SAFETY: a string that ends with NUL.
    let fd = unsafe {
        libc::open(
            path.as_ptr(),
            libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn rename(directory: &OwnedFd, from: &std::ffi::CStr, to: &std::ffi::CStr) {
    let fd = directory.as_raw_fd();
    // SAFETY: strings that end with NUL.
    unsafe { libc::renameat(fd, from.as_ptr(), fd, to.as_ptr()) };
}

fn opens(directory: &OwnedFd) -> Result<(), i32> {
    // SAFETY: a string that ends with NUL.
    let fd = unsafe { libc::openat(directory.as_raw_fd(), c"file".as_ptr(), libc::O_RDONLY) };
    if fd < 0 {
        return Err(io::Error::last_os_error().raw_os_error().unwrap_or(0));
    }
    // SAFETY: just opened.
    unsafe { libc::close(fd) };
    Ok(())
}

/// Opens what must not be read and what may, both by their directories.
pub(super) fn open_while_renamed(seconds: u64) -> io::Result<()> {
    let deep = between();
    let find = || {
        let tried = ["u1", "u2"].iter().flat_map(|upper| {
            let deep = &deep;
            ["l1", "l2"].map(move |lower| directory(&format!("{BASE}/race/{upper}/{deep}/{lower}")))
        });
        tried.flatten().next()
    };
    let until = Instant::now() + Duration::from_secs(seconds);
    let moving = loop {
        match find() {
            Some(found) => break found,
            None if Instant::now() > until => return Err(io::ErrorKind::NotFound.into()),
            None => {}
        }
    };
    let still = directory(&format!("{BASE}/race/still/{deep}"))?;
    let mut counts = [0_u64; 4];
    while Instant::now() < until {
        match opens(&moving) {
            Ok(()) => counts[0] += 1,
            Err(_) => counts[1] += 1,
        }
        match opens(&still) {
            Ok(()) => counts[2] += 1,
            Err(_) => counts[3] += 1,
        }
    }
    let [opened, refused, granted, disturbed] = counts;
    fs::write(
        format!("{BASE}/open/race"),
        format!("opened {opened} refused {refused} granted {granted} disturbed {disturbed}"),
    )
}
