//! What a sound GGUF file says, read back.

use camelid_model::gguf::{GgufFile, Value};
use camelid_tests::gguf::samples::values;
use camelid_tests::gguf::{GgufWriter, Meta, Stored, worst_error};

fn open(writer: &GgufWriter) -> GgufFile {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sample.gguf");
    std::fs::write(&path, writer.build()).unwrap();
    // The file is opened again for every tensor, so it must outlive the reader.
    let _ = dir.keep();
    GgufFile::open(&path).unwrap()
}

#[test]
fn metadata_of_every_type() {
    let mut w = GgufWriter::default();
    w.set("u8", Meta::U8(200))
        .set("i8", Meta::I8(-100))
        .set("u16", Meta::U16(60_000))
        .set("i16", Meta::I16(-30_000))
        .set("u32", Meta::U32(4_000_000_000))
        .set("i32", Meta::I32(-2_000_000_000))
        .set("u64", Meta::U64(u64::MAX))
        .set("i64", Meta::I64(i64::MIN))
        .set("f32", Meta::F32(0.5))
        .set("f64", Meta::F64(0.1))
        .set("yes", Meta::Bool(true))
        .set("text", Meta::str("¡olá!"))
        .set("texts", Meta::StrArray(vec!["a".into(), String::new()]))
        .set("ints", Meta::I32Array(vec![-1, 2]))
        .set("floats", Meta::F32Array(vec![1.5]))
        .set("bools", Meta::BoolArray(vec![true, false]));
    let file = open(&w);
    let expected = [
        ("u8", Value::Integer(200)),
        ("i8", Value::Integer(-100)),
        ("u16", Value::Integer(60_000)),
        ("i16", Value::Integer(-30_000)),
        ("u32", Value::Integer(4_000_000_000)),
        ("i32", Value::Integer(-2_000_000_000)),
        ("u64", Value::Integer(u64::MAX.into())),
        ("i64", Value::Integer(i64::MIN.into())),
        ("f32", Value::Float(0.5)),
        ("f64", Value::Float(0.1)),
        ("yes", Value::Bool(true)),
        ("text", Value::String("¡olá!".into())),
        ("texts", Value::Strings(vec!["a".into(), String::new()])),
        ("ints", Value::Integers(vec![-1, 2])),
        ("floats", Value::Floats(vec![1.5])),
        ("bools", Value::Bools(vec![true, false])),
    ];
    for (key, value) in expected {
        assert_eq!(file.value(key), Some(&value), "{key}");
    }
}

#[test]
fn typed_access_names_key_found_and_expected() {
    let mut w = GgufWriter::default();
    w.set("size", Meta::I32(-1)).set("text", Meta::str("words"));
    let file = open(&w);
    let message = file.size("size").unwrap_err().to_string();
    assert!(message.contains("sample.gguf") && message.contains("`size` is the integer -1"), "{message}");
    let message = file.size("text").unwrap_err().to_string();
    assert!(message.contains("\"words\", expected a non-negative integer"), "{message}");
    let message = file.string("absent").unwrap_err().to_string();
    assert!(message.contains("`absent` is missing, expected a text"), "{message}");
    assert_eq!(file.optional_size("absent").unwrap(), None);
    assert!(file.optional_bool("text").is_err());
}

#[test]
fn tensors_of_every_type_come_back_within_half_a_step() {
    let shape = [3, 512];
    let mut w = GgufWriter { version: 2, alignment: 64, ..Default::default() };
    w.set("general.alignment", Meta::U32(64));
    for (seed, kind) in Stored::ALL.into_iter().enumerate() {
        w.tensor(kind.name(), &shape, kind, &values(seed as u64, 3 * 512));
    }
    let file = open(&w);
    assert_eq!(file.version(), 2);
    for (seed, kind) in Stored::ALL.into_iter().enumerate() {
        let info = file.tensor(kind.name()).unwrap();
        assert_eq!(info.shape, shape, "outermost dimension first");
        assert_eq!(info.type_name(), kind.name());
        let original = values(seed as u64, 3 * 512);
        let read = file.read(kind.name()).unwrap();
        let block = kind.block_len().max(32);
        for (original, read) in original.chunks(block).zip(read.chunks(block)) {
            let allowed = worst_error(kind, original);
            for (x, y) in original.iter().zip(read) {
                assert!((x - y).abs() <= allowed, "{}: {x} became {y}, allowed {allowed}", kind.name());
            }
        }
    }
}

#[test]
fn a_tensor_larger_than_one_piece_is_read_whole() {
    let len = 600 * 1024;
    let original = values(9, len);
    let mut w = GgufWriter::default();
    w.tensor("big", &[600, 1024], Stored::F32, &original);
    assert_eq!(open(&w).read("big").unwrap(), original);
}

#[test]
fn an_unsupported_type_is_named_with_tensor_and_file() {
    let mut w = GgufWriter::default();
    w.raw_tensor("blk.0.attn_q.weight", &[1, 256], 16, vec![0; 66]);
    let file = open(&w);
    let message = file.read("blk.0.attn_q.weight").unwrap_err().to_string();
    for part in ["sample.gguf", "`blk.0.attn_q.weight`", "IQ2_XXS", "Q4_K, Q6_K"] {
        assert!(message.contains(part), "{part} in {message}");
    }
}
