//! The arithmetic of streaming.
//!
//! A step reads every block once on the way forward and once on the way back, the next one while this one
//! computes. With `W` bytes of a block, a disk of `R` bytes per second, `n` blocks, and `f` and `b` the seconds of
//! a block forwards and backwards with its weights in memory (they grow with tokens and rank), a step of `T`
//! tokens takes
//!
//! ```text
//! (n − 1) · max(f, W/R) + n · max(b, W/R) + n · o + h
//! ```
//!
//! where `o` is the update of a block's adapters, and `h` final norm, head and loss. Disk and cores are in balance
//! where `f + b = 2 · W/R`, that is at a disk of `R = 2 · W/(f + b)`; from `f = W/R` on, nothing waits. Blocks that stay in memory are read less often:
//! with `k` of them the disk has `2 · (n − k)` reads, so that what is found here is the case of least memory.

use serde::Serialize;

use super::super::report::Settings;
use super::crossing::{Crossing, crossing};
use super::measure::{Measured, Streamed, Times};

/// Sequential reading of solid-state disks in laptops, bytes per second, as their makers state it.
const LAPTOPS: [(&str, f64); 2] = [("NVMe, PCIe 3.0 ×4", 3.5e9), ("NVMe, PCIe 4.0 ×4", 7.0e9)];

/// A disk.
#[derive(Clone, Debug, Serialize)]
pub struct Disk {
    /// What it is called in tables.
    pub name: String,
    /// Bytes per second.
    pub reading: f64,
}

/// Where disk and cores balance, and what a step yields on either side of it.
#[derive(Clone, Debug, Serialize)]
pub struct Balance {
    /// Name of the shapes.
    pub size: String,
    /// The processor.
    pub processor: String,
    /// Threads that compute.
    pub threads: usize,
    /// Blocks of the whole model.
    pub blocks: usize,
    /// The rank that the streamed measurement had.
    pub rank: usize,
    /// What was measured.
    pub measured: Measured,
    /// This machine's disk first.
    pub disks: Vec<Disk>,
}

impl Balance {
    /// From what was measured.
    pub fn of(settings: &Settings, blocks: usize, measured: Measured) -> Self {
        // The shortest row leaves the reading thread least disturbed.
        let here = Disk { name: "this disk".to_owned(), reading: measured.streamed[0].reading };
        let laptops = LAPTOPS.map(|(name, reading)| Disk { name: name.to_owned(), reading });
        Self {
            size: settings.size.clone(),
            processor: camelid_kernels::processor_name(),
            threads: rayon::current_num_threads(),
            blocks,
            rank: settings.rank,
            measured,
            disks: [here].into_iter().chain(laptops).collect(),
        }
    }

    /// Seconds in which a disk reads a block.
    pub fn read_seconds(&self, disk: &Disk) -> f64 {
        self.measured.block_bytes as f64 / disk.reading
    }

    /// The ranks that were measured.
    pub fn ranks(&self) -> Vec<usize> {
        let mut ranks: Vec<usize> = self.measured.computed.iter().map(|times| times.rank).collect();
        ranks.dedup();
        ranks
    }

    /// What was computed at a rank, from the shortest row to the longest.
    pub fn at_rank(&self, rank: usize) -> impl Iterator<Item = &Times> {
        self.measured.computed.iter().filter(move |times| times.rank == rank)
    }

    /// Tokens at which reading takes as long as computing.
    pub fn balanced_length(&self, disk: &Disk, rank: usize) -> Crossing {
        crossing(&self.points(rank, |times| times.forward + times.backward), 2.0 * self.read_seconds(disk))
    }

    /// Tokens from which on nothing waits for the disk.
    pub fn length_without_waits(&self, disk: &Disk, rank: usize) -> Crossing {
        crossing(&self.points(rank, |times| times.forward), self.read_seconds(disk))
    }

    /// The rank at which reading takes as long as computing, for rows of so many tokens.
    pub fn balanced_rank(&self, disk: &Disk, tokens: usize) -> Crossing {
        let rows = self.measured.computed.iter().filter(|times| times.tokens == tokens);
        let points: Vec<(f64, f64)> =
            rows.map(|times| (times.rank as f64, times.forward + times.backward)).collect();
        crossing(&points, 2.0 * self.read_seconds(disk))
    }

