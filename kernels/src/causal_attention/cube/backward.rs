//! The backward pass: a cube per tile of queries and head for `dq`, a cube per tile of keys
//! and head of keys for `dk` and `dv`.
//!
//! With `P` the softmax and `D` the row sums of `dy·out`:
//! `dv = Pᵀ·dy`, `dS = P·(dy·vᵀ − D)·scale`, `dq = dS·k`, `dk = dSᵀ·q`.

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::tile::{Needs, Tile, Weighing, accumulate, load, multiply, store};
use super::{Heads, QUERY_FIELDS, Sequence, query_tiles};
use crate::cube::buffers::{cubes, output, scalars, units, vectors};
use crate::cube::host::numbers;
use crate::cube::reduce::horizontal_sum;
use crate::cube::specimen::Specimen;

/// (queries, keys, units) from the largest on, square.
const CHOICES: [(usize, usize, usize); 3] = [(32, 32, 64), (16, 16, 16), (8, 8, 4)];
/// Tiles of `q` and `dy`, of `k` and `v`, and of `dS` and `P`.
const NEEDS: Needs = Needs { query_tiles: 2, key_tiles: 2, score_tiles: 2 };

/// Contiguous inputs.
pub(super) struct Inputs {
    pub dy: CubeTensor,
    pub q: CubeTensor,
    pub k: CubeTensor,
    pub v: CubeTensor,
    pub out: CubeTensor,
    pub lse: CubeTensor,
}

/// `Σ dy·out` of each row and head.
#[cube(launch_unchecked)]
fn dot_rows<N: Size>(
    dy: &[Vector<f32, N>],
    out: &[Vector<f32, N>],
    sums: &mut [f32],
    count: u32,
    vectors: u32,
) {
    let at = ABSOLUTE_POS as u32;
    if at < count {
        let mut sum = Vector::<f32, N>::new(0.0f32);
        for i in 0..vectors {
            sum += dy[(at * vectors + i) as usize] * out[(at * vectors + i) as usize];
        }
        sums[at as usize] = horizontal_sum(sum);
    }
}

/// Brings a number per query of a tile into shared memory, 0 beyond its rows.
#[cube]
fn load_numbers(
    tile: &mut Shared<[f32]>,
    from: &[f32],
    first: u32,
    count: u32,
    heads: u32,
    head: u32,
    #[comptime] plan: Tile,
) {
    for row in range_stepped(UNIT_POS, comptime!(plan.queries as u32), comptime!(plan.units as u32)) {
        let mut value = 0.0f32;
        if row < count {
            value = from[((first + row) * heads + head) as usize];
        }
        tile[row as usize] = value;
    }
}

/// Turns a unit's products into `P` and `dS` in shared memory; 0 where a query, the tile's first
/// of which sees `seen` of the tile's keys, does not see a key.
#[cube]
fn weigh(
    scores: &Array<f32>,
    products: &Array<f32>,
    logarithms: &Shared<[f32]>,
    row_sums: &Shared<[f32]>,
    p_tile: &mut Shared<[f32]>,
    ds_tile: &mut Shared<[f32]>,
    count: u32,
    seen: i32,
    factor: f32,
    #[comptime] keep_p: bool,
    #[comptime] plan: Tile,
) {
    let unrolled = comptime!(plan.unrolled());
    let across = comptime!(plan.across() as u32);
    let score_pitch = comptime!(plan.score_pitch() as u32);
    let (tx, ty) = (UNIT_POS % across, UNIT_POS / across);
    #[unroll(unrolled)]
    for r in 0..comptime!(plan.tall()) {
        #[unroll(unrolled)]
        for c in 0..comptime!(plan.wide()) {
            let piece = (r * comptime!(plan.wide()) + c) * 16;
            #[unroll]
            for i in 0..4usize {
                let row =
                    ty + r as u32 * comptime!(plan.unit_rows() as u32) + comptime!((i * plan.down()) as u32);
                let logarithm = logarithms[row as usize];
                let row_sum = row_sums[row as usize];
                #[unroll]
                for j in 0..4usize {
                    let col = tx + c as u32 * across + comptime!((j * plan.key_step()) as u32);
                    let from = piece + comptime!(i * 4 + j);
                    let visible = row < count && (col as i32) < seen + row as i32;
                    let p = (scores[from] * factor - logarithm).exp();
                    let p = select(visible, p, 0.0f32);
                    let at = (row * score_pitch + col) as usize;
                    if comptime!(keep_p) {
                        p_tile[at] = p;
                    }
                    ds_tile[at] = p * (products[from] - row_sum) * factor;
                }
            }
        }
    }
}

