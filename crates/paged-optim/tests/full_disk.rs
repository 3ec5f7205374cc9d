//! A spill directory and a save directory without room, on a file system of 64 KiB.

use camelid_paged_optim::{AdamWConfig, OptimError, PagedAdamW, Spill};
use camelid_tests::SmallDisk;

#[test]
fn a_full_spill_disk_is_an_error_before_anything_is_lost() {
    let Some(disk) = SmallDisk::mount("64k") else { return };
    let config = AdamWConfig {
        budget: Some(0),
        spill: Spill::File(disk.path().to_owned()),
        page_elements: 256,
        ..AdamWConfig::default()
    };
    let mut optim = PagedAdamW::new(config).unwrap();
    // 32 KiB of state fit, 80 KiB more do not.
    let (mut fits, mut too_large) = (vec![0.5_f32; 4096], vec![0.5_f32; 10_240]);
    optim.step("fits", 1e-2, &mut fits, &[0.1; 4096]).unwrap();
    let moments = optim.moments("fits").unwrap();

    let error = optim.step("large", 1e-2, &mut too_large, &[0.1; 10_240]).unwrap_err();
    assert!(matches!(error, OptimError::SpillFull { bytes: 81_920, .. }), "{error}");
    assert_eq!(too_large, vec![0.5; 10_240], "no parameter moved");
    assert_eq!(optim.steps("large"), 0);
    assert_eq!(optim.moments("fits").unwrap(), moments, "the other state is whole");

    // What fits goes on, and the failed reservation was given back: 16 KiB more fit.
    optim.step("fits", 1e-2, &mut fits, &[0.1; 4096]).unwrap();
    optim.step("more", 1e-2, &mut [0.5; 2048], &[0.1; 2048]).unwrap();
    assert!(optim.traffic().pages_out > 16);
}

#[test]
fn a_full_disk_while_saving_leaves_the_previous_file() {
    let Some(disk) = SmallDisk::mount("64k") else { return };
    let path = disk.path().join("optimizer.safetensors");
    let mut optim = PagedAdamW::new(AdamWConfig::default()).unwrap();
    optim.step("a", 1e-2, &mut [0.5; 3000], &[0.1; 3000]).unwrap();
    optim.save(&path).unwrap();
    let previous = std::fs::read(&path).unwrap();

    optim.step("b", 1e-2, &mut vec![0.5; 10_240], &[0.1; 10_240]).unwrap();
    let error = optim.save(&path).unwrap_err();
    assert!(error.to_string().contains("cannot write"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), previous);
    let left: Vec<_> = std::fs::read_dir(disk.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "no temporary file is left: {left:?}");
    PagedAdamW::load(AdamWConfig::default(), &path).unwrap();
}
