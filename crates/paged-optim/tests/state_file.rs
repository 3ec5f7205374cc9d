//! Saving, resuming, and files that are not what they should be.

use std::path::Path;

use camelid_files::FileError;
use camelid_paged_optim::{AdamWConfig, OptimError, PagedAdamW, Spill, StateBits};

fn values(seed: u32, n: usize) -> Vec<f32> {
    (0..n as u32)
        .map(|i| ((i.wrapping_mul(2_654_435_761).wrapping_add(seed)) >> 9) as f32 / 8_388_608.0 - 0.5)
        .collect()
}

fn step(optim: &mut PagedAdamW, params: &mut [Vec<f32>; 2], i: u32) {
    for (k, p) in params.iter_mut().enumerate() {
        let g = values(i * 7 + k as u32, p.len());
        optim.step(["large", "small"][k], 1e-2, p, &g).unwrap();
    }
}

fn params() -> [Vec<f32>; 2] {
    [values(1, 10_000), values(2, 300)]
}

fn config(state: StateBits) -> AdamWConfig {
    AdamWConfig { state, weight_decay: 0.1, ..AdamWConfig::default() }
}

#[test]
fn resume_is_bit_exact_even_with_another_budget_and_page_size() {
    let dir = tempfile::tempdir().unwrap();
    for state in [StateBits::Bits32, StateBits::Bits8] {
        let path = dir.path().join("optimizer.safetensors");
        let mut p = params();
        let mut optim = PagedAdamW::new(config(state)).unwrap();
        (0..3).for_each(|i| step(&mut optim, &mut p, i));
        optim.save(&path).unwrap();
        let first = std::fs::read(&path).unwrap();
        safetensors::SafeTensors::deserialize(&first).expect("a valid safetensors file");

        let mut resumed_p = p.clone();
        let paged = AdamWConfig {
            budget: Some(3000),
            page_elements: 512,
            spill: Spill::File(dir.path().to_owned()),
            ..config(state)
        };
        let mut resumed = PagedAdamW::load(paged, &path).unwrap();
        assert_eq!(resumed.steps("large"), 3);
        assert!(resumed.traffic().resident_bytes <= 3000);
        resumed.save(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), first, "saved again: the same bytes");

        (3..6).for_each(|i| step(&mut optim, &mut p, i));
        (3..6).for_each(|i| step(&mut resumed, &mut resumed_p, i));
        assert_eq!(p, resumed_p);
        assert_eq!(optim.moments("large").unwrap(), resumed.moments("large").unwrap());
    }
}

fn refused(config: AdamWConfig, path: &Path) -> String {
    match PagedAdamW::load(config, path) {
        Ok(_) => panic!("{} was accepted", path.display()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn damaged_or_foreign_files_are_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("optimizer.safetensors");
    let mut optim = PagedAdamW::new(config(StateBits::Bits8)).unwrap();
    step(&mut optim, &mut params(), 0);
    optim.save(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();

    let other_width = refused(config(StateBits::Bits32), &path);
    assert!(other_width.contains("`large.state1` is U8"), "{other_width}");

    for cut in [0, 5, 8, 100, whole.len() - 1] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let message = refused(config(StateBits::Bits8), &path);
        assert!(message.contains("optimizer.safetensors"), "{message}");
    }
    let mut foreign = whole.clone();
    let at = foreign.windows(19).position(|w| w == b"camelid-paged-optim").unwrap();
    foreign[at] = b'x';
    std::fs::write(&path, &foreign).unwrap();
    assert!(refused(config(StateBits::Bits8), &path).contains("format is"));

    // Neither shape nor offsets make a length: they do not agree for that.
    let header_len = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Value = serde_json::from_slice(&whole[8..8 + header_len]).unwrap();
    header["small.state1"]["shape"] = vec![u64::MAX, u64::MAX].into();
    header["small.state1"]["data_offsets"] = vec![8, 4].into();
    let header = header.to_string().into_bytes();
    let length = (header.len() as u64).to_le_bytes();
    std::fs::write(&path, [&length[..], &header, &whole[8 + header_len..]].concat()).unwrap();
    let absurd = refused(config(StateBits::Bits8), &path);
    assert!(absurd.contains("`small.state1`: shape and offsets disagree"), "{absurd}");

    assert!(refused(config(StateBits::Bits8), &dir.path().join("absent")).contains("cannot read"));
}

#[test]
fn a_saved_state_can_be_read_by_others() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("optimizer.safetensors");
    PagedAdamW::new(config(StateBits::Bits32)).unwrap().save(&path).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644);
}

#[test]
fn an_unwritable_place_is_an_error_and_the_optimizer_goes_on() {
    let mut optim = PagedAdamW::new(config(StateBits::Bits32)).unwrap();
    let mut p = params();
    step(&mut optim, &mut p, 0);
    let error = optim.save(Path::new("/nonexistent/dir/optimizer.safetensors")).unwrap_err();
    assert!(matches!(error, OptimError::File(FileError::Io { action: "write", .. })), "{error}");
    step(&mut optim, &mut p, 1);
    assert_eq!(optim.steps("small"), 2);
}
