//! The flex backend's implementation.

use std::borrow::Cow;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::DType;
use rayon::prelude::*;

use super::op::{CrossEntropyGrads, CrossEntropyOp, CrossEntropyWanted};
use super::{LOGIT_CHUNK_VALUES, LOGIT_TILE_VALUES, Row, supervised};
use crate::flex_slices::{F32s, f32_tensor, indices, own_buffer, rows};
use crate::lanes::{exp, exp_in_place, max, vectorised};
use crate::linear::with_weight;
use crate::product::{Buffer, ComputeType, Matrix, MatrixMut, Rhs, Update, multiply_with};
use crate::values::Values;
use crate::weight_rows::WeightRows;

impl CrossEntropyOp for Flex {
    fn linear_cross_entropy_op(
        hidden: FlexTensor,
        head: FlexTensor,
        labels: FlexTensor,
        wanted: CrossEntropyWanted,
        compute: ComputeType,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let ((n, d), (vocab, head_d)) = (rows(&hidden), rows(&head));
        let labels = indices(&labels);
        assert!(
            labels.len() == n && d == head_d,
            "linear_cross_entropy: hidden [{n}, {d}], head [{vocab}, {head_d}], {} labels",
            labels.len()
        );
        assert!(
            !wanted.head || head.dtype() == DType::F32,
            "linear_cross_entropy: a head of {:?} must be frozen",
            head.dtype()
        );
        let hidden = F32s::new(&hidden);
        let rows = supervised(&labels, vocab);
        let result = with_weight(&head, |head| run(&hidden, head, &rows, wanted, compute));
        let grad =
            |grad: Values, wanted, shape: [usize; 2]| grad.into_tensor(if wanted { shape } else { [0, 0] });
        (
            f32_tensor(vec![result.loss as f32], [1]),
            grad(result.dhidden, wanted.hidden, [n, d]),
            grad(result.dhead, wanted.head, [vocab, d]),
        )
    }
}

impl CrossEntropyGrads for Flex {
    fn scale_by(grad: FlexTensor, upstream: FlexTensor) -> FlexTensor {
        let factor = F32s::new(&upstream).first().copied().unwrap_or(0.0);
        let mut grad = own_buffer(grad);
        if factor != 1.0 {
            grad.storage_mut::<f32>().par_chunks_mut(1 << 14).for_each(|part| {
                vectorised(
                    #[inline(always)]
                    || part.iter_mut().for_each(|g| *g *= factor),
                );
            });
        }
        grad
    }

    fn nothing(_like: &FlexTensor) -> FlexTensor {
        f32_tensor(Vec::new(), [0, 0])
    }
}

struct LossAndGrads {
    loss: f64,
    dhidden: Values,
    dhead: Values,
}

fn run(
    hidden: &[f32],
    head: WeightRows<'_>,
    rows: &[Row],
    wanted: CrossEntropyWanted,
    compute: ComputeType,
) -> LossAndGrads {
    let (vocab, d) = (head.out, head.inn);
    if rows.is_empty() || d == 0 {
        return LossAndGrads {
            loss: rows.len() as f64 * (vocab as f64).ln(),
            dhidden: Values::zeros(if wanted.hidden { hidden.len() } else { 0 }),
            dhead: Values::zeros(if wanted.head { vocab * d } else { 0 }),
        };
    }
    if wanted.head {
        by_rows(hidden, head, rows, wanted, compute)
    } else {
        by_words(hidden, head, rows, wanted.hidden, compute)
    }
}

/// With a frozen head: all rows against a few words at a time, so that the head is read
/// once and no row's logits are ever held together.
///
/// The softmax is not known before the last word, so the gradient sums `exp(logit −
/// largest so far) · word`, shrunk whenever the largest grows and divided at the end,
/// as attention does with its values (Milakov and Gimelshein, 2018).
fn by_words(
    hidden: &[f32],
    head: WeightRows<'_>,
    rows: &[Row],
    want_gradient: bool,
    compute: ComputeType,
) -> LossAndGrads {
    let (vocab, d) = (head.out, head.inn);
    let n = rows.len();
    let every_row = n * d == hidden.len();
    let gathered: Cow<'_, [f32]> = if every_row {
        hidden.into()
    } else {
        rows.iter().flat_map(|row| &hidden[row.index * d..][..d]).copied().collect()
    };
    let tile = (LOGIT_TILE_VALUES / n).next_multiple_of(64).clamp(64, vocab.next_multiple_of(64));
    let mut logits = Buffer::take(n * tile.min(vocab));
    let mut sums = vec![Softmax { largest: f32::NEG_INFINITY, total: 0.0, target: 0.0 }; n];
    let mut gradient = Values::zeros(if want_gradient { n * d } else { 0 });
    for first in (0..vocab).step_by(tile) {
        let width = tile.min(vocab - first);
        let words = head.narrow(first, width);
        let logits = &mut logits[..n * width];
        multiply_with(
            MatrixMut::new(logits, n, width),
            Update::Replace,
            1.0,
            Matrix::new(&gathered, n, d),
            words.rhs_t(),
            compute,
        );
        let each = logits.par_chunks_exact_mut(width).zip(&mut sums).zip(rows).with_min_len(16);
        if want_gradient {
            each.zip(gradient.par_chunks_exact_mut(d)).for_each(|(((logits, sums), row), gradient)| {
                sums.take(logits, row.label.wrapping_sub(first), gradient);
            });
            multiply_with(
                MatrixMut::new(&mut gradient, n, d),
                if first == 0 { Update::Replace } else { Update::Add },
                1.0,
                Matrix::new(logits, n, width),
                words.rhs(),
                compute,
            );
        } else {
            each.for_each(|((logits, sums), row)| sums.take(logits, row.label.wrapping_sub(first), &mut []));
        }
    }
    if want_gradient {
        gradient.par_chunks_exact_mut(d).zip(&sums).zip(rows).for_each_init(
            || vec![0f32; d],
            |label, ((gradient, sums), row)| {
                head.widen_here(row.label, label);
                let inverse = (1.0 / sums.total) as f32;
                gradient.iter_mut().zip(label).for_each(|(g, w)| *g = *g * inverse - *w);
            },
        );
    }
    let dhidden = if !want_gradient || every_row {
        gradient
    } else {
        let mut all = Values::zeros(hidden.len());
        for (row, gradient) in rows.iter().zip(gradient.chunks_exact(d)) {
            all[row.index * d..][..d].copy_from_slice(gradient);
        }
        all
    };
    LossAndGrads { loss: sums.iter().map(Softmax::loss).sum(), dhidden, dhead: Values::zeros(0) }
}

