//! What a run would need: downloads, memory, operations.

use anyhow::{Context, Result};
use camelid_data::catalogue::FetchOptions;
use camelid_recipe::{Experiment, OpenOptions, local_base, nano};

/// Prints the plan of a run. What the catalogue would have to fetch is not fetched; base and data
/// that are here are read, so that the plan is of what is there.
pub fn print(experiment: &Experiment, fetch: FetchOptions) -> Result<()> {
    let mut experiment = experiment.clone();
    if experiment.model.base != nano::BASE
        && let Some(local) = local_base(&experiment.model.base, &fetch, &fetch.cache_dir)?
    {
        experiment.model.base = local.to_string_lossy().into_owned();
    }
    let downloads = experiment.downloads(&fetch)?;
    if !downloads.is_empty() {
        downloads.iter().for_each(|line| println!("{line}"));
        println!("memory and cost are known once these are here");
        return Ok(());
    }
    println!("would fetch nothing");
    // Conversations are tokenised into a folder that goes away again.
    let cache = tempfile::tempdir().context("cannot make a temporary folder")?;
    let fetch = FetchOptions { offline: true, ..fetch };
    let opened = experiment.open(&OpenOptions { fetch, cache: cache.path().to_owned() })?;
    opened.about.iter().for_each(|line| println!("{line}"));
    opened.notices.iter().for_each(|notice| eprintln!("warning: {notice}"));
    println!("\n{}", opened.preflight(&experiment)?.text());
    Ok(())
}
