use crate::build::{self, Warnings};
use crate::kernel;
use crate::room;
use crate::test::kernel::{Plan, Programs, Verdict};
use crate::test::{self, Tally};
use crate::vm::Root;
use anyhow::Result;
use clap::Args;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Check the sources, run the unit tests, and run the scenarios on every kernel of the matrix.
///
/// Ends with what failed, a line for each kernel, and last the totals alone: `N passed, N failed, N
/// skipped`.
#[derive(Args)]
pub(crate) struct Test {
    /// Only on this kernel, such as 6.12 or `newest`; may be given several times.
    #[arg(long)]
    kernel: Vec<String>,
    /// Only what needs no VM.
    #[arg(long, conflicts_with = "kernel")]
    host_only: bool,
    /// Only the scenarios, not format, lints and unit tests.
    #[arg(long, conflicts_with = "host_only")]
    vm_only: bool,
    /// Run so many VMs side by side; by default two where there are two processors.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// End a VM after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 2400)]
    timeout: u64,
    /// Add to the kernel's command line, such as "lsm=landlock,bpf".
    #[arg(long, value_name = "WORDS")]
    append: Vec<String>,
    /// Have every session of the scenarios make a user and a mount namespace first, and go on there.
    #[arg(long, conflicts_with = "host_only")]
    nested: bool,
    /// Only scenarios whose names hold all these words; of `A|B` one.
    #[arg(value_name = "WORD")]
    words: Vec<OsString>,
}

/// Kernel command lines on which Bailiff cannot enforce, and what is said of them.
const REFUSING: [(&str, &str); 2] = [
    (
        "lsm=landlock,lockdown,yama,integrity,apparmor",
        " without bpf",
    ),
    ("lockdown=confidentiality", " locked down"),
];

/// The kernel on which what does not differ by kernel is tried, if it is among those of the run.
const COMMON: &str = "6.12";

/// The families of scenarios that need systemd as process 1.
const UNDER_SYSTEMD: [&str; 2] = ["systemd:", "podman:"];

/// One VM.
struct Boot {
    kernel: String,
    append: Vec<String>,
    /// What tells it from other boots of this kernel.
    note: &'static str,
    root: Root,
}

/// Boots with their places, those first that take long: what does not differ by kernel runs on [`COMMON`], and
/// the oldest kernel is the quickest. Side by side the whole then ends earliest.
fn longest_first(boots: &[Boot]) -> Vec<(usize, &Boot)> {
    let is_plain = |boot: &Boot| boot.note.is_empty();
    let mut order = boots.iter().enumerate().collect::<Vec<_>>();
    order.sort_by_key(|(number, boot)| {
        let is_common = boot.kernel == COMMON;
        (!is_common, !is_plain(boot), usize::MAX - number)
    });
    order
}

