//! Where the disk is the limit: the length and rank at which reading a block's weights takes as long as
//! computing with them.
//!
//! A few blocks of the true shape are written to files. They are timed twice, by turns: with all of them in memory,
//! which is what the cores need, and read from the disk as a model that is larger than memory reads them. The
//! rest is arithmetic ([`model`]), which the second measurement checks.

mod crossing;
mod measure;
mod model;
mod plot;
mod report;

use anyhow::ensure;
use camelid_files::write_whole;

use self::model::Balance;
use super::machine::{self, Cleaner};
use super::report::Settings;
use super::{DISK_RESERVE, QloraMemoryArguments, bytes};
use crate::reproduce::Ending;

/// Blocks that are measured unless `--layers` says otherwise: two stay in memory while they stream.
const BLOCKS: usize = 4;
/// Tokens of the shortest row; each further one has four times as many, up to four times `--seq`.
const SHORTEST: usize = 4;

/// Measures, computes, and leaves tables, figures and a plot.
pub fn find(arguments: &QloraMemoryArguments) -> anyhow::Result<Ending> {
    let mut settings = Settings::from_arguments(arguments)?;
    settings.streamed = true;
    let whole = arguments.size.model();
    let blocks = arguments.layers.map_or(BLOCKS.min(whole.num_hidden_layers), |layers| layers as usize);
    ensure!(
        blocks > 2,
        "--layers {blocks}: expected more than 2, which is how many stay in memory while blocks stream"
    );
    settings.model = settings.with_layers(blocks);
    let folder = settings.folder(arguments).with_file_name(format!("qlora-memory-{}-balance", settings.size));
    let files = 2 * bytes::file_bytes(&settings.model);
    let free = machine::free_disk(&folder)?;
    ensure!(
        files + DISK_RESERVE <= free,
        "{} has {} free, expected {} for two files of {blocks} blocks, and {} in reserve",
        folder.display(),
        bytes::size(free),
        bytes::size(files),
        bytes::size(DISK_RESERVE)
    );
    std::fs::create_dir_all(&folder)?;
    let cleaner = Cleaner::new(&folder)?;
    let lengths = lengths(settings.seq, whole.max_position_embeddings);
    let ranks = [(settings.rank / 4).max(1), settings.rank, 4 * settings.rank];
    let measured = measure::blocks(&settings, &cleaner, &lengths, &ranks)?;
    let balance = Balance::of(&settings, whole.num_hidden_layers, measured);
    write_whole(&folder.join("report.json"), &serde_json::to_vec_pretty(&balance)?)?;
    write_whole(&folder.join("report.md"), report::markdown(&balance).as_bytes())?;
    write_whole(&folder.join("balance.svg"), plot::tokens_per_second(&balance)?.as_bytes())?;
    print!("\n{}", report::markdown(&balance));
    println!("\nplot: {}", folder.join("balance.svg").display());
    Ok(Ending::Finished)
}

/// Powers of four that the model has room for.
fn lengths(seq: usize, positions: usize) -> Vec<usize> {
    let most = (4 * seq).min(positions).max(SHORTEST);
    std::iter::successors(Some(SHORTEST), |tokens| Some(4 * tokens))
        .take_while(|tokens| *tokens <= most)
        .collect()
}
