//! bitsandbytes files: read, written byte for byte, and refused when damaged.

mod golden;

use std::path::Path;

use burn::tensor::Device;
use camelid_quant::bnb::{self, Entry};
use camelid_quant::{
    Absmax, Code4, Format, OnNonFinite, QuantConfig, QuantError, QuantLinear, QuantizeOptions,
    QuantizedTensor, Rounding,
};
use golden::load;
use safetensors::Dtype;

const CHECKPOINTS: [(&str, &str, Format, bool); 3] = [
    ("base_nf4", "nf4", Format::Nf4, false),
    ("base_nf4_dq", "nf4_dq", Format::Nf4, true),
    ("base_fp4_dq", "fp4_dq", Format::Fp4, true),
];

/// Every tensor of a file, the quantised ones taken apart and put together again.
fn reassembled(bytes: &[u8], path: &Path) -> (Vec<Entry>, usize) {
    let st = bnb::parse(bytes, path).unwrap();
    let (mut entries, mut quantised) = (Vec::new(), Vec::new());
    for (name, _) in st.iter() {
        if let Some(q) = bnb::read_tensor(&st, path, name).unwrap() {
            entries.extend(bnb::tensors_for(name, &q));
            quantised.push(format!("{name}."));
        }
    }
    for (name, view) in st.iter() {
        let covered = entries.iter().any(|entry| entry.0 == name);
        if !covered {
            assert!(!quantised.iter().any(|weight| name.starts_with(weight)), "{name} was not written again");
            entries.push((name.to_owned(), view.dtype(), view.shape().to_vec(), view.data().to_vec()));
        }
    }
    (entries, quantised.len())
}

#[test]
fn a_file_from_bitsandbytes_is_written_again_byte_for_byte() {
    let Some(folder) = camelid_tests::oracles() else { return };
    let temporary = tempfile::tempdir().unwrap();
    for (name, ..) in CHECKPOINTS {
        let path = folder.join(format!("tiny_llama/{name}/model.safetensors"));
        let bytes = std::fs::read(&path).unwrap();
        let (entries, quantised) = reassembled(&bytes, &path);
        assert_eq!(quantised, 14, "{name}");
        let out = temporary.path().join(name);
        bnb::write_file(&out, &entries, &[("format", "pt")]).unwrap();
        assert!(std::fs::read(&out).unwrap() == bytes, "{name} differs");
    }
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 3, "no temporary file is left");
}

#[test]
fn quantising_the_dense_model_gives_bitsandbytes_tensors() {
    let Some(folder) = camelid_tests::oracles() else { return };
    let dense = load(&folder.join("tiny_llama/base_f32/model.safetensors"));
    let options = QuantizeOptions { rounding: Rounding::BnbCpu, on_non_finite: OnNonFinite::Error };
    for (name, suffix, format, double_quant) in CHECKPOINTS {
        let path = folder.join(format!("tiny_llama/{name}/model.safetensors"));
        let bytes = std::fs::read(&path).unwrap();
        let st = bnb::parse(&bytes, &path).unwrap();
        let dequantised = load(&folder.join(format!("tiny_llama/dequant_weights_{suffix}.safetensors")));
        assert_eq!(dequantised.len(), 14);
        for (weight, (shape, expected)) in &dequantised {
            let stored = bnb::read_tensor(&st, &path, weight).unwrap().unwrap();
            let config = QuantConfig { format, block_size: 64, double_quant };
            let values = dense[weight].1.f32();
            let ours = QuantizedTensor::quantize_with(weight, &values[..], shape, &config, &options).unwrap();
            assert_eq!(ours, stored, "{name} {weight}");
            assert!(golden::same(&ours.dequantize(), &expected.f32()), "{name} {weight}: dequantised");
        }
    }
}

