//! Conversations of any format, and what format a file looks to be of.

use std::path::Path;

use camelid_files::Input;
use serde::{Deserialize, Serialize};

use crate::alpaca::{self, AlpacaOptions};
use crate::dialogue::{BlankTurns, FirstTurn, Rules};
use crate::fields::Fields;
use crate::format::DataFormat;
use crate::load::{Ids, not_empty};
use crate::nano::{NanoConfig, NanoWorld};
use crate::oasst::{self, Filter, Selection, Trees};
use crate::rows::Rows;
use crate::{DataError, LoadReport, Loaded, guanaco, messages, sharegpt, turns};

/// Rows that are looked at to tell a format.
const LOOK: usize = 64;

/// What the loaders can be told; each takes what concerns it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReadOptions {
    /// Conversations that begin with the assistant.
    pub first_turn: FirstTurn,
    /// Turns that say nothing.
    pub blank_turns: BlankTurns,
    /// Which messages of OASST's trees count.
    pub filter: Filter,
    /// Which paths through the trees become conversations.
    pub selection: Selection,
    /// How rows of instructions become conversations.
    pub alpaca: AlpacaOptions,
    /// The nano world, where no file gives its dials.
    pub nano: NanoConfig,
}

/// Reads conversations of one format from one or several files, in order; `-` is standard input.
/// Nothing is guessed from the names of the files. Ids are unique over all of them: one that comes
/// again has `#` and the number of its file put behind it.
///
/// The report counts rows, or messages where the format is OASST's or the nano world's; what became of
/// the trees is a note then.
///
/// # Errors
/// A file that cannot be read or gives no conversation, by name: [`DataError::OtherFormat`] where its
/// rows look to be of another format. A dial of the nano world out of range.
pub fn read_conversations<P: AsRef<Path>>(
    format: DataFormat,
    paths: &[P],
    options: &ReadOptions,
) -> Result<Loaded, DataError> {
    match paths {
        [] if format == DataFormat::Nano => nano(&options.nano, options),
        [] => Err(DataError::Option(format!("no file to read `{format}` conversations from"))),
        [path] => read_file(format, path.as_ref(), options),
        many => {
            let mut joined = Joined::default();
            for path in many {
                joined.add(read_file(format, path.as_ref(), options)?, path.as_ref());
            }
            Ok(joined.loaded)
        }
    }
}

/// As [`read_conversations`], where nobody said of what format the files are: told from the first
/// rows of each. The report says what they were taken for.
///
/// # Errors
/// As [`read_conversations`]; [`DataError::UnknownShape`] where the rows look like none of the
/// formats; files of several formats.
pub fn read_detected<P: AsRef<Path>>(
    paths: &[P],
    options: &ReadOptions,
) -> Result<(DataFormat, Loaded), DataError> {
    let mut joined = Joined::default();
    let mut common = None;
    for path in paths.iter().map(AsRef::as_ref) {
        let mut rows = Rows::open(path)?;
        let format = detect(&mut rows)?;
        let (shape, path) = (rows.shape(), rows.path().to_path_buf());
        match common.replace(format) {
            Some(before) if before != format => {
                let message = "name the format, or read them one by one";
                let path = path.display();
                return Err(DataError::Option(format!(
                    "{path} looks like `{format}`, the files before it like `{before}`; {message}"
                )));
            }
            _ => {}
        }
        let mut loaded = not_empty(read_rows(format, rows, options)?, &path)?;
        loaded.report.notes.insert(0, format!("taken for `{format}` in {shape}"));
        if paths.len() == 1 {
            return Ok((format, loaded));
        }
        joined.add(loaded, &path);
    }
    match common {
        Some(format) => Ok((format, joined.loaded)),
        None => Err(DataError::Option("no file to read conversations from".to_string())),
    }
}

/// Several files as one.
struct Joined {
    loaded: Loaded,
    ids: Ids,
    files: u64,
}

impl Default for Joined {
    fn default() -> Self {
        let loaded = Loaded { conversations: Vec::new(), report: LoadReport::default() };
        Self { loaded, ids: Ids::default(), files: 0 }
    }
}

impl Joined {
    fn add(&mut self, file: Loaded, path: &Path) {
        self.files += 1;
        if self.files == 1 {
            self.loaded.report.unit.clone_from(&file.report.unit);
        }
        self.loaded.report.add_file(file.report, &camelid_files::name(path));
        for mut conversation in file.conversations {
            conversation.id = self.ids.allot(conversation.id, self.files);
            self.loaded.conversations.push(conversation);
        }
    }
}