    /// Bytes per second of the disk that reads as long as the cores compute.
    pub fn balanced_reading(&self, times: &Times) -> f64 {
        2.0 * self.measured.block_bytes as f64 / (times.forward + times.backward)
    }

    fn points(&self, rank: usize, of: impl Fn(&Times) -> f64) -> Vec<(f64, f64)> {
        self.at_rank(rank).map(|times| (times.tokens as f64, of(times))).collect()
    }

    /// Tokens per second of the whole model; without a disk, as though its weights were in memory.
    pub fn tokens_per_second(&self, times: &Times, disk: Option<&Disk>) -> f64 {
        let read = disk.map_or(0.0, |disk| self.read_seconds(disk));
        self.rate(times, times.forward.max(read), times.backward.max(read))
    }

    /// The same with a block's times as they were while it was read.
    pub fn streamed_tokens_per_second(&self, times: &Times, streamed: &Streamed) -> f64 {
        self.rate(times, streamed.forward, streamed.backward)
    }

    fn rate(&self, times: &Times, forward: f64, backward: f64) -> f64 {
        let blocks = self.blocks as f64;
        // The measured head has the last block's way back in it.
        let head = (times.head - times.backward).max(0.0);
        let step = (blocks - 1.0) * forward + blocks * (backward + times.optimizer) + head;
        times.tokens as f64 / step
    }

    /// The most tokens per second that reading alone allows, for rows of so many.
    pub fn reading_alone(&self, disk: &Disk, tokens: f64) -> f64 {
        tokens / ((2 * self.blocks - 1) as f64 * self.read_seconds(disk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of 1 GB, a disk of 1 GB/s; a token takes 10 ms forwards and 30 back, 1 % more for each rank.
    fn balance() -> Balance {
        let times = |rank: usize, tokens: usize| {
            let factor = tokens as f64 * (1.0 + rank as f64 / 100.0);
            let (forward, backward) = (0.010 * factor, 0.030 * factor);
            Times { rank, tokens, forward, backward, head: backward, optimizer: 0.0 }
        };
        let computed =
            [0, 100].iter().flat_map(|&rank| [4, 16, 64, 256].map(|tokens| times(rank, tokens))).collect();
        Balance {
            size: "test".into(),
            processor: "test".into(),
            threads: 1,
            blocks: 10,
            rank: 0,
            measured: Measured {
                compute: "f32".into(),
                blocks: 6,
                block_bytes: 1_000_000_000,
                computed,
                streamed: vec![],
            },
            disks: vec![Disk { name: "test".into(), reading: 1e9 }],
        }
    }

    #[test]
    fn disk_and_cores_balance_where_their_seconds_are_equal() {
        let balance = balance();
        let disk = &balance.disks[0];
        let at = |crossing: Crossing| match crossing {
            Crossing::At(x) => x,
            other => panic!("{other:?}"),
        };
        assert!((at(balance.balanced_length(disk, 0)) - 50.0).abs() < 1e-9);
        assert!((at(balance.length_without_waits(disk, 0)) - 100.0).abs() < 1e-9);
        assert!((at(balance.balanced_length(disk, 100)) - 25.0).abs() < 1e-9, "twice the work a token");
        assert_eq!(balance.balanced_rank(disk, 16), Crossing::Above(100.0));
        assert_eq!(balance.balanced_rank(disk, 64), Crossing::Below(0.0));
    }

    #[test]
    fn tokens_per_second_follow_the_slower_of_disk_and_cores() {
        let balance = balance();
        let (disk, rows) = (&balance.disks[0], balance.at_rank(0).collect::<Vec<_>>());
        let short = balance.tokens_per_second(rows[0], Some(disk));
        assert!((short - balance.reading_alone(disk, 4.0)).abs() < 1e-9);
        let long = balance.tokens_per_second(rows[3], Some(disk));
        assert!((long - balance.tokens_per_second(rows[3], None)).abs() < 1e-9);
        // At 64 tokens the way forward waits (0.64 of 1 s), the way back does not (1.92 s).
        let between = balance.tokens_per_second(rows[2], Some(disk));
        assert!((between - 64.0 / (9.0 + 10.0 * 1.92)).abs() < 1e-9);
    }
}
