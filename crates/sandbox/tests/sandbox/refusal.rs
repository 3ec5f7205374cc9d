//! Where the kernel refuses isolation, and where the caller dies. These tests start themselves
//! again: in a namespace whose user may make no other, and to be killed.

use std::process::{Command, Stdio};
use std::time::Duration;

use camelid_sandbox::{Grants, Isolation, Limits, Outcome, Program, Refusal, Sandbox, SandboxError};

use crate::{alive, isolated, named, small};

/// Set where a test was started by itself.
const INNER: &str = "CAMELID_INNER_TEST";

#[test]
fn what_was_refused_is_said_and_nothing_runs() {
    let refusal = Refusal { what: "user namespaces".into(), told: "not permitted".into() };
    let grants = Grants { isolated: false, refusals: vec![refusal] };
    let error = Sandbox::with_grants(Limits::default(), Isolation::Required, grants).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, SandboxError::Refused { .. }));
    assert!(text.contains("user namespaces (not permitted)"), "{text}");
    assert!(text.contains("AsFarAsPossible"), "{text}");
}

#[test]
fn a_kernel_that_refuses_is_believed() {
    if std::env::var_os(INNER).is_some() {
        let grants = Sandbox::probe();
        assert!(!grants.isolated && !grants.refusals.is_empty(), "{grants:?}");
        assert!(grants.refusals[0].told.contains("unshare"), "{grants:?}");
        let error = Sandbox::new(small(), Isolation::Required).unwrap_err();
        assert!(matches!(error, SandboxError::Refused { .. }), "{error}");
        let sandbox = Sandbox::new(small(), Isolation::AsFarAsPossible).unwrap();
        assert_eq!(sandbox.run(&Program::new(["sh"], "p", "exit 0")).unwrap(), Outcome::Passed);
        println!("the inner test is through");
        return;
    }
    let this = std::env::current_exe().unwrap();
    let refuse = "echo 0 >/proc/sys/user/max_user_namespaces && exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--", "sh", "-c", refuse, "sh"])
        .arg(this)
        .args(["--exact", "refusal::a_kernel_that_refuses_is_believed", "--nocapture"])
        .env(INNER, "1")
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => return println!("skipped: no `unshare`: {error}"),
    };
    let told = String::from_utf8_lossy(&output.stderr);
    if told.contains("unshare failed") || told.contains("max_user_namespaces") {
        return println!("skipped: no user namespace to refuse others in: {told}");
    }
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{told}");
    assert!(said.contains("the inner test is through"), "{said}{told}");
}

#[test]
fn a_caller_that_is_killed_leaves_nothing() {
    let name = format!("program-{}-of-a-killed-caller", std::process::id());
    if let Some(name) = std::env::var_os(INNER) {
        let program = Program { file_name: name.into_string().unwrap(), ..named("sh", "sleep 1000") };
        let limits = Limits { wall_seconds: 1000.0, ..small() };
        Sandbox::new(limits, Isolation::Required).unwrap().run(&program).unwrap();
        return;
    }
    if isolated(small()).is_none() {
        return;
    }
    let mut caller = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "refusal::a_caller_that_is_killed_leaves_nothing"])
        .env(INNER, &name)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The launcher, process 1 and the program: three that have the name among their words.
    let running = until(|| alive(&name).len() >= 3);
    caller.kill().unwrap();
    caller.wait().unwrap();
    assert!(running, "the program never ran");
    assert!(until(|| alive(&name).is_empty()), "{:?} live on", alive(&name));
}

/// Whether something comes true within a minute.
fn until(holds: impl Fn() -> bool) -> bool {
    (0..1200).any(|_| {
        let held = holds();
        if !held {
            std::thread::sleep(Duration::from_millis(50));
        }
        held
    })
}