impl Test {
    pub(crate) fn run(self) -> Result<ExitCode> {
        room::warn()?;
        let mut total = Tally::default();
        let mut lines = Vec::new();
        let results = if self.host_only {
            vec![on_host()]
        } else {
            self.side_by_side(&Programs::build()?)
        };
        for (text, tally) in results {
            lines.push(text);
            total += tally;
        }
        println!();
        for name in &total.failures {
            println!("FAILED {name}");
        }
        for line in lines {
            println!("{line}");
        }
        println!("{total}");
        Ok(if total.failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn boots(&self) -> Vec<Boot> {
        let kernels = if self.kernel.is_empty() {
            kernel::MATRIX.iter().map(ToString::to_string).collect()
        } else {
            self.kernel.clone()
        };
        let everything = self.words.is_empty() && self.append.is_empty();
        let refusing = kernels.last().filter(|_| everything).cloned();
        let refusing = refusing
            .into_iter()
            .flat_map(|kernel| REFUSING.map(|refusing| (kernel.clone(), refusing)));
        let refusing = refusing.collect::<Vec<_>>();
        let mut boots: Vec<_> = kernels
            .into_iter()
            .map(|kernel| Boot {
                kernel,
                append: self.append.clone(),
                note: "",
                root: Root::Debian,
            })
            .collect();
        // As on the machines that people have; the scenarios see that, too.
        let needs_systemd = |word: &OsString| UNDER_SYSTEMD.iter().any(|family| word == family);
        let is_asked = self.words.iter().any(needs_systemd);
        let newest = kernel::MATRIX.last().map(ToString::to_string);
        let has_systemd = |boot: &&Boot| {
            is_asked
                || everything && (boot.kernel == COMMON || Some(&boot.kernel) == newest.as_ref())
        };
        let under_systemd = boots
            .iter()
            .filter(has_systemd)
            .map(|boot| Boot {
                kernel: boot.kernel.clone(),
                append: Vec::new(),
                note: " under systemd",
                root: Root::Systemd,
            })
            .collect::<Vec<_>>();
        if is_asked {
            boots.clear();
        }
        boots.extend(under_systemd);
        // Where the daemon must refuse to start; the scenarios see it, and try only that.
        boots.extend(refusing.into_iter().map(|(kernel, (words, note))| Boot {
            kernel,
            append: vec![words.into()],
            note,
            root: Root::Debian,
        }));
        boots
    }

    /// A line and the counts for what needs no VM, and for each kernel in the order of the matrix. What needs none
    /// takes the place of a VM at first: it waits for a linker as often as for a processor.
    fn side_by_side(&self, programs: &Programs) -> Vec<(String, Tally)> {
        let boots = self.boots();
        let jobs = self.jobs.unwrap_or_else(default_jobs).clamp(1, boots.len());
        let order = longest_first(&boots);
        let next = AtomicUsize::new(0);
        let done = Mutex::new(Vec::new());
        let host = Mutex::new(None);
        std::thread::scope(|scope| {
            for job in (0..jobs).rev() {
                let (host, next, order, done) = (&host, &next, &order, &done);
                scope.spawn(move || {
                    if job == 0 && !self.vm_only {
                        *host.lock().unwrap_or_else(PoisonError::into_inner) = Some(on_host());
                    }
                    while let place = next.fetch_add(1, Ordering::Relaxed)
                        && let Some((number, boot)) = order.get(place)
                    {
                        let result = self.on_kernel(boot, programs);
                        done.lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push((*number, result));
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|(number, _)| *number);
        let host = host.into_inner().unwrap_or_else(PoisonError::into_inner);
        let kernels = done.into_iter().map(|(_, result)| result);
        host.into_iter().chain(kernels).collect()
    }

    /// What scenarios are told.
    fn env(&self) -> Vec<(&'static str, String)> {
        let nested = self.nested.then(|| ("NESTED_SESSIONS", "1".to_owned()));
        nested.into_iter().collect()
    }

    /// A kernel that cannot be had or run counts as a failure of that kernel and no other.
    fn on_kernel(&self, boot: &Boot, programs: &Programs) -> (String, Tally) {
        let started = Instant::now();
        let plan = Plan {
            words: self.words.clone(),
            timeout: Duration::from_secs(self.timeout),
            append: boot.append.clone(),
            root: boot.root,
            env: self.env(),
        };
        let mut name = boot.kernel.clone();
        let verdict = kernel::get(&boot.kernel).and_then(|kernel| {
            name = format!("{}{}", kernel.version, boot.note);
            test::kernel::run(kernel, programs, &plan, &format!("[{name}] "))
        });
        let Verdict { mut tally, error } = verdict.unwrap_or_else(|error| Verdict {
            tally: Tally::default(),
            error: Some(format!("{error:#}")),
        });
        let mut text = tally.to_string();
        if let Some(error) = error {
            println!("FAILED on kernel {name}: {error}");
            tally += Tally::failed(error.lines().next().unwrap_or_default());
            text += &format!(", and: {}", error.lines().next().unwrap_or_default());
        }
        for failure in &mut tally.failures {
            *failure = format!("[{name}] {failure}");
        }
        (line(&name, &text, started), tally)
    }
}

/// What needs no VM. What cannot be tried counts as a failure, so that the kernels are told of all the same.
fn on_host() -> (String, Tally) {
    let started = Instant::now();
    let tally = build::ebpf_object(Warnings::Show).and_then(|object| test::host::check(&object));
    let tally = tally.unwrap_or_else(|error| {
        println!("FAILED on the host: {error:#}");
        Tally::failed("the checks of the host")
    });
    (line("host", &tally.to_string(), started), tally)
}

/// Scenarios keep one processor busy, so a second machine uses the second one.
fn default_jobs() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(2))
}

fn line(name: &str, text: &str, started: Instant) -> String {
    format!(
        "{name:<22} {text}  ({:.0} s)",
        started.elapsed().as_secs_f64()
    )
}
