//! Memory of this process, from the system.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_at_least_what_is_resident() {
        let memory = Memory::now();
        if cfg!(target_os = "linux") {
            assert!(memory.resident_mib > 0.0);
        }
        assert!(memory.peak_mib >= memory.resident_mib);
    }
}
