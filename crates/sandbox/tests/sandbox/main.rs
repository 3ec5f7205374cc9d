//! What generated programs can do, and what they can not.
//!
//! Where the kernel refuses isolation, the tests that need it say that they are skipped;
//! `CAMELID_REQUIRE_SANDBOX=1` makes that a failure. Tests in Python do the same without it.

#![cfg(target_os = "linux")]

mod hostile;
mod human_eval;
mod input;
mod refusal;
mod walls;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use camelid_sandbox::{Grants, Isolation, Limits, Outcome, Program, Refusal, Sandbox};

/// Limits under which a test that waits for them ends soon.
fn small() -> Limits {
    Limits {
        wall_seconds: 20.0,
        cpu_seconds: 5,
        memory_bytes: 256 << 20,
        file_bytes: 8 << 20,
        files: 100,
        open_files: 32,
        processes: 16,
        output_bytes: 1 << 20,
    }
}

/// An isolated sandbox, or `None` with a line that says why.
fn isolated(limits: Limits) -> Option<Sandbox> {
    static GRANTS: OnceLock<Grants> = OnceLock::new();
    let grants = GRANTS.get_or_init(Sandbox::probe).clone();
    if grants.complete() {
        return Some(Sandbox::with_grants(limits, Isolation::Required, grants).unwrap());
    }
    let required = std::env::var("CAMELID_REQUIRE_SANDBOX").is_ok_and(|v| v == "1");
    assert!(!required, "CAMELID_REQUIRE_SANDBOX=1, but {grants:?}");
    println!("skipped: programs can not be isolated here: {grants:?}");
    None
}

/// A sandbox as the kernel leaves it where it refuses everything.
fn open(limits: Limits) -> Sandbox {
    let refusal = Refusal { what: "namespaces".into(), told: "refused by the test".into() };
    let grants = Grants { isolated: false, refusals: vec![refusal] };
    Sandbox::with_grants(limits, Isolation::AsFarAsPossible, grants).unwrap()
}

/// Both kinds, as far as they are to be had.
fn both(limits: Limits) -> Vec<Sandbox> {
    isolated(limits.clone()).into_iter().chain([open(limits)]).collect()
}

/// Whether there is a `python3` that programs can use; says so where there is none.
fn python3() -> bool {
    let found = ["/usr/local/bin", "/usr/bin", "/bin"]
        .iter()
        .any(|directory| std::path::Path::new(directory).join("python3").is_file());
    if !found {
        println!("skipped: no python3 in /usr/local/bin, /usr/bin or /bin");
    }
    found
}

/// A program whose file name no other has, so that its processes can be told from all others.
fn named(interpreter: &str, source: &str) -> Program {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("program-{}-{number}-of-a-test", std::process::id());
    Program::new([interpreter], &name, source)
}

/// Processes of a program that still live, whoever their parent is.
fn alive(program: &str) -> Vec<u32> {
    let belongs = |pid: &u32| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let text = String::from_utf8_lossy(&words).into_owned();
        // The shell and `unshare` have the name among their words too: they count as well.
        text.contains(program)
    };
    let entries = std::fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok()).filter(belongs).collect()
}

/// Runs a program and checks that nothing of it lives on.
fn run(sandbox: &Sandbox, program: &Program) -> Outcome {
    let outcome = sandbox.run(program).unwrap();
    assert_eq!(alive(&program.file_name), Vec::<u32>::new(), "after {outcome:?}");
    outcome
}

/// The end of standard error of a program that failed.
fn said(outcome: Outcome) -> String {
    match outcome {
        Outcome::Failed { stderr, .. } => stderr,
        other => panic!("expected a failure, found {other:?}"),
    }
}
