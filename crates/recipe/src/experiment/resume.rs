//! Which settings a run may go on with.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::Experiment;
use crate::RecipeError;

/// What may change, beside settings of the trainer: it judges by the content of base and source,
/// and by the learning rates that another length would have given.
const MAY_CHANGE: [&str; 4] = ["name", "length", "model.base", "data.source"];

impl Experiment {
    /// Whether a run of `earlier` may go on as this one: only with settings under which the steps
    /// it has done would have been the very same, so that it ends with the bits of a run that had
    /// them from the start. Where state is kept and when something is written or measured may
    /// change, and the length. The trainer, which knows how many steps are done, checks the rest:
    /// their learning rates, the base model and the training set.
    ///
    /// # Errors
    /// [`RecipeError::Resume`] names each setting that may not change, with both values.
    pub fn check_goes_on(&self, earlier: &Self) -> Result<(), RecipeError> {
        let (ours, theirs) = (self.settings()?, earlier.settings()?);
        let shown = |value: Option<&Value>| value.map_or("nothing".to_owned(), ToString::to_string);
        let mut keys: Vec<&String> = ours.keys().chain(theirs.keys()).collect();
        keys.sort();
        keys.dedup();
        let mut changes: Vec<String> = keys
            .into_iter()
            .filter(|key| ours.get(*key) != theirs.get(*key) && !may_change(key))
            .map(|key| format!("{key} = {} (was {})", shown(ours.get(key)), shown(theirs.get(key))))
            .collect();
        let of_trainer = self.train.changes_after(&earlier.train, 0);
        changes.extend(of_trainer.into_iter().map(|change| format!("train.{change}")));
        if changes.is_empty() { Ok(()) } else { Err(RecipeError::Resume { changes }) }
    }

    /// Every setting with its dotted key, defaults filled in.
    fn settings(&self) -> Result<BTreeMap<String, Value>, RecipeError> {
        let table = Table::try_from(self).map_err(|error| RecipeError::Experiment {
            path: self.name.clone().into(),
            line: None,
            reason: error.to_string(),
        })?;
        let mut settings = BTreeMap::new();
        flatten("", &table, &mut settings);
        Ok(settings)
    }
}

fn may_change(key: &str) -> bool {
    key.starts_with("train.")
        || MAY_CHANGE
            .iter()
            .any(|free| key.strip_prefix(free).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

fn flatten(prefix: &str, table: &Table, into: &mut BTreeMap<String, Value>) {
    for (key, value) in table {
        let key = format!("{prefix}{key}");
        match value {
            Value::Table(inner) => flatten(&format!("{key}."), inner, into),
            value => {
                into.insert(key, value.clone());
            }
        }
    }
}
