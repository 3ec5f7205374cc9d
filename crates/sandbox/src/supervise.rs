//! Watching a program from its start to its end.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::output::Output;
use super::{Limits, Outcome, Program, SandboxError};

/// How often limits are looked at.
const TICK: Duration = Duration::from_millis(20);

/// How long a sandbox may take to be set up: a tenth of a second, but machines can be busy.
const SET_UP: Duration = Duration::from_secs(60);

/// The shell that starts a program, and what is heard of it.
pub(super) struct Supervised {
    child: Child,
    control: UnixStream,
    heard: Vec<u8>,
    written: Arc<AtomicU64>,
    stdout: Output,
    stderr: Output,
}

/// Why watching ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The program ended; the status as a shell gives it, 128 and the signal for a signal.
    Status(i32),
    /// The shell that would tell was killed.
    Silence,
    /// A limit was reached, and the program still runs.
    WallTime,
    Memory,
    Processes,
    Output,
}

/// What a program's processes use together.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    pub(super) resident_bytes: u64,
    pub(super) processes: u64,
}

/// What the shell says.
enum Said {
    Line(String),
    Nothing,
    End,
}

impl Supervised {
    /// Starts the shell and sends it `text`.
    pub(super) fn start(mut command: Command, text: &[u8]) -> Result<Self, SandboxError> {
        let (mut control, theirs) = UnixStream::pair().map_err(SandboxError::system("make a socket"))?;
        let time_out = SandboxError::system("set a time limit on a socket");
        control.set_read_timeout(Some(TICK)).map_err(&time_out)?;
        control.set_write_timeout(Some(SET_UP)).map_err(&time_out)?;
        command.stdin(Stdio::from(OwnedFd::from(theirs)));
        let mut child = command.spawn().map_err(SandboxError::system("start `setpriv`"))?;
        // The command holds the other end of the socket, whose closing has to be noticed.
        drop(command);
        let written = Arc::new(AtomicU64::new(0));
        let unpiped = || SandboxError::system("read a program's output")(ErrorKind::NotConnected);
        let stdout = child.stdout.take().ok_or_else(unpiped)?;
        let stderr = child.stderr.take().ok_or_else(unpiped)?;
        let stdout = Output::drain(stdout, Arc::clone(&written));
        let stderr = Output::drain(stderr, Arc::clone(&written));
        // A shell that is gone already tells why on standard error; that is read next.
        let _ = control.write_all(text);
        let _ = control.shutdown(Shutdown::Write);
        let mut started = Self { child, control, heard: Vec::new(), written, stdout, stderr };
        started.await_start()?;
        Ok(started)
    }

    /// The process that was started first.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn await_start(&mut self) -> Result<(), SandboxError> {
        let begun = Instant::now();
        let stage = loop {
            match self.listen()? {
                Said::Line(line) if line == "started" => return Ok(()),
                Said::Line(line) => break line.trim_start_matches("refused ").to_string(),
                Said::End => break "namespaces".into(),
                Said::Nothing if begun.elapsed() > SET_UP => {
                    let told = format!("not ready after {} s", SET_UP.as_secs());
                    return Err(SandboxError::SetUp { stage: "namespaces".into(), told });
                }
                Said::Nothing => {}
            }
        };
        self.reap()?;
        let told = self.stderr.text().trim().to_string();
        let told = if told.is_empty() { "without a word".into() } else { told };
        Err(SandboxError::SetUp { stage, told })
    }

    /// Watches until the program ends or reaches a limit. `usage` looks at
    /// its processes and the shell.
    pub(super) fn watch(&mut self, limits: &Limits, usage: impl Fn() -> Usage) -> Result<End, SandboxError> {
        let begun = Instant::now();
        loop {
            match self.listen()? {
                Said::Line(line) => {
                    let status = line.strip_prefix("exit ").and_then(|status| status.parse().ok());
                    return Ok(status.map_or(End::Silence, End::Status));
                }
                Said::End => return Ok(End::Silence),
                Said::Nothing => {}
            }
            if self.written.load(Ordering::Relaxed) > limits.output_bytes {
                return Ok(End::Output);
            }
            if begun.elapsed().as_secs_f64() > limits.wall_seconds {
                return Ok(End::WallTime);
            }
            let used = usage();
            if used.resident_bytes > limits.memory_bytes {
                return Ok(End::Memory);
            }
            // The kernel keeps to this limit already, but for a root that can not become another.
            if used.processes > limits.processes.saturating_add(1) {
                return Ok(End::Processes);
            }
        }
    }

    /// Kills the first process.
    pub(super) fn kill(&mut self) {
        // It has ended already where this fails.
        let _ = self.child.kill();
    }

    /// Waits for the first process; to be called when everything was told to die.
    pub(super) fn reap(&mut self) -> Result<(), SandboxError> {
        self.child.wait().map_err(SandboxError::system("wait for a program"))?;
        Ok(())
    }

    /// What the end means.
    pub(super) fn outcome(&self, end: End, program: &Program, limits: &Limits) -> Outcome {
        let stderr = self.stderr.text();
        // What was written just before the end has been counted when its stream has ended.
        let _ = self.stdout.text();
        let flooded = self.written.load(Ordering::Relaxed) > limits.output_bytes;
        match end {
            End::Output => Outcome::TooMuchOutput,
            _ if flooded => Outcome::TooMuchOutput,
            End::WallTime => Outcome::TimedOut,
            End::Memory => Outcome::OutOfMemory { stderr },
            End::Processes | End::Silence => Outcome::Killed { signal: KILL, stderr },
            End::Status(exit) if exit == program.success => Outcome::Passed,
            End::Status(exit) if exit == 128 + XCPU => Outcome::TimedOut,
            End::Status(exit) if (129..=128 + LAST_SIGNAL).contains(&exit) => {
                Outcome::Killed { signal: exit - 128, stderr }
            }
            End::Status(_) if wanted_memory(&stderr) => Outcome::OutOfMemory { stderr },
            End::Status(exit) => Outcome::Failed { exit, stderr },
        }
    }

    /// The next line, if one comes within a tick.
    fn listen(&mut self) -> Result<Said, SandboxError> {
        if let Some(line) = self.line() {
            return Ok(Said::Line(line));
        }
        let mut chunk = [0; 256];
        match self.control.read(&mut chunk) {
            Ok(0) => Ok(Said::End),
            Ok(read) => {
                self.heard.extend_from_slice(&chunk[..read]);
                Ok(self.line().map_or(Said::Nothing, Said::Line))
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(Said::Nothing),
                // It died before it had read everything.
                ErrorKind::ConnectionReset => Ok(Said::End),
                _ => Err(SandboxError::system("listen to a program's shell")(error)),
            },
        }
    }

    fn line(&mut self) -> Option<String> {
        let end = self.heard.iter().position(|&byte| byte == b'\n')?;
        let line = self.heard.drain(..=end).take(end).collect::<Vec<u8>>();
        Some(String::from_utf8_lossy(&line).into_owned())
    }
}

impl Drop for Supervised {
    /// On the way out of an error; nothing happens to a process that was waited for.
    fn drop(&mut self) {
        self.kill();
        let _ = self.child.wait();
    }
}

const KILL: i32 = rustix::process::Signal::KILL.as_raw();
const XCPU: i32 = rustix::process::Signal::XCPU.as_raw();
const LAST_SIGNAL: i32 = 64;

/// Whether a program's last words are those of Python or C++ at the limit of address space.
fn wanted_memory(stderr: &str) -> bool {
    let last = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    last.starts_with("MemoryError") || last.contains("std::bad_alloc")
}
