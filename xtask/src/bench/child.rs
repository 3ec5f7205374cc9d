//! A process that measures on request: ours or the peers'.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use camelid_benches::{Answer, Request, Row, Sample};

/// How long libraries may take to be imported, and inputs to be made.
const SET_UP: Duration = Duration::from_secs(240);

/// A running process, killed when dropped.
pub struct Measurer {
    child: Child,
    requests: ChildStdin,
    answers: Receiver<std::io::Result<String>>,
    /// Peak memory before anything was made, MiB.
    pub imports_mib: f64,
    /// What it measures, with versions.
    pub versions: serde_json::Map<String, serde_json::Value>,
}

/// It took too long and was stopped.
#[derive(Debug, thiserror::Error)]
#[error("stopped after {0:.0} s")]
pub struct TooSlow(f64);

impl Measurer {
    /// Starts `command` and waits until it is ready.
    pub fn start(command: &mut Command) -> Result<Self> {
        let program = command.get_program().to_owned();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let (Some(requests), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("{} has no pipes", program.display());
        };
        let (send, answers) = channel();
        // Reading in a thread of its own allows to wait for so long and no longer.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        let versions = serde_json::Map::new();
        let mut measurer = Self { child, requests, answers, imports_mib: 0.0, versions };
        match measurer.answer(SET_UP).with_context(|| format!("waiting for {}", program.display()))? {
            Answer::Ready { imports_mib, versions } => {
                measurer.imports_mib = imports_mib;
                measurer.versions = versions;
                Ok(measurer)
            }
            other => bail!("{} began with {other:?}", program.display()),
        }
    }

    /// Makes the inputs of a row; how many units of it one run does.
    pub fn prepare(&mut self, row: Row, setting: &str) -> Result<usize> {
        let request = Request::Prepare { row: row.name().to_owned(), setting: setting.to_owned() };
        match self.ask(&request, SET_UP)? {
            Answer::Prepared { per_run } => Ok(per_run),
            other => bail!("prepare was answered by {other:?}"),
        }
    }

    /// Runs what was prepared for about `at_least` seconds, the first time once.
    ///
    /// # Errors
    /// [`TooSlow`] when that takes longer than `limit`: the process is then of no more use.
    pub fn sample(&mut self, setting: &str, at_least: f64, limit: Duration) -> Result<Sample> {
        match self.ask(&Request::Sample { setting: setting.to_owned(), at_least }, limit)? {
            Answer::Sample(sample) => Ok(sample),
            other => bail!("sample was answered by {other:?}"),
        }
    }

    /// Frees what was prepared.
    pub fn forget(&mut self, setting: &str) -> Result<()> {
        match self.ask(&Request::Drop { setting: setting.to_owned() }, SET_UP)? {
            Answer::Dropped {} => Ok(()),
            other => bail!("drop was answered by {other:?}"),
        }
    }

    /// Whether it still lives.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    fn ask(&mut self, request: &Request, limit: Duration) -> Result<Answer> {
        let mut line = serde_json::to_string(request)?;
        line.push('\n');
        self.requests.write_all(line.as_bytes()).context("the measuring process is gone")?;
        match self.answer(limit)? {
            Answer::Error { error } => Err(anyhow!(error)),
            answer => Ok(answer),
        }
    }

    fn answer(&mut self, limit: Duration) -> Result<Answer> {
        match self.answers.recv_timeout(limit) {
            Ok(line) => {
                let line = line.context("reading an answer")?;
                serde_json::from_str(&line).with_context(|| format!("the answer \"{line}\""))
            }
            Err(RecvTimeoutError::Timeout) => {
                self.stop();
                Err(TooSlow(limit.as_secs_f64()).into())
            }
            Err(RecvTimeoutError::Disconnected) => {
                let ended =
                    self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
                bail!("the measuring process ended: {ended}")
            }
        }
    }

    fn stop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Measurer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A process that several contenders may live in.
pub type Shared = Rc<RefCell<Measurer>>;
