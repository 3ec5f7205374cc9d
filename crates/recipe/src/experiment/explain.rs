//! Says what is wrong with an experiment in the file's own terms.

use std::path::Path;

use crate::RecipeError;

/// Line, key, and the key that was probably meant.
pub fn error(error: &toml::de::Error, text: &str, path: &Path) -> RecipeError {
    let line = error.span().map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
    RecipeError::Experiment { path: path.into(), line, reason: reason(error) }
}

/// What is wrong, without the place.
pub fn reason(error: &toml::de::Error) -> String {
    let message = error.message();
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match (message.strip_prefix("unknown "), quoted.split_first()) {
        (Some(rest), Some((found, known))) => {
            let kind = if rest.starts_with("field") { "key" } else { "value" };
            format!("unknown {kind} `{found}`{} (known: {})", hint(found, known), known.join(", "))
        }
        _ => in_words(message),
    }
}

/// A message without the names that Rust has for numbers.
fn in_words(message: &str) -> String {
    let types =
        [("usize", "a whole number, 0 or more"), ("u64", "a whole number, 0 or more"), ("f64", "a number")];
    let said = types.iter().find_map(|(name, words)| {
        let rest = message.strip_suffix(name).filter(|rest| rest.ends_with("expected "))?;
        Some(format!("{rest}{words}"))
    });
    said.unwrap_or_else(|| message.to_owned())
}

/// Where a setting went that used to have another name; else the nearest name.
fn hint(found: &str, known: &[&str]) -> String {
    match found {
        "max_steps" => "; the length of a run is `length = { steps = N }`, above all tables".to_owned(),
        "held_out" => "; did you mean `test = { count = N }`?".to_owned(),
        _ => {
            let likeness = |known: &str| strsim::normalized_damerau_levenshtein(found, known);
            let nearest = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
            nearest.map_or(String::new(), |near| format!("; did you mean `{near}`?"))
        }
    }
}