#[test]
fn dense_tensors_are_not_taken_for_quantised() {
    let bytes = bnb::to_bytes(&[("w".to_owned(), Dtype::F32, vec![1], vec![0; 4])], &[]);
    let file = Path::new("f");
    let st = bnb::parse(&bytes, file).unwrap();
    assert_eq!(bnb::read_tensor(&st, file, "w").unwrap(), None);
    assert_eq!(bnb::read_tensor(&st, file, "absent").unwrap(), None);
}

#[test]
fn every_format_reads_back() {
    let values: Vec<f32> = (0..33 * 17).map(|i| (i as f32 * 0.7).cos()).collect();
    for format in [Format::Nf4, Format::Fp4, Format::Int4] {
        for double_quant in [false, true] {
            let config = QuantConfig { format, block_size: 32, double_quant };
            let q = QuantizedTensor::quantize("w", &values, &[33, 17], &config).unwrap();
            let bytes = bnb::to_bytes(&bnb::tensors_for("w", &q), &[("format", "pt")]);
            let file = Path::new("f");
            let st = bnb::parse(&bytes, file).unwrap();
            assert_eq!(bnb::read_tensor(&st, file, "w").unwrap().as_ref(), Some(&q));
        }
    }
}

/// A small doubly quantised weight as file entries, changed, then read.
fn read_changed(change: impl FnOnce(&mut Vec<Entry>)) -> QuantError {
    let q = QuantizedTensor::quantize("w", &[0.25; 130], &[2, 65], &QuantConfig::default()).unwrap();
    let mut entries = bnb::tensors_for("w", &q);
    change(&mut entries);
    let bytes = bnb::to_bytes(&entries, &[]);
    let file = Path::new("dir/model.safetensors");
    bnb::read_tensor(&bnb::parse(&bytes, file).unwrap(), file, "w").unwrap_err()
}

fn entry<'a>(entries: &'a mut [Entry], name: &str) -> &'a mut Entry {
    entries.iter_mut().find(|entry| entry.0.starts_with(name)).unwrap()
}

fn edit_state(entries: &mut [Entry], from: &str, to: &str) {
    let state = entry(entries, "w.quant_state");
    let json = String::from_utf8(state.3.clone()).unwrap();
    assert!(json.contains(from), "{json}");
    state.3 = json.replace(from, to).into_bytes();
    state.2 = vec![state.3.len()];
}

#[test]
fn a_truncated_file_is_named() {
    let q = QuantizedTensor::quantize("w", &[0.25; 128], &[128], &QuantConfig::default()).unwrap();
    let bytes = bnb::to_bytes(&bnb::tensors_for("w", &q), &[]);
    for len in [0, 4, 100, bytes.len() - 1] {
        let error = bnb::parse(&bytes[..len], Path::new("dir/cut.safetensors")).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("dir/cut.safetensors") && message.contains("truncated"), "{message}");
    }
}

#[test]
fn a_missing_part_is_named() {
    for part in [
        "w.absmax",
        "w.quant_map",
        "w.nested_absmax",
        "w.nested_quant_map",
        "w.quant_state.bitsandbytes__nf4",
    ] {
        let error = read_changed(|entries| entries.retain(|entry| entry.0 != part));
        assert!(matches!(&error, QuantError::MissingPart { part: found, .. } if found == part), "{error}");
        assert!(error.to_string().contains("dir/model.safetensors"), "{error}");
    }
}

#[test]
fn a_wrong_shape_is_refused() {
    let error = read_changed(|entries| edit_state(entries, "[2, 65]", "[2, 66]"));
    assert!(matches!(error, QuantError::Part { found: 65, expected: 66, .. }), "{error}");
    let error = read_changed(|entries| edit_state(entries, "[2, 65]", "[4294967296, 4294967296, 2]"));
    assert!(matches!(error, QuantError::QuantState { .. }), "{error}");
    let error = read_changed(|entries| {
        let absmax = entry(entries, "w.absmax");
        (absmax.2, absmax.3) = (vec![2], vec![0; 2]);
    });
    assert!(error.to_string().contains("`w.absmax` is U8 with 2 elements, expected U8 with 3"), "{error}");
}

