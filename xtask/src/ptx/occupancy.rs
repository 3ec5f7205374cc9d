//! How many blocks of a kernel one multiprocessor holds.

use anyhow::bail;

/// The limits of one streaming multiprocessor (CUDA C++ programming guide, "compute capabilities").
#[derive(Debug, Clone, Copy)]
pub struct Multiprocessor {
    warps: u32,
    blocks: u32,
    shared: u32,
}

/// 32-bit registers of a multiprocessor, of every architecture here.
const REGISTERS: u32 = 65_536;
/// Registers are given to warps in runs of this many.
const REGISTER_RUN: u32 = 256;
/// Warps are placed on four partitions.
const PARTITIONS: u32 = 4;
/// Shared memory that the system takes of each block, and the step it is given in.
const SHARED_RESERVED: u32 = 1024;
const SHARED_STEP: u32 = 128;

impl Multiprocessor {
    /// The limits of an architecture such as `sm_80`.
    pub fn of(architecture: &str) -> anyhow::Result<Self> {
        let (warps, blocks, kib) = match architecture {
            "sm_80" => (64, 32, 164),
            "sm_86" => (48, 16, 100),
            "sm_89" => (48, 24, 100),
            "sm_90" => (64, 32, 228),
            other => bail!("`{other}` is not one of sm_80, sm_86, sm_89, sm_90"),
        };
        Ok(Self { warps, blocks, shared: kib * 1024 })
    }

    /// Blocks that fit at once.
    pub fn blocks(self, threads: u32, registers: u32, shared: u32) -> u32 {
        let warps = threads.div_ceil(32).max(1);
        let per_warp = (registers * 32).next_multiple_of(REGISTER_RUN).max(REGISTER_RUN);
        let by_registers = (REGISTERS / per_warp) / PARTITIONS * PARTITIONS / warps;
        let by_shared = self.shared / (shared.next_multiple_of(SHARED_STEP) + SHARED_RESERVED);
        self.blocks.min(self.warps / warps).min(by_registers).min(by_shared)
    }

    /// The share of the warps that are then resident.
    pub fn occupancy(self, threads: u32, blocks: u32) -> f64 {
        f64::from(blocks * threads.div_ceil(32)) / f64::from(self.warps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scarcest_resource_decides() {
        let sm = Multiprocessor::of("sm_80").unwrap();
        assert_eq!(sm.blocks(256, 32, 0), 8); // 64 warps
        assert_eq!(sm.blocks(256, 64, 0), 4); // 64 registers · 2048 threads is twice what there is
        assert_eq!(sm.blocks(256, 32, 48 * 1024), 3); // 164 KiB / 49 KiB
        assert_eq!(sm.blocks(32, 16, 0), 32); // blocks
        assert_eq!(sm.blocks(1024, 65, 0), 0); // does not fit at all
        assert!((sm.occupancy(256, 4) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn an_architecture_without_limits_here_is_refused() {
        assert!(Multiprocessor::of("sm_52").unwrap_err().to_string().contains("sm_90"));
    }
}
