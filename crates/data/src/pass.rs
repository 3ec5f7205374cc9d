//! One pass over a file of rows: rows in, rows out, and an account of both.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use camelid_files::Place;
use serde_json::{Value, json};

use crate::fields::{self, Fields, Problem};
use crate::format::DataFormat;
use crate::output::{Form, Output};
use crate::read::{looks_like, none_is};
use crate::report::named;
use crate::rows::{Rows, UNREADABLE, in_words};
use crate::stream::{Row, stream};
use crate::{DataError, LoadReport};

/// How a pass deals with bad rows, what it writes beside the rows, and when it stops.
#[derive(Clone, Copy, Debug)]
pub struct PassOptions<'a> {
    /// A bad row ends the pass, instead of being left out and counted.
    pub strict: bool,
    /// Write a row for every row of the input here: what became of it. JSON lines, or an array where
    /// the ending says `.json`; `.gz` and `.zst` pack it.
    pub lineage: Option<&'a Path>,
    /// Once this is true, the pass ends with [`DataError::Stopped`] and writes nothing.
    pub stop: &'a AtomicBool,
}

/// What became of one row.
pub(crate) struct Done<T> {
    /// What is written in its place.
    pub rows: Vec<Fields>,
    /// Why nothing is written, where that is so.
    pub dropped: Option<Problem>,
    /// What else there is to say.
    pub account: T,
}

/// A row's names: its id, or the file's name with the row's number where it has none, and its place.
pub(crate) struct Name {
    pub id: String,
    pub place: Place,
}

/// Reads `input`, hands every row to `work` on all cores, and writes what comes of it, in order.
/// `account` is told of each row and gives what the lineage says of it. A [`Problem`] of `work` is a
/// bad row, as are rows that are no JSON.
///
/// # Errors
/// A file that cannot be read or written; [`DataError::Empty`] or [`DataError::OtherFormat`] where all
/// rows are bad; [`DataError::BadRow`] where that is wanted;
/// [`DataError::Stopped`]. Nothing is written then.
pub(crate) fn pass<T: Send>(
    input: &Path,
    out: &Path,
    options: PassOptions<'_>,
    work: impl Fn(&Name, Fields) -> Result<Done<T>, Problem> + Sync,
    mut account: impl FnMut(&Name, T, &mut LoadReport) -> Value,
) -> Result<LoadReport, DataError> {
    let mut rows = Rows::open(input)?;
    let mut bad = 0;
    let path = rows.path().to_path_buf();
    let stem = rows.stem().to_string();
    let (form, mut output) = (Form::named(out)?, Output::create(out)?);
    let mut lineage = options.lineage.map(lineage_file).transpose()?;
    let looks_like = looks_like(&mut rows)?;
    let mut report = LoadReport::new("conversations");

    let work = |row: Row| match row {
        Err(bad) => {
            let name = Name { id: format!("{stem}:{}", bad.place.number()), place: bad.place };
            (name, Vec::new(), Err(Problem::with(UNREADABLE, bad.message)))
        }
        Ok(record) => {
            let id = fields::id(&record.fields, "id")
                .unwrap_or_else(|| format!("{stem}:{}", record.place.number()));
            let name = Name { id, place: record.place };
            let done = work(&name, record.fields);
            (name, record.notes, done)
        }
    };
    stream(rows, options.stop, work, |(name, notes, done)| {
        let mut line = match done {
            Ok(Done { rows, dropped, account: told }) => {
                match dropped {
                    Some(why) => report.drop_named(&why.reason, named(&name.id, name.place, why.detail)),
                    None => report.keep(),
                }
                for note in notes {
                    report.change(in_words(note), named(&name.id, name.place, None));
                }
                for row in &rows {
                    output.write(form.row(row))?;
                }
                account(&name, told, &mut report)
            }
            Err(problem) if options.strict => {
                let message = format!("id {}: {problem}", name.id);
                return Err(DataError::BadRow { path: path.clone(), place: name.place, message });
            }
            Err(problem) => {
                bad += 1;
                let line = json!({"bad": problem.to_string()});
                report.drop_named(&problem.reason, named(&name.id, name.place, problem.detail));
                line
            }
        };
        if let (Some(lineage), Some(line)) = (&mut lineage, line.as_object_mut()) {
            let mut row = Fields::new();
            row.insert("id".into(), name.id.into());
            row.insert("place".into(), name.place.to_string().into());
            row.append(line);
            let (form, file) = lineage;
            file.write(form.row(&row))?;
        }
        Ok(())
    })?;
    if bad > 0 && bad == report.read {
        return Err(none_is(DataFormat::Sharegpt, looks_like, &path, report));
    }
    output.finish()?;
    lineage.map(|(_, file)| file.finish()).transpose()?;
    Ok(report)
}

fn lineage_file(path: &Path) -> Result<(Form, Output), DataError> {
    match Form::named(path)? {
        Form::Table => Err(DataError::Option(format!(
            "{}: the ending of the lineage should be .json or .jsonl, which .gz or .zst may follow",
            path.display()
        ))),
        form => Ok((form, Output::create(path)?)),
    }
}
