#![doc = include_str!("../README.md")]

#[cfg(not(target_os = "linux"))]
mod elsewhere;
mod error;
mod grants;
#[cfg(target_os = "linux")]
mod isolated;
#[cfg(target_os = "linux")]
mod launch;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod open;
#[cfg(target_os = "linux")]
mod output;
pub mod pass_at_k;
#[cfg(target_os = "linux")]
mod processes;
pub mod programs;
#[cfg(target_os = "linux")]
mod remove;
#[cfg(target_os = "linux")]
mod supervise;
mod system;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

pub use error::SandboxError;
pub use grants::{Grants, Refusal};

#[cfg(not(target_os = "linux"))]
use elsewhere::Here;
#[cfg(target_os = "linux")]
use linux::Here;
use system::System;

/// What a program may use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Seconds from the program's start to its end, however little it computes.
    pub wall_seconds: f64,
    /// Seconds of computing, for each process.
    pub cpu_seconds: u64,
    /// Bytes of address space for each process, and of resident memory for all together.
    pub memory_bytes: u64,
    /// Bytes in all files together; without isolation, in each file.
    pub file_bytes: u64,
    /// Files and directories in the program's directory; without isolation not limited.
    pub files: u64,
    /// Files that one process may have open at a time.
    pub open_files: u64,
    /// Processes and threads at a time, the program itself included.
    pub processes: u64,
    /// Bytes written to standard output and standard error together.
    pub output_bytes: u64,
}

impl Default for Limits {
    /// Room for a short Python program and its tests: 30 s on the wall, 10 s of computing, 1 GiB
    /// of memory, 64 MiB in at most 4,096 files, 64 of them open, 32 processes, 16 MiB of output.
    fn default() -> Self {
        Self {
            wall_seconds: 30.0,
            cpu_seconds: 10,
            memory_bytes: 1 << 30,
            file_bytes: 64 << 20,
            files: 4096,
            open_files: 64,
            processes: 32,
            output_bytes: 16 << 20,
        }
    }
}

/// What to do where the kernel refuses isolation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// Run nothing, and say what was refused.
    #[default]
    Required,
    /// Run with what is left: limits on time, memory, size of files and processes, an empty
    /// environment and a directory of its own that is removed. The program then sees the
    /// network and reads and writes what the user may; unless the caller is root, a process that
    /// hides by emptying its environment may outlive it, and programs run one at a time. Only for programs that are trusted, or inside a machine or
    /// container made for the purpose.
    AsFarAsPossible,
}

/// A program in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Interpreter and its arguments; the file's name is added as the last. A bare name is
    /// looked for in the system's directories of programs, never in the caller's `PATH`.
    pub argv: Vec<String>,
    /// Name of the file in the program's directory, without a `/`.
    pub file_name: String,
    /// What the file holds.
    pub source: String,
    /// Variables beside `HOME`, `TMPDIR`, `PATH` and `LANG`.
    pub environment: Vec<(String, String)>,
    /// The exit status that means success.
    pub success: i32,
}

impl Program {
    /// A program whose success is the exit status 0.
    pub fn new<'a>(
        argv: impl IntoIterator<Item = &'a str>,
        file_name: &str,
        source: impl Into<String>,
    ) -> Self {
        Self {
            argv: argv.into_iter().map(String::from).collect(),
            file_name: file_name.into(),
            source: source.into(),
            environment: Vec::new(),
            success: 0,
        }
    }
}

/// How a program ended. `stderr` is the end of what it wrote to standard error, at most 4 KiB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "outcome")]
pub enum Outcome {
    /// With the exit status that means success.
    Passed,
    /// With another exit status.
    Failed {
        /// The exit status.
        exit: i32,
        /// End of standard error.
        stderr: String,
    },
    /// It was ended at its limit of time, on the wall or of computing.
    TimedOut,
    /// It was ended at its limit of memory, or failed for want of it.
    OutOfMemory {
        /// End of standard error.
        stderr: String,
    },
    /// It was ended at its limit of output.
    TooMuchOutput,
    /// It was ended by a signal, its own or the kernel's.
    Killed {
        /// The signal's number.
        signal: i32,
        /// End of standard error.
        stderr: String,
    },
}

impl Outcome {
    /// Whether the program passed.
    pub fn passed(&self) -> bool {
        *self == Self::Passed
    }

