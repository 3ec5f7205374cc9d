//! Which families of models load, and what of others' settings is passed over.

use serde_json::{Value, json};

use super::settings::Settings;
use crate::error::ModelError;
use crate::notes::LoadNote;

/// Settings of other families and of training. A LLaMA's numbers do not depend on them, or not
/// without training; a value that means something elsewhere is worth a note.
const WITHOUT_EFFECT: [(&str, &str); 12] = [
    ("attention_dropout", "it acts in training only, and training here has none"),
    ("sliding_window", "a llama attends to the whole text"),
    ("attn_logit_softcapping", "a llama has none"),
    ("final_logit_softcapping", "a llama has none"),
    ("query_pre_attn_scalar", "a llama has none"),
    ("embedding_multiplier", "a llama has none"),
    ("residual_multiplier", "a llama has none"),
    ("attention_multiplier", "a llama has none"),
    ("logits_scaling", "a llama has none"),
    ("scale_emb", "a llama has none"),
    ("scale_depth", "a llama has none"),
    ("clip_qkv", "a llama has none"),
];

/// Families whose numbers are a LLaMA's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// LLaMA and what is built as it is.
    Llama,
    /// A LLaMA with biases on q, k and v, as long as every layer attends to the whole text.
    Qwen2,
}

impl Family {
    /// The family that the settings name.
    ///
    /// # Errors
    /// [`ModelError::Unsupported`] for another one, and for what would change the numbers.
    pub fn of(s: &Settings) -> Result<Self, ModelError> {
        let by_type = match s.get("model_type") {
            None => None,
            Some(found) => match found.as_str() {
                Some("llama") => Some(Self::Llama),
                Some("qwen2") => Some(Self::Qwen2),
                _ => return s.refuse("model_type", found, "\"llama\", \"qwen2\""),
            },
        };
        // Early conversions spell it LLaMAForCausalLM; the model without its head is saved as
        // LlamaModel.
        let by_architecture = match s.get("architectures") {
            None => None,
            Some(found) => {
                let first = found.get(0).and_then(Value::as_str).map(str::to_ascii_lowercase);
                match first.as_deref() {
                    Some("llamaforcausallm" | "llamamodel") => Some(Self::Llama),
                    Some("qwen2forcausallm" | "qwen2model") => Some(Self::Qwen2),
                    _ => {
                        let supported = "[\"LlamaForCausalLM\"], [\"Qwen2ForCausalLM\"]";
                        return s.refuse("architectures", found, supported);
                    }
                }
            }
        };
        let family = match (by_type, by_architecture, s.get("architectures")) {
            (Some(one), Some(other), Some(found)) if one != other => {
                return s.refuse("architectures", found, "that of `model_type`");
            }
            (one, other, _) => one.or(other).ok_or_else(|| s.missing("model_type"))?,
        };
        refuse_other_layers(s)?;
        match s.get("use_sliding_window") {
            Some(found) if family == Self::Qwen2 && found != &json!(false) => {
                s.refuse("use_sliding_window", found, "false")
            }
            _ => Ok(family),
        }
    }
}

fn refuse_other_layers(s: &Settings) -> Result<(), ModelError> {
    if let Some(found) = s.get("hidden_act")
        && !matches!(found.as_str(), Some("silu" | "swish"))
    {
        return s.refuse("hidden_act", found, "\"silu\"");
    }
    // Layers that attend to a part of the text only would compute other numbers.
    if let Some(found) = s.get("layer_types") {
        let full = |kind: &Value| kind.as_str() == Some("full_attention");
        if !found.as_array().is_some_and(|kinds| kinds.iter().all(full)) {
            return s.refuse("layer_types", found, "\"full_attention\" for every layer");
        }
    }
    Ok(())
}

/// Notes settings that would mean something in another model, where they are not neutral.
pub(super) fn note_without_effect(s: &Settings, family: Family, notes: &mut Vec<LoadNote>) {
    for (setting, because) in WITHOUT_EFFECT {
        let Some(found) = s.get(setting) else { continue };
        let neutral = match setting {
            "attention_dropout" => found.as_f64() == Some(0.0),
            // Qwen2 uses its window only where it says so.
            "sliding_window" => {
                let used = s.get("use_sliding_window");
                used == Some(&json!(false)) || (family == Family::Qwen2 && used.is_none())
            }
            _ => found.as_f64() == Some(1.0),
        };
        if !neutral {
            notes.push(LoadNote::SettingIgnored {
                origin: s.origin.to_string(),
                setting: setting.to_string(),
                found: found.to_string(),
                because,
            });
        }
    }
}
