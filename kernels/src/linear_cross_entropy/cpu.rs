//! The flex backend's implementation.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::DType;
use rayon::prelude::*;

use super::LOGIT_CHUNK_VALUES;
use super::op::{CrossEntropyGrads, CrossEntropyOp, CrossEntropyWanted};
use crate::IGNORE_INDEX;
use crate::flex_slices::{F32s, f32_tensor, indices, own_buffer, rows};
use crate::lanes::{exp_in_place, max, vectorised};
use crate::linear::with_weight;
use crate::product::{Matrix, MatrixMut, Threads, Update, multiply};
use crate::weight_rows::WeightRows;

impl CrossEntropyOp for Flex {
    fn linear_cross_entropy_op(
        hidden: FlexTensor,
        head: FlexTensor,
        labels: FlexTensor,
        wanted: CrossEntropyWanted,
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
        let result = with_weight(&head, |head| run(&hidden, head, &rows, wanted));
        let grad =
            |grad: Vec<f32>, wanted, shape: [usize; 2]| f32_tensor(grad, if wanted { shape } else { [0, 0] });
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

/// A row that carries loss.
struct Row {
    /// Its index in `hidden`.
    index: usize,
    label: usize,
}

fn supervised(labels: &[i64], vocab: usize) -> Vec<Row> {
    let row = |(index, &label): (usize, &i64)| {
        let label = usize::try_from(label).ok().filter(|&label| label < vocab).unwrap_or_else(|| {
            panic!("linear_cross_entropy: label {label} of row {index} is not in 0..{vocab}");
        });
        Row { index, label }
    };
    labels.iter().enumerate().filter(|&(_, &label)| label != IGNORE_INDEX).map(row).collect()
}

struct LossAndGrads {
    loss: f64,
    dhidden: Vec<f32>,
    dhead: Vec<f32>,
}

fn run(hidden: &[f32], head: WeightRows<'_>, rows: &[Row], wanted: CrossEntropyWanted) -> LossAndGrads {
    let (vocab, d) = (head.out, head.inn);
    let mut result = LossAndGrads {
        loss: 0.0,
        dhidden: vec![0.0; if wanted.hidden { hidden.len() } else { 0 }],
        dhead: vec![0.0; if wanted.head { vocab * d } else { 0 }],
    };
    if rows.is_empty() || d == 0 {
        result.loss = rows.len() as f64 * (vocab as f64).ln();
        return result;
    }
    let chunk_rows = (LOGIT_CHUNK_VALUES / vocab.max(1)).max(1).min(rows.len());
    let mut logits = vec![0f32; chunk_rows * vocab];
    let mut gathered = Vec::with_capacity(chunk_rows * d);
    for (i, rows) in rows.chunks(chunk_rows).enumerate() {
        let n = rows.len();
        let logits = &mut logits[..n * vocab];
        gathered.clear();
        rows.iter().for_each(|row| gathered.extend_from_slice(&hidden[row.index * d..][..d]));
        head.project_into(&gathered, n, logits);

        let keep = wanted.hidden || wanted.head;
        let losses: Vec<f64> = logits
            .par_chunks_exact_mut(vocab)
            .zip(rows)
            .map(|(logits, row)| row_loss(logits, row.label, keep))
            .collect();
        result.loss += losses.iter().sum::<f64>();

        // `logits` now holds softmax − one-hot.
        if wanted.hidden {
            let dgathered = head.project_back(logits, n);
            for (row, dh) in rows.iter().zip(dgathered.chunks_exact(d)) {
                result.dhidden[row.index * d..][..d].copy_from_slice(dh);
            }
        }
        if wanted.head {
            multiply(
                MatrixMut::new(&mut result.dhead, vocab, d),
                if i == 0 { Update::Replace } else { Update::Add },
                1.0,
                Matrix::new(logits, n, vocab).t(),
                Matrix::new(&gathered, n, d),
                Threads::All,
            );
        }
    }
    result
}

/// The loss of one row; overwrites its logits, by `softmax − one-hot` when `keep`.
fn row_loss(logits: &mut [f32], label: usize, keep: bool) -> f64 {
    let target = logits[label];
    vectorised(
        #[inline(always)]
        || {
            let largest = max(logits);
            let total = exp_in_place(logits, largest);
            if keep {
                let inverse = 1.0 / total;
                logits.iter_mut().for_each(|p| *p *= inverse);
                logits[label] -= 1.0;
            }
            f64::from(largest) - f64::from(target) + f64::from(total).ln()
        },
    )
}