    /// One word for tables: `passed`, `failed`, `timed-out`, `out-of-memory`,
    /// `too-much-output` or `killed`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed { .. } => "failed",
            Self::TimedOut => "timed-out",
            Self::OutOfMemory { .. } => "out-of-memory",
            Self::TooMuchOutput => "too-much-output",
            Self::Killed { .. } => "killed",
        }
    }
}

/// A place to run programs in; every run gets a fresh one.
#[derive(Debug, Clone)]
pub struct Sandbox {
    limits: Limits,
    grants: Grants,
    readable: Vec<PathBuf>,
}

impl Sandbox {
    /// Asks the kernel what it grants.
    ///
    /// # Errors
    /// - A limit is zero or not a number.
    /// - Something was refused and `isolation` is required; the error says what.
    /// - The system is not Linux.
    pub fn new(limits: Limits, isolation: Isolation) -> Result<Self, SandboxError> {
        Self::with_grants(limits, isolation, Self::probe())
    }

    /// The same with the answer of an earlier [`Sandbox::probe`].
    ///
    /// # Errors
    /// As [`Sandbox::new`].
    pub fn with_grants(limits: Limits, isolation: Isolation, grants: Grants) -> Result<Self, SandboxError> {
        limits.check()?;
        Here::ready()?;
        if isolation == Isolation::Required && !grants.complete() {
            return Err(SandboxError::Refused { refusals: grants.refusals });
        }
        Ok(Self { limits, grants, readable: Vec::new() })
    }

    /// Lets programs read `path` beside the system's directories: an interpreter that is
    /// installed elsewhere, or the packages of a virtual environment.
    ///
    /// # Errors
    /// The path does not exist.
    pub fn readable(mut self, path: impl Into<PathBuf>) -> Result<Self, SandboxError> {
        let path = path.into();
        let found = path.canonicalize();
        self.readable.push(found.map_err(|source| SandboxError::Readable { path, source })?);
        Ok(self)
    }

    /// What the kernel grants here, found by trying: a program is isolated, and another starts
    /// more processes than it may.
    pub fn probe() -> Grants {
        Here::probe()
    }

    /// What the kernel granted this sandbox; part of a report where it is not everything.
    pub fn grants(&self) -> &Grants {
        &self.grants
    }

    /// What a program may use.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Runs a program to its end. Nothing of it is left then: neither processes nor files.
    ///
    /// # Errors
    /// The program can not be started (no such interpreter, a file name with a `/`, a source
    /// larger than `file_bytes`), or the system does not give what it gave when asked. What the
    /// program does is never an error but an [`Outcome`].
    pub fn run(&self, program: &Program) -> Result<Outcome, SandboxError> {
        Here::run(program, &self.limits, &self.readable, self.grants.isolated)
    }

    /// Runs programs on `threads` threads at a time; outcomes in the programs' order.
    /// `after_each` is told how many are done.
    pub fn run_all(
        &self,
        programs: &[Program],
        threads: usize,
        after_each: impl Fn(usize) + Sync,
    ) -> Vec<Result<Outcome, SandboxError>> {
        let next = AtomicUsize::new(0);
        let done = AtomicUsize::new(0);
        let outcomes: Vec<Mutex<Option<Result<Outcome, SandboxError>>>> =
            programs.iter().map(|_| Mutex::new(None)).collect();
        std::thread::scope(|scope| {
            for _ in 0..threads.clamp(1, programs.len().max(1)) {
                scope.spawn(|| {
                    while let Some(at) =
                        Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&at| at < programs.len())
                    {
                        let outcome = self.run(&programs[at]);
                        *outcomes[at].lock().unwrap_or_else(|e| e.into_inner()) = Some(outcome);
                        after_each(done.fetch_add(1, Ordering::Relaxed) + 1);
                    }
                });
            }
        });
        let taken = outcomes.into_iter().map(|slot| slot.into_inner().unwrap_or_else(|e| e.into_inner()));
        taken.flatten().collect()
    }
}

impl Limits {
    fn check(&self) -> Result<(), SandboxError> {
        if !(self.wall_seconds > 0.0 && self.wall_seconds.is_finite()) {
            let found = self.wall_seconds.to_string();
            return Err(SandboxError::Limit { name: "wall_seconds", found });
        }
        let whole = [
            ("cpu_seconds", self.cpu_seconds),
            ("memory_bytes", self.memory_bytes),
            ("file_bytes", self.file_bytes),
            ("files", self.files),
            ("open_files", self.open_files),
            ("processes", self.processes),
            ("output_bytes", self.output_bytes),
        ];
        match whole.into_iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(SandboxError::Limit { name, found: "0".into() }),
            None => Ok(()),
        }
    }
}
