//! From token spans to training labels.

use serde::{Deserialize, Serialize};

use crate::{ChatError, Encoded, Role};

/// The label of a position that carries no loss (PyTorch's and Hugging Face's convention).
pub const IGNORE_INDEX: i64 = -100;

/// Which tokens a model learns to predict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossOn {
    /// Every token of the dialogue, as QLoRA trains Guanaco.
    #[default]
    All,
    /// The assistant's turns and their end tokens, as FastChat trains Vicuna.
    Assistant,
}

/// One label per token: the token's own id where it is learnt, [`IGNORE_INDEX`]
/// elsewhere. Labels are not shifted: `labels[i]` is the id at `i`, which the
/// model predicts from the tokens before it.
///
/// # Errors
/// A conversation with nothing to learn from, by its id: empty, without an
/// assistant turn, or truncated before the first one. A silent zero loss is
/// never returned.
pub fn labels(encoded: &Encoded, loss_on: LossOn) -> Result<Vec<i64>, ChatError> {
    let labels = match loss_on {
        LossOn::All => encoded.ids.iter().map(|&id| i64::from(id)).collect(),
        LossOn::Assistant => assistant_labels(encoded),
    };
    // The first position predicts nothing: alone it is no training signal.
    if labels.iter().skip(1).any(|&label| label != IGNORE_INDEX) {
        Ok(labels)
    } else if encoded.ids.len() < encoded.full_len {
        Err(ChatError::TruncatedAway {
            conversation: encoded.conversation.clone(),
            kept: encoded.ids.len(),
            full: encoded.full_len,
        })
    } else if encoded.ids.len() <= 1 {
        Err(ChatError::Empty { conversation: encoded.conversation.clone() })
    } else {
        Err(ChatError::NoAssistantTurn { conversation: encoded.conversation.clone() })
    }
}

fn assistant_labels(encoded: &Encoded) -> Vec<i64> {
    let mut labels = vec![IGNORE_INDEX; encoded.ids.len()];
    for span in &encoded.spans {
        if span.role == Role::Assistant {
            let ids = &encoded.ids[span.start..span.end];
            for (label, id) in labels[span.start..span.end].iter_mut().zip(ids) {
                *label = i64::from(*id);
            }
        }
    }
    labels
}
