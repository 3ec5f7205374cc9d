//! A checkpoint that finds no room, on a small file system.

mod tiny;

use std::path::Path;
use std::process::Command;

use camelid_tests::SmallDisk;
use camelid_train::{Silent, TrainError, TrainSettings, Trainer};
use tiny::{checkpoints, data, lora_model, settings, trained_bytes};

#[test]
fn a_full_disk_is_an_error_and_the_previous_checkpoint_goes_on_elsewhere() {
    let Some(disk) = SmallDisk::mount("256k") else { return };
    let keep_all = TrainSettings { save_every: 1, keep_last: 100, ..settings() };
    let run = |dir: &Path, settings| {
        let new = Trainer::new(lora_model(1), settings, data(11, 0), None, dir, Box::new(Silent));
        new.unwrap().run()
    };
    let error = match run(disk.path(), keep_all.clone()) {
        Ok(_) => panic!("12 checkpoints fit in 256 KiB"),
        Err(error) => error,
    };
    let message = error.to_string();
    let TrainError::Save { step, .. } = error else { panic!("{message}") };
    assert!(message.contains("Earlier checkpoints are intact"), "{message}");
    assert!(step > 1, "not even one checkpoint fits");
    let left = checkpoints(disk.path());
    assert_eq!(left.len(), step - 1, "{left:?}");
    assert_eq!(left.last().unwrap(), &format!("step-{:06}", step - 1));

    // With room, the run goes on from there to the bytes of a run without trouble.
    let (moved, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut copy = Command::new("cp");
    copy.arg("-r").arg(disk.path().join("checkpoints")).arg(moved.path());
    assert!(copy.status().unwrap().success());
    run(moved.path(), keep_all.clone()).unwrap();
    run(whole.path(), keep_all).unwrap();
    assert!(trained_bytes(moved.path(), 12) == trained_bytes(whole.path(), 12));
}
