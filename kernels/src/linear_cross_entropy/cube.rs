//! The CubeCL implementation: burn's products around a kernel that turns a chunk's logits into
//! losses and, in place, into their gradients.
//!
//! The labels are read back to the host once per call, which names one that is out of range and
//! leaves out the rows without loss.

use burn::backend::TensorMetadata;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::{DType, Shape};
use burn_cubecl::CubeBackend;
use burn_cubecl::ops::numeric::zeros;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::op::{CrossEntropyGrads, CrossEntropyOp, CrossEntropyWanted};
use super::{LOGIT_CHUNK_VALUES, Row, supervised};
use crate::ComputeType;
use crate::cube::buffers::{cubes, f32s, output, rows, scalars, vectors};
use crate::cube::host::{indices, numbers};
use crate::cube::reduce::{Units, cube_max, cube_sum, horizontal_sum};
use crate::cube::sparse_rows::placed;
use crate::cube::specimen::Specimen;
use crate::linear::cube::{product, widened};

/// Whether a kernel leaves `softmax − one-hot` in place of the logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Keep {
    Gradient,
    Nothing,
}

/// A cube per row. One pass over the logits finds the largest and the sum of exponentials
/// together; a second one writes the gradient.
#[cube(launch_unchecked)]
fn row_losses<N: Size>(
    logits: &mut [Vector<f32, N>],
    labels: &[u32],
    losses: &mut [f32],
    first: u32,
    rows: u32,
    vectors: u32,
    #[comptime] keep: Keep,
    #[comptime] units: Units,
) {
    let lanes = N::value().comptime();
    let row = CUBE_POS as u32;
    if row < rows {
        let from = row * vectors;
        let label = labels[(first + row) as usize];
        let label_vector = label / comptime!(lanes as u32);
        let label_lane = label % comptime!(lanes as u32);
        let mut largest = Vector::<f32, N>::new(comptime!(f32::MIN).runtime());
        let mut total = Vector::<f32, N>::new(0.0f32);
        let mut target = 0.0f32;
        for i in range_stepped(UNIT_POS, vectors, comptime!(units.count as u32)) {
            let x = logits[(from + i) as usize];
            let new = max(largest, x);
            total = total * (largest - new).exp() + (x - new).exp();
            largest = new;
            if i == label_vector {
                #[unroll]
                for lane in 0..lanes {
                    if label_lane == comptime!(lane as u32) {
                        target = x.extract(lane);
                    }
                }
            }
        }
        let mut highest = largest.extract(0usize);
        #[unroll]
        for lane in 1..lanes {
            highest = select(largest.extract(lane) > highest, largest.extract(lane), highest);
        }
        let highest = cube_max(highest, units);
        let whole = Vector::<f32, N>::new(highest);
        let sum = cube_sum(horizontal_sum(total * (largest - whole).exp()), units);
        // The unit that came by the label knows its logit.
        if label_vector % comptime!(units.count as u32) == UNIT_POS {
            losses[(first + row) as usize] = highest - target + sum.ln();
        }
        if comptime!(keep == Keep::Gradient) {
            let inverse = Vector::<f32, N>::new(1.0f32 / sum);
            for i in range_stepped(UNIT_POS, vectors, comptime!(units.count as u32)) {
                let mut p = (logits[(from + i) as usize] - whole).exp() * inverse;
                if i == label_vector {
                    #[unroll]
                    for lane in 0..lanes {
                        if label_lane == comptime!(lane as u32) {
                            p.insert(lane, p.extract(lane) - 1.0f32);
                        }
                    }
                }
                logits[(from + i) as usize] = p;
            }
        }
    }
}

/// `sum + value` with what rounding lost of it added to `lost`.
#[cube]
fn add_compensated(sum: f32, lost: f32, value: f32) -> (f32, f32) {
    let whole = sum + value;
    let part = whole - sum;
    (whole, lost + ((sum - (whole - part)) + (value - part)))
}

