#![doc = include_str!("../README.md")]

mod cells;
mod outputs;

use std::path::{Path, PathBuf};

use camelid_files::{FileError, write_whole};
use serde_json::{Value, json};

pub use outputs::{CELL_MARK, Output, difference, outputs_of};

/// Why a notebook cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NotebookError {
    /// Reading or writing it fails.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not what Jupyter writes.
    #[error("{path}: {problem}")]
    Document {
        /// The notebook.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// It was run, and another number of cells came out.
    #[error("{path} has {cells} code cells, of which {found} were run")]
    Cells {
        /// The notebook.
        path: PathBuf,
        /// Code cells it has.
        cells: usize,
        /// Those that were run.
        found: usize,
    },
}

/// The notebooks of a folder, by name.
///
/// # Errors
/// [`NotebookError::File`].
pub fn notebooks(folder: &Path) -> Result<Vec<PathBuf>, NotebookError> {
    Ok(cells::notebooks(folder).map_err(FileError::io(folder, "read"))?)
}

/// A notebook, as Jupyter writes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Notebook {
    path: PathBuf,
    document: Value,
}

impl Notebook {
    /// Reads a notebook.
    ///
    /// # Errors
    /// [`NotebookError::File`] and [`NotebookError::Document`].
    pub fn read(path: &Path) -> Result<Self, NotebookError> {
        let text = std::fs::read_to_string(path).map_err(FileError::io(path, "read"))?;
        Self::parse(path, &text)
    }

    /// A notebook of this text; `path` is for errors and for [`Notebook::write`].
    ///
    /// # Errors
    /// [`NotebookError::Document`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, NotebookError> {
        let problem = |problem: String| NotebookError::Document { path: path.to_owned(), problem };
        let document: Value = serde_json::from_str(text).map_err(|error| problem(error.to_string()))?;
        if !document["cells"].is_array() {
            return Err(problem("expected a list of `cells`".to_owned()));
        }
        Ok(Self { path: path.to_owned(), document })
    }

    /// The code of each code cell.
    pub fn code(&self) -> Vec<String> {
        cells::code_cells(&self.document).map(cells::source).collect()
    }

    /// What stands under each code cell.
    pub fn outputs(&self) -> Vec<Output> {
        cells::code_cells(&self.document).map(Output::of_cell).collect()
    }

    /// Puts outputs under the code cells.
    ///
    /// # Errors
    /// [`NotebookError::Cells`] where there is not one for each.
    pub fn set_outputs(&mut self, outputs: &[Output]) -> Result<(), NotebookError> {
        let cells = self.document["cells"].as_array_mut().into_iter().flatten();
        let code: Vec<&mut Value> = cells.filter(|cell| cell["cell_type"] == "code").collect();
        if code.len() != outputs.len() {
            let (path, cells, found) = (self.path.clone(), code.len(), outputs.len());
            return Err(NotebookError::Cells { path, cells, found });
        }
        for (number, (cell, output)) in code.into_iter().zip(outputs).enumerate() {
            cell["execution_count"] = json!(number + 1);
            cell["outputs"] = output.to_json(number + 1);
        }
        Ok(())
    }

    /// Writes the notebook where it was read, whole or not at all.
    ///
    /// # Errors
    /// [`NotebookError::File`].
    pub fn write(&self) -> Result<(), NotebookError> {
        // Jupyter's own layout: one space a level.
        let mut bytes = Vec::new();
        let layout = serde_json::ser::PrettyFormatter::with_indent(b" ");
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, layout);
        serde::Serialize::serialize(&self.document, &mut serializer).map_err(|error| {
            NotebookError::Document { path: self.path.clone(), problem: error.to_string() }
        })?;
        bytes.push(b'\n');
        Ok(write_whole(&self.path, &bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"cells": [{"cell_type": "markdown", "source": ["A title"]},
        {"cell_type": "code", "source": ["let a = 1;\n", "let b = 2;"], "outputs": []},
        {"cell_type": "code", "source": "println!(\"{}\", a + b);", "outputs": []}]}"#;

    #[test]
    fn outputs_are_kept_under_their_cells() {
        let mut notebook = Notebook::parse("a.ipynb".as_ref(), TEXT).unwrap();
        assert_eq!(notebook.code(), ["let a = 1;\nlet b = 2;", "println!(\"{}\", a + b);"]);
        let outputs = [
            Output::default(),
            Output { text: "3\nfour\n".into(), shown: Some(("image/svg+xml".into(), "<svg/>".into())) },
        ];
        notebook.set_outputs(&outputs).unwrap();
        assert_eq!(notebook.outputs(), outputs);
        let error = notebook.set_outputs(&outputs[1..]).unwrap_err().to_string();
        assert_eq!(error, "a.ipynb has 2 code cells, of which 1 were run");
    }

    #[test]
    fn what_is_no_notebook_is_named() {
        for text in ["", "[]", "{\"cells\": 1}"] {
            let error = Notebook::parse("a.ipynb".as_ref(), text).unwrap_err().to_string();
            assert!(error.starts_with("a.ipynb: "), "{error}");
        }
    }
}
