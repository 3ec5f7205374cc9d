//! Every 4-bit case of `bnb/` and `bnb-extra/`, bit for bit.

mod golden;

use std::collections::HashMap;

use camelid_kernels::blockwise4::{self, AbsmaxView, Code4, Packed4View, Rounding, block_count, packed_len};
use camelid_kernels::blockwise8::Map8;
use camelid_quant::{Absmax, Format, OnNonFinite, QuantConfig, QuantizeOptions, QuantizedTensor, torch_mean};
use golden::{Array, load, same};

const BNB_CPU: QuantizeOptions =
    QuantizeOptions { rounding: Rounding::BnbCpu, on_non_finite: OnNonFinite::Error };

/// One golden case: the names of its tensors share `prefix`.
struct Case<'a> {
    tensors: &'a HashMap<String, (Vec<usize>, Array)>,
    prefix: &'a str,
    code: Code4,
    block_size: usize,
    input: &'a (Vec<usize>, Array),
}

impl<'a> Case<'a> {
    /// The format is the last of `nf4` / `fp4` in prefix or file name, the block
    /// size follows `bs`, and the input is the nearest `input` up the dotted path.
    fn new(file: &str, tensors: &'a HashMap<String, (Vec<usize>, Array)>, prefix: &'a str) -> Self {
        let segments: Vec<&str> = prefix.split('.').collect();
        let named = segments.iter().rev().find(|s| matches!(**s, "nf4" | "fp4"));
        let code = match named {
            Some(&"fp4") => Code4::Fp4,
            Some(_) => Code4::Nf4,
            None if file.contains("_fp4_") => Code4::Fp4,
            None => Code4::Nf4,
        };
        let block_size = segments.iter().find_map(|s| s.strip_prefix("bs")?.parse().ok()).unwrap_or(64);
        let mut path = prefix;
        let input = loop {
            if let Some(input) = tensors.get(&format!("{path}input")) {
                break input;
            }
            let trimmed = path.trim_end_matches('.');
            assert!(!trimmed.is_empty(), "{file}: no input for {prefix}");
            path = &path[..trimmed.rfind('.').map_or(0, |dot| dot + 1)];
        };
        Case { tensors, prefix, code, block_size, input }
    }

    fn get(&self, suffix: &str) -> Option<&Array> {
        self.tensors.get(&format!("{}{suffix}", self.prefix)).map(|(_, array)| array)
    }

    /// Panics with the first difference.
    fn check(&self, file: &str) {
        let label = format!("{file} {} {:?} {}", self.prefix, self.code, self.block_size);
        let values = self.input.1.f32();
        let mut packed = vec![0; packed_len(values.len())];
        let mut absmax = vec![0.0; block_count(values.len(), self.block_size)];
        blockwise4::quantize(self.code, self.block_size, Rounding::BnbCpu, &values, &mut packed, &mut absmax);
        assert_eq!(packed, self.get("packed").unwrap().u8(), "{label}: codes");
        assert!(same(&absmax, &self.get("absmax").unwrap().f32()), "{label}: absmax");

        let restored = self.dequantize(&packed, AbsmaxView::Plain(&absmax), values.len());
        for (suffix, expected) in ["dequant", "dequant_bf16", "dequant_f16"].map(|s| (s, self.get(s))) {
            if let Some(expected) = expected {
                assert!(expected.equals_rounded(&restored), "{label}: {suffix}");
            }
        }
        if self.get("nested.absmax_u8").is_some() {
            self.check_nested(&label);
        }
    }

    /// Through the owning type, in the case's own element type.
    fn check_nested(&self, label: &str) {
        let config =
            QuantConfig { format: Format::from(self.code), block_size: self.block_size, double_quant: true };
        let shape = &self.input.0;
        let q = match &self.input.1 {
            Array::F32(v) => QuantizedTensor::quantize_with(label, &v[..], shape, &config, &BNB_CPU),
            Array::F16(v) => QuantizedTensor::quantize_with(label, &v[..], shape, &config, &BNB_CPU),
            Array::Bf16(v) => QuantizedTensor::quantize_with(label, &v[..], shape, &config, &BNB_CPU),
            other => panic!("{label}: input {other:?}"),
        }
        .unwrap();
        let Absmax::Nested { codes, absmax, offset, .. } = q.absmax() else {
            panic!("{label}: asked for double quantisation");
        };
        assert_eq!(*offset, self.get("nested.offset").unwrap().f32()[0], "{label}: offset");
        assert_eq!(codes, self.get("nested.absmax_u8").unwrap().u8(), "{label}: nested codes");
        assert!(same(absmax, &self.get("nested.absmax2").unwrap().f32()), "{label}: nested absmax");

        let scales: Vec<f32> = (0..codes.len()).map(|block| q.view().absmax.get(block)).collect();
        assert!(same(&scales, &self.get("nested.absmax_dequant").unwrap().f32()), "{label}: decoded scales");
        match self.get("nested.dequant") {
            None => {}
            Some(Array::F16(expected)) => {
                assert_eq!(&q.dequantize_f16(), expected, "{label}: nested dequant")
            }
            Some(Array::Bf16(expected)) => {
                assert_eq!(&q.dequantize_bf16(), expected, "{label}: nested dequant")
            }
            Some(expected) => assert!(same(&q.dequantize(), &expected.f32()), "{label}: nested dequant"),
        }
    }

