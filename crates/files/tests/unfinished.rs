//! A program that is told to end takes away what it was writing. Alone in its file: it would take away what other
//! tests of the process write.

use std::fs;
use std::io::Write;

use camelid_files::{Unfinished, WholeFile, remove_unfinished, write_whole};

#[test]
fn what_is_being_written_is_removed_and_what_is_finished_stays() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write_whole(&at("finished"), b"1").unwrap();
    fs::create_dir(at("earlier")).unwrap();
    drop(Unfinished::new(&at("earlier")));
    let mut begun = WholeFile::create(&at("begun")).unwrap();
    begun.write_all(&[0; 100_000]).unwrap();
    fs::create_dir(at("building")).unwrap();
    fs::write(at("building/weights"), b"2").unwrap();
    let _building = Unfinished::new(&at("building"));

    remove_unfinished();
    let mut left: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["earlier", "finished"]);
}