#[cube(launch_unchecked)]
fn query_gradient<N: Size>(
    q: &[Vector<f32, N>],
    k: &[Vector<f32, N>],
    v: &[Vector<f32, N>],
    dy: &[Vector<f32, N>],
    lse: &[f32],
    sums: &[f32],
    tiles: &[u32],
    dq: &mut [f32],
    heads: u32,
    group: u32,
    d: u32,
    factor: f32,
    #[comptime] plan: Tile,
) {
    let unrolled = comptime!(plan.unrolled());
    let keys = comptime!(plan.keys as u32);
    let query_len = comptime!(plan.queries * plan.pitch());
    let key_len = comptime!(plan.keys * plan.pitch());
    let mut q_tile = Shared::<[Vector<f32, Const<4>>]>::new_aligned_slice(query_len, 16usize);
    let mut dy_tile = Shared::<[Vector<f32, Const<4>>]>::new_aligned_slice(query_len, 16usize);
    let mut k_tile = Shared::<[Vector<f32, Const<4>>]>::new_aligned_slice(key_len, 16usize);
    let mut v_tile = Shared::<[Vector<f32, Const<4>>]>::new_aligned_slice(key_len, 16usize);
    let mut ds_tile = Shared::<[f32]>::new_slice(comptime!(plan.queries * plan.score_pitch()));
    let mut no_tile = Shared::<[f32]>::new_slice(1usize);
    let mut logarithms = Shared::<[f32]>::new_slice(comptime!(plan.queries));
    let mut row_sums = Shared::<[f32]>::new_slice(comptime!(plan.queries));

    let tile = CUBE_POS_X as usize * comptime!(QUERY_FIELDS);
    let (first, count) = (tiles[tile], tiles[tile + 1]);
    let (first_key, seen) = (tiles[tile + 2], tiles[tile + 3]);
    let head = CUBE_POS_Y;
    let (stride, key_stride) = (heads * d, heads / group * d);
    let (offset, key_offset) = (head * d, head / group * d);
    let seen_by_last = seen + count - 1;

    load(&mut q_tile, q, first, count, stride, offset, d, plan.queries, plan);
    load(&mut dy_tile, dy, first, count, stride, offset, d, plan.queries, plan);
    load_numbers(&mut logarithms, lse, first, count, heads, head, plan);
    load_numbers(&mut row_sums, sums, first, count, heads, head, plan);
    let mut scores = Array::<f32>::new(comptime!(plan.scores()));
    let mut products = Array::<f32>::new(comptime!(plan.scores()));
    let mut gradient = Array::<f32>::new(comptime!(plan.sums()));
    #[unroll(unrolled)]
    for i in 0..comptime!(plan.sums()) {
        gradient[i] = 0.0;
    }
    for key in range_stepped(0u32, seen_by_last, keys) {
        let width = min(comptime!(plan.keys as u32).runtime(), seen_by_last - key);
        sync_cube();
        load(&mut k_tile, k, first_key + key, width, key_stride, key_offset, d, plan.keys, plan);
        load(&mut v_tile, v, first_key + key, width, key_stride, key_offset, d, plan.keys, plan);
        sync_cube();
        multiply(&q_tile, &k_tile, &mut scores, plan);
        multiply(&dy_tile, &v_tile, &mut products, plan);
        weigh(
            &scores,
            &products,
            &logarithms,
            &row_sums,
            &mut no_tile,
            &mut ds_tile,
            count,
            seen as i32 - key as i32,
            factor,
            false,
            plan,
        );
        sync_cube();
        accumulate(&ds_tile, &k_tile, &mut gradient, Weighing::Queries, plan);
    }
    store(&gradient, dq, first, count, stride, offset, d, plan);
}

/// Numbers that describe a tile of keys: its first row, how many, its first key's place in the
/// sequence, the first row of the sequence's queries, how many, and how many keys come before them.
const KEY_FIELDS: usize = 6;

