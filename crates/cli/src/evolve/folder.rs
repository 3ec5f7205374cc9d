//! The folder of a run: its files, and that they belong to the settings of now.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use camelid_chat::requests::RequestStore;
use camelid_evolve::Forecast;
use camelid_files::{Input, write_whole};
use camelid_report::short;
use serde_json::Value;

/// Settings and digests that the run was made with.
const MADE_WITH: &str = "made_with.json";
/// Every reply, as it arrived.
const REPLIES: &str = "replies.jsonl";
/// What the run was forecast to take.
const FORECAST: &str = "forecast.json";
/// Every row made.
const LINEAGE: &str = "lineage.jsonl";

/// The lineage of a run that is named by its folder or by the lineage itself.
pub fn lineage_of(run: &Path) -> PathBuf {
    if run.is_dir() { run.join(LINEAGE) } else { run.to_owned() }
}

/// What a run was forecast to take, where its folder says so.
pub fn forecast_of(run: &Path) -> Result<Option<Forecast>> {
    let path = run.join(FORECAST);
    if !path.exists() {
        return Ok(None);
    }
    let text = Input::open(&path)?.text()?;
    Ok(Some(serde_json::from_str(&text).with_context(|| path.display().to_string())?))
}

/// Keeps what a run was forecast to take.
pub fn keep_forecast(run: &Path, forecast: &Forecast) -> Result<()> {
    Ok(write_whole(&run.join(FORECAST), serde_json::to_string_pretty(forecast)?.as_bytes())?)
}

/// Says what a run will take, and where that passes what it may spend. Of that, `paid` for stored replies is spent
/// already.
pub fn tell_forecast(forecast: &Forecast, store: &RequestStore, paid: f64, limit: Option<f64>) {
    camelid_files::say!("forecast, if every row lives:\n{}", forecast.text().trim_end());
    if !store.is_empty() {
        let cost = if paid > 0.0 { format!(", which cost {}", short(paid)) } else { String::new() };
        camelid_files::say!("{} replies are stored already{cost}; they are not asked for again", store.len());
    }
    let left = forecast.cost().map_or(0.0, |cost| (cost - paid).max(0.0));
    if let Some(limit) = limit.filter(|limit| left > *limit) {
        camelid_files::say!(
            "warning: the forecast passes the spending limit: {} of {limit}; the run ends when that is spent, and what \
             was answered is kept",
            short(left)
        );
    }
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