/// The sum of all losses by one cube, as exact as if it ran in twice the precision.
#[cube(launch_unchecked)]
fn add_up(losses: &[f32], loss: &mut [f32], count: u32, #[comptime] units: Units) {
    let mut sums = Shared::<[f32]>::new_slice(comptime!(units.count));
    let mut losts = Shared::<[f32]>::new_slice(comptime!(units.count));
    let mut sum = 0.0f32;
    let mut lost = 0.0f32;
    for i in range_stepped(UNIT_POS, count, comptime!(units.count as u32)) {
        let (s, l) = add_compensated(sum, lost, losses[i as usize]);
        sum = s;
        lost = l;
    }
    sums[UNIT_POS as usize] = sum;
    losts[UNIT_POS as usize] = lost;
    sync_cube();
    if UNIT_POS == 0 {
        for other in 1..comptime!(units.count) {
            let (s, l) = add_compensated(sum, lost + losts[other], sums[other]);
            sum = s;
            lost = l;
        }
        loss[0usize] = sum + lost;
    }
}

impl CrossEntropyOp for CubeBackend {
    fn linear_cross_entropy_op(
        hidden: CubeTensor,
        head: CubeTensor,
        labels: CubeTensor,
        wanted: CrossEntropyWanted,
        compute: ComputeType,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        let ((n, d), (vocab, head_d)) = (rows(&hidden), rows(&head));
        let labels = indices(labels);
        assert!(
            labels.len() == n && d == head_d,
            "linear_cross_entropy: hidden [{n}, {d}], head [{vocab}, {head_d}], {} labels",
            labels.len()
        );
        assert!(
            !wanted.head || head.dtype == DType::F32,
            "linear_cross_entropy: a head of {:?} must be frozen",
            head.dtype
        );
        let rows = supervised(&labels, vocab);
        let hidden = f32s(hidden);
        let device = hidden.device.clone();
        let zeros = |shape: [usize; 2]| zeros(device.clone(), shape.into(), DType::F32);
        if rows.is_empty() || d == 0 {
            let loss = rows.len() as f64 * (vocab as f64).ln();
            let loss = burn_cubecl::ops::numeric::full(Shape::from([1]), &device, loss as f32);
            let grad = |wanted, shape| if wanted { zeros(shape) } else { Self::nothing(&hidden) };
            return (loss, grad(wanted.hidden, [n, d]), grad(wanted.head, [vocab, d]));
        }
        let head = widened(head);
        let result = run(&hidden, &head, &rows, wanted, compute);
        let dhidden = result.dhidden.map(|dhidden| {
            let places: Vec<usize> = rows.iter().map(|row| row.index).collect();
            placed(&f32s(dhidden), &places, n)
        });
        let grad = |grad: Option<CubeTensor>| grad.unwrap_or_else(|| Self::nothing(&hidden));
        (result.loss, grad(dhidden), grad(result.dhead))
    }
}

impl CrossEntropyGrads for CubeBackend {
    fn scale_by(grad: CubeTensor, upstream: CubeTensor) -> CubeTensor {
        if grad.meta.num_elements() == 0 {
            return grad;
        }
        Self::float_mul(grad, Self::float_reshape(upstream, Shape::from([1, 1])))
    }

    fn nothing(like: &CubeTensor) -> CubeTensor {
        output(like, [0, 0], DType::F32)
    }
}

struct LossAndGrads {
    loss: CubeTensor,
    /// Of the supervised rows, one after the other.
    dhidden: Option<CubeTensor>,
    dhead: Option<CubeTensor>,
}

