//! The drawing of the crates in `docs/crates.md` is what `cargo metadata` says.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use camelid_tests::{packages, workspace};
use serde_json::Value;

type Arrows = BTreeMap<String, BTreeSet<String>>;

/// What each crate of the workspace is built on: its normal dependencies, optional ones too.
fn dependencies() -> Arrows {
    let packages = packages();
    let name = |value: &Value| value.as_str().expect("a name").to_owned();
    let members: BTreeSet<String> = packages.iter().map(|package| name(&package["name"])).collect();
    let of = |package: &Value| {
        let dependencies = package["dependencies"].as_array().expect("dependencies");
        // The crate that unites third-party features builds nothing of ours.
        let ours = |dependency: &&Value| {
            dependency["kind"].is_null()
                && members.contains(dependency["name"].as_str().unwrap_or_default())
                && dependency["name"] != "camelid-tests"
        };
        dependencies.iter().filter(ours).map(|dependency| short(&name(&dependency["name"]))).collect()
    };
    packages
        .iter()
        .filter(|package| package["name"] != "camelid-tests")
        .map(|package| (short(&name(&package["name"])), of(package)))
        .collect()
}

/// `camelid-lora` is drawn as `lora`, and the package of the command, `camelid`, as `cli`.
fn short(package: &str) -> String {
    if package == "camelid" { "cli".to_owned() } else { package.trim_start_matches("camelid-").to_owned() }
}

/// Without the arrows that others imply.
fn reduced(arrows: &Arrows) -> Arrows {
    fn reach<'a>(from: &'a str, arrows: &'a Arrows, reached: &mut BTreeSet<&'a str>) {
        for to in &arrows[from] {
            if reached.insert(to) {
                reach(to, arrows, reached);
            }
        }
    }
    let direct = |from: &str| -> BTreeSet<String> {
        let implied = |to: &String| {
            arrows[from].iter().filter(|other| *other != to).any(|other| {
                let mut reached = BTreeSet::new();
                reach(other, arrows, &mut reached);
                reached.contains(to.as_str())
            })
        };
        arrows[from].iter().filter(|to| !implied(to)).cloned().collect()
    };
    arrows.keys().map(|from| (from.clone(), direct(from))).collect()
}

/// The lines `a --> b` of the page.
fn drawn(page: &str) -> Arrows {
    let mut arrows = Arrows::new();
    for (from, to) in page.lines().filter_map(|line| line.split_once(" --> ")) {
        arrows.entry(from.trim().to_owned()).or_default().insert(to.trim().to_owned());
    }
    arrows
}

#[test]
fn the_drawing_of_the_crates_is_what_cargo_says() {
    let page = std::fs::read_to_string(workspace().join("docs/crates.md")).expect("docs/crates.md");
    let expected: Arrows = reduced(&dependencies()).into_iter().filter(|(_, to)| !to.is_empty()).collect();
    let lines: Vec<String> = expected
        .iter()
        .flat_map(|(from, all)| all.iter().map(move |to| format!("    {from} --> {to}")))
        .collect();
    assert_eq!(drawn(&page), expected, "docs/crates.md should draw\n{}\n", lines.join("\n"));

    // mermaid names each arrow of the picture by its ends.
    let picture = std::fs::read_to_string(workspace().join("docs/crates.svg")).expect("docs/crates.svg");
    let mut in_picture: Vec<&str> =
        picture.split("data-id=\"L_").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    in_picture.sort_unstable();
    in_picture.dedup();
    let mut named: Vec<String> =
        expected.iter().flat_map(|(from, all)| all.iter().map(move |to| format!("{from}_{to}_0"))).collect();
    named.sort_unstable();
    assert_eq!(in_picture, named, "docs/crates.svg was drawn from other arrows");
}

/// The names of all crates that a package is built of.
fn built_of(arguments: &[&str]) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = ["tree", "--offline", "--edges", "normal", "--prefix", "none", "--format", "{p}", "--package"];
    let output = Command::new(cargo).args(tree).args(arguments).current_dir(workspace()).output();
    let output = output.expect("cargo runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("names");
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn what_is_light_is_built_without_models_and_frames() {
    for arguments in [
        &["camelid-ratings"][..],
        &["camelid-chat", "--features", "requests"],
        &["camelid-quant", "--no-default-features"],
        &["camelid-notebooks"],
    ] {
        let crates = built_of(arguments);
        assert!(crates.contains("serde_json"), "{arguments:?}: {crates:?}");
        let heavy: Vec<_> = crates
            .iter()
            .filter(|name| ["burn", "polars", "camelid-model"].iter().any(|h| name.starts_with(h)))
            .collect();
        assert!(heavy.is_empty(), "{arguments:?} builds {heavy:?}");
    }
}

#[test]
fn what_stands_alone_depends_on_no_model() {
    let arrows = dependencies();
    for (alone, allowed) in [
        ("files", &[][..]),
        ("report", &["files"]),
        ("sandbox", &["files"]),
        ("ratings", &["files", "report"]),
        ("chat", &["files"]),
        ("text", &["files"]),
        ("data", &["files", "chat", "report", "text"]),
        ("kernels", &[]),
        ("quant", &["files", "kernels"]),
        ("lora", &["files", "kernels", "quant"]),
        ("paged-optim", &["files", "kernels"]),
    ] {
        let Some(found) = arrows.get(alone) else { panic!("no crate {alone}") };
        let foreign: Vec<_> = found.iter().filter(|name| !allowed.contains(&name.as_str())).collect();
        assert!(foreign.is_empty(), "{alone} depends on {foreign:?}");
    }
    for program in ["cli", "xtask"] {
        let users: Vec<_> = arrows.iter().filter(|(_, to)| to.contains(program)).collect();
        assert!(users.is_empty(), "{program} is used by {users:?}");
    }
}
