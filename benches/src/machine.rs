//! What the machine can do at most, measured.

use std::time::Instant;

use camelid_kernels::{Isa, probe};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::clock::{OTHERS_ALLOWED, Watch, cores};

/// Bytes of the buffers that bandwidth is measured with; the last-level cache times four
/// where that is more.
const BUFFER_BYTES: usize = 512 << 20;
/// The best of so many passes counts: a peak is what was reached once.
const PASSES: usize = 7;

/// A machine's name and its measured peaks, on all cores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor as it calls itself.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// The instruction set that the kernels use.
    pub isa: String,
    /// Bytes of the largest cache.
    pub last_level_cache: usize,
    /// Fused multiply-adds of f32, in GFLOP/s.
    pub f32_fma_gflops: f64,
    /// Products of bfloat16 pairs, in GFLOP/s, where there is an instruction for them.
    pub bf16_dot_gflops: Option<f64>,
    /// Copying memory, bytes read and written both counted, in GB/s.
    pub copy_gb_per_second: f64,
    /// Reading memory, in GB/s.
    pub read_gb_per_second: f64,
}

impl Machine {
    /// Measures this machine; takes about two seconds, and up to three times as long while
    /// other processes use the cores.
    pub fn measure() -> Self {
        let mut best: Option<Self> = None;
        for _ in 0..3 {
            let watch = Watch::start();
            let measured = Self::measure_once();
            best = Some(match best {
                None => measured,
                Some(before) => measured.at_best(&before),
            });
            if watch.others() <= OTHERS_ALLOWED {
                break;
            }
        }
        best.unwrap_or_else(Self::measure_once)
    }

    fn measure_once() -> Self {
        let last_level_cache = last_level_cache();
        let (copy, read) = bandwidths(BUFFER_BYTES.max(4 * last_level_cache));
        Self {
            cpu: camelid_kernels::processor_name(),
            cores: cores(),
            isa: Isa::active().to_string(),
            last_level_cache,
            f32_fma_gflops: peak(|| Some(probe::f32_fma())).unwrap_or(f64::NAN),
            bf16_dot_gflops: peak(probe::bf16_dot),
            copy_gb_per_second: copy,
            read_gb_per_second: read,
        }
    }

    /// The same machine with the higher of both peaks: a peak is what was reached once.
    pub fn at_best(self, other: &Machine) -> Self {
        Self {
            f32_fma_gflops: self.f32_fma_gflops.max(other.f32_fma_gflops),
            bf16_dot_gflops: self.bf16_dot_gflops.zip(other.bf16_dot_gflops).map(|(a, b)| a.max(b)),
            copy_gb_per_second: self.copy_gb_per_second.max(other.copy_gb_per_second),
            read_gb_per_second: self.read_gb_per_second.max(other.read_gb_per_second),
            ..self
        }
    }

    /// Whether figures of both can stand in one table.
    pub fn is_same(&self, other: &Machine) -> bool {
        (&self.cpu, self.cores, &self.isa) == (&other.cpu, other.cores, &other.isa)
    }
}

/// GFLOP/s of a loop run by every thread at once.
fn peak(run: impl Fn() -> Option<probe::Done> + Sync) -> Option<f64> {
    const CALLS: usize = 20;
    run()?;
    let pass = || {
        let start = Instant::now();
        let done = rayon::broadcast(|_| {
            (0..CALLS).filter_map(|_| std::hint::black_box(run())).map(|done| done.operations).sum::<f64>()
        });
        done.into_iter().sum::<f64>() / start.elapsed().as_secs_f64() * 1e-9
    };
    Some((0..PASSES).map(|_| pass()).fold(0.0, f64::max))
}

/// GB/s of copying and of reading.
fn bandwidths(bytes: usize) -> (f64, f64) {
    const CHUNK: usize = 1 << 17;
    let from = vec![1u64; bytes / 8];
    let mut to = vec![0u64; bytes / 8];
    let best = |mut pass: Box<dyn FnMut() + '_>| {
        let mut seconds = f64::INFINITY;
        for _ in 0..PASSES {
            let start = Instant::now();
            pass();
            seconds = seconds.min(start.elapsed().as_secs_f64());
        }
        seconds
    };
    let copy = best(Box::new(|| {
        to.par_chunks_mut(CHUNK).zip(from.par_chunks(CHUNK)).for_each(|(to, from)| to.copy_from_slice(from));
    }));
    let arch = pulp::Arch::new();
    let read = best(Box::new(|| {
        let sum = |chunk: &[u64]| arch.dispatch(|| chunk.iter().fold(0u64, |sum, &x| sum.wrapping_add(x)));
        std::hint::black_box(from.par_chunks(CHUNK).map(sum).reduce(|| 0, u64::wrapping_add));
    }));
    (2.0 * bytes as f64 / copy * 1e-9, bytes as f64 / read * 1e-9)
}

/// Bytes of the largest cache that the system names; 32 MiB where it names none.
pub(crate) fn last_level_cache() -> usize {
    let sizes = std::fs::read_dir("/sys/devices/system/cpu/cpu0/cache").into_iter().flatten().flatten();
    let sizes = sizes.filter_map(|entry| std::fs::read_to_string(entry.path().join("size")).ok());
    let bytes = sizes.filter_map(|size| {
        let (number, factor) = match size.trim() {
            size if size.ends_with('K') => (&size[..size.len() - 1], 1 << 10),
            size if size.ends_with('M') => (&size[..size.len() - 1], 1 << 20),
            size => (size, 1),
        };
        number.parse::<usize>().ok().map(|number| number * factor)
    });
    bytes.max().unwrap_or(32 << 20)
}
