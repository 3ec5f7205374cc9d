//! The forward pass: a cube per tile of queries and head.

use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::tile::{Needs, Tile, Weighing, accumulate, load, multiply, scale, store};
use super::{Heads, QUERY_FIELDS, Sequence, query_tiles};
use crate::cube::buffers::{scalars, vectors};
use crate::cube::host::numbers;
use crate::cube::specimen::Specimen;

/// (queries, keys, units) from the largest on.
const CHOICES: [(usize, usize, usize); 4] = [(64, 32, 128), (32, 32, 64), (16, 16, 16), (8, 8, 4)];
/// A tile of queries, and one that holds keys and then their values.
const NEEDS: Needs = Needs { query_tiles: 1, key_tiles: 1, score_tiles: 1 };

#[cube(launch_unchecked)]
fn forward<N: Size>(
    q: &[Vector<f32, N>],
    k: &[Vector<f32, N>],
    v: &[Vector<f32, N>],
    tiles: &[u32],
    out: &mut [f32],
    lse: &mut [f32],
    heads: u32,
    group: u32,
    d: u32,
    factor: f32,
    #[comptime] plan: Tile,
) {
    let unrolled = comptime!(plan.unrolled());
    let keys = comptime!(plan.keys as u32);
    let score_pitch = comptime!(plan.score_pitch() as u32);
    let across = comptime!(plan.across() as u32);
    let (tx, ty) = (UNIT_POS % across, UNIT_POS / across);
    let mut query_tile =
        Shared::<[Vector<f32, Const<4>>]>::new_aligned_slice(comptime!(plan.queries * plan.pitch()), 16usize);
    let mut key_tile =
        Shared::<[Vector<f32, Const<4>>]>::new_aligned_slice(comptime!(plan.keys * plan.pitch()), 16usize);
    let mut weights = Shared::<[f32]>::new_slice(comptime!(plan.queries * plan.score_pitch()));
    let mut largest = Shared::<[f32]>::new_slice(comptime!(plan.queries));
    let mut totals = Shared::<[f32]>::new_slice(comptime!(plan.queries));
    let mut shrinks = Shared::<[f32]>::new_slice(comptime!(plan.queries));

    let tile = CUBE_POS_X as usize * comptime!(QUERY_FIELDS);
    let (first, count) = (tiles[tile], tiles[tile + 1]);
    let (first_key, seen) = (tiles[tile + 2], tiles[tile + 3]);
    let head = CUBE_POS_Y;
    let (stride, key_stride) = (heads * d, heads / group * d);
    let (offset, key_offset) = (head * d, head / group * d);
    let seen_by_last = seen + count - 1;

    load(&mut query_tile, q, first, count, stride, offset, d, plan.queries, plan);
    for row in range_stepped(UNIT_POS, comptime!(plan.queries as u32), comptime!(plan.units as u32)) {
        largest[row as usize] = comptime!(f32::MIN).runtime();
        totals[row as usize] = 0.0;
    }
    let mut scores = Array::<f32>::new(comptime!(plan.scores()));
    let mut sums = Array::<f32>::new(comptime!(plan.sums()));
    #[unroll(unrolled)]
    for i in 0..comptime!(plan.sums()) {
        sums[i] = 0.0;
    }

    for key in range_stepped(0u32, seen_by_last, keys) {
        let width = min(comptime!(plan.keys as u32).runtime(), seen_by_last - key);
        sync_cube();
        load(&mut key_tile, k, first_key + key, width, key_stride, key_offset, d, plan.keys, plan);
        sync_cube();
        multiply(&query_tile, &key_tile, &mut scores, plan);
        #[unroll(unrolled)]
        for r in 0..comptime!(plan.tall()) {
            #[unroll(unrolled)]
            for c in 0..comptime!(plan.wide()) {
                let piece = (r * comptime!(plan.wide()) + c) * 16;
                #[unroll]
                for i in 0..4usize {
                    let row = ty
                        + r as u32 * comptime!(plan.unit_rows() as u32)
                        + comptime!((i * plan.down()) as u32);
                    #[unroll]
                    for j in 0..4usize {
                        let col = tx + c as u32 * across + comptime!((j * plan.key_step()) as u32);
                        weights[(row * score_pitch + col) as usize] =
                            scores[piece + comptime!(i * 4 + j)] * factor;
                    }
                }
            }
        }
        sync_cube();
        // The keys have been used: their values take their place while the softmax runs.
        load(&mut key_tile, v, first_key + key, width, key_stride, key_offset, d, plan.keys, plan);
        for row in range_stepped(UNIT_POS, comptime!(plan.queries as u32), comptime!(plan.units as u32)) {
            let from = row * score_pitch;
            let old = largest[row as usize];
            let mut new = old;
            for col in 0..keys {
                let score = weights[(from + col) as usize];
                new = select(key + col < seen + row && score > new, score, new);
            }
            let mut total = 0.0f32;
            for col in 0..keys {
                let p = (weights[(from + col) as usize] - new).exp();
                let p = select(key + col < seen + row, p, 0.0f32);
                weights[(from + col) as usize] = p;
                total += p;
            }
            let shrink = (old - new).exp();
            shrinks[row as usize] = shrink;
            totals[row as usize] = fma(totals[row as usize], shrink, total);
            largest[row as usize] = new;
        }
        sync_cube();
        scale(&mut sums, &shrinks, plan);
        accumulate(&weights, &key_tile, &mut sums, Weighing::Queries, plan);
    }

    sync_cube();
    for row in range_stepped(UNIT_POS, comptime!(plan.queries as u32), comptime!(plan.units as u32)) {
        let total = totals[row as usize];
        shrinks[row as usize] = 1.0f32 / total;
        if row < count {
            lse[((first + row) * heads + head) as usize] = largest[row as usize] + total.ln();
        }
    }
    sync_cube();
    scale(&mut sums, &shrinks, plan);
    store(&sums, out, first, count, stride, offset, d, plan);
}

