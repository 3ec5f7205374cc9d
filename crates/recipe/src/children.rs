//! Arms in processes of their own, so that each one's peak memory is its own.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::RecipeError;

/// Exit code of a process that was interrupted and has saved.
const INTERRUPTED: i32 = 130;

/// How a child process is started: this program again with the arguments it was given, and some
/// more that say which part it is to do.
#[derive(Clone, Debug)]
pub struct Children {
    /// The program.
    pub program: PathBuf,
    /// Its arguments, before those of the part.
    pub arguments: Vec<OsString>,
    /// How many run at a time. Default 1; more share the processor's cores, and what they print is shown
    /// only where one of them fails.
    pub at_once: usize,
}

/// The variable by which a process is told how many threads to compute with.
const THREADS: &str = "RAYON_NUM_THREADS";

impl Children {
    /// This very program with its own arguments.
    ///
    /// # Errors
    /// When the system does not tell where the program lies.
    pub fn of_this_program() -> Result<Self, RecipeError> {
        let failed = |cause| RecipeError::Child { what: "this program".into(), reason: format!("{cause}") };
        let program = std::env::current_exe().map_err(failed)?;
        Ok(Self { program, arguments: std::env::args_os().skip(1).collect(), at_once: 1 })
    }

    /// The same, one on each core: for models so small that one core computes them as fast as all do.
    #[must_use]
    pub fn one_a_core(self) -> Self {
        Self { at_once: std::thread::available_parallelism().map_or(1, usize::from), ..self }
    }

    /// Runs one part to its end; `false` when it was interrupted.
    ///
    /// # Errors
    /// A process that cannot be started or fails.
    pub fn run(&self, what: &str, part: &[String]) -> Result<bool, RecipeError> {
        let failed = |reason: String| RecipeError::Child { what: what.to_owned(), reason };
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).args(part);
        let output = if self.at_once > 1 {
            command.env(THREADS, "1").output()
        } else {
            command.status().map(|status| Output { status, stdout: Vec::new(), stderr: Vec::new() })
        };
        let Output { status, stderr, .. } =
            output.map_err(|error| failed(format!("cannot be started: {error}")))?;
        match status.code() {
            Some(0) => Ok(true),
            Some(INTERRUPTED) => Ok(false),
            // Ctrl-C met it before it watched for that, so there was nothing to save.
            None if ended_by_interrupt(status) => Ok(false),
            _ => {
                eprint!("{}", String::from_utf8_lossy(&stderr));
                Err(failed(format!("{status}; what it had finished is kept, run again to go on")))
            }
        }
    }
}

#[cfg(unix)]
fn ended_by_interrupt(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    const SIGINT: i32 = 2;
    status.signal() == Some(SIGINT)
}

#[cfg(not(unix))]
fn ended_by_interrupt(_: ExitStatus) -> bool {
    false
}

/// Ctrl-C reaches the child too, which saves; this process notes the first and ends at the second.
///
/// # Errors
/// When the handler cannot be installed.
pub fn watch_for_interrupt() -> Result<Arc<AtomicBool>, RecipeError> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(INTERRUPTED);
        }
    })
    .map_err(|error| RecipeError::Child {
        what: "Ctrl-C".into(),
        reason: format!("cannot be watched for: {error}"),
    })?;
    Ok(interrupted)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_an_interrupt_ends_is_interrupted_and_one_that_fails_is_an_error() {
        let shell = |script: &str, at_once| {
            let arguments = ["-c", script].map(OsString::from).to_vec();
            Children { program: "/bin/sh".into(), arguments, at_once }.run("part", &[])
        };
        for at_once in [1, 2] {
            assert!(shell("exit 0", at_once).unwrap());
            assert!(!shell("exit 130", at_once).unwrap());
            assert!(!shell("kill -INT $$; sleep 5", at_once).unwrap());
            assert!(shell("exit 3", at_once).unwrap_err().to_string().contains("part"));
        }
    }
}