#[cube(launch_unchecked)]
fn key_gradients<N: Size>(
    q: &[Vector<f32, N>],
    k: &[Vector<f32, N>],
    v: &[Vector<f32, N>],
    dy: &[Vector<f32, N>],
    lse: &[f32],
    sums: &[f32],
    tiles: &[u32],
    dk: &mut [f32],
    dv: &mut [f32],
    heads: u32,
    group: u32,
    d: u32,
    factor: f32,
    #[comptime] plan: Tile,
) {
    let unrolled = comptime!(plan.unrolled());
    let queries = comptime!(plan.queries as u32);
    let query_len = comptime!(plan.queries * plan.pitch());
    let key_len = comptime!(plan.keys * plan.pitch());
    let score_len = comptime!(plan.queries * plan.score_pitch());
    let mut q_tile = Shared::<[Vector<f32, Const<4>>]>::new_aligned_slice(query_len, 16usize);
    let mut dy_tile = Shared::<[Vector<f32, Const<4>>]>::new_aligned_slice(query_len, 16usize);
    let mut k_tile = Shared::<[Vector<f32, Const<4>>]>::new_aligned_slice(key_len, 16usize);
    let mut v_tile = Shared::<[Vector<f32, Const<4>>]>::new_aligned_slice(key_len, 16usize);
    let mut p_tile = Shared::<[f32]>::new_slice(score_len);
    let mut ds_tile = Shared::<[f32]>::new_slice(score_len);
    let mut logarithms = Shared::<[f32]>::new_slice(comptime!(plan.queries));
    let mut row_sums = Shared::<[f32]>::new_slice(comptime!(plan.queries));

    let tile = CUBE_POS_X as usize * comptime!(KEY_FIELDS);
    let (first, count, place) = (tiles[tile], tiles[tile + 1], tiles[tile + 2]);
    let (first_query, t, before) = (tiles[tile + 3], tiles[tile + 4], tiles[tile + 5]);
    let key_head = CUBE_POS_Y;
    let (stride, key_stride) = (heads * d, heads / group * d);

    load(&mut k_tile, k, first, count, key_stride, key_head * d, d, plan.keys, plan);
    load(&mut v_tile, v, first, count, key_stride, key_head * d, d, plan.keys, plan);
    let mut scores = Array::<f32>::new(comptime!(plan.scores()));
    let mut products = Array::<f32>::new(comptime!(plan.scores()));
    let mut dk_sums = Array::<f32>::new(comptime!(plan.sums()));
    let mut dv_sums = Array::<f32>::new(comptime!(plan.sums()));
    #[unroll(unrolled)]
    for i in 0..comptime!(plan.sums()) {
        dk_sums[i] = 0.0;
        dv_sums[i] = 0.0;
    }
    // Query `i` sees keys up to `before + i`.
    let first_seeing = select(place > before, place - before, 0u32);
    for head in key_head * group..(key_head + 1) * group {
        for query in range_stepped(first_seeing, t, queries) {
            let height = min(comptime!(plan.queries as u32).runtime(), t - query);
            let row = first_query + query;
            sync_cube();
            load(&mut q_tile, q, row, height, stride, head * d, d, plan.queries, plan);
            load(&mut dy_tile, dy, row, height, stride, head * d, d, plan.queries, plan);
            load_numbers(&mut logarithms, lse, row, height, heads, head, plan);
            load_numbers(&mut row_sums, sums, row, height, heads, head, plan);
            sync_cube();
            multiply(&q_tile, &k_tile, &mut scores, plan);
            multiply(&dy_tile, &v_tile, &mut products, plan);
            weigh(
                &scores,
                &products,
                &logarithms,
                &row_sums,
                &mut p_tile,
                &mut ds_tile,
                height,
                (before + query + 1) as i32 - place as i32,
                factor,
                true,
                plan,
            );
            sync_cube();
            accumulate(&p_tile, &dy_tile, &mut dv_sums, Weighing::Keys, plan);
            accumulate(&ds_tile, &q_tile, &mut dk_sums, Weighing::Keys, plan);
        }
    }
    store(&dk_sums, dk, first, count, key_stride, key_head * d, d, plan);
    store(&dv_sums, dv, first, count, key_stride, key_head * d, d, plan);
}

/// The tiles of keys of all sequences.
fn key_tiles(sequences: &[Sequence], keys: usize) -> Vec<u32> {
    let tiles = |sequence: &Sequence| {
        let &Sequence { query, t, key, s } = sequence;
        (0..s)
            .step_by(keys)
            .flat_map(move |j| [key + j, keys.min(s - j), j, query, t, s - t].map(|n| n as u32))
    };
    sequences.iter().flat_map(tiles).collect()
}

