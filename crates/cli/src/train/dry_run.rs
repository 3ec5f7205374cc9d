//! What a run would need: downloads, memory, operations.

use anyhow::{Context, Result};
use camelid_data::catalogue::FetchOptions;
use camelid_recipe::{Experiment, Length, OpenOptions, known_shape, local_base, nano};

/// Prints the plan of a run. What the catalogue would have to fetch is not fetched; base and data
/// that are here are read, so that the plan is of what is there. Where they are not, the shape of
/// a well-known base and what the source is said to hold stand in for them.
pub fn print(experiment: &Experiment, fetch: FetchOptions) -> Result<()> {
    let mut experiment = experiment.clone();
    if experiment.model.base != nano::BASE {
        match local_base(&experiment.model.base, &fetch, &fetch.cache_dir) {
            Ok(Some(local)) => experiment.model.base = local.to_string_lossy().into_owned(),
            Ok(None) => {}
            // A folder that is not there yet can be planned for where its name tells its shape.
            Err(_) if known_shape(&experiment.model.base).is_some() => {}
            Err(error) => return Err(error.into()),
        }
    }
    let downloads = experiment.downloads(&fetch)?;
    if !downloads.is_empty() {
        downloads.iter().for_each(|line| println!("{line}"));
        return print_unseen(&experiment);
    }
    println!("would fetch nothing");
    // Conversations are tokenised into a folder that goes away again.
    let cache = tempfile::tempdir().context("cannot make a temporary folder")?;
    let fetch = FetchOptions { offline: true, ..fetch };
    let opened = experiment.open(&OpenOptions { fetch, cache: cache.path().to_owned() })?;
    opened.about.iter().for_each(|line| println!("{line}"));
    opened.notices.iter().for_each(|notice| camelid_files::say!("warning: {notice}"));
    println!("\n{}", opened.preflight(&experiment)?.text());
    let (rows, tokens) = (opened.train.examples.len(), opened.train.report.tokens as u64);
    print!("{}", experiment.budget(&opened.weights()?.config()?, rows, Some(tokens))?.text()?);
    Ok(())
}

/// The plan of a run whose base or data are not here.
fn print_unseen(experiment: &Experiment) -> Result<()> {
    let (rows, tokens) = match (experiment.data.expected, experiment.length) {
        (Some(expected), _) => (expected.rows, expected.tokens),
        (None, Length::Steps(_)) => (0, None),
        (None, Length::Epochs(_)) => {
            println!(
                "memory and cost are known once these are here, or with `data.expected = {{ rows = N }}`"
            );
            return Ok(());
        }
    };
    let Some(model) = known_shape(&experiment.model.base) else {
        println!("memory and cost are known once these are here");
        return Ok(());
    };
    println!("\nby the shape of {} and what the data are said to hold:", experiment.model.base);
    println!("{}", experiment.preflight(&model, rows)?.text());
    print!("{}", experiment.budget(&model, rows, tokens)?.text()?);
    Ok(())
}
