//! Our side as a process that measures on request, so that a caller can take turns
//! between us and the peers. `peers/serve.py` answers the same requests.

use std::collections::HashMap;
use std::io::{BufRead, Write};

use camelid_train::Memory;
use serde::{Deserialize, Serialize};

use crate::rows::{Prepared, prepare};
use crate::{BenchError, Row, Watch};

/// One line of the caller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub enum Request {
    /// Make the inputs of a row.
    Prepare {
        /// The row's name.
        row: String,
        /// One of its settings.
        setting: String,
    },
    /// Run what was prepared under this setting for about so many seconds; the first time, once.
    Sample {
        /// The setting.
        setting: String,
        /// Seconds.
        at_least: f64,
    },
    /// Forget what was prepared under this setting.
    Drop {
        /// The setting.
        setting: String,
    },
}

/// One line in return.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Answer {
    /// The request failed.
    Error {
        /// Why.
        error: String,
    },
    /// What was measured.
    Sample(Sample),
    /// The first line of all, before any request.
    Ready {
        /// Peak memory before anything was made, MiB: for Python, of its imports.
        imports_mib: f64,
        /// What answers, for the report.
        versions: serde_json::Map<String, serde_json::Value>,
    },
    /// Ready to run.
    Prepared {
        /// Units of the row that one run does.
        per_run: usize,
    },
    /// Done.
    Dropped {},
}

/// The mean of several runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds of one unit of the row.
    pub seconds: f64,
    /// Core-seconds that one unit worked, preparations between runs included.
    pub worked: f64,
    /// Share of all cores that other processes took meanwhile.
    pub others: f64,
    /// Peak memory meanwhile, MiB.
    pub peak_mib: f64,
}

/// Answers requests, one JSON line each, until there are no more.
///
/// # Errors
/// When a line cannot be read or written; what a request ends in is answered.
pub fn serve(requests: impl BufRead, mut answers: impl Write) -> Result<(), BenchError> {
    let mut held = HashMap::new();
    let mut versions = serde_json::Map::new();
    versions.insert("camelid".to_owned(), env!("CARGO_PKG_VERSION").into());
    write(&mut answers, &Answer::Ready { imports_mib: Memory::now().peak_mib, versions })?;
    for line in requests.lines() {
        let answer = serde_json::from_str(&line?)
            .map_err(BenchError::from)
            .and_then(|request| answer(request, &mut held))
            .unwrap_or_else(|error| Answer::Error { error: error.to_string() });
        write(&mut answers, &answer)?;
    }
    Ok(())
}

fn write(answers: &mut impl Write, answer: &Answer) -> Result<(), BenchError> {
    serde_json::to_writer(&mut *answers, answer)?;
    answers.write_all(b"\n")?;
    Ok(answers.flush()?)
}

fn answer(request: Request, held: &mut HashMap<String, (Prepared, f64)>) -> Result<Answer, BenchError> {
    match request {
        Request::Prepare { row, setting } => {
            let row: Row = row.parse()?;
            let prepared = prepare(row, &setting)?;
            let answer = Answer::Prepared { per_run: prepared.per_run };
            // Nothing is known about its speed: the first sample is of one run.
            held.insert(setting, (prepared, f64::INFINITY));
            Ok(answer)
        }
        Request::Sample { setting, at_least } => match held.get_mut(&setting) {
            None => Err(BenchError::NotPrepared { setting }),
            Some((prepared, last)) => {
                let sample;
                (sample, *last) = measure(prepared, *last, at_least)?;
                Ok(Answer::Sample(sample))
            }
        },
        Request::Drop { setting } => {
            held.remove(&setting);
            Ok(Answer::Dropped {})
        }
    }
}

/// Runs until about `at_least` seconds are counted; also returns the seconds of one run.
fn measure(prepared: &mut Prepared, last: f64, at_least: f64) -> Result<(Sample, f64), BenchError> {
    let runs = (at_least / last.max(1e-6)).round().max(1.0) as usize;
    Memory::reset_peak();
    let watch = Watch::start();
    let mut seconds = 0.0;
    for _ in 0..runs {
        seconds += prepared.run()?;
    }
    let units = (runs * prepared.per_run) as f64;
    let sample = Sample {
        seconds: seconds / units,
        worked: watch.worked() / units,
        others: watch.others(),
        peak_mib: Memory::now().peak_mib,
    };
    Ok((sample, seconds / runs as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(requests: &[&str]) -> Vec<Answer> {
        let mut written = vec![];
        serve(requests.join("\n").as_bytes(), &mut written).unwrap();
        String::from_utf8(written).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_row_is_prepared_sampled_and_dropped() {
        let setting = Row::Nf4Quantize.settings()[0];
        let sample = format!(r#"{{"do":"sample","setting":"{setting}","at_least":0}}"#);
        let prepare = format!(r#"{{"do":"prepare","row":"nf4_quantize","setting":"{setting}"}}"#);
        let drop = format!(r#"{{"do":"drop","setting":"{setting}"}}"#);
        let answers = answers(&[&sample, &prepare, &sample, &drop, &sample]);
        assert!(matches!(&answers[0], Answer::Ready { .. }), "{answers:?}");
        assert!(matches!(&answers[1], Answer::Error { .. }), "{answers:?}");
        assert!(matches!(&answers[2], Answer::Prepared { per_run: 1 }), "{answers:?}");
        assert!(matches!(&answers[3], Answer::Sample(sample) if sample.seconds > 0.0), "{answers:?}");
        assert!(matches!(&answers[4], Answer::Dropped {}), "{answers:?}");
        assert!(matches!(&answers[5], Answer::Error { .. }), "{answers:?}");
    }

    #[test]
    fn what_is_not_understood_is_answered_by_name() {
        let answers = answers(&[r#"{"do":"dance"}"#, r#"{"do":"prepare","row":"nf5","setting":""}"#]);
        assert!(matches!(&answers[1], Answer::Error { error } if error.contains("dance")), "{answers:?}");
        assert!(matches!(&answers[2], Answer::Error { error } if error.contains("nf5")), "{answers:?}");
    }
}
