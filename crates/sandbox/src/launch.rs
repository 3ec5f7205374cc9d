//! Command lines that limit and isolate, made of util-linux's tools.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::{Limits, Program, SandboxError};

/// Where programs and tools are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a program can read beside what it is given: programs, libraries, and what finds them.
pub(super) const SYSTEM: [&str; 10] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/localtime",
];

/// Users who own nothing: systemd's range for users that exist as long as a service.
const TRANSIENT: std::ops::Range<u32> = 61184..65520;

/// What of the tools is not installed.
pub(super) fn missing_tools() -> Vec<&'static str> {
    let tools = ["unshare", "setpriv", "prlimit", "mount", "sh"];
    tools.into_iter().filter(|tool| find(tool).is_none()).collect()
}

/// The command that starts `argv`, to which arguments can still be added: nothing of the
/// environment but the program's, a process group of its own (an interrupt from the terminal is
/// for the caller, not for the program), and dead when the caller is.
pub(super) fn command(program: &Program, home: &Path, user: Option<u32>, argv: &[String]) -> Command {
    let mut command = Command::new(find("setpriv").unwrap_or_else(|| "setpriv".into()));
    command.args(["--pdeathsig", "KILL"]);
    if let Some(user) = user {
        let id = user.to_string();
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
    }
    command.arg("--").args(argv);
    command.env_clear().env("PATH", PATH).env("LANG", "C.UTF-8");
    command.env("HOME", home).env("TMPDIR", home);
    command.envs(program.environment.iter().map(|(name, value)| (name, value)));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command
}

/// The user to become: root's processes are not counted against the limit on processes, and
/// root reads and writes everything. Each run gets a user of its own, so that programs that run
/// side by side are not counted together. `None` for an ordinary user, and where root can not
/// become another (in a user namespace without these users).
pub(super) fn transient_user() -> Option<u32> {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let root = rustix::process::geteuid().is_root();
    if !root || !maps_transient("/proc/self/uid_map") || !maps_transient("/proc/self/gid_map") {
        return None;
    }
    // Two callers on one machine rarely start at the same place of the range.
    let place = std::process::id().wrapping_mul(641).wrapping_add(RUNS.fetch_add(1, Relaxed));
    Some(TRANSIENT.start + place % TRANSIENT.len() as u32)
}

/// Whether a table of ids (first inside, first outside, count) holds the whole range.
fn maps_transient(table: &str) -> bool {
    let lines = std::fs::read_to_string(table).unwrap_or_default();
    lines.lines().any(|line| {
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        matches!(numbers[..], [first, _, count]
            if first <= TRANSIENT.start.into() && first + count >= TRANSIENT.end.into())
    })
}

/// `prlimit` with the limits that the kernel keeps for each process. `processes` counts the
/// user's processes in its user namespace, so the caller adds those that are there already.
pub(super) fn limited(limits: &Limits, processes: u64) -> Vec<String> {
    let cpu = limits.cpu_seconds;
    vec![
        "prlimit".into(),
        // A program that survives the warning at the limit is killed a second later.
        format!("--cpu={cpu}:{}", cpu.saturating_add(1)),
        format!("--as={}", limits.memory_bytes),
        format!("--fsize={}", limits.file_bytes),
        format!("--nofile={}", limits.open_files),
        format!("--nproc={processes}"),
        "--core=0".into(),
    ]
}

/// The program's own words, file name last.
pub(super) fn words(program: &Program) -> impl Iterator<Item = String> {
    program.argv.iter().cloned().chain([program.file_name.clone()])
}

/// What can be said before anything is started.
pub(super) fn check(program: &Program, limits: &Limits) -> Result<(), SandboxError> {
    let name = &program.file_name;
    let refused = |reason: &str| SandboxError::File { name: name.clone(), reason: reason.into() };
    if name.is_empty() || name.contains(['/', '\0']) || matches!(name.as_str(), "." | "..") {
        return Err(refused("expected a plain file name"));
    }
    if name.starts_with('-') {
        return Err(refused("the interpreter would take it for an option"));
    }
    if program.source.len() as u64 > limits.file_bytes {
        return Err(SandboxError::too_large(name, program.source.len(), limits));
    }
    let interpreter = program.argv.first().map(String::as_str).unwrap_or_default();
    match find(interpreter) {
        Some(_) => Ok(()),
        None => {
            Err(SandboxError::Interpreter { name: interpreter.into(), searched: PATH.replace(':', ", ") })
        }
    }
}

/// Whether the interpreter is among what an isolated program can read.
pub(super) fn check_readable(program: &Program, readable: &[PathBuf]) -> Result<(), SandboxError> {
    let interpreter = program.argv.first().map(Path::new).unwrap_or_else(|| Path::new(""));
    let mut places = SYSTEM.iter().map(Path::new).chain(readable.iter().map(PathBuf::as_path));
    if !interpreter.is_absolute() || places.any(|place| interpreter.starts_with(place)) {
        return Ok(());
    }
    let system = SYSTEM.iter().map(|place| place.to_string());
    let given = readable.iter().map(|path| path.display().to_string());
    Err(SandboxError::Interpreter {
        name: interpreter.display().to_string(),
        searched: system.chain(given).collect::<Vec<_>>().join(", "),
    })
}

/// A program's place: by its whole path, or by its name in [`PATH`].
fn find(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| path.is_absolute() && path.is_file());
    }
    let mut places = PATH.split(':').map(|directory| Path::new(directory).join(name));
    places.find(|path| path.is_file())
}
