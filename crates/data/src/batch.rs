//! Right-padded batches with labels shifted to the positions that predict them.

use camelid_chat::IGNORE_INDEX;

use crate::DataError;
use crate::tokens::Example;

/// Token ids and targets of several examples, row by row.
///
/// `labels[row * seq + t]` is the target of position `t`, i.e. the label of the
/// example's token `t + 1`: the shift by one happens here and nowhere else. The
/// last position of an example and all padding carry `IGNORE_INDEX` (−100).
/// Padding is on the right, so causal attention needs no mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Token ids, `[batch, seq]` row by row, padded with the padding token.
    pub ids: Vec<u32>,
    /// Targets, `[batch, seq]` row by row, already shifted.
    pub labels: Vec<i64>,
    /// Number of rows.
    pub batch: usize,
    /// Positions per row: the longest example's, rounded up.
    pub seq: usize,
    /// Tokens of each row; the rest of it is padding.
    pub lengths: Vec<usize>,
    /// Tokens that are not padding.
    pub tokens: usize,
    /// Positions with a target.
    pub supervised_tokens: usize,
}

impl Batch {
    /// Lays examples out as rows, padded to the longest of them and up to a
    /// multiple of `multiple_of` (1 for none).
    ///
    /// # Errors
    /// [`DataError::Option`] for no examples, an example without tokens or with
    /// another number of labels than ids, and `multiple_of` 0.
    pub fn right_padded(examples: &[&Example], pad_id: u32, multiple_of: usize) -> Result<Self, DataError> {
        if multiple_of == 0 {
            return Err(DataError::Option("a batch cannot be padded to a multiple of 0".to_string()));
        }
        for example in examples {
            if example.ids.is_empty() || example.ids.len() != example.labels.len() {
                return Err(DataError::Option(format!(
                    "example {} has {} ids and {} labels",
                    example.id,
                    example.ids.len(),
                    example.labels.len()
                )));
            }
        }
        let Some(longest) = examples.iter().map(|e| e.ids.len()).max() else {
            return Err(DataError::Option("a batch of no examples".to_string()));
        };
        let seq = longest.next_multiple_of(multiple_of);
        let mut batch = Self {
            ids: vec![pad_id; examples.len() * seq],
            labels: vec![IGNORE_INDEX; examples.len() * seq],
            batch: examples.len(),
            seq,
            lengths: examples.iter().map(|e| e.ids.len()).collect(),
            tokens: 0,
            supervised_tokens: 0,
        };
        for (row, example) in examples.iter().enumerate() {
            let start = row * seq;
            let len = example.ids.len();
            batch.ids[start..start + len].copy_from_slice(&example.ids);
            batch.labels[start..start + len - 1].copy_from_slice(&example.labels[1..]);
            batch.tokens += len;
        }
        batch.supervised_tokens = batch.labels.iter().filter(|l| **l != IGNORE_INDEX).count();
        Ok(batch)
    }
}
