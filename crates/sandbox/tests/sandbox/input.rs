//! Bad input is answered before anything runs; many programs run side by side.

use std::sync::atomic::{AtomicUsize, Ordering};

use camelid_sandbox::{Isolation, Limits, Outcome, Program, Sandbox, SandboxError};

use crate::{both, named, open, small};

#[test]
fn a_limit_that_nothing_can_keep_is_named() {
    let grants = open(small()).grants().clone();
    for (limits, field) in [
        (Limits { processes: 0, ..small() }, "processes"),
        (Limits { wall_seconds: f64::NAN, ..small() }, "wall_seconds"),
        (Limits { wall_seconds: -1.0, ..small() }, "wall_seconds"),
        (Limits { memory_bytes: 0, ..small() }, "memory_bytes"),
    ] {
        let result = Sandbox::with_grants(limits, Isolation::AsFarAsPossible, grants.clone());
        let error = result.unwrap_err();
        assert!(matches!(error, SandboxError::Limit { name, .. } if name == field), "{error}");
        assert!(error.to_string().contains(field), "{error}");
    }
}

#[test]
fn a_misspelt_limit_is_an_error() {
    assert!(serde_json::from_str::<Limits>(r#"{"wall_second": 3}"#).is_err());
    let limits: Limits = serde_json::from_str(r#"{"wall_seconds": 3}"#).unwrap();
    assert_eq!(limits, Limits { wall_seconds: 3.0, ..Limits::default() });
}

#[test]
fn an_unknown_interpreter_is_named_with_where_it_was_looked_for() {
    for sandbox in both(small()) {
        for name in ["no-such-interpreter", "/no/such/interpreter", "relative/sh", ""] {
            let error = sandbox.run(&named(name, "")).unwrap_err();
            assert!(matches!(error, SandboxError::Interpreter { .. }), "{error}");
            assert!(error.to_string().contains(&format!("`{name}`")), "{error}");
            assert!(error.to_string().contains("/usr/bin"), "{error}");
        }
        let nothing = Program { argv: Vec::new(), ..named("sh", "") };
        assert!(matches!(sandbox.run(&nothing), Err(SandboxError::Interpreter { .. })));
    }
}

#[test]
fn a_program_file_stays_in_its_directory() {
    for sandbox in both(small()) {
        for name in ["../out", "/tmp/out", "", ".", "..", "-c", "a/b"] {
            let result = sandbox.run(&Program::new(["sh"], name, "exit 0"));
            assert!(matches!(result, Err(SandboxError::File { .. })), "{name}: {result:?}");
        }
        // Spaces and signs are only a name.
        for name in ["a program; exit 3", "$(exit 3)", "--", "é*"] {
            let result = sandbox.run(&Program::new(["sh"], name, "exit 0"));
            let expected = if name == "--" { None } else { Some(Outcome::Passed) };
            assert_eq!(result.ok(), expected, "{name}");
        }
        let large = named("sh", &" ".repeat(9 << 20));
        assert!(matches!(sandbox.run(&large), Err(SandboxError::File { .. })));
        let nearly = named("sh", &format!("exit 0\n{}", " ".repeat(4 << 20)));
        assert_eq!(sandbox.run(&nearly).unwrap(), Outcome::Passed);
    }
}

#[test]
fn what_is_not_there_can_not_be_made_readable() {
    let error = open(small()).readable("/no/such/path").unwrap_err();
    assert!(error.to_string().contains("/no/such/path"), "{error}");
}

#[test]
fn many_run_side_by_side_and_answer_in_order() {
    for sandbox in both(small()) {
        let programs: Vec<Program> =
            (0..24).map(|number| named("sh", &format!("exit {}", number % 3))).collect();
        let told = AtomicUsize::new(0);
        let outcomes = sandbox.run_all(&programs, 4, |done| {
            told.fetch_max(done, Ordering::Relaxed);
        });
        assert_eq!(outcomes.len(), programs.len());
        for (number, outcome) in outcomes.into_iter().enumerate() {
            let expected = match number % 3 {
                0 => Outcome::Passed,
                exit => Outcome::Failed { exit: exit as i32, stderr: String::new() },
            };
            assert_eq!(outcome.unwrap(), expected);
        }
        assert_eq!(told.into_inner(), programs.len());
        assert!(sandbox.run_all(&[], 4, |_| ()).is_empty());
    }
}
