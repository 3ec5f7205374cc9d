//! Batches: examples end to end with their lengths.

use camelid_chat::IGNORE_INDEX;

use crate::DataError;
use crate::tokens::Example;

/// Token ids and labels of several examples, one after the other. Nothing is padded.
///
/// `labels` are aligned with `ids`, as in the examples: a label is the id at its own place, where
/// that is learnt. Only the loss of a model's head shifts by one. Since nothing predicts a
/// sequence's first token, the first label of each is `IGNORE_INDEX` (−100).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Token ids of all sequences.
    pub ids: Vec<u32>,
    /// A label for each id.
    pub labels: Vec<i64>,
    /// Cumulative sequence lengths, from 0: sequence `i` is at `cu_seqlens[i]..cu_seqlens[i + 1]`.
    pub cu_seqlens: Vec<usize>,
}

impl Batch {
    /// Lays examples end to end.
    ///
    /// # Errors
    /// [`DataError::Option`] for no examples, and an example without tokens or with another number
    /// of labels than ids.
    pub fn packed(examples: &[&Example]) -> Result<Self, DataError> {
        if examples.is_empty() {
            return Err(DataError::Option("a batch of no examples".to_string()));
        }
        let tokens = examples.iter().map(|example| example.ids.len()).sum();
        let mut batch =
            Self { ids: Vec::with_capacity(tokens), labels: Vec::with_capacity(tokens), cu_seqlens: vec![0] };
        for example in examples {
            if example.ids.is_empty() || example.ids.len() != example.labels.len() {
                return Err(DataError::Option(format!(
                    "example {} has {} ids and {} labels",
                    example.id,
                    example.ids.len(),
                    example.labels.len()
                )));
            }
            batch.ids.extend_from_slice(&example.ids);
            batch.labels.push(IGNORE_INDEX);
            batch.labels.extend_from_slice(&example.labels[1..]);
            batch.cu_seqlens.push(batch.ids.len());
        }
        Ok(batch)
    }

    /// Number of sequences.
    pub fn sequences(&self) -> usize {
        self.cu_seqlens.len() - 1
    }

    /// Tokens of each sequence.
    pub fn lengths(&self) -> impl Iterator<Item = usize> {
        self.cu_seqlens.windows(2).map(|ends| ends[1] - ends[0])
    }

    /// Tokens of all sequences.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// Tokens that carry loss.
    pub fn supervised_tokens(&self) -> usize {
        self.labels.iter().filter(|label| **label != IGNORE_INDEX).count()
    }
}
