//! How a program ends: closed pipes, full disks behind standard output, and each cause said once.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

/// How `println!` begins what it panics with.
const PRINTING_FAILED: &str = "failed printing to stdout: ";

/// Why standard output takes no more.
#[derive(Debug, thiserror::Error)]
#[error("cannot print: {0}")]
pub struct PrintError(#[from] io::Error);

/// A command line that asks for what cannot be, found after it was parsed: [`run`] ends with exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

impl UsageError {
    /// For `map_err`: an error whose cause is a value on the command line.
    pub fn of(error: impl Error + 'static) -> Self {
        Self(message(&error))
    }
}

/// What [`say!`](crate::say) does.
pub fn say(words: fmt::Arguments) {
    // Standard error may be closed or on a full disk: what cannot be said is no reason to stop.
    let _ = writeln!(io::stderr().lock(), "{words}");
}

/// Prints a line to standard error as `eprintln!` does, and goes on where that is closed or full.
#[macro_export]
macro_rules! say {
    ($($words:tt)*) => { $crate::program::say(::std::format_args!($($words)*)) };
}

/// Prints to standard output.
///
/// # Errors
/// [`PrintError`] when it is closed or its disk is full; [`run`] knows what that means.
pub fn print(text: impl AsRef<[u8]>) -> Result<(), PrintError> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_ref()).and_then(|()| output.flush()).map_err(PrintError)
}

/// Runs a program's work and gives its exit code: 0, or with the error on standard error 2 for a
/// [`UsageError`] and 1 for any other.
///
/// A reader that goes away, as `head` does, ends the program quietly with code 0; standard output
/// on a full disk ends it with an error line. Both are found whether the work prints by [`print()`] or
/// by `println!`, and what the work holds open is dropped as at any return.
pub fn run<E: AsRef<dyn Error + 'static>>(work: impl FnOnce() -> Result<ExitCode, E>) -> ExitCode {
    let others = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if printing(info.payload()).is_none() {
            others(info);
        }
    }));
    let ended = panic::catch_unwind(AssertUnwindSafe(work));
    let flushed = io::stdout().flush();
    match ended {
        Err(payload) => match printing(&*payload) {
            Some(cause) => unprinted(cause.contains("Broken pipe"), cause),
            None => panic::resume_unwind(payload),
        },
        Ok(Err(error)) => {
            if let Some(PrintError(cause)) = causes(error.as_ref()).find_map(|cause| cause.downcast_ref()) {
                return unprinted(cause.kind() == io::ErrorKind::BrokenPipe, &cause.to_string());
            }
            crate::say!("error: {}", message(error.as_ref()));
            match causes(error.as_ref()).any(|cause| cause.is::<UsageError>()) {
                true => {
                    crate::say!("\nFor more information, try '--help'.");
                    ExitCode::from(2)
                }
                false => ExitCode::FAILURE,
            }
        }
        Ok(Ok(code)) => match flushed {
            Ok(()) => code,
            Err(cause) => unprinted(cause.kind() == io::ErrorKind::BrokenPipe, &cause.to_string()),
        },
    }
}

fn printing(payload: &(dyn Any + Send)) -> Option<&str> {
    payload.downcast_ref::<String>()?.strip_prefix(PRINTING_FAILED)
}

fn unprinted(closed: bool, cause: &str) -> ExitCode {
    if closed {
        return ExitCode::SUCCESS;
    }
    crate::say!("error: cannot print: {cause}");
    ExitCode::FAILURE
}

/// An error with its causes on one line, each said once: a cause whose words the message before it
/// holds already is left out.
pub fn message(error: &(dyn Error + 'static)) -> String {
    let mut told = String::new();
    for cause in causes(error) {
        let words = cause.to_string();
        if told.is_empty() {
            told = words;
        } else if !told.contains(words.trim()) {
            told = format!("{told}: {words}");
        }
    }
    told
}

/// An error, its cause, the cause of that, and so on.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{words}")]
    struct Link {
        words: &'static str,
        source: Option<Box<Link>>,
    }

    #[test]
    fn a_cause_is_said_once() {
        let link = |words, source: Option<Link>| Link { words, source: source.map(Box::new) };
        let twice = link("a.csv: No such file", Some(link("No such file", None)));
        assert_eq!(message(&twice), "a.csv: No such file");
        let chain = link("cannot judge", Some(link("the server refuses: 401", Some(link("401", None)))));
        assert_eq!(message(&chain), "cannot judge: the server refuses: 401");
    }
}
