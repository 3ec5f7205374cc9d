//! Every 8-bit case of `bnb/` and `bnb-extra/`, bit for bit.

mod golden;

use camelid_kernels::blockwise4::{Rounding, block_count};
use camelid_kernels::blockwise8::{self, Map8};
use golden::{load, same};

fn map_of(prefix: &str) -> Map8 {
    if prefix.contains("unsigned") { Map8::DynamicUnsigned } else { Map8::DynamicSigned }
}

fn block_size_of(prefix: &str) -> usize {
    let named = prefix.split('.').find_map(|s| s.strip_prefix("bs")?.parse().ok());
    named.unwrap_or(if prefix.starts_with("nested") { 64 } else { 256 })
}

fn quantize(map: Map8, block_size: usize, rounding: Rounding, values: &[f32]) -> (Vec<u8>, Vec<f32>) {
    let mut codes = vec![0; values.len()];
    let mut absmax = vec![0.0; block_count(values.len(), block_size)];
    blockwise8::quantize(map, block_size, rounding, values, &mut codes, &mut absmax);
    (codes, absmax)
}

#[test]
fn all_cases_of_the_cpu_build() {
    let Some(folder) = camelid_tests::oracles() else { return };
    let mut cases = 0;
    for file in ["q8_blockwise", "q8_blockwise_ties_edges"] {
        let tensors = load(&folder.join(format!("bnb/{file}.safetensors")));
        for prefix in tensors.keys().filter_map(|name| name.strip_suffix(".q")) {
            let (map, block_size) = (map_of(prefix), block_size_of(prefix));
            let mut path = prefix;
            while !tensors.contains_key(&format!("{path}.input")) {
                path = &path[..path.rfind('.').expect("an input for every case")];
            }
            let values = tensors[&format!("{path}.input")].1.f32();
            let (codes, absmax) = quantize(map, block_size, Rounding::BnbCpu, &values);
            assert_eq!(codes, tensors[&format!("{prefix}.q")].1.u8(), "{file} {prefix}: codes");
            if let Some((_, expected)) = tensors.get(&format!("{prefix}.absmax")) {
                assert!(same(&absmax, &expected.f32()), "{file} {prefix}: absmax");
                let mut restored = vec![0.0; codes.len()];
                blockwise8::dequantize(map, block_size, &codes, &absmax, &mut restored);
                let expected = &tensors[&format!("{prefix}.dequant")].1;
                assert!(expected.equals_rounded(&restored), "{file} {prefix}: dequant");
            }
            cases += 1;
        }
    }
    assert_eq!(cases, 35, "the golden files hold 35 cases");
}

#[test]
fn nearest_codes_by_the_rule_of_the_cuda_kernels() {
    let Some(folder) = camelid_tests::oracles() else { return };
    let inputs = load(&folder.join("bnb/q8_blockwise.safetensors"));
    let expected = load(&folder.join("bnb-extra/exact_nearest_8bit.safetensors"));
    for sign in ["signed", "unsigned"] {
        let values = inputs[&format!("{sign}.f32.input")].1.f32();
        for block_size in [64, 256] {
            let (codes, _) = quantize(map_of(sign), block_size, Rounding::Cuda, &values);
            let name = format!("q8_blockwise.{sign}.f32.bs{block_size}.q_exact");
            assert_eq!(codes, expected[&name].1.u8(), "{name}");
        }
    }
}
