//! The files that battles come from, and which of their battles count.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use camelid_ratings::{Format, Needs, ReadOptions, Selection, Sources, read_all};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

#[derive(clap::Args)]
pub struct BattleFiles {
    /// Parquet, CSV, TSV or JSON (also gzip, zstd; `-` is standard input) with model_a, model_b and winner, or
    /// with counts win_a, win_b, tie, both_bad; MT-bench, QLoRA, Vicuna or AlpacaEval judgments
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// What the files hold; told from their content unless given
    #[arg(long, value_enum)]
    format: Option<FormatArg>,
    /// Count only battles in this language; may be given several times
    #[arg(long, value_name = "NAME")]
    language: Vec<String>,
    /// Count only the verdicts of this judge; may be given several times
    #[arg(long, value_name = "NAME")]
    judge: Vec<String>,
    /// Count only this turn; may be given several times
    #[arg(long, value_name = "N")]
    turn: Vec<u32>,
    /// Leave out models with fewer battles
    #[arg(long, value_name = "N", default_value_t = 0)]
    min_battles: u64,
    /// Leave out ties that say that both answers are bad
    #[arg(long)]
    no_both_bad: bool,
    /// Go on although more than a fifth of a file's rows are no battles
    #[arg(long)]
    allow_dropped: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum FormatArg {
    /// A table of battles; Chatbot Arena's files are of this kind
    Battles,
    /// A table of counts: win_a, win_b, tie, both_bad
    Counts,
    /// MT-bench pair judgments
    MtBench,
    /// Reviews of QLoRA's evaluation or Vicuna's first tables
    Reviews,
    /// AlpacaEval annotations
    AlpacaEval,
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Battles => Format::Battles,
            FormatArg::Counts => Format::Counts,
            FormatArg::MtBench => Format::MtBench,
            FormatArg::Reviews => Format::Reviews,
            FormatArg::AlpacaEval => Format::AlpacaEval,
        }
    }
}

impl BattleFiles {
    /// Reads all files; a terminal sees how far that is, and standard error what looks like a mistake.
    /// `needs` are the fields that the command cannot do without; a choice needs its own.
    pub fn read(&self, needs: Needs) -> Result<Sources> {
        let needs = Needs {
            languages: needs.languages || !self.language.is_empty(),
            judges: needs.judges || !self.judge.is_empty(),
            turns: needs.turns || !self.turn.is_empty(),
            ..needs
        };
        let options = ReadOptions { format: self.format.map(Format::from), needs };
        let bar = ProgressBar::new(self.files.len() as u64);
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} files  {msg}");
        bar.set_style(style.context("the progress bar's template")?);
        let sources = read_all(&self.files, &options, |number| {
            bar.set_position(number as u64);
            bar.set_message(self.files[number].display().to_string());
        });
        bar.finish_and_clear();
        let sources = sources?;
        if !self.allow_dropped {
            let dropped = |error| anyhow!("{error}; --allow-dropped rates what is left all the same");
            sources.check_dropped().map_err(dropped)?;
        }
        for notice in &sources.notices {
            camelid_files::say!("warning: {notice}");
        }
        Ok(sources)
    }

    pub fn selection(&self) -> Selection {
        Selection {
            languages: self.language.clone(),
            judges: self.judge.clone(),
            turns: self.turn.clone(),
            min_battles: self.min_battles,
            without_both_bad: self.no_both_bad,
        }
    }
}

/// A sign of life on a terminal; the caller says what goes on.
pub fn spinner() -> ProgressBar {
    let spinner = ProgressBar::new_spinner();
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}
