//! Hugging Face's names for tensors that were stored under others: without the prefix `model.`, as
//! the inner model saves itself, or with the prefixes of wrappers.

use std::collections::BTreeMap;

/// What wrappers put into names: torch.compile, data parallelism, FSDP, checkpointing.
const WRAPPERS: [&str; 4] = ["_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];
/// A tensor that every LLaMA has, below its prefix.
const LANDMARK: &str = "layers.0.input_layernorm.weight";

/// The Hugging Face name of each stored name that has another. Empty where all is as it should be,
/// and where no one prefix explains the names.
pub(super) fn mended<'a>(stored: impl Iterator<Item = &'a str> + Clone) -> BTreeMap<String, String> {
    if stored.clone().any(|name| name.strip_prefix("model.") == Some(LANDMARK)) {
        return BTreeMap::new();
    }
    let unwrapped = stored.map(|name| {
        let parts: Vec<&str> = name.split('.').filter(|part| !WRAPPERS.contains(part)).collect();
        (name, parts.join("."))
    });
    let mut prefixes: Vec<String> = unwrapped
        .clone()
        .filter_map(|(_, name)| name.strip_suffix(LANDMARK).map(str::to_owned))
        .filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
        .collect();
    prefixes.dedup();
    let [prefix] = prefixes.as_slice() else { return BTreeMap::new() };

    let mut names = BTreeMap::new();
    for (stored, name) in unwrapped {
        let mended = match (name.strip_suffix("lm_head.weight"), name.strip_prefix(prefix.as_str())) {
            (Some(before), _) if prefix.starts_with(before) => "lm_head.weight".to_owned(),
            (_, Some(rest)) if ["embed_tokens.", "layers.", "norm."].iter().any(|p| rest.starts_with(p)) => {
                format!("model.{rest}")
            }
            _ => continue,
        };
        // Two tensors of one name: nothing is certain any more.
        if names.values().any(|other| *other == mended) {
            return BTreeMap::new();
        }
        if mended != stored {
            names.insert(stored.to_owned(), mended);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mend(names: &[&str]) -> Vec<String> {
        let mended = mended(names.iter().copied());
        names.iter().map(|name| mended.get(*name).cloned().unwrap_or_else(|| (*name).to_owned())).collect()
    }

    #[test]
    fn one_prefix_explains_all_names() {
        let right = ["model.layers.0.input_layernorm.weight", "model.embed_tokens.weight", "lm_head.weight"];
        assert_eq!(mend(&right), right);
        for (inner, head) in [
            ("", ""),
            ("_orig_mod.model.", "_orig_mod."),
            ("module.model.", "module."),
            ("module._orig_mod.", "module._orig_mod."),
            ("language_model.model.", "language_model."),
        ] {
            let names = [
                format!("{inner}layers.0.input_layernorm.weight"),
                format!("{inner}embed_tokens.weight"),
                format!("{head}lm_head.weight"),
            ];
            assert_eq!(mend(&names.each_ref().map(String::as_str)), right, "{inner}");
        }
        // A wrapper around each layer.
        let inside = ["model.layers.0._orig_mod.input_layernorm.weight", "model.embed_tokens.weight"];
        assert_eq!(mend(&inside), right[..2]);
    }

    #[test]
    fn where_no_one_prefix_does_nothing_is_changed() {
        let two = ["a.layers.0.input_layernorm.weight", "b.layers.0.input_layernorm.weight"];
        assert_eq!(mend(&two), two);
        assert_eq!(mend(&["w", "x"]), ["w", "x"]);
        let clash = ["layers.0.input_layernorm.weight", "module.embed_tokens.weight", "embed_tokens.weight"];
        assert_eq!(mend(&clash), clash);
    }
}
