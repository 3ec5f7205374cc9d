//! Who used the cores while something was timed.

use std::time::Instant;

/// Largest share of all cores that other processes may take in a clean sample.
pub const OTHERS_ALLOWED: f64 = 0.08;

/// Counts what this process and others work from the moment it is made.
///
/// It reads `/proc`, whose clock ticks every 10 ms: samples shorter than about 0.2 s
/// are judged roughly. Where there is no `/proc` others are taken to be idle.
#[derive(Debug)]
pub struct Watch {
    start: Instant,
    busy: f64,
    own: f64,
}

impl Watch {
    /// Begins now.
    pub fn start() -> Self {
        Self { start: Instant::now(), busy: busy_seconds(), own: own_seconds() }
    }

    /// Seconds since then.
    pub fn elapsed(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// Core-seconds that this process worked since then.
    pub fn worked(&self) -> f64 {
        own_seconds() - self.own
    }

    /// The share of all cores that other processes took since then.
    pub fn others(&self) -> f64 {
        let elapsed = self.elapsed();
        let used = (busy_seconds() - self.busy) - self.worked();
        (used / (cores() as f64 * elapsed)).max(0.0)
    }
}

/// Cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Core-seconds worked since the system started, whoever for: all but idle and
/// waiting for disks, stolen time included.
fn busy_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks: Vec<f64> = fields.filter_map(|field| field.parse().ok()).collect();
    const IDLE_AND_WAIT: [usize; 2] = [3, 4];
    let busy = ticks.iter().take(8).enumerate().filter(|(i, _)| !IDLE_AND_WAIT.contains(i));
    busy.map(|(_, ticks)| ticks).sum::<f64>() / ticks_per_second()
}

/// Core-seconds that this process worked.
fn own_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The command's name, in parentheses, may hold spaces: count from behind it.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    const USER_AND_SYSTEM: std::ops::Range<usize> = 11..13;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = fields.get(USER_AND_SYSTEM).unwrap_or_default();
    ticks.iter().filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / ticks_per_second()
}

#[cfg(unix)]
fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

#[cfg(not(unix))]
fn ticks_per_second() -> f64 {
    100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_work_is_not_taken_for_that_of_others() {
        let watch = Watch::start();
        let mut x = 1.0f64;
        while watch.elapsed() < 0.3 {
            x = std::hint::black_box(x * 1.000_001);
        }
        assert!((0.0..=1.1).contains(&watch.others()));
        if cfg!(target_os = "linux") {
            let worked = watch.worked();
            assert!(worked > 0.0 && worked < 1.0, "{worked}");
        }
    }
}
