//! Running a program in namespaces of its own.

use std::path::{Path, PathBuf};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::supervise::{End, Supervised, Usage};
use super::{Limits, Outcome, Program, SandboxError, launch, processes};

const SCRIPT: &str = concat!(include_str!("isolated.sh"), include_str!("start.sh"));

/// The program's directory, in its own view.
const HOME: &str = "/work";

/// Directories on which a root can be built, hiding what is in them from the program's
/// namespaces alone.
const PLACES: [&str; 5] = ["/mnt", "/media", "/srv", "/tmp", "/var"];

pub(super) fn run(program: &Program, limits: &Limits, readable: &[PathBuf]) -> Result<Outcome, SandboxError> {
    let argv = argv(program, limits, readable)?;
    let user = launch::transient_user();
    let command = launch::command(program, Path::new(HOME), user, &argv);
    let mut supervised = Supervised::start(command, program.source.as_bytes())?;
    // `unshare` waits for process 1 of the namespaces, so that its number can not be given to
    // another before it has been opened; it may have ended already.
    let first = processes::children(supervised.pid()).unwrap_or_default().first().copied();
    let handle = first
        .and_then(|pid| Pid::from_raw(pid as i32))
        .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    let usage = || first.map_or_else(Usage::default, processes::usage);
    let end = supervised.watch(limits, usage)?;
    if !matches!(end, End::Status(_)) {
        match handle {
            // It has ended meanwhile where this fails.
            Some(handle) => drop(pidfd_send_signal(handle, Signal::KILL)),
            None => supervised.kill(),
        }
    }
    // The kernel lets process 1 end when every other process of its namespaces is dead, and
    // `unshare` ends after it.
    supervised.reap()?;
    Ok(supervised.outcome(end, program, limits))
}

fn argv(program: &Program, limits: &Limits, readable: &[PathBuf]) -> Result<Vec<String>, SandboxError> {
    let mut argv: Vec<String> = [
        "unshare",
        "--user",
        "--map-root-user",
        "--net",
        "--pid",
        "--mount",
        "--ipc",
        "--uts",
        "--fork",
        "--kill-child",
        "--",
        "/bin/sh",
        "-c",
        SCRIPT,
        "sh",
    ]
    .map(String::from)
    .to_vec();
    let root = place(readable)?;
    let bytes = limits.file_bytes.to_string();
    let files = limits.files.to_string();
    argv.extend([root.into(), bytes, files, program.file_name.clone()]);
    argv.extend(launch::SYSTEM.map(String::from));
    for path in readable {
        let text = path.to_str().ok_or_else(|| unusable(path, "its name is not UTF-8"))?;
        argv.push(text.into());
    }
    argv.push("--".into());
    // Process 1 and `unshare` itself are in the namespace and count.
    argv.extend(launch::limited(limits, limits.processes.saturating_add(2)));
    argv.extend(["unshare".into(), format!("--root={root}"), format!("--wd={HOME}"), "--".into()]);
    argv.extend(
        ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--"].map(String::from),
    );
    argv.extend(launch::words(program));
    Ok(argv)
}

/// A directory to build on that hides nothing of what programs should read.
fn place(readable: &[PathBuf]) -> Result<&'static str, SandboxError> {
    let free = |place: &&str| {
        let real = Path::new(place).symlink_metadata().is_ok_and(|found| found.is_dir());
        real && !readable.iter().any(|path| path.starts_with(place))
    };
    PLACES.into_iter().find(free).ok_or_else(|| SandboxError::SetUp {
        stage: "a directory to build a root on".into(),
        told: format!("none of {} is there and free", PLACES.join(", ")),
    })
}

fn unusable(path: &Path, why: &str) -> SandboxError {
    let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, why);
    SandboxError::Readable { path: path.into(), source }
}