#[test]
fn scales_that_are_not_finite_are_named_with_their_place() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let error =
            read_changed(|entries| entry(entries, "w.nested_absmax").3.copy_from_slice(&bad.to_le_bytes()));
        let expected = format!(
            "dir/model.safetensors: tensor `w.nested_absmax` holds {bad} at index 0, expected finite"
        );
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
    // As a JSON number, but outside f32.
    let error = read_changed(|entries| {
        edit_state(entries, "\"nested_offset\": ", "\"nested_offset\": 1e300, \"was\": ")
    });
    assert!(error.to_string().contains("quant_state of `w`: nested_offset 1"), "{error}");

    let plain = QuantConfig { double_quant: false, ..QuantConfig::default() };
    let q = QuantizedTensor::quantize("w", &[0.25; 130], &[2, 65], &plain).unwrap();
    let mut entries = bnb::tensors_for("w", &q);
    entry(&mut entries, "w.absmax").3[8..].copy_from_slice(&f32::NAN.to_le_bytes());
    let bytes = bnb::to_bytes(&entries, &[]);
    let file = Path::new("f");
    let error = bnb::read_tensor(&bnb::parse(&bytes, file).unwrap(), file, "w").unwrap_err();
    assert!(
        matches!(&error, QuantError::PartNotFinite { part, index: 2, .. } if part == "w.absmax"),
        "{error}"
    );
}

#[test]
fn unknown_settings_are_named() {
    let error = read_changed(|entries| edit_state(entries, "\"nf4\"", "\"af4\""));
    assert!(matches!(&error, QuantError::QuantType { found, .. } if found == "af4"), "{error}");
    let error =
        read_changed(|entries| entry(entries, "w.quant_state").0 = "w.quant_state.bitsandbytes__af4".into());
    assert!(matches!(&error, QuantError::QuantType { found, .. } if found == "af4"), "{error}");
    let error =
        read_changed(|entries| edit_state(entries, "\"float32\", \"shape\"", "\"float8\", \"shape\""));
    assert!(error.to_string().contains("\"float8\""), "{error}");
    let error = read_changed(|entries| edit_state(entries, "\"blocksize\": 64", "\"blocksize\": 48"));
    assert!(error.to_string().contains("dir/model.safetensors: quant_state of `w`: blocksize 48"), "{error}");
    let error = read_changed(|entries| edit_state(entries, "\"nested_blocksize\": 256, ", ""));
    assert!(error.to_string().contains("belong together"), "{error}");
    let error = read_changed(|entries| edit_state(entries, "{", "["));
    assert!(matches!(error, QuantError::QuantState { .. }), "{error}");
}

#[test]
fn a_foreign_code_book_is_refused() {
    let error =
        read_changed(|entries| entry(entries, "w.quant_map").3[4..8].copy_from_slice(&0.5f32.to_le_bytes()));
    assert!(matches!(error, QuantError::QuantMap { code: 1, expected: "NF4", .. }), "{error}");
}

