//! The folder of a run: its files, and that they belong to the settings of now.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use camelid_chat::requests::RequestStore;
use camelid_files::{Input, write_whole};
use serde_json::Value;

/// Settings and digests that the run was made with.
const MADE_WITH: &str = "made_with.json";
/// Every reply, as it arrived.
const REPLIES: &str = "replies.jsonl";
/// Every row made.
const LINEAGE: &str = "lineage.jsonl";

/// The lineage of a run that is named by its folder or by the lineage itself.
pub fn lineage_of(run: &Path) -> PathBuf {
    if run.is_dir() { run.join(LINEAGE) } else { run.to_owned() }
}

/// Opens a run's folder, new or with a run that was made with the same, and the replies in it.
pub fn open(run: &Path, made_with: &Value) -> Result<RequestStore> {
    std::fs::create_dir_all(run).with_context(|| format!("cannot create {}", run.display()))?;
    agree(&run.join(MADE_WITH), made_with)?;
    let store = RequestStore::open(&run.join(REPLIES))?;
    let damaged = store.report().damaged.len();
    if damaged > 0 {
        camelid_files::say!("{damaged} lines of {REPLIES} hold no reply; theirs are asked again");
    }
    Ok(store)
}

/// That the folder's run was made with the same, where there is one.
fn agree(path: &Path, made_with: &Value) -> Result<()> {
    if !path.exists() {
        return Ok(write_whole(path, serde_json::to_string_pretty(made_with)?.as_bytes())?);
    }
    let text = Input::open(path)?.text()?;
    let before: Value = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    for part in made_with.as_object().into_iter().flatten().map(|(part, _)| part) {
        if before[part] != made_with[part] {
            bail!(
                "{}: this run was made with other {part}; name another folder, or the {part} of then\n  then: {}\n  now:  {}",
                path.display(),
                before[part],
                made_with[part]
            );
        }
    }
    Ok(())
}
