//! One row: their settings tried, then ours and their fastest by turns.

use std::cell::RefCell;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use camelid_benches::{OTHERS_ALLOWED, Row, Sample};
use camelid_kernels::DEVICE_VARIABLE;
use serde::{Deserialize, Serialize};

use super::child::{Measurer, Shared, TooSlow};
use super::python::Peers;
use super::table::Comparison;

/// How long to measure.
pub struct Effort {
    /// Samples of each side.
    rounds: u32,
    /// Seconds of a sample, unless one run takes longer.
    sample_seconds: f64,
    /// Seconds of a row's samples after which three rounds have to do.
    row_seconds: f64,
}

impl Effort {
    /// To see that everything works.
    pub const QUICK: Effort = Effort { rounds: 1, sample_seconds: 0.05, row_seconds: 0.0 };

    /// For the table.
    pub fn thorough(rounds: u32) -> Effort {
        Effort { rounds, sample_seconds: 0.3, row_seconds: 20.0 }
    }
}

/// What became of a row.
#[derive(Default)]
pub struct Outcome {
    /// Our figures.
    pub ours: Option<Side>,
    /// Those of the peers' fastest setting, then those of settings that a target names.
    pub theirs: Vec<Side>,
    /// Every setting that was looked at.
    pub tried: Vec<Tried>,
    /// Why something is missing.
    pub problem: Option<String>,
}

/// Samples of one setting.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Side {
    /// The setting.
    pub setting: String,
    /// Median of the seconds of one unit, over clean samples where there are enough.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
    /// Whether these are of samples that other processes disturbed.
    pub disturbed: bool,
    /// Highest peak memory, MiB.
    pub peak_mib: f64,
    /// Peak memory of the process before it made anything, MiB.
    pub imports_mib: f64,
    /// All samples.
    pub samples: Vec<Sample>,
    /// What was measured, with versions.
    pub versions: serde_json::Map<String, serde_json::Value>,
}

/// A setting that was looked at.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tried {
    /// The setting, ours marked so.
    pub setting: String,
    /// Seconds of one unit, roughly.
    pub seconds: Option<f64>,
    /// Peak memory, MiB.
    pub peak_mib: Option<f64>,
    /// Why there are no figures, or what to know about them.
    pub note: Option<String>,
}

/// Measures a row. Whatever goes wrong is part of the outcome.
pub fn compare(comparison: &Comparison, peers: &mut Peers, effort: &Effort) -> Outcome {
    let mut outcome = Outcome::default();
    if let Err(error) = measure(comparison, peers, effort, &mut outcome) {
        outcome.problem = Some(format!("{error:#}"));
    }
    outcome
}

fn measure(comparison: &Comparison, peers: &mut Peers, effort: &Effort, outcome: &mut Outcome) -> Result<()> {
    let row = comparison.row;
    let mut start_ours = || ours();
    let ours = fastest(row, row.settings(), &mut start_ours, effort, &mut outcome.tried);
    for tried in &mut outcome.tried {
        tried.setting = format!("ours: {}", tried.setting);
    }
    let theirs = if row.counts_memory() {
        // Together with another process of theirs there might not be room.
        peers.end();
        let mut start = || peers.fresh(comparison.modules);
        fastest(row, comparison.theirs, &mut start, effort, &mut outcome.tried)
    } else {
        let mut start = || peers.shared(comparison.modules);
        fastest(row, comparison.theirs, &mut start, effort, &mut outcome.tried)
    };
    let our_problem = ours.as_ref().err().map(|error| format!("ours: {error:#}"));
    let their_problem = theirs.as_ref().err().map(|error| format!("theirs: {error:#}"));
    let ours_count = usize::from(ours.is_ok());
    let mut all: Vec<Contender> = ours.into_iter().chain(theirs).collect();
    let sampled = take_turns(&mut all, effort);
    for (i, contender) in all.into_iter().enumerate() {
        if contender.samples.is_empty() {
            continue;
        }
        let side = contender.into_side();
        if i < ours_count {
            outcome.ours = Some(side);
        } else {
            outcome.theirs.push(side);
        }
    }
    sampled?;
    let problems: Vec<String> = our_problem.into_iter().chain(their_problem).collect();
    if problems.is_empty() { Ok(()) } else { Err(anyhow!(problems.join("; "))) }
}

