//! Which of a source's tensors a model takes, and which are left over.

use std::collections::BTreeSet;

use super::WeightSource;
use crate::config::LlamaConfig;
use crate::error::ModelError;
use crate::expected::expected_tensors;
use crate::notes::LoadNote;

/// Compares names before anything is read, so that a wrong file fails at once. Returns the tensors
/// that the configuration calls for, with their shapes, and the names of those that it has no place
/// for.
#[expect(clippy::type_complexity, reason = "two lists, each plain")]
pub(crate) fn needed_tensors(
    config: &LlamaConfig,
    source: &dyn WeightSource,
) -> Result<(Vec<(String, Vec<usize>)>, Vec<String>), ModelError> {
    let mut found: BTreeSet<String> = source.names().into_iter().collect();
    let needed = expected_tensors(config);
    for (name, expected) in &needed {
        if !found.remove(name) {
            let (name, expected) = (name.clone(), expected.clone());
            let (origin, found) = (source.describe(), source.names());
            return Err(ModelError::MissingTensor { origin, name, expected, found });
        }
    }
    // Old conversions store the rotary frequencies, which the configuration
    // gives; some tied models store the head a second time.
    found.retain(|name| {
        let second_head = config.tie_word_embeddings && name == "lm_head.weight";
        !second_head && !name.ends_with("rotary_emb.inv_freq")
    });
    Ok((needed, found.into_iter().collect()))
}

/// What loading `source` leaves out, replaces or decides: what the files' readers noted and the
/// tensors that the configuration has no place for. Nothing is loaded for it.
///
/// # Errors
/// When the configuration cannot be read or a tensor is missing.
pub fn load_notes(source: &dyn WeightSource) -> Result<Vec<LoadNote>, ModelError> {
    let (_, ignored) = needed_tensors(&source.config()?, source)?;
    let mut notes = source.notes();
    if !ignored.is_empty() {
        notes.push(LoadNote::TensorsIgnored { origin: source.describe(), names: ignored });
    }
    Ok(notes)
}
