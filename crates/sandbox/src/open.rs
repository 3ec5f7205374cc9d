//! Running a program where the kernel refuses isolation: with what limits are left.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::supervise::Supervised;
use super::{Limits, Outcome, Program, SandboxError, launch, processes, remove};

const SCRIPT: &str = concat!(include_str!("open.sh"), include_str!("start.sh"));

/// How often to look for processes that are left, and how long to wait between looks.
const LOOKS: usize = 400;
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// An ordinary user's programs run one at a time: their processes are counted together, and one
/// program's fork bomb would be another's failure.
static ONE: Mutex<()> = Mutex::new(());

/// What an ordinary user may start beside a program without getting in its way.
const SLACK: u64 = 128;

pub(super) fn run(program: &Program, limits: &Limits) -> Result<Outcome, SandboxError> {
    let missing = launch::missing_tools();
    if let Some(tool) = missing.into_iter().find(|tool| ["setpriv", "prlimit", "sh"].contains(tool)) {
        let told = format!("`{tool}` of util-linux is not installed");
        return Err(SandboxError::SetUp { stage: "limits".into(), told });
    }
    let directory = tempfile::Builder::new()
        .prefix("camelid-program-")
        .tempdir()
        .map_err(SandboxError::system("make a directory"))?;
    let outcome = run_in(directory.path(), program, limits);
    remove::tree(directory.path())
        .map_err(|source| SandboxError::Remove { path: directory.path().into(), source })?;
    outcome
}

fn run_in(home: &Path, program: &Program, limits: &Limits) -> Result<Outcome, SandboxError> {
    let file = home.join(&program.file_name);
    let prepare = SandboxError::system("prepare a program's directory");
    std::fs::write(&file, &program.source).map_err(&prepare)?;
    let user = launch::transient_user();
    let _alone = user.is_none().then(|| ONE.lock().unwrap_or_else(PoisonError::into_inner));
    if user.is_some() {
        std::os::unix::fs::chown(home, user, user).map_err(&prepare)?;
        std::os::unix::fs::chown(&file, user, user).map_err(&prepare)?;
    }
    // One more: the shell. An ordinary user's processes are counted together with everything
    // else that the user runs and starts meanwhile.
    let own_user = rustix::process::geteuid().as_raw();
    let others = user.map_or_else(|| processes::threads_of_user(own_user) + SLACK, |_| 0);
    let processes = limits.processes.saturating_add(1 + others);
    let mut argv = ["/bin/sh", "-c", SCRIPT, "sh"].map(String::from).to_vec();
    argv.extend(launch::limited(limits, processes));
    argv.extend(["setpriv", "--no-new-privs", "--"].map(String::from));
    argv.extend(launch::words(program));
    let mut command = launch::command(program, home, user, &argv);
    command.current_dir(home);

    let mut supervised = Supervised::start(command, &[])?;
    let shell = supervised.pid();
    let end = supervised.watch(limits, || processes::usage(shell));
    end_all(home, shell, user);
    supervised.kill();
    supervised.reap()?;
    Ok(supervised.outcome(end?, program, limits))
}

/// Kills what a program left: everything below its shell, whatever has the program's home in its
/// environment, and everything of a user who exists for this run. First all are stopped, so that none can start another meanwhile.
fn end_all(home: &Path, shell: u32, user: Option<u32>) {
    let mut stopped = BTreeSet::new();
    for _ in 0..LOOKS {
        let found = left(home, shell, user);
        if found.is_subset(&stopped) {
            break;
        }
        signal(found.difference(&stopped), Signal::STOP);
        stopped.extend(found);
    }
    for _ in 0..LOOKS {
        let found = left(home, shell, user);
        if found.is_empty() {
            break;
        }
        signal(&found, Signal::KILL);
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

/// The shell is not reaped yet, so its number can not belong to another process.
fn left(home: &Path, shell: u32, user: Option<u32>) -> BTreeSet<u32> {
    let mut found = processes::at_home(home);
    found.extend(processes::family(shell));
    found.extend(user.into_iter().flat_map(processes::of_user));
    found.remove(&shell);
    found
}

fn signal<'a>(processes: impl IntoIterator<Item = &'a u32>, signal: Signal) {
    for pid in processes.into_iter().filter_map(|&pid| Pid::from_raw(pid as i32)) {
        // One that has ended meanwhile needs no signal.
        let _ = kill_process(pid, signal);
    }
}
