//! Parquet files that are written some thousand rows at a time.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use camelid_files::{FileError, WholeFile};
use polars::io::parquet::write::BatchedWriter;
use polars::prelude::{DataFrame, ParquetWriter, PolarsResult};

use crate::DataError;

/// A Parquet file in the making; it appears on [`TableFile::finish`] or never.
pub(crate) struct TableFile {
    path: PathBuf,
    file: Shared,
    writer: Option<BatchedWriter<Shared>>,
}

impl TableFile {
    pub(crate) fn create(path: &Path) -> Result<Self, FileError> {
        let file = Shared(Arc::new(Mutex::new(Some(WholeFile::create(path)?))));
        Ok(Self { path: path.to_owned(), file, writer: None })
    }

    /// Writes a group of rows. The first decides the columns.
    pub(crate) fn write(&mut self, group: PolarsResult<DataFrame>) -> Result<(), DataError> {
        let write = |group: DataFrame| {
            let writer = match &mut self.writer {
                Some(writer) => writer,
                none => none.insert(ParquetWriter::new(self.file.clone()).batched(group.schema())?),
            };
            writer.write_batch(&group)
        };
        group.and_then(write).map_err(|error| DataError::Parquet {
            path: self.path.clone(),
            message: format!("cannot be written: {error}"),
        })
    }

    /// Makes the file appear. [`TableFile::write`] was called once at least.
    pub(crate) fn finish(self) -> Result<(), DataError> {
        if let Some(writer) = self.writer {
            writer.finish().map_err(|error| DataError::Parquet {
                path: self.path.clone(),
                message: format!("cannot be written: {error}"),
            })?;
        }
        match self.file.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(file) => Ok(file.finish()?),
            None => Ok(()),
        }
    }
}

/// The file, which polars' writer would keep for itself.
#[derive(Clone)]
struct Shared(Arc<Mutex<Option<WholeFile>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(file) => file.write(bytes),
            None => Err(io::Error::other("the file is finished")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(file) => file.flush(),
            None => Ok(()),
        }
    }
}
