//! The CubeCL implementation with 8-bit moments: one pass over memory, in place.

use burn::backend::TensorMetadata;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::op::AdamW8Op;
use super::{BLOCK, Step};
use crate::blockwise4::block_count;
use crate::blockwise4::cube::constants;
use crate::blockwise8::Map8;
use crate::cube::buffers::{bytes, cubes, f32s, owned, scalars, words};
use crate::cube::reduce::{Units, cube_max};
use crate::cube::specimen::Specimen;

/// Blocks that a cube updates one after the other, so that its tables are read once for all.
const BLOCKS: usize = 16;

/// A moment over its block's largest, between −1 and 1.
#[cube]
fn normalised(value: f32, largest: f32) -> f32 {
    let reciprocal = 1.0f32 / largest;
    // The reciprocal of a tiny scale overflows: divide instead.
    let overflows = reciprocal > comptime!(f32::MAX).runtime();
    let ratio = select(overflows, value / largest, value * reciprocal);
    let ratio = select(largest == 0.0f32, 0.0f32, ratio);
    select(ratio > 1.0f32, 1.0f32, select(ratio < -1.0f32, -1.0f32, ratio))
}

/// How many of the 255 midpoints of a map, the first of which is `first`, lie below a value.
#[cube]
fn midpoints_below(midpoints: &Shared<[f32]>, #[comptime] first: u32, value: f32) -> u32 {
    let mut below = 0u32;
    #[unroll]
    for i in 0..8u32 {
        let half = comptime!(128u32 >> i);
        if midpoints[(below + comptime!(first + half - 1)) as usize] < value {
            below += half;
        }
    }
    below
}

/// Blocks of 256 parameters: dequantise the moments, update them and the parameter, find the
/// moments' new scales, quantise them. The arithmetic is the reference's, operation by operation.
///
/// `maps` holds the 256 numbers of the signed and of the unsigned map, `middles` their midpoints,
/// padded to 256.
#[cube(launch_unchecked)]
fn update(
    p: &mut [f32],
    g: &[f32],
    m: &mut [u32],
    m_absmax: &mut [f32],
    v: &mut [u32],
    v_absmax: &mut [f32],
    maps: &[f32],
    middles: &[f32],
    count: u32,
    grad_scale: f32,
    beta1: f32,
    beta2: f32,
    one_minus_beta1: f32,
    one_minus_beta2: f32,
    eps: f32,
    decay: f32,
    step_size: f32,
    correction2: f32,
    #[comptime] units: Units,
) {
    let stride = comptime!(units.count as u32);
    let block_words = comptime!((BLOCK / 4) as u32);
    let mut map = Shared::<[f32]>::new_slice(512usize);
    let mut midpoints = Shared::<[f32]>::new_slice(512usize);
    let mut m_tile = Shared::<[f32]>::new_slice(comptime!(BLOCK));
    let mut v_tile = Shared::<[f32]>::new_slice(comptime!(BLOCK));
    for i in range_stepped(UNIT_POS, 512u32, stride) {
        map[i as usize] = maps[i as usize];
        midpoints[i as usize] = middles[i as usize];
    }
    sync_cube();
    for turn in 0..comptime!(BLOCKS as u32) {
        let block = CUBE_POS as u32 * comptime!(BLOCKS as u32) + turn;
        let first = block * comptime!(BLOCK as u32);
        if first < count {
            let (m_scale, v_scale) = (m_absmax[block as usize], v_absmax[block as usize]);
            let mut m_largest = 0.0f32;
            let mut v_largest = 0.0f32;
            for word in range_stepped(UNIT_POS, block_words, stride) {
                if first + word * 4 < count {
                    let m_codes = m[(block * block_words + word) as usize];
                    let v_codes = v[(block * block_words + word) as usize];
                    #[unroll]
                    for i in 0..4u32 {
                        let place = word * 4 + i;
                        let at = (first + place) as usize;
                        if first + place < count {
                            let m_code = (m_codes >> comptime!(8 * i)) & 255u32;
                            let v_code = (v_codes >> comptime!(8 * i)) & 255u32;
                            let gradient = grad_scale * g[at];
                            let m_new =
                                fma(one_minus_beta1, gradient, beta1 * (map[m_code as usize] * m_scale));
                            let v_new = fma(
                                one_minus_beta2 * gradient,
                                gradient,
                                beta2 * (map[(v_code + 256) as usize] * v_scale),
                            );
                            let denominator = fma(v_new.sqrt(), correction2, eps);
                            let step = step_size * (m_new / denominator);
                            p[at] -= fma(decay, p[at], step);
                            m_tile[place as usize] = m_new;
                            v_tile[place as usize] = v_new;
                            let (m_size, v_size) = (m_new.abs(), v_new.abs());
                            m_largest = select(m_size > m_largest, m_size, m_largest);
                            v_largest = select(v_size > v_largest, v_size, v_largest);
                        }
                    }
                }
            }
            let m_largest = cube_max(m_largest, units);
            let v_largest = cube_max(v_largest, units);
            // A unit quantises the words that it updated.
            for word in range_stepped(UNIT_POS, block_words, stride) {
                if first + word * 4 < count {
                    let mut m_codes = 0u32;
                    let mut v_codes = 0u32;
                    #[unroll]
                    for i in 0..4u32 {
                        let place = word * 4 + i;
                        if first + place < count {
                            let m_ratio = normalised(m_tile[place as usize], m_largest);
                            let v_ratio = normalised(v_tile[place as usize], v_largest);
                            m_codes |= midpoints_below(&midpoints, 0u32, m_ratio) << comptime!(8 * i);
                            v_codes |= midpoints_below(&midpoints, 256u32, v_ratio) << comptime!(8 * i);
                        }
                    }
                    m[(block * block_words + word) as usize] = m_codes;
                    v[(block * block_words + word) as usize] = v_codes;
                }
            }
            if UNIT_POS == 0 {
                m_absmax[block as usize] = m_largest;
                v_absmax[block as usize] = v_largest;
            }
        }
    }
}

