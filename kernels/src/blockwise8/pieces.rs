//! A dynamic map as the pieces on which it is linear.

/// Further from a code than this (in codes) the linear rule does not decide. Its error stays
/// below the 10⁻⁴ left to one half: map, slope, intercept and sum are rounded by a few units in
/// the last place of a magnitude up to 1, or of a place up to 256, and a unit holds 143 codes.
pub(super) const SURE: f32 = 0.4999;

/// The pieces of a map on which it is linear: zero, then seven decades.
///
/// The n codes of a decade follow each other at steps of 0.9/n of its end, from half a step above
/// a tenth of it. So the place of a magnitude among them, counted from the code of zero, is
/// `slope·magnitude + 8n/9 − 1/2`, where in a signed map the n-th code is the first of the n;
/// an unsigned map has twice as many codes in each, and the first is the one before.
pub(crate) struct Pieces {
    /// Bits of the magnitude above which the next piece begins; the last piece never ends.
    pub ends: [i32; 8],
    pub slope: [f32; 8],
    /// Above this the code is that of 1.
    pub top: f32,
    pub signed: bool,
}

impl Pieces {
    /// Of a map's midpoints; 127 of a signed map's entries are negative.
    pub fn new(midpoints: &[f32; 255], signed: bool) -> Self {
        let zero = if signed { 127 } else { 0 };
        let (mut ends, mut slope) = ([i32::MAX; 8], [0.0; 8]);
        let mut first = 1;
        for piece in 1..8 {
            let count = (1 << (piece - 1)) * if signed { 1 } else { 2 };
            ends[piece - 1] = midpoints[zero + first - 1].to_bits() as i32;
            slope[piece] = (count as f64 / 0.9 * 10f64.powi(7 - piece as i32)) as f32;
            first += count;
        }
        Pieces { ends, slope, top: midpoints[254], signed }
    }
}
