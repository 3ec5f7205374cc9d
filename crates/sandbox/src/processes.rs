//! Processes as `/proc` shows them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::supervise::Usage;

/// The processes that `pid` started and that still have it as parent.
///
/// # Errors
/// The process is gone, or the kernel lists no children (`CONFIG_PROC_CHILDREN`).
pub(super) fn children(pid: u32) -> std::io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let thread = thread?.path();
        match fs::read_to_string(thread.join("children")) {
            Ok(listed) => {
                found.extend(listed.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            }
            // The thread ended meanwhile, and its children have another parent.
            Err(_) if !thread.exists() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// `pid` and everything below it, as far as it still lives.
pub(super) fn family(pid: u32) -> BTreeSet<u32> {
    let mut found = BTreeSet::from([pid]);
    let mut open = vec![pid];
    while let Some(parent) = open.pop() {
        // A process that has just ended has no children to be found under it.
        for child in children(parent).unwrap_or_default() {
            if found.insert(child) {
                open.push(child);
            }
        }
    }
    found
}

/// What `pid` and everything below it use. Pages that processes share count for each of them.
pub(super) fn usage(pid: u32) -> Usage {
    let pages = |pid: &u32| -> Option<u64> {
        let sizes = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
        sizes.split_whitespace().nth(1)?.parse().ok()
    };
    let family = family(pid);
    let pages: u64 = family.iter().filter_map(pages).sum();
    Usage { resident_bytes: pages * rustix::param::page_size() as u64, processes: family.len() as u64 }
}

/// Processes of a user that live.
pub(super) fn of_user(user: u32) -> Vec<u32> {
    let lives = |pid: &u32| status(*pid, user).is_some_and(|status| !status.dead);
    all().filter(lives).collect()
}

/// Threads of a user's processes, which is what the kernel's limit on processes counts; dead
/// ones that nobody has waited for are among them.
pub(super) fn threads_of_user(user: u32) -> u64 {
    all().filter_map(|pid| status(pid, user)).map(|status| status.threads).sum()
}

struct Status {
    threads: u64,
    dead: bool,
}

/// A process's status, where it is the user's.
fn status(pid: u32, user: u32) -> Option<Status> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()
    };
    let found =
        Status { threads: field("Threads:")?.parse().ok()?, dead: matches!(field("State:")?, "Z" | "X") };
    (field("Uid:")?.parse() == Ok(user)).then_some(found)
}

/// Processes whose environment names `home` as home directory.
pub(super) fn at_home(home: &Path) -> BTreeSet<u32> {
    let mut wanted = b"HOME=".to_vec();
    wanted.extend_from_slice(home.as_os_str().as_bytes());
    let belongs = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|variable| variable == wanted)
    };
    all().filter(belongs).collect()
}

fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}