/// Our side, in a process of its own.
fn ours() -> Result<Shared> {
    let program = std::env::current_exe().context("finding this program")?;
    let mut command = Command::new(program);
    // The peers compute on the CPU.
    command.args(["bench", "--serve"]).env_remove(DEVICE_VARIABLE);
    Ok(Rc::new(RefCell::new(Measurer::start(&mut command)?)))
}

/// A setting that is ready to be sampled.
struct Contender {
    row: Row,
    setting: String,
    measurer: Shared,
    /// Seconds of one run.
    run_seconds: f64,
    /// Seconds of one unit.
    seconds: f64,
    samples: Vec<Sample>,
}

/// The longest that the very first run of a row may take.
const FIRST_RUN: Duration = Duration::from_secs(120);
/// A setting whose first run takes so many times that of the fastest is stopped.
const HOPELESS: f64 = 3.0;
/// Another sample tells whether a first run was slow because it was the first.
const WORTH_A_SECOND: f64 = 1.5;

/// The fastest of the settings, ready.
fn fastest(
    row: Row,
    settings: &[&'static str],
    start: &mut dyn FnMut() -> Result<Shared>,
    effort: &Effort,
    tried: &mut Vec<Tried>,
) -> Result<Contender> {
    let mut kept: Option<Contender> = None;
    let mut stopped: Vec<&str> = vec![];
    for &setting in settings {
        let least = kept.as_ref().map_or(f64::INFINITY, |kept| kept.seconds);
        if let Some(before) = stopped.iter().find(|before| compute_type(before) == compute_type(setting)) {
            let note = format!("not tried: its compute type is that of \"{before}\", which was stopped");
            tried.push(Tried {
                setting: setting.to_owned(),
                seconds: None,
                peak_mib: None,
                note: Some(note),
            });
            continue;
        }
        match Contender::ready(row, setting, start, least, effort) {
            Ok((contender, peak_mib)) => {
                camelid_files::say!("    {setting}: {:.2} ms", contender.seconds * 1e3);
                let (seconds, peak_mib) = (Some(contender.seconds), Some(peak_mib));
                tried.push(Tried { setting: setting.to_owned(), seconds, peak_mib, note: None });
                kept = Some(match kept.take() {
                    Some(kept) => faster(kept, contender)?,
                    None => contender,
                });
            }
            Err(error) => {
                let note = format!("{error:#}");
                camelid_files::say!("    {setting}: {note}");
                tried.push(Tried {
                    setting: setting.to_owned(),
                    seconds: None,
                    peak_mib: None,
                    note: Some(note),
                });
                if error.is::<TooSlow>() {
                    stopped.push(setting);
                }
            }
        }
    }
    let Some(mut kept) = kept else {
        let reasons: Vec<String> =
            tried.iter().filter_map(|t| Some(format!("{}: {}", t.setting, t.note.as_ref()?))).collect();
        return Err(anyhow!(reasons.join("; ")));
    };
    if !kept.measurer.borrow_mut().is_running() {
        // It shared a process with a setting that was stopped.
        (kept, _) = Contender::ready(row, &kept.setting, start, f64::INFINITY, effort)?;
    }
    Ok(kept)
}

/// What products are computed in: the word of a setting that says so, if any.
fn compute_type(setting: &str) -> Option<&'static str> {
    ["bf16", "f32"].into_iter().find(|name| setting.contains(name))
}

/// The faster of two; the other is given up.
fn faster(one: Contender, other: Contender) -> Result<Contender> {
    let (faster, slower) = if other.seconds < one.seconds { (other, one) } else { (one, other) };
    if Rc::strong_count(&slower.measurer) > 1 && slower.measurer.borrow_mut().is_running() {
        slower.measurer.borrow_mut().forget(&slower.setting)?;
    }
    Ok(faster)
}

