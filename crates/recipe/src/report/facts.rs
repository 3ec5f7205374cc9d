//! Where and when a report was made.

use std::time::Instant;

use camelid_kernels::processor_name;
use serde::Serialize;

/// Where and when a report was made.
#[derive(Debug, Clone, Serialize)]
pub struct RunFacts {
    /// Seconds since the Unix epoch.
    pub finished_unix: i64,
    /// Date of the same, UTC, `YYYY-MM-DD`.
    pub date: String,
    /// Version of Camelid.
    pub camelid: String,
    /// Version of burn and the device that ran.
    pub backend: String,
    /// Processor, cores, memory.
    pub machine: String,
    /// Seconds from start to report; finished arms that were reused count nothing.
    pub seconds: f64,
    /// Arms taken from an earlier run of the same settings.
    pub reused_arms: usize,
}

impl RunFacts {
    /// The facts of a run that began at `started` and ends now, on the device of this label.
    pub fn of(started: Instant, reused_arms: usize, device: &str) -> Self {
        Self {
            finished_unix: chrono::Utc::now().timestamp(),
            date: today(),
            camelid: env!("CARGO_PKG_VERSION").to_owned(),
            backend: format!("burn 0.22.1, {device}"),
            machine: machine(),
            seconds: started.elapsed().as_secs_f64(),
            reused_arms,
        }
    }
}

/// Today's date, UTC, `YYYY-MM-DD`.
pub fn today() -> String {
    chrono::Utc::now().format("%Y-%m-%d").to_string()
}

/// Processor, cores and memory of this machine.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        total.split_whitespace().next()?.parse::<f64>().ok()
    });
    let memory = memory.map_or(String::new(), |kib| format!(", {:.0} GiB", kib / f64::from(1 << 20)));
    format!("{}, {cores} cores{memory}", processor_name())
}
