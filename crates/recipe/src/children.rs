//! Arms in processes of their own, so that each one's peak memory is its own.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
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
}

impl Children {
    /// This very program with its own arguments.
    ///
    /// # Errors
    /// When the system does not tell where the program lies.
    pub fn of_this_program() -> Result<Self, RecipeError> {
        let failed = |cause| RecipeError::Child { what: "this program".into(), reason: format!("{cause}") };
        let program = std::env::current_exe().map_err(failed)?;
        Ok(Self { program, arguments: std::env::args_os().skip(1).collect() })
    }

    /// Runs one part to its end; `false` when it was interrupted.
    ///
    /// # Errors
    /// A process that cannot be started or fails.
    pub fn run(&self, what: &str, part: &[String]) -> Result<bool, RecipeError> {
        let failed = |reason: String| RecipeError::Child { what: what.to_owned(), reason };
        let status = Command::new(&self.program)
            .args(&self.arguments)
            .args(part)
            .status()
            .map_err(|error| failed(format!("cannot be started: {error}")))?;
        match status.code() {
            Some(0) => Ok(true),
            Some(INTERRUPTED) => Ok(false),
            _ => Err(failed(format!("{status}; what it had finished is kept, run again to go on"))),
        }
    }
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
