//! The CubeCL implementation: a cube per row and head walks the positions that the row sees in chunks,
//! whose borders do not depend on the rows beside it: a row's bits are its own here too.

use burn::backend::TensorMetadata;
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::op::PagedAttentionOp;
use super::{PagedRows, Pool};
use crate::cube::buffers::{cubes, f32s, output, owned, scalars, units};
use crate::cube::host::numbers;
use crate::cube::reduce::{Units, cube_max, cube_sum};
use crate::cube::specimen::Specimen;

/// Positions whose weights are in shared memory together.
const CHUNK: usize = 128;
/// Units of a cube that attends, and of one that writes.
const UNITS: u32 = 128;

/// What a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Plan {
    units: Units,
    d: usize,
}

impl Plan {
    /// Elements of a result that a unit adds up.
    fn channels(self) -> usize {
        self.d.div_ceil(self.units.count)
    }
}

/// Writes an element of a new key and of a new value; `slots` has the block of each row and the place in it.
#[cube(launch_unchecked)]
fn append(
    k: &[f32],
    v: &[f32],
    slots: &[u32],
    keys: &mut [f32],
    values: &mut [f32],
    count: u32,
    heads: u32,
    d: u32,
    positions: u32,
) {
    let at = ABSOLUTE_POS as u32;
    if at < count {
        let (head, c) = (at / d % heads, at % d);
        let row = (at / d / heads) as usize;
        let (block, slot) = (slots[2 * row], slots[2 * row + 1]);
        let start = (block * heads + head) * d * positions;
        keys[(start + c * positions + slot) as usize] = k[at as usize];
        values[(start + slot * d + c) as usize] = v[at as usize];
    }
}

/// Online softmax over chunks of positions. `rows` has of each row where its sequence's blocks begin in
/// `blocks`, and how many positions it sees.
#[cube(launch_unchecked)]
fn attend(
    q: &[f32],
    keys: &[f32],
    values: &[f32],
    rows: &[u32],
    blocks: &[u32],
    out: &mut [f32],
    count: u32,
    heads: u32,
    group: u32,
    positions: u32,
    factor: f32,
    #[comptime] plan: Plan,
) {
    let d = comptime!(plan.d as u32);
    let unit_count = comptime!(plan.units.count as u32);
    let mut query = Shared::<[f32]>::new_slice(comptime!(plan.d));
    let mut weights = Shared::<[f32]>::new_slice(comptime!(CHUNK));
    let cube = CUBE_POS as u32;
    if cube < count {
        let (row, head) = (cube / heads, cube % heads);
        let (table, seen) = (rows[(2 * row) as usize], rows[(2 * row + 1) as usize]);
        let (key_heads, key_head) = (heads / group, head / group);
        for c in range_stepped(UNIT_POS, d, unit_count) {
            query[c as usize] = q[(cube * d + c) as usize] * factor;
        }
        let mut sums = Array::<f32>::new(comptime!(plan.channels()));
        for i in 0..comptime!(plan.channels()) {
            sums[i] = 0.0;
        }
        let mut largest = comptime!(f32::MIN).runtime();
        let mut total = 0.0f32;
        for from in range_stepped(0u32, seen, comptime!(CHUNK as u32)) {
            let width = min(comptime!(CHUNK as u32).runtime(), seen - from);
            // The query is there, and the weights of the chunk before have been used.
            sync_cube();
            let mut most = comptime!(f32::MIN).runtime();
            for j in range_stepped(UNIT_POS, width, unit_count) {
                let position = from + j;
                let block = blocks[(table + position / positions) as usize];
                let first = (block * key_heads + key_head) * d * positions + position % positions;
                let mut score = 0.0f32;
                for c in 0..d {
                    score += query[c as usize] * keys[(first + c * positions) as usize];
                }
                weights[j as usize] = score;
                most = select(score > most, score, most);
            }
            let most = cube_max(most, plan.units);
            let new = select(most > largest, most, largest);
            let mut part = 0.0f32;
            for j in range_stepped(UNIT_POS, width, unit_count) {
                let weight = (weights[j as usize] - new).exp();
                weights[j as usize] = weight;
                part += weight;
            }
            let shrink = (largest - new).exp();
            // Behind this sum every unit sees every weight.
            total = total * shrink + cube_sum(part, plan.units);
            largest = new;
            for i in 0..comptime!(plan.channels()) {
                let c = UNIT_POS + i as u32 * unit_count;
                if c < d {
                    let mut sum = sums[i] * shrink;
                    for j in 0..width {
                        let position = from + j;
                        let block = blocks[(table + position / positions) as usize];
                        let first = ((block * key_heads + key_head) * positions + position % positions) * d;
                        sum += weights[j as usize] * values[(first + c) as usize];
                    }
                    sums[i] = sum;
                }
            }
        }
        for i in 0..comptime!(plan.channels()) {
            let c = UNIT_POS + i as u32 * unit_count;
            if c < d {
                out[(cube * d + c) as usize] = sums[i] / total;
            }
        }
    }
}

