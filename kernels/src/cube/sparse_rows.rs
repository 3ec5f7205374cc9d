//! Rows added up at their places in a larger matrix that is zero elsewhere.

use burn::tensor::DType;
use burn_cubecl::ops::numeric::zeros;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::buffers::{cubes, output, rows, scalars, units, vectors};
use super::host::numbers;
use super::specimen::Specimen;

/// Units of a cube.
const UNITS: u32 = 256;

/// A cube per row of the result that gets anything: it adds up its rows in their order.
#[cube(launch_unchecked)]
fn add_rows<N: Size>(
    from: &[Vector<f32, N>],
    targets: &[u32],
    starts: &[u32],
    sources: &[u32],
    to: &mut [Vector<f32, N>],
    count: u32,
    vectors: u32,
) {
    let target = CUBE_POS as u32;
    if target < count {
        let (start, end) = (starts[target as usize], starts[(target + 1) as usize]);
        let row = targets[target as usize] * vectors;
        for column in range_stepped(UNIT_POS, vectors, CUBE_DIM) {
            let mut sum = Vector::<f32, N>::new(0.0f32);
            for source in start..end {
                sum += from[(sources[source as usize] * vectors + column) as usize];
            }
            to[(row + column) as usize] = sum;
        }
    }
}

/// A matrix of `height` rows: row `places[i]` is the sum of the rows `i` of `from` that are
/// placed there, added in their order; rows where none is are zero.
///
/// # Panics
/// Unless there is a place, below `height`, for each row of `from`.
pub(crate) fn placed(from: &CubeTensor, places: &[usize], height: usize) -> CubeTensor {
    let (n, d) = rows(from);
    assert_eq!(places.len(), n, "one place per row");
    assert!(places.iter().all(|&place| place < height), "rows placed in a matrix of {height}");
    if height * d == 0 {
        return output(from, [height, d], DType::F32);
    }
    let to = zeros(from.device.clone(), [height, d].into(), DType::F32);
    if n == 0 {
        return to;
    }
    let mut sources: Vec<u32> = (0..n as u32).collect();
    sources.sort_by_key(|&row| places[row as usize]); // stable: equal places keep the rows' order
    let mut targets = Vec::new();
    let mut starts = Vec::new();
    for (i, &row) in sources.iter().enumerate() {
        let place = places[row as usize] as u32;
        if targets.last() != Some(&place) {
            targets.push(place);
            starts.push(i as u32);
        }
    }
    starts.push(n as u32);
    let lanes = if d.is_multiple_of(4) { 4 } else { 1 };
    let client = to.client.clone();
    // SAFETY: the targets are rows of the result, the sources rows of `from`, and the starts divide
    // the sources into runs; a cube beyond the targets neither reads nor writes.
    #[allow(unsafe_code)]
    unsafe {
        add_rows::launch_unchecked(
            &client,
            cubes(&client, targets.len()),
            CubeDim::new_1d(units(&client, UNITS)),
            lanes,
            vectors(from, lanes),
            scalars(&numbers(from, &targets)),
            scalars(&numbers(from, &starts)),
            scalars(&numbers(from, &sources)),
            vectors(&to, lanes),
            targets.len() as u32,
            (d / lanes) as u32,
        );
    }
    to
}

pub(crate) fn specimens() -> Vec<Specimen> {
    const N: usize = 2048;
    const D: usize = 4096;
    vec![Specimen {
        name: "embedding gradient",
        shape: "2048 different rows of 4096",
        cube_dim: CubeDim::new_1d(UNITS),
        cubes: N,
        bytes: 8.0 * (N * D) as f64,
        operations: (N * D) as f64,
        tensor_cores: false,
        kernel: |t| t.build(|s, d, p, b| add_rows::AddRows::new(s, d, p, b(), b(), b(), b(), b(), (), (), 4)),
    }]
}
