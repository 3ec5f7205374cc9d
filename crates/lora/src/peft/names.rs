//! Names of tensors in adapter files.
//!
//! PEFT writes `base_model.model.<module>.lora_A.weight`. Other writers leave the prefix or the
//! inner model's `model.` out, keep the adapter's name (`lora_A.default.weight`), or the names of
//! wrappers that the model was trained in. All of these mean the same place.

use std::fmt;

/// PEFT prefixes the base model's module paths with the wrappers' attribute names.
const PREFIX: &str = "base_model.model.";

/// What a tensor is to its module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// `A` of a linear layer, `[r, in]`.
    LoraA,
    /// `B` of a linear layer, `[out, r]`.
    LoraB,
    /// Bias of `B`, `[out]`.
    LoraBias,
    /// `A` of an embedding, `[r, vocab]`.
    EmbeddingA,
    /// `B` of an embedding, `[hidden, r]`.
    EmbeddingB,
    /// DoRA's lengths, `[out]`.
    Magnitude,
    /// A weight of the module itself.
    Weight,
    /// A bias of the module itself.
    Bias,
    /// A weight of the base under factors.
    BaseWeight,
}

impl Role {
    /// How PEFT ends the name.
    const fn ending(self) -> &'static str {
        match self {
            Self::LoraA => "lora_A.weight",
            Self::LoraB => "lora_B.weight",
            Self::LoraBias => "lora_B.bias",
            Self::EmbeddingA => "lora_embedding_A",
            Self::EmbeddingB => "lora_embedding_B",
            Self::Magnitude => "lora_magnitude_vector",
            Self::Weight => "weight",
            Self::Bias => "bias",
            Self::BaseWeight => "base_layer.weight",
        }
    }

    /// Whether it belongs to factors, and not to a module that is stored whole.
    pub(super) const fn is_factor(self) -> bool {
        !matches!(self, Self::Weight | Self::Bias | Self::BaseWeight)
    }
}

/// The name PEFT gives to the tensor of this role of the module at `path`.
pub(super) fn peft_name(path: &str, role: Role) -> String {
    format!("{PREFIX}{path}.{}", role.ending())
}

/// Where a tensor belongs: the module's path as every writer would shorten it, and the role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub module: String,
    pub role: Role,
}

impl Place {
    /// The place of `role` in the module at `path`, a path of the model.
    pub(super) fn of(path: &str, role: Role) -> Self {
        Self { module: bare(&path.split('.').collect::<Vec<_>>()), role }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.module, self.role.ending())
    }
}

/// What a name in a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A tensor of an adapter.
    Of(Place),
    /// PEFT's own copy of the base's weight, which says nothing new.
    CopyOfBase,
    /// Nothing known.
    Unknown,
}

/// Reads a name.
pub(super) fn meaning(name: &str) -> Meaning {
    let parts: Vec<&str> = name.split('.').collect();
    let at = |role, end: usize| Meaning::Of(Place { module: bare(&parts[..end]), role });
    let factor = parts.iter().rposition(|part| part.starts_with("lora_"));
    if let Some(i) = factor {
        // After it may stand the adapter's name, and then `weight` or `bias`.
        let role = match (parts[i], &parts[i + 1..]) {
            ("lora_A", ["weight"] | [_, "weight"]) => Role::LoraA,
            ("lora_B", ["weight"] | [_, "weight"]) => Role::LoraB,
            ("lora_B", ["bias"] | [_, "bias"]) => Role::LoraBias,
            ("lora_embedding_A", [] | [_] | [_, "weight"]) => Role::EmbeddingA,
            ("lora_embedding_B", [] | [_] | [_, "weight"]) => Role::EmbeddingB,
            ("lora_magnitude_vector", [] | [_] | [_, "weight"]) => Role::Magnitude,
            _ => return Meaning::Unknown,
        };
        return at(role, i);
    }
    let (ending, inner) = match parts.as_slice() {
        [inner @ .., ending @ ("weight" | "bias")] => (*ending, inner),
        _ => return Meaning::Unknown,
    };
    let role = if ending == "weight" { Role::Weight } else { Role::Bias };
    match inner {
        [.., "original_module"] => Meaning::CopyOfBase,
        [module @ .., "base_layer"] if role == Role::Weight => at(Role::BaseWeight, module.len()),
        [module @ .., "modules_to_save"] | [module @ .., "modules_to_save", _] => at(role, module.len()),
        module => at(role, module.len()),
    }
}