fn read_file(format: DataFormat, path: &Path, options: &ReadOptions) -> Result<Loaded, DataError> {
    if format == DataFormat::Nano {
        let text = Input::open(path)?.text()?;
        let dials: NanoConfig = toml::from_str(&text).map_err(|error| {
            DataError::Option(format!("{}: not the dials of a nano world: {error}", path.display()))
        })?;
        return nano(&dials, options);
    }
    let mut rows = Rows::open(path)?;
    let looks_like = looks_like(&mut rows)?;
    let path = rows.path().to_path_buf();
    let loaded = read_rows(format, rows, options)?;
    match loaded.conversations.is_empty() {
        true => Err(none_is(format, looks_like, &path, loaded.report)),
        false => Ok(loaded),
    }
}

/// What the first rows look like, where that is known.
pub(crate) fn looks_like(rows: &mut Rows) -> Result<Option<DataFormat>, DataError> {
    match detect(rows) {
        Ok(format) => Ok(Some(format)),
        Err(DataError::UnknownShape { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The error that no row of a file is of a format.
pub(crate) fn none_is(
    format: DataFormat,
    looks_like: Option<DataFormat>,
    path: &Path,
    report: LoadReport,
) -> DataError {
    let (what, report) = (path.display().to_string(), Box::new(report));
    match looks_like {
        Some(looks_like) if looks_like != format => {
            DataError::OtherFormat { what, format, looks_like, report }
        }
        _ => DataError::Empty { what, report },
    }
}

fn read_rows(format: DataFormat, rows: Rows, options: &ReadOptions) -> Result<Loaded, DataError> {
    let rules = Rules { first_turn: options.first_turn, blank_turns: options.blank_turns };
    match format {
        DataFormat::OasstTrees => chosen(oasst::read_trees(rows)?, options),
        DataFormat::OasstFlat => chosen(oasst::read_messages(rows)?, options),
        DataFormat::Sharegpt => sharegpt::read(rows, rules),
        DataFormat::Alpaca => alpaca::read(rows, &options.alpaca, rules),
        DataFormat::Messages => messages::read(rows, rules),
        DataFormat::Guanaco => guanaco::read(rows, rules),
        DataFormat::Nano => nano(&options.nano, options),
    }
}

fn nano(dials: &NanoConfig, options: &ReadOptions) -> Result<Loaded, DataError> {
    let trees = NanoWorld::new(dials)?.trees();
    let mut report = LoadReport::new("messages");
    report.read = trees.iter().map(|tree| tree.prompt.len()).sum();
    chosen(Trees { trees, report }, options)
}

fn chosen(trees: Trees, options: &ReadOptions) -> Result<Loaded, DataError> {
    let chosen = trees.dialogues(&options.filter, options.selection)?;
    let mut report = chosen.messages;
    report.note(format!("of the trees: {}", chosen.trees));
    Ok(Loaded { conversations: chosen.conversations, report })
}

/// The format that the first rows have, told by their fields.
fn detect(rows: &mut Rows) -> Result<DataFormat, DataError> {
    let first = rows.look(LOOK)?;
    if let Some(format) = first.iter().find_map(|record| format_of(&record.fields)) {
        return Ok(format);
    }
    let found = match first.first() {
        Some(record) => {
            let fields = record.fields.keys().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
            format!("in {}, the first row has {fields}", rows.shape())
        }
        None => match rows.first_bad() {
            Some(bad) => format!("no row can be read; {bad}"),
            None => "there are no rows".to_string(),
        },
    };
    Err(DataError::UnknownShape { path: rows.path().to_path_buf(), found })
}

pub(crate) fn format_of(row: &Fields) -> Option<DataFormat> {
    if oasst::is_tree(row) {
        Some(DataFormat::OasstTrees)
    } else if oasst::is_message(row) {
        Some(DataFormat::OasstFlat)
    } else if let Some(speaker) = turns::speaker_key(row).or_else(|| turns::turn_speaker(row)) {
        Some(if speaker == "from" { DataFormat::Sharegpt } else { DataFormat::Messages })
    } else if guanaco::fits(row) {
        Some(DataFormat::Guanaco)
    } else {
        alpaca::fits(row).then_some(DataFormat::Alpaca)
    }
}
