//! What an experiment names, where it is no path: a name of the catalogue, or a repository of the
//! Hugging Face hub that the catalogue has.

use std::path::{Path, PathBuf};

use camelid_data::catalogue::{Catalogue, FetchOptions, HubKind, Source};

use crate::RecipeError;

/// Endings of data files: what has one is a path, not a repository.
const DATA_ENDINGS: [&str; 9] =
    [".json", ".jsonl", ".parquet", ".csv", ".tsv", ".txt", ".gz", ".zst", ".arrow"];

/// Whether `name` can only be a path: names of the catalogue have neither folders nor endings.
fn is_spelt_as_a_path(name: &str) -> bool {
    name.contains(['/', '\\', '.'])
}

/// Whether `name` could be a repository of the hub, `owner/name`.
fn is_spelt_as_a_repository(name: &str) -> bool {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    name.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name))
        && !DATA_ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// The catalogue's source that `name` stands for; `None` where `name` is, or can only be, a path.
///
/// # Errors
/// [`RecipeError::Name`] for a name that the catalogue lacks, and for a repository of the hub that
/// it lacks or takes several sources from.
pub fn source_named<'a>(
    name: &str,
    kind: HubKind,
    catalogue: &'a Catalogue,
) -> Result<Option<&'a Source>, RecipeError> {
    let wrong = |reason: String| Err(RecipeError::Name { name: name.to_owned(), reason });
    if Path::new(name).exists() {
        return Ok(None);
    }
    if !is_spelt_as_a_path(name) {
        return match catalogue.get(name) {
            Ok(source) => Ok(Some(source)),
            Err(error) => wrong(format!("it is no path, and there is {error}")),
        };
    }
    if !is_spelt_as_a_repository(name) {
        return Ok(None);
    }
    let of_kind = || {
        let hub =
            |source: &'a Source| source.hub.as_ref().filter(|hub| hub.kind == kind).map(|hub| (hub, source));
        catalogue.sources().iter().filter_map(hub)
    };
    let same: Vec<&Source> =
        of_kind().filter(|(hub, _)| hub.repo.eq_ignore_ascii_case(name)).map(|(_, source)| source).collect();
    match same.as_slice() {
        [source] => Ok(Some(source)),
        [] => {
            let mut known: Vec<&str> = of_kind().map(|(hub, _)| hub.repo.as_str()).collect();
            known.dedup();
            let (what, option) = match kind {
                HubKind::Dataset => ("data sets", "--repo-type dataset "),
                HubKind::Model => ("models", ""),
            };
            wrong(format!(
                "there is no such file or folder. Of the {what} on the Hugging Face hub only these are \
                 fetched by name: {}; of another give the path, after `hf download {option}{name} \
                 --local-dir FOLDER`",
                known.join(", ")
            ))
        }
        several => {
            let names: Vec<String> =
                several.iter().map(|source| format!("{} ({})", source.name, source.about)).collect();
            wrong(format!(
                "the catalogue has several parts of this repository; name one: {}",
                names.join("; ")
            ))
        }
    }
}

/// The file or folder of the data that an experiment names: fetched where the catalogue has them.
///
/// # Errors
/// As [`source_named`], and when they cannot be fetched.
pub(crate) fn data_path(name: &str, fetch: &FetchOptions) -> Result<PathBuf, RecipeError> {
    match source_named(name, HubKind::Dataset, &Catalogue::builtin()?)? {
        Some(source) => Ok(source.fetch(fetch)?),
        None => Ok(PathBuf::from(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, kind: HubKind) -> Result<Option<String>, String> {
        let catalogue = Catalogue::builtin().unwrap();
        let source = source_named(name, kind, &catalogue).map_err(|error| error.to_string())?;
        Ok(source.map(|source| source.name.clone()))
    }

    #[test]
    fn repositories_of_the_catalogue_are_known_by_their_name_on_the_hub() {
        let model = |name| named(name, HubKind::Model);
        assert_eq!(model("HuggingFaceTB/SmolLM2-135M").unwrap().as_deref(), Some("smollm2-135m"));
        assert_eq!(model("huggyllama/llama-7b"), model("llama-7b"));
        let several = named("OpenAssistant/oasst1", HubKind::Dataset).unwrap_err();
        for part in ["OpenAssistant/oasst1", "name one", "oasst1-ready-trees", "oasst1-train"] {
            assert!(several.contains(part), "{part}: {several}");
        }
    }

    #[test]
    fn another_repository_is_told_how_to_be_had_and_paths_stay_paths() {
        let said = named("someone/their-chats", HubKind::Dataset).unwrap_err();
        assert!(said.contains("hf download --repo-type dataset someone/their-chats"), "{said}");
        assert!(said.contains("timdettmers/openassistant-guanaco"), "{said}");
        for path in ["data/chats.json", "./chats", "a/b/c", "../chats", "chats.jsonl.gz"] {
            assert_eq!(named(path, HubKind::Dataset).unwrap(), None, "{path}");
        }
        let unknown = named("oasst1-redy-trees", HubKind::Dataset).unwrap_err();
        assert!(unknown.contains("did you mean \"oasst1-ready-trees\"?"), "{unknown}");
    }
}
