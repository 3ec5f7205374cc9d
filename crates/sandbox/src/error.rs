//! Why a program was not run.

use std::path::PathBuf;

use super::{Isolation, Refusal};

/// Why a program was not run. What a program does is never an error.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The kernel refuses isolation, and it is required.
    #[error(
        "programs can not be isolated here, so none is run: {}; {:?} runs them all the same, \
         for programs that are trusted",
        list(.refusals),
        Isolation::AsFarAsPossible
    )]
    Refused {
        /// What was refused, and in which words.
        refusals: Vec<Refusal>,
    },
    /// A limit that nothing can keep.
    #[error("limit `{name}` is {found}; expected a number above zero")]
    Limit {
        /// The field of [`Limits`](super::Limits).
        name: &'static str,
        /// Its value.
        found: String,
    },
    /// A path that programs should be able to read.
    #[error("{path}: programs can not be given this to read: {source}")]
    Readable {
        /// The path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The interpreter is not there.
    #[error(
        "no interpreter `{name}` in {searched}; one that is installed elsewhere is named by its \
         whole path, below a directory that is made readable to programs"
    )]
    Interpreter {
        /// As the program names it.
        name: String,
        /// Where it was looked for.
        searched: String,
    },
    /// The program's file can not be written.
    #[error("program file `{name}`: {reason}")]
    File {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The sandbox could not be set up although the kernel granted it before.
    #[error("the sandbox could not be set up: {stage}: {told}")]
    SetUp {
        /// What was being done.
        stage: String,
        /// In the words of the tool that did it.
        told: String,
    },
    /// A call to the system failed.
    #[error("the sandbox can not {doing}: {source}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A program's directory could not be removed.
    #[error("{path}: the program's directory can not be removed: {source}")]
    Remove {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

#[cfg(target_os = "linux")]
impl SandboxError {
    /// For `map_err`: a failed call, with what it was for.
    pub(super) fn system<E: Into<std::io::Error>>(doing: &'static str) -> impl Fn(E) -> Self {
        move |source| Self::System { doing, source: source.into() }
    }

    /// A file larger than all files together may be.
    pub(super) fn too_large(name: &str, bytes: usize, limits: &super::Limits) -> Self {
        let reason = format!("{bytes} bytes, but all files may hold {}", limits.file_bytes);
        Self::File { name: name.into(), reason }
    }
}

fn list(refusals: &[Refusal]) -> String {
    refusals.iter().map(Refusal::to_string).collect::<Vec<_>>().join("; ")
}