impl PagedAttentionOp for CubeBackend {
    fn paged_append_op(
        keys: CubeTensor,
        values: CubeTensor,
        k: CubeTensor,
        v: CubeTensor,
        rows: PagedRows,
    ) -> (CubeTensor, CubeTensor) {
        let pool = pool(&keys, &values);
        pool.check_new(&k.shape().to_vec(), &v.shape().to_vec(), &rows);
        let [k, v] = [k, v].map(f32s);
        let [keys, values] = [keys, values].map(|pool| owned(f32s(pool)));
        let slots: Vec<u32> =
            rows.slots(pool.positions).flat_map(|(block, slot)| [block, slot as u32]).collect();
        let count = k.meta.num_elements();
        if count == 0 {
            return (keys, values);
        }
        let client = keys.client.clone();
        let units = units(&client, UNITS);
        // SAFETY: `k` and `v` hold `count` elements, the pools every block of `slots`, as `check_new` found;
        // units beyond the elements do nothing.
        #[allow(unsafe_code)]
        unsafe {
            append::launch_unchecked(
                &client,
                cubes(&client, count.div_ceil(units as usize)),
                CubeDim::new_1d(units),
                scalars(&k),
                scalars(&v),
                scalars(&numbers(&k, &slots)),
                scalars(&keys),
                scalars(&values),
                count as u32,
                pool.heads as u32,
                pool.d as u32,
                pool.positions as u32,
            );
        }
        (keys, values)
    }

    fn paged_attention_op(
        q: CubeTensor,
        keys: CubeTensor,
        values: CubeTensor,
        scale: f32,
        rows: PagedRows,
    ) -> CubeTensor {
        let pool = pool(&keys, &values);
        let shape = q.shape().to_vec();
        let heads = pool.check_queries(&shape, &rows);
        let [q, keys, values] = [q, keys, values].map(f32s);
        let out = output(&q, shape, DType::F32);
        let count = rows.total() * heads;
        if count == 0 {
            return out;
        }
        let (mut places, mut blocks) = (Vec::new(), Vec::new());
        for sequence in rows.sequences() {
            let seen = sequence.start + 1..=sequence.start + sequence.rows;
            places.extend(seen.flat_map(|seen| [blocks.len() as u32, seen as u32]));
            blocks.extend_from_slice(&sequence.blocks);
        }
        let client = out.client.clone();
        let plan = Plan { units: Units::new(&client, UNITS), d: pool.d };
        // SAFETY: `q` and `out` hold `count` heads of `d` elements, and cubes beyond them do nothing. Each row
        // sees positions whose blocks its sequence has and the pool holds, as `check_queries` found.
        #[allow(unsafe_code)]
        unsafe {
            attend::launch_unchecked(
                &client,
                cubes(&client, count),
                plan.units.dim(),
                scalars(&q),
                scalars(&keys),
                scalars(&values),
                scalars(&numbers(&q, &places)),
                scalars(&numbers(&q, &blocks)),
                scalars(&out),
                count as u32,
                heads as u32,
                (heads / pool.heads) as u32,
                pool.positions as u32,
                scale,
                plan,
            );
        }
        out
    }
}

/// # Panics
/// If the shapes are not those of a pool, or it has more elements than kernels can count.
fn pool(keys: &CubeTensor, values: &CubeTensor) -> Pool {
    let pool = Pool::of(&keys.shape().to_vec(), &values.shape().to_vec());
    let elements = keys.meta.num_elements();
    assert!(
        u32::try_from(elements).is_ok(),
        "paged_attention: a pool of {elements} elements, 2^32 - 1 at most"
    );
    pool
}

pub(crate) fn specimens() -> Vec<Specimen> {
    const ROWS: usize = 64;
    const HEADS: usize = 32;
    const D: usize = 128;
    const SEEN: usize = 1024;
    const NEW: f64 = (ROWS * HEADS * D) as f64;
    vec![
        Specimen {
            name: "paged_append",
            shape: "64 rows, 32 heads of 128",
            cube_dim: CubeDim::new_1d(UNITS),
            cubes: ROWS * HEADS * D / UNITS as usize,
            bytes: 4.0 * 4.0 * NEW,
            operations: 0.0,
            tensor_cores: false,
            kernel: |t| {
                t.build(|s, d, p, b| append::Append::new(s, d, p, b(), b(), b(), b(), b(), (), (), (), ()))
            },
        },
        Specimen {
            name: "paged_attention",
            shape: "64 rows that see 1024 positions each, 32 heads of 128",
            cube_dim: CubeDim::new_1d(UNITS),
            cubes: ROWS * HEADS,
            bytes: 4.0 * (2.0 * NEW + 2.0 * NEW * SEEN as f64),
            operations: 4.0 * NEW * SEEN as f64,
            tensor_cores: false,
            kernel: |t| {
                const PLAN: Plan = Plan { units: Units { count: UNITS as usize, plane: 32 }, d: D };
                t.build(|s, d, p, b| {
                    attend::Attend::new(s, d, p, b(), b(), b(), b(), b(), b(), (), (), (), (), (), PLAN)
                })
            },
        },
    ]
}
