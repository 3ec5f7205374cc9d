//! One to four rows against a 4-bit weight: decoding.
//!
//! Each weight is read once and used at once, so the time is that of reading it, or of
//! looking up its codes. The rows of `x` are put into the order in which a loop looks codes up,
//! so that those need not be.

#![allow(unsafe_code)]

#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "aarch64")]
use neon::Loops;
#[cfg(target_arch = "x86_64")]
use x86::Loops;

use super::buffer::Buffer;
use super::pack4;
use crate::blockwise4::Packed4View;
use crate::isa::Isa;
use crate::weight_rows::WeightRows;

/// Values that a step of the loops takes: 16 bytes.
const STEP: usize = 32;

/// Rows of `x` that one pass takes at most.
pub(crate) const MOST: usize = 4;

/// Scales that loops may read beyond a row's last.
const SPARE: usize = 16;

/// `x[m, in]` ready to be multiplied with rows of a weight.
pub(crate) struct FewRows<'a> {
    weight: WeightRows<'a>,
    view: Packed4View<'a>,
    /// Values under one scale, aligned.
    run: usize,
    loops: Loops,
    /// The rows, in the order of the loops.
    x: Buffer,
    m: usize,
}

impl<'a> FewRows<'a> {
    /// Whether this processor and the weight's shape allow it.
    pub fn suits(weight: WeightRows<'a>) -> bool {
        pack4::runs(weight).is_some_and(|(_, run)| Isa::active() > Isa::Scalar && run >= STEP)
    }

    /// `None` where this processor or the weight's shape needs the plain way.
    pub fn new(weight: WeightRows<'a>, x: &[f32], m: usize) -> Option<Self> {
        let (view, run) = pack4::runs(weight)?;
        if !Self::suits(weight) || !(1..=MOST).contains(&m) {
            return None;
        }
        let loops = Loops::new(view.code.table());
        let mut parted = Buffer::take(x.len());
        assert_eq!(parted.len(), m * weight.inn);
        for (to, from) in parted.chunks_exact_mut(weight.inn).zip(x.chunks_exact(weight.inn)) {
            loops.part(to, from);
        }
        Some(Self { weight, view, run, loops, x: parted, m })
    }

    /// `y[rows, m] = W · xᵀ` for the rows of the weight from `first` on, as many as `y` holds; `scales` is
    /// scratch.
    pub fn dots(&self, first: usize, scales: &mut Vec<f32>, y: &mut [f32]) {
        let inn = self.weight.inn;
        let count = y.len() / self.m;
        assert!(first + count <= self.weight.out && y.len() == count * self.m);
        let start = (self.weight.first + first) * inn;
        self.loops.scales(&self.view, start, count * inn, self.run, scales);
        assert!(scales.len() >= count * inn / self.run + SPARE);
        let row = |i: usize| Row {
            bytes: &self.view.packed[(start + i * inn) / 2..][..inn / 2],
            scales: &scales[i * inn / self.run..],
            run: self.run,
            x: &self.x,
        };
        for (i, y) in y.chunks_exact_mut(self.m).enumerate() {
            let row = row(i);
            // SAFETY: the constructor saw the instruction set; the slices hold a row of the weight, a scale
            // for each of its runs and some to spare, and `m` rows of `x`.
            unsafe {
                match self.m {
                    1 => self.loops.dot::<1>(row, y),
                    2 => self.loops.dot::<2>(row, y),
                    3 => self.loops.dot::<3>(row, y),
                    _ => self.loops.dot::<4>(row, y),
                }
            }
        }
    }
}

/// A row of the weight and what it is multiplied with.
#[derive(Clone, Copy)]
struct Row<'a> {
    /// Whole runs of `run` values.
    bytes: &'a [u8],
    /// One for each run, and [`SPARE`] more.
    scales: &'a [f32],
    run: usize,
    /// Rows in the order of the loops, each of twice as many values as there are bytes.
    x: &'a [f32],
}

/// Parts `from` into even and odd elements, `each` at a time.
fn part(to: &mut [f32], from: &[f32], each: usize) {
    for (to, from) in to.chunks_exact_mut(each).zip(from.chunks_exact(each)) {
        let (even, odd) = to.split_at_mut(each / 2);
        for (i, pair) in from.chunks_exact(2).enumerate() {
            (even[i], odd[i]) = (pair[0], pair[1]);
        }
    }
}
