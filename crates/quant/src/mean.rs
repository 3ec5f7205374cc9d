//! The mean of the scales, to the bit as PyTorch's CPU build computes it.

/// Lanes of an AVX2 vector; PyTorch does not build its sum for AVX-512.
const LANES: usize = 8;
/// Independent accumulators per lane.
const ROWS: usize = 4;
/// Levels of the cascade.
const LEVELS: usize = 4;

/// `torch.mean` of a contiguous f32 tensor on one CPU thread, bit for bit.
///
/// bitsandbytes takes this mean off the scales before it quantises them, so the
/// order of the additions reaches the file. PyTorch's sum cascades: 8 lanes × 4
/// accumulators, each emptied into a slower one every 16 (or more) steps, four
/// levels deep; then accumulators, then the ragged end, then lanes. Above 32,768
/// scales PyTorch splits the sum over its threads and the last bit depends on
/// their number; here it never does.
///
/// The mean of nothing is 0.
pub fn torch_mean(values: &[f32]) -> f32 {
    if values.is_empty() { 0.0 } else { torch_sum(values) / values.len() as f32 }
}

fn torch_sum(values: &[f32]) -> f32 {
    if values.len() < LANES {
        return scalar_sum(values);
    }
    let (vectors, rest) = values.as_chunks::<LANES>();
    let (steps, ragged) = vectors.as_chunks::<ROWS>();
    let mut rows = cascade(steps);
    for vector in ragged {
        add(&mut rows[0], vector);
    }
    let [mut total, others @ ..] = rows;
    for row in &others {
        add(&mut total, row);
    }
    // The ragged end first, then the lanes.
    let tail = rest.iter().fold(0.0, |sum, value| sum + value);
    total.iter().fold(tail, |sum, lane| sum + lane)
}

/// Fewer values than lanes: the same scheme with lanes of one.
fn scalar_sum(values: &[f32]) -> f32 {
    let (steps, ragged) = values.as_chunks::<ROWS>();
    let mut rows = [0f32; ROWS];
    for step in steps {
        for (row, value) in rows.iter_mut().zip(step) {
            *row += value;
        }
    }
    for value in ragged {
        rows[0] += value;
    }
    rows[1..].iter().fold(rows[0], |sum, row| sum + row)
}

type Rows = [[f32; LANES]; ROWS];

fn cascade(steps: &[Rows]) -> Rows {
    let ceil_log2 = steps.len().next_power_of_two().trailing_zeros() as usize;
    let power = (ceil_log2 / LEVELS).max(4);
    let step = 1 << power;
    let mut levels = [[[0f32; LANES]; ROWS]; LEVELS];

    let whole = steps.len() / step * step;
    for (chunk, steps) in steps[..whole].chunks_exact(step).enumerate() {
        steps.iter().for_each(|step| add_rows(&mut levels[0], step));
        let done = (chunk + 1) * step;
        for level in 1..LEVELS {
            let emptied = std::mem::take(&mut levels[level - 1]);
            add_rows(&mut levels[level], &emptied);
            if done & ((step - 1) << (level * power)) != 0 {
                break;
            }
        }
    }
    steps[whole..].iter().for_each(|step| add_rows(&mut levels[0], step));
    let [mut total, slower @ ..] = levels;
    slower.iter().for_each(|level| add_rows(&mut total, level));
    total
}

fn add_rows(total: &mut Rows, rows: &Rows) {
    for (total, row) in total.iter_mut().zip(rows) {
        add(total, row);
    }
}

fn add(total: &mut [f32; LANES], values: &[f32; LANES]) {
    for (total, value) in total.iter_mut().zip(values) {
        *total += value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_an_exact_sum_to_rounding() {
        for len in [0, 1, 3, 7, 8, 31, 32, 33, 511, 512, 513, 5_000, 70_001] {
            let values: Vec<f32> = (0..len).map(|i| ((i * 37) % 101) as f32 / 64.0).collect();
            let exact = values.iter().map(|&v| f64::from(v)).sum::<f64>() / (len as f64).max(1.0);
            assert!((f64::from(torch_mean(&values)) - exact).abs() <= exact * 1e-6, "length {len}");
        }
    }
}
