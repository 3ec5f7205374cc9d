//! Every library can be taken alone: what a registry asks of a package is there, and the package
//! needs no file outside of itself.

use std::path::{Path, PathBuf};

use camelid_tests::{packages, workspace};
use serde_json::Value;

/// The packages that others may use, as `cargo metadata` describes them: those in `crates/`, and the kernels.
fn parcels() -> Vec<Value> {
    let own = ["camelid-tests", "camelid-benches", "camelid-gpu", "camelid-notebooks", "xtask"];
    let parcels: Vec<Value> =
        packages().into_iter().filter(|package| !own.iter().any(|name| package["name"] == *name)).collect();
    assert!(parcels.len() > 15, "{}", parcels.len());
    parcels
}

fn folder(package: &Value) -> PathBuf {
    let manifest = Path::new(package["manifest_path"].as_str().expect("a path"));
    manifest.parent().expect("a folder").to_path_buf()
}

#[test]
fn every_parcel_says_what_a_registry_asks() {
    for package in parcels() {
        let name = &package["name"];
        for field in ["description", "license", "rust_version"] {
            assert!(package[field].as_str().is_some_and(|text| !text.is_empty()), "{name} has no {field}");
        }
        let words = |field: &str| -> Vec<String> {
            let words = package[field].as_array().expect("a list");
            words.iter().map(|word| word.as_str().expect("a word").to_owned()).collect()
        };
        let keywords = words("keywords");
        let sound = |word: &String| {
            word.len() <= 20 && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_+".contains(c))
        };
        assert!((1..=5).contains(&keywords.len()) && keywords.iter().all(sound), "{name}: {keywords:?}");
        assert!((1..=5).contains(&words("categories").len()), "{name} has no categories");
        for file in ["README.md", "LICENSE-MIT", "LICENSE-APACHE"] {
            assert!(folder(&package).join(file).is_file(), "{name} has no {file}");
        }
    }
}

#[test]
fn what_a_parcel_needs_is_asked_for_by_version() {
    for package in parcels() {
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            // What only its tests need is left out of a package, where it has no version.
            let asked = dependency["kind"] == "dev" || dependency["req"] != "*";
            assert!(asked, "{} asks for {} by its path alone", package["name"], dependency["name"]);
        }
    }
}

#[test]
fn no_source_of_a_parcel_includes_a_file_from_outside() {
    let mut included = 0;
    for package in parcels() {
        let root = folder(&package);
        let mut folders = vec![root.join("src")];
        while let Some(at) = folders.pop() {
            for entry in std::fs::read_dir(&at).expect("a folder of sources") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|kind| kind == "rs") {
                    let text = std::fs::read_to_string(&path).expect("a source");
                    // The first half of each `include_str!("…")` is what stands before it.
                    for after in text.split("include_str!(\"").chain(text.split("include_bytes!(\"")).skip(1)
                    {
                        let Some((name, _)) = after.split_once('"') else { continue };
                        let Ok(file) = at.join(name).canonicalize() else { continue };
                        included += 1;
                        let inside = file.starts_with(root.canonicalize().expect("a folder"));
                        assert!(inside, "{} includes {}", path.display(), file.display());
                    }
                }
            }
        }
    }
    assert!(included > 20, "{included}");
}

/// Paths in backquotes with a folder in them, as the lists of CONTRIBUTING.md have.
fn paths(text: &str) -> Vec<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    let path = |word: &&str| word.contains('/') && !word.contains(' ') && !word.contains(':');
    quoted.filter(path).collect()
}

#[test]
fn the_files_that_contributors_are_sent_to_are_there() {
    let text = std::fs::read_to_string(workspace().join("CONTRIBUTING.md")).expect("CONTRIBUTING.md");
    let paths = paths(&text);
    assert!(paths.len() > 30, "{paths:?}");
    for path in paths {
        assert!(workspace().join(path).exists(), "CONTRIBUTING.md names {path}");
    }
    for kind in ["kernel operation", "recipe", "benchmark task", "loader of a data format", "model family"] {
        assert!(
            text.contains(&format!("### … a {kind}")),
            "CONTRIBUTING.md does not say how to add a {kind}"
        );
    }
}

#[test]
fn the_citation_and_the_changes_name_the_version_of_the_packages() {
    let packages = parcels();
    let version = packages[0]["version"].as_str().expect("a version");
    for name in ["CITATION.cff", "CHANGELOG.md"] {
        let text = std::fs::read_to_string(workspace().join(name)).expect(name);
        assert!(text.contains(version), "{name} does not name {version}");
    }
}