/// 256 numbers for each map.
fn tables(of: impl Fn(Map8) -> Vec<f32>) -> Vec<f32> {
    [Map8::DynamicSigned, Map8::DynamicUnsigned]
        .into_iter()
        .flat_map(|map| {
            let mut numbers = of(map);
            numbers.resize(256, 0.0);
            numbers
        })
        .collect()
}

impl AdamW8Op for CubeBackend {
    fn adamw8_op(
        p: CubeTensor,
        g: CubeTensor,
        m: CubeTensor,
        m_absmax: CubeTensor,
        v: CubeTensor,
        v_absmax: CubeTensor,
        step: Step,
    ) -> (CubeTensor, CubeTensor, CubeTensor, CubeTensor, CubeTensor) {
        assert_eq!(p.shape(), g.shape(), "adamw: the shapes of the parameter and its gradient");
        let (p, g) = (owned(f32s(p)), f32s(g));
        let [m, v] = [m, v].map(|codes| owned(bytes(codes)));
        let [m_absmax, v_absmax] = [m_absmax, v_absmax].map(|scales| owned(f32s(scales)));
        let len = |tensor: &CubeTensor| tensor.meta.num_elements();
        let (count, blocks) = (len(&p), block_count(len(&p), BLOCK));
        for (codes, scales) in [(&m, &m_absmax), (&v, &v_absmax)] {
            assert_eq!(len(codes), count, "one code per parameter");
            assert_eq!(len(scales), blocks, "one scale per block of {BLOCK}");
        }
        if count == 0 {
            return (p, m, m_absmax, v, v_absmax);
        }
        let maps = constants(&p, &tables(|map| map.table().to_vec()));
        let middles = constants(&p, &tables(|map| map.tables().midpoints.to_vec()));
        let client = &p.client;
        let units = Units::new(client, 64);
        // SAFETY: there are a gradient, two codes and, per block, two scales for the parameters, to
        // whose number the kernel holds its reads and writes; all but `g` are its own.
        #[allow(unsafe_code)]
        unsafe {
            update::launch_unchecked(
                client,
                cubes(client, blocks.div_ceil(BLOCKS)),
                units.dim(),
                scalars(&p),
                scalars(&g),
                words(&m),
                scalars(&m_absmax),
                words(&v),
                scalars(&v_absmax),
                scalars(&maps),
                scalars(&middles),
                count as u32,
                step.grad_scale,
                step.beta1,
                step.beta2,
                step.one_minus_beta1,
                step.one_minus_beta2,
                step.eps,
                step.decay,
                step.step_size,
                step.correction2,
                units,
            );
        }
        (p, m, m_absmax, v, v_absmax)
    }
}

pub(crate) fn specimens() -> Vec<Specimen> {
    const LEN: usize = 100_000_000;
    const UNITS: Units = Units { count: 64, plane: 32 };
    vec![Specimen {
        name: "adamw 8-bit",
        shape: "100 M parameters",
        cube_dim: UNITS.dim(),
        cubes: LEN.div_ceil(BLOCK * BLOCKS),
        // Parameter and two codes read and written, the gradient read, scales both ways.
        bytes: (16.0 + 16.0 / BLOCK as f64) * LEN as f64,
        operations: 50.0 * LEN as f64,
        tensor_cores: false,
        kernel: |t| {
            t.build(|s, d, p, b| {
                update::Update::new(
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
                    (),
                    (),
                    (),
                    (),
                    (),
                    (),
                    UNITS,
                )
            })
        },
    }]
}
