//! The notebooks do what their committed outputs say, on what they ask for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use camelid_notebooks::{Notebook, difference, notebooks, outputs_of};

fn all() -> Vec<PathBuf> {
    let paths = notebooks(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    assert!(paths.len() >= 6, "{paths:?}");
    paths
}

#[test]
fn outputs_are_the_committed_ones() {
    for path in all() {
        let output = Command::new(env!("CARGO_BIN_EXE_camelid-notebooks"))
            .arg(path.file_stem().unwrap())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", path.display());
        let found = outputs_of(&String::from_utf8(output.stdout).unwrap());
        let committed = Notebook::read(&path).unwrap().outputs();
        assert!(
            found.iter().any(|output| output.shown.is_some() || output.text.len() > 200),
            "{}",
            path.display()
        );
        assert_eq!(difference(&committed, &found), None, "{}", path.display());
    }
}

/// The crates that a notebook asks for by `:dep NAME = …`, with their tables.
fn dependencies(code: &[String]) -> Vec<(String, toml::Value)> {
    let lines = code.iter().flat_map(|cell| cell.lines());
    let asked = lines.filter_map(|line| line.strip_prefix(":dep "));
    asked
        .map(|line| {
            let table: toml::Table = toml::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            table.into_iter().next().expect("a name")
        })
        .collect()
}

#[test]
fn notebooks_ask_for_what_they_use_and_their_program_has_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let manifest: toml::Table = toml::from_str(&manifest).unwrap();
    let of_program = manifest["dependencies"].as_table().unwrap();
    let root = std::fs::read_to_string(camelid_tests::workspace().join("Cargo.toml")).unwrap();
    let root: toml::Table = toml::from_str(&root).unwrap();
    let features = |table: &toml::Value| table.get("features").cloned();
    let mut asked_for = BTreeSet::new();
    for path in all() {
        let code = Notebook::read(&path).unwrap().code();
        let asked = dependencies(&code);
        for (name, table) in &asked {
            assert!(of_program.contains_key(name), "{}: the program lacks {name}", path.display());
            if let Some(at) = table.get("path") {
                let named =
                    std::fs::read_to_string(folder.join(at.as_str().unwrap()).join("Cargo.toml")).unwrap();
                assert!(
                    named.contains(&format!("name = \"{name}\"")),
                    "{}: {at} is not {name}",
                    path.display()
                );
            } else {
                // A program has what the whole workspace asks for, the kernel what the notebook asks for:
                // another order of a JSON object's keys, for one.
                let of_workspace = &root["workspace"]["dependencies"][name];
                assert_eq!(features(table), features(of_workspace), "{}: {name}", path.display());
            }
        }
        for name in of_program.keys() {
            let is_used = code.iter().any(|cell| cell.contains(&format!("{}::", name.replace('-', "_"))));
            let is_asked = asked.iter().any(|(one, _)| one == name);
            assert_eq!(is_used, is_asked, "{}: {name}", path.display());
            asked_for.extend(is_asked.then(|| name.clone()));
        }
    }
    assert!(asked_for.len() >= 6, "{asked_for:?}");
}
