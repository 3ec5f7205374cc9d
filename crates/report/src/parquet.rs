//! Tables of reports as polars frames and Parquet files.

use std::path::Path;

use camelid_files::{FileError, WholeFile};
use polars::prelude::{DataFrame, ParquetWriter, PolarsResult};

use crate::Report;

/// A report that has a main table.
pub trait Tabular: Report {
    /// Its main table as a frame; an interval is a pair of columns.
    ///
    /// # Errors
    /// Those of polars, which columns of one length do not give.
    fn frame(&self) -> PolarsResult<DataFrame>;
}

/// Writes a frame as a Parquet file, whole or not at all.
///
/// # Errors
/// Those of [`WholeFile`]; [`FileError::Content`] when polars cannot encode the frame.
pub fn write_parquet(path: &Path, frame: &mut DataFrame) -> Result<(), FileError> {
    let mut file = WholeFile::create(path)?;
    ParquetWriter::new(&mut file).finish(frame).map_err(|error| FileError::Content {
        path: path.to_owned(),
        message: format!("cannot be written as Parquet: {error}"),
    })?;
    file.finish()
}

#[cfg(test)]
mod tests {
    use polars::prelude::{Column, ParquetReader, SerReader};

    use super::*;

    #[test]
    fn a_frame_is_read_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.parquet");
        let columns = vec![Column::new("model".into(), ["x", "y"]), Column::new("rating".into(), [1.5, 2.5])];
        let mut frame = DataFrame::new(2, columns).unwrap();
        write_parquet(&path, &mut frame).unwrap();
        let read = ParquetReader::new(std::fs::File::open(&path).unwrap()).finish().unwrap();
        assert!(read.equals(&frame));
        let error = write_parquet(&folder.path().join("none/table.parquet"), &mut frame).unwrap_err();
        assert!(error.to_string().contains("none/table.parquet"), "{error}");
    }
}
