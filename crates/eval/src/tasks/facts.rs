//! What a model is: everything a score's reader, and a run that goes on, has to know of it.

use std::path::{Path, PathBuf};

use camelid_files::digest::{Sum, of_file};
use camelid_model::WeightStorage;
use serde::{Deserialize, Serialize};

use super::error::TaskError;

/// Endings of the files that make a model: weights, configuration, tokenizer, templates.
const ENDINGS: [&str; 6] = ["safetensors", "gguf", "json", "jinja", "model", "txt"];

/// What a model is, for reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFacts {
    /// Its file's or folder's name.
    pub name: String,
    /// The container, in a few words.
    pub description: String,
    /// SHA-256 over its files.
    pub sha256: String,
    /// How its linear layers are held: `f32`, `bf16`, `nf4`, ….
    pub load: String,
    /// The chat template that prompts go through; `None` where they are continued as they are.
    pub template: Option<String>,
    /// The device that it ran on.
    pub device: String,
}

impl ModelFacts {
    /// Facts of the model in the files at `path`, without a template, on `device`; `description` is its
    /// [`WeightSource`](camelid_model::WeightSource)'s.
    ///
    /// # Errors
    /// [`TaskError::Io`] and [`TaskError::File`] when its files cannot be read.
    pub fn of_files(
        path: &Path,
        description: String,
        storage: &WeightStorage,
        device: impl Into<String>,
    ) -> Result<Self, TaskError> {
        Ok(Self {
            name: name_of(path),
            description,
            sha256: sha256(path)?,
            load: match storage {
                WeightStorage::F32 => "f32".to_owned(),
                WeightStorage::Bf16 => "bf16".to_owned(),
                WeightStorage::F16 => "f16".to_owned(),
                WeightStorage::Quantized(config) => config.format.to_string(),
            },
            template: None,
            device: device.into(),
        })
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// SHA-256 of a model's file; of a folder, and of weights that need the files beside them, over names
/// and contents of all files that make a model.
fn sha256(model: &Path) -> Result<String, TaskError> {
    let folder = if model.is_dir() {
        model
    } else if model.extension().is_some_and(|ending| ending == "safetensors" || ending == "json") {
        match model.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    } else {
        return Ok(of_file(model)?.1);
    };
    let mut files = files_of(folder)?;
    let named_templates = folder.join("additional_chat_templates");
    if named_templates.is_dir() {
        files.extend(files_of(&named_templates)?);
    }
    files.sort();
    let mut sum = Sum::default();
    for file in files {
        sum.add(name_of(&file)).add([0]).add(of_file(&file)?.1);
    }
    Ok(sum.finish())
}

fn files_of(folder: &Path) -> Result<Vec<PathBuf>, TaskError> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(TaskError::io(folder))? {
        let path = entry.map_err(TaskError::io(folder))?.path();
        let counts = path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known));
        if counts && path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_makes_a_model_counts_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
            sha256(folder.path()).unwrap()
        };
        let mut last = write("model.safetensors", "weights");
        assert_eq!(sha256(&folder.path().join("model.safetensors")).unwrap(), last);
        for (name, text) in [
            ("config.json", "{}"),
            ("config.json", "{ }"),
            ("chat_template.jinja", "{{ x }}"),
            ("additional_chat_templates/tool.jinja", "{{ y }}"),
        ] {
            let now = write(name, text);
            assert_ne!(now, last, "{name}");
            last = now;
        }
        assert_eq!(write("README.md", "words"), last);
    }
}