/// Computes the gradients of `q`, `k` and `v`.
pub(super) fn launch(
    inputs: &Inputs,
    [dq, dk, dv]: &[CubeTensor; 3],
    factor: f32,
    sequences: &[Sequence],
    heads: Heads,
) {
    let Inputs { dy, q, k, v, out, lse } = inputs;
    let client = &dq.client;
    let Heads { queries, keys, d } = heads;
    let plan = Tile::new(client, d, &CHOICES, NEEDS);
    let (query_tiles, key_tiles) = (query_tiles(sequences, plan.queries), key_tiles(sequences, plan.keys));
    if queries == 0 || d == 0 {
        return;
    }
    let lanes = if d.is_multiple_of(4) { 4 } else { 1 };
    let count = lse.meta.num_elements();
    let sums = output(lse, [count], DType::F32);
    let dim = CubeDim::new_1d(plan.units as u32);
    let (heads, group, d) = (queries as u32, (queries / keys) as u32, d as u32);
    if !query_tiles.is_empty() {
        let row_units = units(client, 256);
        // SAFETY: `dy` and `out` hold `count` heads of `d` elements, and units beyond them do nothing.
        // The tiles lie in the sequences, whose rows the inputs and gradients hold; nothing beyond a
        // tile's rows or a head's elements is read or written.
        #[allow(unsafe_code)]
        unsafe {
            dot_rows::launch_unchecked(
                client,
                cubes(client, count.div_ceil(row_units as usize)),
                CubeDim::new_1d(row_units),
                lanes,
                vectors(dy, lanes),
                vectors(out, lanes),
                scalars(&sums),
                count as u32,
                d / lanes as u32,
            );
            query_gradient::launch_unchecked(
                client,
                CubeCount::Static((query_tiles.len() / QUERY_FIELDS) as u32, heads, 1),
                dim,
                lanes,
                vectors(q, lanes),
                vectors(k, lanes),
                vectors(v, lanes),
                vectors(dy, lanes),
                scalars(lse),
                scalars(&sums),
                scalars(&numbers(q, &query_tiles)),
                scalars(dq),
                heads,
                group,
                d,
                factor,
                plan,
            );
        }
    }
    if !key_tiles.is_empty() {
        // SAFETY: as above; a sequence without queries leaves zeros for its keys.
        #[allow(unsafe_code)]
        unsafe {
            key_gradients::launch_unchecked(
                client,
                CubeCount::Static((key_tiles.len() / KEY_FIELDS) as u32, heads / group, 1),
                dim,
                lanes,
                vectors(q, lanes),
                vectors(k, lanes),
                vectors(v, lanes),
                vectors(dy, lanes),
                scalars(lse),
                scalars(&sums),
                scalars(&numbers(k, &key_tiles)),
                scalars(dk),
                scalars(dv),
                heads,
                group,
                d,
                factor,
                plan,
            );
        }
    }
}

pub(super) fn specimens() -> Vec<Specimen> {
    use super::on_paper::{BYTES, D, HEADS, PAIRS, ROWS, SHAPE};
    const PLAN: Tile = Tile { queries: 32, keys: 32, fours: D / 4, units: 64 };
    let specimen = |name, tensors: f64, products: f64, kernel| Specimen {
        name,
        shape: SHAPE,
        cube_dim: CubeDim::new_1d(PLAN.units as u32),
        cubes: ROWS / PLAN.queries * HEADS,
        bytes: tensors * BYTES,
        operations: 2.0 * products * D as f64 * PAIRS,
        tensor_cores: false,
        kernel,
    };
    vec![
        specimen("causal_attention query gradient", 5.0, 3.0, |t| {
            t.build(|s, d, p, b| {
                query_gradient::QueryGradient::new(
                    s,
                    d,
                    p,
                    b(),
                    b(),
                    b(),
                    b(),
                    b(),
                    b(),
                    b(),
                    b(),
                    (),
                    (),
                    (),
                    (),
                    4,
                    PLAN,
                )
            })
        }),
        specimen("causal_attention key and value gradients", 6.0, 4.0, |t| {
            t.build(|s, d, p, b| {
                key_gradients::KeyGradients::new(
                    s,
                    d,
                    p,
                    b(),
                    b(),
                    b(),
                    b(),
                    b(),
                    b(),
                    b(),
                    b(),
                    b(),
                    (),
                    (),
                    (),
                    (),
                    4,
                    PLAN,
                )
            })
        }),
    ]
}