impl Contender {
    /// Prepares a setting and runs it once or twice; also returns its peak memory in MiB.
    fn ready(
        row: Row,
        setting: &str,
        start: &mut dyn FnMut() -> Result<Shared>,
        fastest: f64,
        effort: &Effort,
    ) -> Result<(Self, f64)> {
        let measurer = start()?;
        let per_run = measurer.borrow_mut().prepare(row, setting)? as f64;
        let limit = if fastest.is_finite() {
            Duration::from_secs_f64((HOPELESS * fastest * per_run).max(5.0))
        } else {
            FIRST_RUN
        };
        let mut sample = measurer.borrow_mut().sample(setting, 0.0, limit)?;
        if sample.seconds < WORTH_A_SECOND * fastest {
            let peak_mib = sample.peak_mib;
            let first = sample.seconds;
            sample = measurer.borrow_mut().sample(setting, effort.sample_seconds.min(0.2), FIRST_RUN)?;
            sample.peak_mib = sample.peak_mib.max(peak_mib);
            sample.seconds = sample.seconds.min(first);
        }
        let contender = Self {
            row,
            setting: setting.to_owned(),
            measurer,
            run_seconds: sample.seconds * per_run,
            seconds: sample.seconds,
            samples: vec![],
        };
        Ok((contender, sample.peak_mib))
    }

    fn sample(&mut self, effort: &Effort) -> Result<f64> {
        // Threads of the side before may still be spinning.
        std::thread::sleep(Duration::from_millis(50));
        let limit = Duration::from_secs_f64(60.0 + 10.0 * self.run_seconds);
        let sample = self.measurer.borrow_mut().sample(&self.setting, effort.sample_seconds, limit);
        let sample = sample.with_context(|| format!("{} with setting \"{}\"", self.row, self.setting))?;
        self.samples.push(sample);
        Ok(sample.others)
    }

    fn into_side(self) -> Side {
        let clean: Vec<&Sample> = self.samples.iter().filter(|s| s.others <= OTHERS_ALLOWED).collect();
        let enough = clean.len() >= 3.min(self.samples.len());
        let mut seconds: Vec<f64> = match enough {
            true => clean.iter().map(|sample| sample.seconds).collect(),
            false => self.samples.iter().map(|sample| sample.seconds).collect(),
        };
        seconds.sort_by(f64::total_cmp);
        let measurer = self.measurer.borrow();
        Side {
            setting: self.setting.clone(),
            median: median(&seconds),
            min: seconds[0],
            max: seconds[seconds.len() - 1],
            disturbed: !enough,
            peak_mib: self.samples.iter().map(|sample| sample.peak_mib).fold(0.0, f64::max),
            imports_mib: measurer.imports_mib,
            versions: measurer.versions.clone(),
            samples: self.samples.clone(),
        }
    }
}

/// Samples of all in turn. Each may repeat as many disturbed samples as it has rounds.
fn take_turns(contenders: &mut [Contender], effort: &Effort) -> Result<()> {
    let round: f64 = contenders.iter().map(|c| c.run_seconds.max(effort.sample_seconds)).sum();
    let affordable = (effort.row_seconds / round.max(1e-3)) as u32;
    let rounds = effort.rounds.min(affordable.max(3));
    let mut repeats = vec![if effort.rounds > 1 { rounds } else { 0 }; contenders.len()];
    for _ in 0..rounds {
        for (contender, repeats) in contenders.iter_mut().zip(&mut repeats) {
            while contender.sample(effort)? > OTHERS_ALLOWED && *repeats > 0 {
                *repeats -= 1;
            }
        }
    }
    Ok(())
}

/// Of sorted values, at least one.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_numbers_of_samples() {
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[1.0, 2.0, 9.0]), 2.0);
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), 3.0);
    }

    #[test]
    fn settings_of_one_compute_type_are_stopped_together() {
        assert_eq!(compute_type("all-bf16"), compute_type("train bf16 double"));
        assert_ne!(compute_type("train bf16 plain"), compute_type("train f32 plain"));
        assert_eq!(compute_type("torch fused"), None);
    }
}