/// The table of double quantisation is computed where a file is made: last bits differ from ours,
/// and scales decode by what is stored.
#[test]
fn a_stored_table_of_double_quantisation_is_used_and_kept() {
    let values: Vec<f32> = (0..20_000).map(|i| ((i * 37 % 101) as f32 - 50.0) / (64.0 + i as f32)).collect();
    let q = QuantizedTensor::quantize("w", &values, &[200, 100], &QuantConfig::default()).unwrap();
    let Absmax::Nested { codes, absmax, offset, .. } = q.absmax() else { panic!("nested by default") };
    for change in [|v: f32| f32::from_bits(v.to_bits() + 1), |v: f32| v * 0.75, |v: f32| -v] {
        let mut entries = bnb::tensors_for("w", &q);
        let table: Vec<f32> =
            floats(&entry(&mut entries, "w.nested_quant_map").3).into_iter().map(change).collect();
        entry(&mut entries, "w.nested_quant_map").3 = table.iter().flat_map(|v| v.to_le_bytes()).collect();
        let bytes = bnb::to_bytes(&entries, &[]);
        let file = Path::new("dir/model.safetensors");
        let read = bnb::read_tensor(&bnb::parse(&bytes, file).unwrap(), file, "w").unwrap().unwrap();

        let scale = |block: usize| table[usize::from(codes[block])] * absmax[block / 256] + offset;
        let code = |i: usize| {
            usize::from(if i.is_multiple_of(2) { q.packed()[i / 2] >> 4 } else { q.packed()[i / 2] & 15 })
        };
        let expected: Vec<f32> =
            (0..values.len()).map(|i| Code4::Nf4.table()[code(i)] * scale(i / 64)).collect();
        assert_eq!(read.dequantize(), expected);
        let linear = QuantLinear::from_quantized(read.clone(), None, &Device::flex()).unwrap();
        assert_eq!(linear.to_quantized(), read);
        assert_eq!(bnb::to_bytes(&bnb::tensors_for("w", &read), &[]), bytes, "written as it was read");
    }
    let error = read_changed(|entries| {
        entry(entries, "w.nested_quant_map").3[8..12].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    assert!(error.to_string().contains("`w.nested_quant_map` holds NaN at index 2"), "{error}");
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|&word| f32::from_le_bytes(word)).collect()
}

/// `bnb_4bit_quant_storage` only changes what the bytes of the codes are called.
#[test]
fn codes_may_be_stored_as_any_element_type() {
    let q = QuantizedTensor::quantize("w", &[0.25; 1024], &[32, 32], &QuantConfig::default()).unwrap();
    for dtype in [Dtype::I8, Dtype::BF16, Dtype::F16, Dtype::F32, Dtype::I32, Dtype::F64, Dtype::F8_E4M3] {
        let mut entries = bnb::tensors_for("w", &q);
        let codes = entry(&mut entries, "w");
        (codes.1, codes.2) = (dtype, vec![512 * 8 / dtype.bitsize(), 1]);
        let bytes = bnb::to_bytes(&entries, &[]);
        let file = Path::new("dir/model.safetensors");
        let read = bnb::read_tensor(&bnb::parse(&bytes, file).unwrap(), file, "w").unwrap();
        assert_eq!(read.as_ref(), Some(&q), "{dtype:?}");
    }
    let error = read_changed(|entries| {
        let codes = entry(entries, "w");
        (codes.1, codes.2, codes.3) = (Dtype::BF16, vec![32, 1], vec![0; 64]);
    });
    assert!(
        error.to_string().contains("`w` holds 64 bytes of 4-bit codes (as BF16), expected 65"),
        "{error}"
    );
}

/// The last bits of the 4-bit table are not looked at: bitsandbytes' kernels hold their own.
#[test]
fn a_code_book_equal_within_rounding_is_the_known_one() {
    let q = QuantizedTensor::quantize("w", &[0.25; 128], &[128], &QuantConfig::default()).unwrap();
    let mut entries = bnb::tensors_for("w", &q);
    for value in entry(&mut entries, "w.quant_map").3.as_chunks_mut::<4>().0 {
        *value = (f32::from_le_bytes(*value) * (1.0 + 1e-7)).to_le_bytes();
    }
    let bytes = bnb::to_bytes(&entries, &[]);
    let file = Path::new("dir/model.safetensors");
    assert_eq!(bnb::read_tensor(&bnb::parse(&bytes, file).unwrap(), file, "w").unwrap(), Some(q));
}

#[test]
fn a_failed_write_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent/model.safetensors");
    assert!(matches!(bnb::write_file(&absent, &[], &[]), Err(QuantError::Io { .. })));
    // A folder stands where the file should go: the rename fails, nothing is left.
    let taken = folder.path().join("taken");
    std::fs::create_dir_all(taken.join("inside")).unwrap();
    assert!(bnb::write_file(&taken, &[], &[]).is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
