//! One weight as the tensors that a file holds for it.

use safetensors::Dtype;

use super::Entry;
use super::quant_state::json_for;
use crate::{Absmax, QuantizedTensor};

/// The tensors that store a weight: name, element type, shape, little-endian
/// bytes. Together with the dense tensors of a model they make a file that is
/// byte-identical to what bitsandbytes and transformers write.
pub fn tensors_for(weight_name: &str, q: &QuantizedTensor) -> Vec<Entry> {
    let name = |suffix: &str| format!("{weight_name}{suffix}");
    let floats = |suffix: &str, values: &[f32]| {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        (name(suffix), Dtype::F32, vec![values.len()], bytes)
    };
    let bytes = |suffix: &str, bytes: &[u8]| (name(suffix), Dtype::U8, vec![bytes.len()], bytes.to_vec());

    let mut entries = vec![
        (name(""), Dtype::U8, vec![q.packed().len(), 1], q.packed().to_vec()),
        floats(".quant_map", q.config().format.code().table()),
    ];
    match q.absmax() {
        Absmax::Plain(absmax) => entries.push(floats(".absmax", absmax)),
        Absmax::Nested { codes, absmax, table, .. } => entries.extend([
            bytes(".absmax", codes),
            floats(".nested_absmax", absmax),
            floats(".nested_quant_map", table.values()),
        ]),
    }
    entries.push(bytes(&format!(".quant_state.bitsandbytes__{}", q.config().format), json_for(q).as_bytes()));
    entries
}