/// The adapter's name in the name of a tensor, where there is one: `default` in
/// `q_proj.lora_A.default.weight`.
pub(super) fn adapter(name: &str) -> Option<&str> {
    let parts: Vec<&str> = name.split('.').collect();
    let i = parts.iter().rposition(|part| part.starts_with("lora_") || *part == "modules_to_save")?;
    match (parts[i], &parts[i + 1..]) {
        ("lora_embedding_A" | "lora_embedding_B" | "lora_magnitude_vector", [adapter]) => Some(adapter),
        (_, [adapter, "weight" | "bias"]) => Some(adapter),
        _ => None,
    }
}

/// The path without what wrappers put before and between: `model.layers.0.mlp` and
/// `_orig_mod.base_model.model.model.layers.0.mlp` are both `layers.0.mlp`.
fn bare(parts: &[&str]) -> String {
    let wrapper = |part: &str| {
        matches!(
            part,
            "_orig_mod" | "_fsdp_wrapped_module" | "_checkpoint_wrapped_module" | "_forward_module"
        )
    };
    let before = |part: &&&str| matches!(**part, "base_model" | "model" | "module");
    let inner: Vec<&str> = parts.iter().copied().filter(|part| !wrapper(part)).collect();
    let skipped = inner.iter().take_while(before).count();
    inner[skipped.min(inner.len().saturating_sub(1))..].join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_writer_mean_one_place() {
        let q = Place::of("model.layers.0.self_attn.q_proj", Role::LoraA);
        for name in [
            "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
            "base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight",
            "base_model.model.model.layers.0.self_attn.q_proj.lora_A.my-adapter_2.weight",
            "base_model.model.layers.0.self_attn.q_proj.lora_A.weight",
            "model.layers.0.self_attn.q_proj.lora_A.weight",
            "layers.0.self_attn.q_proj.lora_A.weight",
            "_orig_mod.base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
            "base_model.model._orig_mod.model.layers.0._checkpoint_wrapped_module.self_attn.q_proj.lora_A.default.weight",
            "module.base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
        ] {
            assert_eq!(meaning(name), Meaning::Of(q.clone()), "{name}");
        }
        assert_eq!(meaning(&peft_name("model.layers.0.self_attn.q_proj", Role::LoraA)), Meaning::Of(q));
    }

    #[test]
    fn every_role_is_read_as_it_is_written() {
        use Role::*;
        for role in [LoraA, LoraB, LoraBias, EmbeddingA, EmbeddingB, Magnitude, Weight, Bias, BaseWeight] {
            let place = Place::of("lm_head", role);
            assert_eq!(meaning(&peft_name("lm_head", role)), Meaning::Of(place));
        }
        let head = Meaning::Of(Place::of("lm_head", Role::Weight));
        assert_eq!(meaning("base_model.model.lm_head.modules_to_save.default.weight"), head);
        assert_eq!(meaning("base_model.model.lm_head.modules_to_save.weight"), head);
        assert_eq!(meaning("base_model.model.lm_head.original_module.weight"), Meaning::CopyOfBase);
        let norm = Meaning::Of(Place::of("model.norm", Role::Weight));
        assert_eq!(meaning("base_model.model.model.norm.weight"), norm);
        assert_eq!(meaning("base_model.model.model.embed_tokens.lora_embedding_A.default"), {
            Meaning::Of(Place::of("model.embed_tokens", Role::EmbeddingA))
        });
        assert_eq!(adapter("base_model.model.lm_head.lora_A.other.weight"), Some("other"));
        assert_eq!(adapter("base_model.model.embed_tokens.lora_embedding_A.other"), Some("other"));
        assert_eq!(adapter("base_model.model.lm_head.lora_A.weight"), None);
        assert_eq!(meaning("prompt_embeddings"), Meaning::Unknown);
        assert_eq!(meaning("x.lora_E"), Meaning::Unknown);
    }
}