/// Computes `out[rows, heads, d]` and `lse[rows, heads]`.
pub(super) fn launch(
    [q, k, v]: [&CubeTensor; 3],
    [out, lse]: [&CubeTensor; 2],
    factor: f32,
    sequences: &[Sequence],
    heads: Heads,
) {
    let client = &out.client;
    let Heads { queries, keys, d } = heads;
    let plan = Tile::new(client, d, &CHOICES, NEEDS);
    let tiles = query_tiles(sequences, plan.queries);
    if tiles.is_empty() || queries == 0 || d == 0 {
        return;
    }
    let lanes = if d.is_multiple_of(4) { 4 } else { 1 };
    // SAFETY: the tiles lie in the sequences, whose rows `q`, `k` and `v` hold; nothing beyond a
    // tile's rows or a head's elements is read or written.
    #[allow(unsafe_code)]
    unsafe {
        forward::launch_unchecked(
            client,
            CubeCount::Static((tiles.len() / QUERY_FIELDS) as u32, queries as u32, 1),
            CubeDim::new_1d(plan.units as u32),
            lanes,
            vectors(q, lanes),
            vectors(k, lanes),
            vectors(v, lanes),
            scalars(&numbers(out, &tiles)),
            scalars(out),
            scalars(lse),
            queries as u32,
            (queries / keys) as u32,
            d as u32,
            factor,
            plan,
        );
    }
}

pub(super) fn specimens() -> Vec<Specimen> {
    use super::on_paper::{BYTES, D, HEADS, PAIRS, ROWS, SHAPE};
    const PLAN: Tile = Tile { queries: 64, keys: 32, fours: D / 4, units: 128 };
    vec![Specimen {
        name: "causal_attention forward",
        shape: SHAPE,
        cube_dim: CubeDim::new_1d(PLAN.units as u32),
        cubes: ROWS / PLAN.queries * HEADS,
        bytes: 4.0 * BYTES,
        operations: 4.0 * D as f64 * PAIRS,
        tensor_cores: false,
        kernel: |t| {
            t.build(|s, d, p, b| {
                forward::Forward::new(s, d, p, b(), b(), b(), b(), b(), b(), (), (), (), (), 4, PLAN)
            })
        },
    }]
}
