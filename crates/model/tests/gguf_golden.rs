//! Every block format against the reference reader, bit for bit, and those that are written against
//! the reference quantiser. The blocks and values in `golden/gguf/blocks.json` are made by
//! `golden/gguf/generate.py`, those in `written.json` by `generate_written.py`.

use camelid_model::gguf::{TensorType, dequantize, quantize};

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

#[test]
fn every_type_expands_to_the_reference_values() {
    let golden: serde_json::Value = serde_json::from_str(include_str!("golden/gguf/blocks.json")).unwrap();
    for kind in TensorType::ALL {
        let case = &golden[kind.name()];
        let blocks = bytes(case["blocks"].as_str().unwrap());
        let expected: Vec<u32> = bytes(case["values"].as_str().unwrap())
            .chunks_exact(4)
            .map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        let mut values = vec![f32::NAN; expected.len()];
        dequantize(kind, &blocks, &mut values);
        assert_eq!(expected.len() / kind.block_len() * kind.block_bytes(), blocks.len());
        for (i, (value, expected)) in values.iter().zip(&expected).enumerate() {
            let expected = f32::from_bits(*expected);
            assert_eq!(*value, expected, "{} value {i}", kind.name());
        }
    }
}

#[test]
fn what_is_written_is_what_the_reference_writes() {
    let golden: serde_json::Value = serde_json::from_str(include_str!("golden/gguf/written.json")).unwrap();
    let values: Vec<f32> = bytes(golden["values"].as_str().unwrap())
        .chunks_exact(4)
        .map(|b| f32::from_be_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    for kind in [TensorType::F16, TensorType::BF16, TensorType::Q8_0, TensorType::Q4_0] {
        let expected = bytes(golden[kind.name()].as_str().unwrap());
        let mut written = Vec::new();
        quantize(kind, &values, &mut written).unwrap();
        assert_eq!(written.len(), expected.len(), "{}", kind.name());
        let blocks = written.chunks_exact(kind.block_bytes()).zip(expected.chunks_exact(kind.block_bytes()));
        for (at, (ours, theirs)) in blocks.enumerate() {
            assert_eq!(ours, theirs, "{} block {at}", kind.name());
        }
    }
}