/// What is known of a row's softmax after some of the words.
#[derive(Clone, Copy)]
struct Softmax {
    /// Largest logit.
    largest: f32,
    /// Sum of `exp(logit − largest)`.
    total: f64,
    /// Logit of the label.
    target: f32,
}

impl Softmax {
    /// Takes in the logits of further words, of which the label is number `label` if it
    /// is among them; replaces them by `exp(logit − largest)` and shrinks `gradient` to
    /// the new largest.
    fn take(&mut self, logits: &mut [f32], label: usize, gradient: &mut [f32]) {
        if let Some(&target) = logits.get(label) {
            self.target = target;
        }
        vectorised(
            #[inline(always)]
            || {
                let among = max(logits);
                let largest = if among > self.largest { among } else { self.largest };
                let shrink = exp(self.largest - largest);
                let sum = exp_in_place(logits, largest);
                self.total = self.total * f64::from(shrink) + f64::from(sum);
                if shrink != 1.0 {
                    gradient.iter_mut().for_each(|g| *g *= shrink);
                }
                self.largest = largest;
            },
        );
    }

    fn loss(&self) -> f64 {
        f64::from(self.largest) - f64::from(self.target) + self.total.ln()
    }
}

/// With a trained head: a few rows against all words at a time, since the head's
/// gradient needs the finished softmax.
fn by_rows(
    hidden: &[f32],
    head: WeightRows<'_>,
    rows: &[Row],
    wanted: CrossEntropyWanted,
    compute: ComputeType,
) -> LossAndGrads {
    let (vocab, d) = (head.out, head.inn);
    let mut result = LossAndGrads {
        loss: 0.0,
        dhidden: Values::zeros(if wanted.hidden { hidden.len() } else { 0 }),
        // The first rows overwrite it.
        dhead: Values::unset(vocab * d),
    };
    let chunk_rows = (LOGIT_CHUNK_VALUES / vocab.max(1)).max(1).min(rows.len());
    let mut logits = Values::unset(chunk_rows * vocab);
    let mut gathered = Vec::with_capacity(chunk_rows * d);
    for (i, rows) in rows.chunks(chunk_rows).enumerate() {
        let n = rows.len();
        let logits = &mut logits[..n * vocab];
        gathered.clear();
        rows.iter().for_each(|row| gathered.extend_from_slice(&hidden[row.index * d..][..d]));
        multiply_with(
            MatrixMut::new(logits, n, vocab),
            Update::Replace,
            1.0,
            Matrix::new(&gathered, n, d),
            head.rhs_t(),
            compute,
        );

        let losses: Vec<f64> = logits
            .par_chunks_exact_mut(vocab)
            .zip(rows)
            .map(|(logits, row)| row_loss(logits, row.label))
            .collect();
        result.loss += losses.iter().sum::<f64>();

        // `logits` now holds softmax − one-hot.
        if wanted.hidden {
            let dgathered = head.project_back(logits, n, compute);
            for (row, dh) in rows.iter().zip(dgathered.chunks_exact(d)) {
                result.dhidden[row.index * d..][..d].copy_from_slice(dh);
            }
        }
        multiply_with(
            MatrixMut::new(&mut result.dhead, vocab, d),
            if i == 0 { Update::Replace } else { Update::Add },
            1.0,
            Matrix::new(logits, n, vocab).t(),
            Rhs::Dense(Matrix::new(&gathered, n, d)),
            compute,
        );
    }
    result
}

/// The loss of one row; overwrites its logits by `softmax − one-hot`.
fn row_loss(logits: &mut [f32], label: usize) -> f64 {
    let target = logits[label];
    vectorised(
        #[inline(always)]
        || {
            let largest = max(logits);
            let total = exp_in_place(logits, largest);
            let inverse = 1.0 / total;
            logits.iter_mut().for_each(|p| *p *= inverse);
            logits[label] -= 1.0;
            f64::from(largest) - f64::from(target) + f64::from(total).ln()
        },
    )
}