    fn dequantize(&self, packed: &[u8], absmax: AbsmaxView<'_>, len: usize) -> Vec<f32> {
        let view = Packed4View { code: self.code, block_size: self.block_size, packed, absmax, len };
        let mut restored = vec![0.0; len];
        blockwise4::dequantize(&view, &mut restored);
        restored
    }
}

#[test]
fn all_cases_of_the_cpu_build() {
    let Some(folder) = camelid_tests::oracles() else { return };
    let mut files: Vec<_> = std::fs::read_dir(folder.join("bnb"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("q4_"))
        .collect();
    files.sort();
    let mut cases = 0;
    for path in files {
        let file = path.file_name().unwrap().to_string_lossy();
        let tensors = load(&path);
        for prefix in tensors.keys().filter_map(|name| name.strip_suffix("packed")) {
            Case::new(&file, &tensors, prefix).check(&file);
            cases += 1;
        }
    }
    assert_eq!(cases, 319, "the golden files hold 319 cases");
}

#[test]
fn codes_by_the_rules_of_the_cuda_kernels() {
    let Some(folder) = camelid_tests::oracles() else { return };
    let expected = load(&folder.join("bnb-extra/cuda_emulated_q4_256x512.safetensors"));
    for (name, format) in [("nf4", Format::Nf4), ("fp4", Format::Fp4)] {
        let input = load(&folder.join(format!("bnb/q4_{name}_f32_256x512_bs64.safetensors")));
        let (shape, values) = &input["input"];
        let config = QuantConfig { format, block_size: 64, double_quant: false };
        let q = QuantizedTensor::quantize("w", &values.f32(), shape, &config).unwrap();
        assert_eq!(q.packed(), expected[&format!("{name}.packed")].1.u8(), "{name}");
        assert_eq!(q.absmax(), &Absmax::Plain(expected[&format!("{name}.absmax")].1.f32()), "{name}");
    }
}

#[test]
fn nested_codes_by_the_rule_of_the_cuda_kernels() {
    let Some(folder) = camelid_tests::oracles() else { return };
    let expected = load(&folder.join("bnb-extra/exact_nearest_8bit.safetensors"));
    for dtype in ["f32", "bf16", "f16"] {
        let input = load(&folder.join(format!("bnb/q4_nf4_{dtype}_256x512_bs64.safetensors")));
        let (shape, values) = &input["input"];
        let q = QuantizedTensor::quantize("w", &values.f32(), shape, &QuantConfig::default()).unwrap();
        let Absmax::Nested { codes, .. } = q.absmax() else { panic!("double quantisation is the default") };
        assert_eq!(codes, expected[&format!("q4_nf4_{dtype}_256x512.nested_u8_exact")].1.u8(), "{dtype}");
    }
}

#[test]
fn code_books_are_bitsandbytes_own() {
    let Some(folder) = camelid_tests::oracles() else { return };
    let tables = load(&folder.join("bnb/code_tables.safetensors"));
    let table = |name: &str| tables[name].1.f32();
    assert!(same(Code4::Nf4.table(), &table("nf4")));
    assert!(same(Code4::Fp4.table(), &table("fp4")));
    assert!(same(Map8::DynamicSigned.table(), &table("dynamic_signed")));
    assert!(same(Map8::DynamicUnsigned.table(), &table("dynamic_unsigned")));
}

#[test]
fn the_mean_is_torchs() {
    let Some(folder) = camelid_tests::oracles() else { return };
    let tensors = load(&folder.join("bnb/q4_nested_edges_f32.safetensors"));
    for case in ["blocks256", "blocks257", "few_blocks", "one_outlier"] {
        let absmax = tensors[&format!("{case}.absmax")].1.f32();
        assert_eq!(torch_mean(&absmax), tensors[&format!("{case}.nested.offset")].1.f32()[0], "{case}");
    }
}
