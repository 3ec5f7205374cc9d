//! Settings given beside an experiment's file: `key.path=value`.

use std::path::Path;

use toml::{Table, Value};

use super::{Experiment, explain};
use crate::RecipeError;

/// Keys that hold one of several things, so that setting one takes the others away.
const ONE_OF_SEVERAL: [&[&str]; 2] = [&["length"], &["data", "test"]];

/// The experiment of `text` with every override in its place.
pub fn apply(text: &str, path: &Path, overrides: &[String]) -> Result<Experiment, RecipeError> {
    let mut table: Table = toml::from_str(text).map_err(|error| explain::error(&error, text, path))?;
    let mut sound = table.clone().try_into::<Experiment>();
    for given in overrides {
        set(&mut table, given)?;
        let now = table.clone().try_into::<Experiment>();
        // Whoever breaks what was sound is to blame; a file that is unsound by itself may be
        // mended by a later override.
        if let (Ok(_), Err(error)) = (&sound, &now) {
            let reason = explain::reason(error);
            return Err(RecipeError::Override { setting: given.clone(), reason });
        }
        sound = now;
    }
    sound.map_err(|error| match toml::from_str::<Experiment>(text) {
        Err(in_file) => explain::error(&in_file, text, path),
        Ok(_) => RecipeError::Override { setting: overrides.join(" "), reason: explain::reason(&error) },
    })
}

fn set(table: &mut Table, given: &str) -> Result<(), RecipeError> {
    let wrong = |reason: &str| RecipeError::Override { setting: given.to_owned(), reason: reason.to_owned() };
    let (key, value) = given.split_once('=').ok_or_else(|| wrong("expected key.path=value"))?;
    let path: Vec<&str> = key.trim().split('.').map(str::trim).collect();
    let Some((last, folders)) = path.split_last().filter(|_| path.iter().all(|part| !part.is_empty())) else {
        return Err(wrong("expected key.path=value"));
    };
    let mut place = table;
    for folder in folders {
        let inner = place.entry(*folder).or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(inner) = inner else {
            return Err(wrong(&format!("`{folder}` holds a value, not a table of settings")));
        };
        place = inner;
    }
    if ONE_OF_SEVERAL.contains(&folders) {
        place.clear();
    }
    place.insert((*last).to_owned(), typed(value.trim()));
    Ok(())
}

/// The value as TOML, or as a text: a shell takes quotes away.
fn typed(value: &str) -> Value {
    let parsed: Option<Table> = toml::from_str(&format!("value = {value}")).ok();
    let parsed = parsed.filter(|table| table.len() == 1).and_then(|mut table| table.remove("value"));
    parsed.unwrap_or_else(|| Value::String(value.to_owned()))
}
