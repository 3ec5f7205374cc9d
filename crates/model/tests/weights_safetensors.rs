//! Safetensors weights: one file, shards, bitsandbytes 4-bit, and damage.

use std::collections::BTreeMap;
use std::path::Path;

use camelid_model::weights::WeightSource;
use camelid_model::{LoadedTensor, StoredType, open_weights};
use half::{bf16, f16};
use proptest::prelude::*;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

type Part = (String, Dtype, Vec<usize>, Vec<u8>);

fn save(path: &Path, parts: &[Part]) {
    let views = parts
        .iter()
        .map(|(name, dtype, shape, data)| (name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn parts_of(path: &Path) -> Vec<Part> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.iter()
        .map(|(name, view)| (name.into(), view.dtype(), view.shape().to_vec(), view.data().to_vec()))
        .collect()
}

fn save_index(dir: &Path, map: &BTreeMap<&str, &str>) {
    let index = serde_json::json!({"metadata": {"total_size": 0}, "weight_map": map});
    std::fs::write(dir.join("model.safetensors.index.json"), index.to_string()).unwrap();
}

fn three_types() -> Vec<Part> {
    let values = [0.5f32, -1.25, 3.0, 65504.0];
    vec![
        ("single".into(), Dtype::F32, vec![4], values.iter().flat_map(|v| v.to_le_bytes()).collect()),
        (
            "half".into(),
            Dtype::F16,
            vec![2, 2],
            values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect(),
        ),
        (
            "brain".into(),
            Dtype::BF16,
            vec![1, 4],
            values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect(),
        ),
    ]
}

fn dense(source: &dyn WeightSource, name: &str) -> (Vec<usize>, Vec<f32>, StoredType) {
    match source.read(name).unwrap() {
        LoadedTensor::Dense { shape, values, stored } => (shape, values, stored),
        LoadedTensor::Quantized(_) => panic!("{name} is packed"),
    }
}

fn error(path: &Path) -> String {
    open_weights(path).expect_err("an error").to_string()
}

#[test]
fn the_three_float_types_widen() {
    let dir = tempfile::tempdir().unwrap();
    save(&dir.path().join("model.safetensors"), &three_types());
    let source = open_weights(dir.path()).unwrap();
    assert_eq!(source.names(), ["brain", "half", "single"]);
    assert_eq!(dense(source.as_ref(), "single"), (vec![4], vec![0.5, -1.25, 3.0, 65504.0], StoredType::F32));
    assert_eq!(dense(source.as_ref(), "half"), (vec![2, 2], vec![0.5, -1.25, 3.0, 65504.0], StoredType::F16));
    assert_eq!(
        dense(source.as_ref(), "brain"),
        (vec![1, 4], vec![0.5, -1.25, 3.0, 65536.0], StoredType::Bf16)
    );
    let message = source.read("absent").unwrap_err().to_string();
    assert!(message.contains("`absent`") && message.contains("model.safetensors"), "{message}");
    let message = source.config().unwrap_err().to_string();
    assert!(message.contains("config.json"), "{message}");
}

#[test]
fn a_tensor_larger_than_one_piece_is_read_whole() {
    let dir = tempfile::tempdir().unwrap();
    let values: Vec<f32> = (0..700_001).map(|i| i as f32).collect();
    let data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let path = dir.path().join("model.safetensors");
    save(&path, &[("big".into(), Dtype::F32, vec![700_001], data)]);
    assert_eq!(dense(open_weights(&path).unwrap().as_ref(), "big").1, values);
}

#[test]
fn shards_are_one_model() {
    let dir = tempfile::tempdir().unwrap();
    let parts = three_types();
    save(&dir.path().join("a.safetensors"), &parts[..2]);
    save(&dir.path().join("b.safetensors"), &parts[2..]);
    let sound =
        BTreeMap::from([("single", "a.safetensors"), ("half", "a.safetensors"), ("brain", "b.safetensors")]);
    save_index(dir.path(), &sound);
    let source = open_weights(dir.path()).unwrap();
    assert_eq!(source.names().len(), 3);
    assert_eq!(dense(source.as_ref(), "brain").1[1], -1.25);
    assert!(source.describe().contains("2 safetensors shards"));

    let with = |tensor, shard| {
        let mut map = sound.clone();
        map.insert(tensor, shard);
        save_index(dir.path(), &map);
        error(dir.path())
    };
    let message = with("single", "c.safetensors");
    assert!(
        message.contains("index.json") && message.contains("`c.safetensors`, which is missing"),
        "{message}"
    );
    let message = with("single", "b.safetensors");
    assert!(message.contains("`single`") && message.contains("does not hold it"), "{message}");
    let message = with("single", "../a.safetensors");
    assert!(message.contains("same directory"), "{message}");
    for other in ["{\"weight_map\": 3}", "{\"hidden_size\": 64}"] {
        std::fs::write(dir.path().join("model.safetensors.index.json"), other).unwrap();
        let message = error(dir.path());
        assert!(message.contains("index.json: expected an index of shards"), "{message}");
    }
}

#[test]
fn what_is_not_there_is_said() {
    let dir = tempfile::tempdir().unwrap();
    assert!(
        error(dir.path())
            .contains("expected model.safetensors.index.json, model.safetensors or one .gguf file")
    );
    assert!(error(&dir.path().join("none")).contains("does not exist"));
    let odd = dir.path().join("weights.bin");
    std::fs::write(&odd, "x").unwrap();
    assert!(error(&odd).contains("no known kind"));
    save(&dir.path().join("a.safetensors"), &three_types());
    assert_eq!(open_weights(dir.path()).unwrap().names().len(), 3, "the only one is taken");
    save(&dir.path().join("b.safetensors"), &three_types());
    assert!(error(dir.path()).contains("2 .safetensors files (a.safetensors, b.safetensors"));
}

#[test]
fn damage_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    save(&path, &three_types());
    let sound = std::fs::read(&path).unwrap();
    for cut in 0..sound.len() {
        std::fs::write(&path, &sound[..cut]).unwrap();
        let message = error(&path);
        assert!(
            message.contains("model.safetensors") && message.contains("truncated"),
            "cut at {cut}: {message}"
        );
    }
    let mut longer = sound.clone();
    longer.push(0);
    std::fs::write(&path, &longer).unwrap();
    assert!(error(&path).contains("header calls for"));
    let mut lying = sound.clone();
    lying[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    std::fs::write(&path, &lying).unwrap();
    assert!(error(&path).contains("claims a header of 18446744073709551615 bytes"));
    let mut garbled = sound;
    garbled[8] = b'!';
    std::fs::write(&path, &garbled).unwrap();
    assert!(error(&path).contains("header is damaged"));
}

#[test]
fn an_integer_tensor_is_refused_by_name_and_type() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    save(&path, &[("w".into(), Dtype::I8, vec![4], vec![0; 4])]);
    let message = open_weights(&path).unwrap().read("w").unwrap_err().to_string();
    assert!(message.contains("`w` has type I8") && message.contains("model.safetensors"), "{message}");
}

#[test]
fn bitsandbytes_weights_stay_packed_and_expand_to_the_golden_values() {
    let Some(oracles) = camelid_tests::oracles() else { return };
    let tiny = oracles.join("tiny_llama");
    for format in ["nf4", "nf4_dq", "fp4_dq"] {
        let source = open_weights(&tiny.join(format!("base_{format}"))).unwrap();
        let dense_names = open_weights(&tiny.join("base_f32")).unwrap().names();
        assert_eq!(source.names(), dense_names, "parts are not listed");
        assert!(source.config().unwrap().stored_4bit);
        assert_golden(source.as_ref(), &tiny.join(format!("dequant_weights_{format}.safetensors")));
    }
}

fn assert_golden(source: &dyn WeightSource, golden: &Path) {
    let golden = open_weights(golden).unwrap();
    assert_eq!(golden.names().len(), 14);
    for name in golden.names() {
        let (shape, expected, _) = dense(golden.as_ref(), &name);
        let LoadedTensor::Quantized(packed) = source.read(&name).unwrap() else {
            panic!("{name} is dense");
        };
        assert_eq!(packed.shape(), shape);
        assert_eq!(packed.dequantize(), expected, "{name}");
    }
}

/// Writers cut shards by size, so a weight and its absmax may part.
#[test]
fn bitsandbytes_parts_may_lie_in_different_shards() {
    let Some(oracles) = camelid_tests::oracles() else { return };
    let tiny = oracles.join("tiny_llama");
    let parts = parts_of(&tiny.join("base_nf4_dq/model.safetensors"));
    let dir = tempfile::tempdir().unwrap();
    let (even, odd): (Vec<_>, Vec<_>) = parts.iter().cloned().enumerate().partition(|(i, _)| i % 2 == 0);
    let mut map = BTreeMap::new();
    for (shard, half) in [("1.safetensors", &even), ("2.safetensors", &odd)] {
        save(&dir.path().join(shard), &half.iter().map(|(_, p)| p.clone()).collect::<Vec<_>>());
        map.extend(half.iter().map(|(_, p)| (p.0.as_str(), shard)));
    }
    save_index(dir.path(), &map);
    let source = open_weights(dir.path()).unwrap();
    assert_golden(source.as_ref(), &tiny.join("dequant_weights_nf4_dq.safetensors"));
}

#[test]
fn a_bitsandbytes_weight_without_a_part_is_an_error() {
    let Some(oracles) = camelid_tests::oracles() else { return };
    let mut parts = parts_of(&oracles.join("tiny_llama/base_nf4_dq/model.safetensors"));
    let name = "model.layers.0.mlp.up_proj.weight";
    parts.retain(|(part, ..)| part != &format!("{name}.nested_absmax"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    save(&path, &parts);
    let message = open_weights(&path).unwrap().read(name).unwrap_err().to_string();
    assert!(message.contains("model.safetensors") && message.contains("nested_absmax"), "{message}");
}

/// One packed weight with its parts and one plain tensor, small enough to mutate well.
fn small() -> Vec<u8> {
    let state = br#"{"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [2, 64]}"#;
    let floats = |n: usize| (0..n).flat_map(|i| (i as f32).to_le_bytes()).collect::<Vec<u8>>();
    let parts: [Part; 5] = [
        ("w".into(), Dtype::U8, vec![64, 1], vec![0x5a; 64]),
        ("w.absmax".into(), Dtype::F32, vec![2], floats(2)),
        ("w.quant_map".into(), Dtype::F32, vec![16], floats(16)),
        ("w.quant_state.bitsandbytes__nf4".into(), Dtype::U8, vec![state.len()], state.to_vec()),
        ("x".into(), Dtype::BF16, vec![2, 3], vec![1; 12]),
    ];
    let views = parts.iter().map(|(n, t, s, d)| (n, TensorView::new(*t, s.clone(), d).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_mutation_panics(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5),
        digits in prop::collection::vec((any::<prop::sample::Index>(), b'0'..=b'9'), 0..3),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = small();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        // Digits in place of digits keep the header's JSON sound and its numbers false.
        let places: Vec<usize> = (8..bytes.len()).filter(|i| bytes[*i].is_ascii_digit()).collect();
        for (at, digit) in digits {
            if !places.is_empty() {
                bytes[places[at.index(places.len())]] = digit;
            }
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(source) = open_weights(&path) {
            for name in source.names() {
                let _ = source.read(&name);
            }
        }
    }
}
