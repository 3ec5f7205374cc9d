//! Memory of this process, from the system.

use std::path::Path;

use crate::TrainError;

/// Resident memory in MiB.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Memory {
    /// Now.
    pub resident_mib: f64,
    /// The highest since the process began, or since [`Memory::reset_peak`].
    pub peak_mib: f64,
}

impl Memory {
    /// Reads `/proc/self/status`; zeros where there is none.
    pub fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mib = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
            kib.unwrap_or(0.0) / 1024.0
        };
        Self { resident_mib: mib("VmRSS:"), peak_mib: mib("VmHWM:") }
    }

    /// Lets the peak begin anew from the present size, where the system can.
    pub fn reset_peak() {
        // Without it the peak is that of the whole process: higher, not wrong.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
    }
}

/// How far this process's memory rose above where it was: the measured counterpart of a
/// [`MemoryPlan`](crate::MemoryPlan). Resident pages of mapped files are counted, the page cache
/// is not.
#[derive(Clone, Copy, Debug)]
pub struct PeakMemory {
    baseline: u64,
}

impl PeakMemory {
    /// Begins from what is resident now.
    ///
    /// # Errors
    /// [`TrainError::File`] where the system has no `/proc/self`, or no way to begin anew.
    pub fn begin() -> Result<Self, TrainError> {
        let baseline = status("VmRSS:")?;
        reset()?;
        Ok(Self { baseline })
    }

    /// Bytes that were resident at the beginning.
    pub fn baseline(&self) -> u64 {
        self.baseline
    }

    /// Bytes of the highest point so far above the beginning.
    ///
    /// # Errors
    /// As [`PeakMemory::begin`].
    pub fn peak(&self) -> Result<u64, TrainError> {
        Ok(status("VmHWM:")?.saturating_sub(self.baseline))
    }

    /// Bytes resident now above the beginning.
    ///
    /// # Errors
    /// As [`PeakMemory::begin`].
    pub fn resident(&self) -> Result<u64, TrainError> {
        Ok(status("VmRSS:")?.saturating_sub(self.baseline))
    }

    /// The highest point so far, after which the next one counts from here.
    ///
    /// # Errors
    /// As [`PeakMemory::begin`].
    pub fn take_peak(&self) -> Result<u64, TrainError> {
        let peak = self.peak()?;
        reset()?;
        Ok(peak)
    }
}

/// A figure of `/proc/self/status`, in bytes.
fn status(field: &str) -> Result<u64, TrainError> {
    let path = Path::new("/proc/self/status");
    let failed = TrainError::file(path, "read");
    let text = std::fs::read_to_string(path).map_err(&failed)?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    let kib = kib.ok_or_else(|| failed(std::io::Error::other(format!("no line `{field}`"))))?;
    Ok(kib << 10)
}

/// Lets `VmHWM` begin anew.
fn reset() -> Result<(), TrainError> {
    let path = Path::new("/proc/self/clear_refs");
    std::fs::write(path, "5").map_err(TrainError::file(path, "write"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_peak_is_seen_after_it_is_over() {
        const BYTES: usize = 64 << 20;
        let peak = PeakMemory::begin().unwrap();
        drop(std::hint::black_box(vec![1_u8; BYTES]));
        let seen = peak.take_peak().unwrap();
        // What else the process frees or touches meanwhile moves it by some pages.
        assert!(seen >= BYTES as u64 / 8 * 7 && seen < 2 * BYTES as u64, "{seen}");
        assert!(peak.peak().unwrap() < BYTES as u64, "the next one counts anew");
    }

    #[test]
    fn the_peak_is_at_least_what_is_resident() {
        let memory = Memory::now();
        if cfg!(target_os = "linux") {
            assert!(memory.resident_mib > 0.0);
        }
        assert!(memory.peak_mib >= memory.resident_mib);
    }
}
