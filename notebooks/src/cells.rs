//! Notebooks and their code, as the build script and the library read them.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde_json::Value;

/// The notebooks of a folder, sorted.
pub fn notebooks(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let paths = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = paths.collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|kind| kind == "ipynb"));
    paths.sort();
    Ok(paths)
}

/// The code cells of a notebook's document, in their order.
pub fn code_cells(document: &Value) -> impl Iterator<Item = &Value> {
    let cells = document["cells"].as_array().into_iter().flatten();
    cells.filter(|cell| cell["cell_type"] == "code")
}

/// The text of a cell: a string, or a list of lines with their ends.
pub fn source(cell: &Value) -> String {
    text(&cell["source"])
}

/// A text as notebooks store it.
pub fn text(value: &Value) -> String {
    match value {
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().unwrap_or_default().to_owned(),
    }
}