fn run(
    hidden: &CubeTensor,
    head: &CubeTensor,
    rows: &[Row],
    wanted: CrossEntropyWanted,
    compute: ComputeType,
) -> LossAndGrads {
    let vocab = head.shape()[0];
    let keep = if wanted.hidden || wanted.head { Keep::Gradient } else { Keep::Nothing };
    let labels: Vec<u32> = rows.iter().map(|row| row.label as u32).collect();
    let labels = numbers(hidden, &labels);
    let losses = output(hidden, [rows.len()], DType::F32);
    let chunk_rows = (LOGIT_CHUNK_VALUES / vocab).max(1);
    let mut dhidden = Vec::new();
    let mut dhead: Option<CubeTensor> = None;
    for (i, chunk) in rows.chunks(chunk_rows).enumerate() {
        let indices: Vec<u32> = chunk.iter().map(|row| row.index as u32).collect();
        let gathered = CubeBackend::float_select(hidden.clone(), 0, numbers(hidden, &indices));
        let logits = f32s(product(gathered.clone(), CubeBackend::float_transpose(head.clone()), compute));
        launch_row_losses(&logits, &labels, &losses, i * chunk_rows, chunk.len(), keep);

        // `logits` now holds softmax − one-hot.
        if wanted.hidden {
            dhidden.push(product(logits.clone(), head.clone(), compute));
        }
        if wanted.head {
            let part = product(CubeBackend::float_transpose(logits), gathered, compute);
            dhead = Some(match dhead {
                None => part,
                Some(sum) => CubeBackend::float_add(sum, part),
            });
        }
    }
    let loss = output(hidden, [1], DType::F32);
    let client = &loss.client;
    let units = Units::new(client, 256);
    // SAFETY: one cube of these units reads the losses that there are and writes one number.
    #[allow(unsafe_code)]
    unsafe {
        add_up::launch_unchecked(
            client,
            CubeCount::Static(1, 1, 1),
            units.dim(),
            scalars(&losses),
            scalars(&loss),
            rows.len() as u32,
            units,
        );
    }
    let dhidden = match dhidden.len() {
        0 => None,
        1 => dhidden.pop(),
        _ => Some(CubeBackend::float_cat(dhidden, 0)),
    };
    LossAndGrads { loss, dhidden, dhead }
}

fn launch_row_losses(
    logits: &CubeTensor,
    labels: &CubeTensor,
    losses: &CubeTensor,
    first: usize,
    n: usize,
    keep: Keep,
) {
    let (_, vocab) = rows(logits);
    let lanes = if vocab.is_multiple_of(4) { 4 } else { 1 };
    let client = &logits.client;
    let units = Units::new(client, 256);
    // SAFETY: the chunk has `n` rows of `vocab` logits, and labels below `vocab` and places for
    // losses from `first` on; a cube beyond the rows neither reads nor writes.
    #[allow(unsafe_code)]
    unsafe {
        row_losses::launch_unchecked(
            client,
            cubes(client, n),
            units.dim(),
            lanes,
            vectors(logits, lanes),
            scalars(labels),
            scalars(losses),
            first as u32,
            n as u32,
            (vocab / lanes) as u32,
            keep,
            units,
        );
    }
}

pub(crate) fn specimens() -> Vec<Specimen> {
    const VOCAB: usize = 32_000;
    const N: usize = LOGIT_CHUNK_VALUES / VOCAB;
    vec![
        Specimen {
            name: "linear_cross_entropy rows",
            shape: "262×32000 logits, with gradient",
            cube_dim: Units::CUDA.dim(),
            cubes: N,
            bytes: 12.0 * (N * VOCAB) as f64,
            operations: 9.0 * (N * VOCAB) as f64,
            tensor_cores: false,
            kernel: |t| {
                t.build(|s, d, p, b| {
                    row_losses::RowLosses::new(
                        s,
                        d,
                        p,
                        b(),
                        b(),
                        b(),
                        (),
                        (),
                        (),
                        4,
                        Keep::Gradient,
                        Units::CUDA,
                    )
                })
            },
        },
        Specimen {
            name: "linear_cross_entropy sum",
            shape: "2048 losses",
            cube_dim: Units::CUDA.dim(),
            cubes: 1,
            bytes: 4.0 * 2048.0,
            operations: 7.0 * 2048.0,
            tensor_cores: false,
            kernel: |t| t.build(|s, d, p, b| add_up::AddUp::new(s, d, p, b(), b(), (), Units::CUDA)),
        },
    ]
}
