//! The book holds together: its summary, its links, the files it has its readers write.

use std::path::Path;

use camelid_recipe::Experiment;
use camelid_tests::{pages, workspace};

fn page(name: &str) -> String {
    let path = workspace().join("docs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What the links of a page lead to, anchors and other sites left out.
fn links(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    let files = targets.map(|target| target.split('#').next().unwrap_or_default().to_owned());
    files.filter(|file| !file.is_empty() && !file.contains("://")).collect()
}

#[test]
fn every_page_is_in_the_summary_once() {
    let mut listed = links(&page("SUMMARY.md"));
    listed.sort();
    let mut there: Vec<String> = std::fs::read_dir(workspace().join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".md") && name != "SUMMARY.md")
        .collect();
    there.sort();
    assert_eq!(listed, there);
}

#[test]
fn links_lead_to_files_that_are_there() {
    let mut followed = 0;
    for path in pages::pages() {
        let text = std::fs::read_to_string(&path).unwrap();
        for link in links(&text) {
            let target = path.parent().unwrap_or(Path::new("")).join(&link);
            assert!(target.exists(), "{} links to {link}", path.display());
            followed += 1;
        }
    }
    assert!(followed > 40, "{followed}");
}

#[test]
fn experiments_that_readers_write_are_read() {
    for name in ["own-data.md", "first-hour.md"] {
        let text = page(name);
        let blocks = pages::blocks(&text, &["toml"]);
        assert!(!blocks.is_empty(), "{name}");
        for (line, block) in blocks {
            Experiment::parse_with(block, name.as_ref(), &[])
                .unwrap_or_else(|error| panic!("{name}, line {line}: {error}"));
        }
    }
}

#[test]
fn it_can_be_read_in_an_evening() {
    let names = links(&page("SUMMARY.md"));
    let words: usize = names.iter().map(|name| page(name).split_whitespace().count()).sum();
    assert!((3_000..15_000).contains(&words), "{words} words");
}
