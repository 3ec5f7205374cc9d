//! Which files are read and how; what came of it, for people and as JSON.

use std::path::PathBuf;

use anyhow::Result;
use camelid_data::oasst::Selection;
use camelid_data::{
    DataFormat, FirstTurn, LoadReport, Loaded, ReadOptions, Tally, read_conversations, read_detected,
};
use camelid_files::program;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;

#[derive(clap::Args)]
pub struct Reading {
    /// JSON, JSON lines, CSV, TSV or Parquet, packed or not; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Their format [default: told from the content]
    #[arg(long, value_name = "FORMAT", value_parser = format_parser(DataFormat::ALL.to_vec()))]
    format: Option<DataFormat>,
    /// Drop conversations that begin with the assistant, instead of leaving that turn out
    #[arg(long)]
    drop_late_start: bool,
    /// OASST: a dialogue of each path through a tree, not of the best-ranked alone
    #[arg(long, conflicts_with = "top")]
    all_paths: bool,
    /// OASST: a dialogue of each path along the K best-ranked replies
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    top: Option<u32>,
    /// OASST: keep messages in this language only; may be given again
    #[arg(long, value_name = "TAG")]
    lang: Vec<String>,
    /// Alpaca: the field that holds the instruction
    #[arg(long, value_name = "NAME")]
    instruction_field: Option<String>,
    /// Alpaca: the field that holds the input
    #[arg(long, value_name = "NAME")]
    input_field: Option<String>,
    /// Alpaca: the field that holds the answer
    #[arg(long, value_name = "NAME")]
    output_field: Option<String>,
}

/// Takes the names of these formats, and lists them in the help.
pub fn format_parser(formats: Vec<DataFormat>) -> impl TypedValueParser<Value = DataFormat> {
    let names: Vec<&'static str> = formats.into_iter().map(DataFormat::as_str).collect();
    PossibleValuesParser::new(names).try_map(|name| name.parse::<DataFormat>())
}

impl Reading {
    /// The names of the files.
    pub fn title(&self) -> String {
        self.files.iter().map(|file| camelid_files::name(file)).collect::<Vec<_>>().join(", ")
    }

    /// Reads the files.
    pub fn read(&self) -> Result<(DataFormat, Loaded)> {
        self.read_with(|_| ())
    }

    /// The same, with what a command wants of the options besides.
    pub fn read_with(&self, wants: impl FnOnce(&mut ReadOptions)) -> Result<(DataFormat, Loaded)> {
        let mut options = ReadOptions::default();
        wants(&mut options);
        if self.drop_late_start {
            options.first_turn = FirstTurn::Drop;
        }
        if self.all_paths {
            options.selection = Selection::AllPaths;
        }
        if let Some(top) = self.top {
            options.selection = Selection::TopK(usize::try_from(top)?);
        }
        if !self.lang.is_empty() {
            options.filter.langs = Some(self.lang.clone());
        }
        options.alpaca.instruction.clone_from(&self.instruction_field);
        options.alpaca.input.clone_from(&self.input_field);
        options.alpaca.output.clone_from(&self.output_field);
        match self.format {
            Some(format) => Ok((format, read_conversations(format, &self.files, &options)?)),
            // A field that is named tells the format.
            None if options.alpaca != Default::default() => {
                Ok((DataFormat::Alpaca, read_conversations(DataFormat::Alpaca, &self.files, &options)?))
            }
            None => Ok(read_detected(&self.files, &options)?),
        }
    }
}

/// Tells people what was read, dropped and changed: the first few of each by name.
pub fn tell(report: &LoadReport, verb: &str) {
    for note in &report.notes {
        camelid_files::say!("{note}");
    }
    camelid_files::say!("{} {} {verb}, {} kept", report.read, report.unit, report.kept);
    for (reason, tally) in &report.dropped {
        camelid_files::say!("  {} dropped ({reason}): {tally}", tally.count);
    }
    tell_changes(&report.changed);
}

/// The part of a report about conversations that are there all the same.
pub fn tell_changes(changed: &std::collections::BTreeMap<String, Tally>) {
    for (what, tally) in changed {
        camelid_files::say!("  {} with {what}: {tally}", tally.count);
    }
}

/// Prints a value as indented JSON.
pub fn print_json<T: Serialize + ?Sized>(value: &T) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    Ok(program::print(text)?)
}
