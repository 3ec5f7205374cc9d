//! The rows of a file through all cores, in their order, a few megabytes at a time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use camelid_files::{BadRecord, Record};
use rayon::prelude::*;
use serde_json::Value;

use crate::DataError;
use crate::rows::Rows;

/// A row, or what is wrong with it.
pub(crate) type Row = Result<Record, BadRecord>;

/// Text in a batch from which it is given out, in bytes. Three batches are in memory at most: one being
/// read, one waiting, one being worked on; a row that is larger makes its batch larger.
const BATCH_BYTES: usize = 4 << 20;

/// Rows in a batch.
const BATCH_ROWS: usize = 1024;

/// How often a wish to stop is looked for while nothing is read.
const LOOK_UP: Duration = Duration::from_millis(50);

/// Hands every row to `work`, on all cores, and what comes of them to `each`, in the order of the file.
///
/// # Errors
/// The file cannot be read to its end; [`DataError::Stopped`] once `stop` is set; what `each` says.
pub(crate) fn stream<T: Send>(
    rows: Rows,
    stop: &AtomicBool,
    work: impl Fn(Row) -> T + Sync,
    mut each: impl FnMut(T) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let (sender, batches) = sync_channel(1);
    // Not a thread of a scope: whoever wants to stop does not wait for a pipe that says nothing.
    let reader = thread::spawn(move || read(rows, &sender));
    loop {
        let batch: Vec<Row> = match batches.recv_timeout(LOOK_UP) {
            Ok(batch) => batch,
            Err(RecvTimeoutError::Timeout) if stop.load(Ordering::SeqCst) => return Err(DataError::Stopped),
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let going_on = |row| (!stop.load(Ordering::SeqCst)).then(|| work(row));
        let done: Option<Vec<T>> = batch.into_par_iter().with_max_len(1).map(going_on).collect();
        done.ok_or(DataError::Stopped)?.into_iter().try_for_each(&mut each)?;
    }
    reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Reads batches until the file ends or nobody wants more.
fn read(mut rows: Rows, batches: &SyncSender<Vec<Row>>) -> Result<(), DataError> {
    loop {
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut ended = false;
        while bytes < BATCH_BYTES && batch.len() < BATCH_ROWS && !ended {
            match rows.next_row_or_bad()? {
                Some(row) => {
                    bytes += row.as_ref().map_or(0, |record| record.fields.values().map(weight).sum());
                    batch.push(row);
                }
                None => ended = true,
            }
        }
        if batches.send(batch).is_err() || ended {
            return Ok(());
        }
    }
}

/// About how many bytes of text a value holds.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(fields) => fields.values().map(weight).sum(),
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A file of 3,000 numbered rows, the one at 2,000 bad.
    fn numbered(folder: &std::path::Path) -> PathBuf {
        let row = |n: usize| if n == 2000 { "{bad}\n".to_string() } else { format!("{{\"n\": {n}}}\n") };
        let path = folder.join("rows.jsonl");
        std::fs::write(&path, (0..3000).map(row).collect::<String>()).unwrap();
        path
    }

    #[test]
    fn rows_come_in_their_order_and_bad_ones_in_their_place() {
        let folder = tempfile::tempdir().unwrap();
        let rows = Rows::open(&numbered(folder.path())).unwrap();
        let mut seen = Vec::new();
        let work = |row: Row| row.map(|record| record.fields["n"].as_u64()).map_err(|bad| bad.place.number());
        stream(rows, &AtomicBool::new(false), work, |n| {
            seen.push(n);
            Ok(())
        })
        .unwrap();
        let expected: Vec<_> = (0..3000).map(|n| if n == 2000 { Err(2001) } else { Ok(Some(n)) }).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_wish_to_stop_an_error_and_a_cut_file_end_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = numbered(folder.path());
        let run = |stop: bool, each: &mut dyn FnMut() -> Result<(), DataError>| {
            stream(Rows::open(&path).unwrap(), &AtomicBool::new(stop), |_| (), |()| each())
        };
        assert!(matches!(run(true, &mut || Ok(())), Err(DataError::Stopped)));
        let mut count = 0;
        let failed = run(false, &mut || {
            count += 1;
            if count == 5 { Err(DataError::Option("five".into())) } else { Ok(()) }
        });
        assert!(matches!(failed, Err(DataError::Option(_))) && count == 5);
        let cut = folder.path().join("cut.json");
        std::fs::write(&cut, "[{\"n\": 1}, {\"n\": ").unwrap();
        let mut count = 0;
        let error = stream(
            Rows::open(&cut).unwrap(),
            &AtomicBool::new(false),
            |_| (),
            |()| {
                count += 1;
                Ok(())
            },
        );
        assert!(error.unwrap_err().to_string().contains("cut.json: the JSON array is cut off at item 2"));
    }
}
