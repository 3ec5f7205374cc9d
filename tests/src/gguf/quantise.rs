//! Plain quantisers: nearest codes for scales taken from each (sub-)block's range. Not
//! ggml's, which search for better scales; files they make are as valid.

use half::{bf16, f16};

/// The types that the writer makes, by ggml's names; other types come from golden files alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types, missing_docs, reason = "the names of ggml")]
pub enum Stored {
    F32,
    F16,
    BF16,
    Q8_0,
    Q4_0,
    Q4_1,
    Q4_K,
    Q6_K,
}

impl Stored {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::F32, Self::F16, Self::BF16, Self::Q8_0, Self::Q4_0, Self::Q4_1, Self::Q4_K, Self::Q6_K];

    /// ggml's name and number, and the values of a block.
    fn facts(self) -> (&'static str, u32, usize) {
        match self {
            Self::F32 => ("F32", 0, 1),
            Self::F16 => ("F16", 1, 1),
            Self::Q4_0 => ("Q4_0", 2, 32),
            Self::Q4_1 => ("Q4_1", 3, 32),
            Self::Q8_0 => ("Q8_0", 8, 32),
            Self::Q4_K => ("Q4_K", 12, 256),
            Self::Q6_K => ("Q6_K", 14, 256),
            Self::BF16 => ("BF16", 30, 1),
        }
    }

    /// ggml's name of the type.
    pub fn name(self) -> &'static str {
        self.facts().0
    }

    /// ggml's number of the type.
    pub fn id(self) -> u32 {
        self.facts().1
    }

    /// Values that share their scales.
    pub fn block_len(self) -> usize {
        self.facts().2
    }

    /// The bytes of these values.
    pub(super) fn bytes(self, values: &[f32]) -> Vec<u8> {
        let blocks = values.chunks_exact(self.block_len());
        match self {
            Self::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::F16 => values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect(),
            Self::BF16 => values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect(),
            Self::Q8_0 => blocks.flat_map(q8_0).collect(),
            Self::Q4_0 => blocks.flat_map(q4_0).collect(),
            Self::Q4_1 => blocks.flat_map(q4_1).collect(),
            Self::Q4_K => blocks.flat_map(q4_k).collect(),
            Self::Q6_K => blocks.flat_map(q6_k).collect(),
        }
    }
}

/// The widest distance between a value and its code in `block`.
pub fn worst_error(kind: Stored, block: &[f32]) -> f32 {
    let largest = block.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let low = block.iter().copied().fold(0.0, f32::min);
    let high = block.iter().copied().fold(0.0, f32::max);
    // Half a step, and a little for scales rounded to half precision. The two K types
    // also round their scales, to 6 and 8 bits of the largest in the super-block.
    match kind {
        Stored::F32 => 0.0,
        Stored::F16 => largest / 2048.0,
        Stored::BF16 => largest / 256.0,
        Stored::Q8_0 => largest / 127.0 * 0.6,
        Stored::Q4_0 => largest / 7.0 * 0.6,
        Stored::Q4_1 => (high - low) / 15.0 * 0.6,
        Stored::Q4_K => (high - low) * (0.6 / 15.0 + 2.0 / 63.0),
        Stored::Q6_K => largest * (0.6 / 31.0 + 1.0 / 127.0),
    }
}

/// A half-precision scale as it will be read, and its bytes.
fn half(scale: f32) -> (f32, [u8; 2]) {
    let half = f16::from_f32(scale);
    (half.to_f32(), half.to_le_bytes())
}

fn code(value: f32, scale: f32, low: f32, high: f32) -> i32 {
    let scaled = if scale == 0.0 { 0.0 } else { value / scale };
    scaled.round().clamp(low, high) as i32
}

fn nibbles(codes: &[i32]) -> Vec<u8> {
    let (low, high) = codes.split_at(codes.len() / 2);
    low.iter().zip(high).map(|(l, h)| (*l as u8) | ((*h as u8) << 4)).collect()
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |m, v| m.max(v.abs()))
}

fn range(values: &[f32]) -> (f32, f32) {
    (values.iter().copied().fold(0.0, f32::min), values.iter().copied().fold(0.0, f32::max))
}

fn q8_0(block: &[f32]) -> Vec<u8> {
    let (d, bytes) = half(largest(block) / 127.0);
    let mut out = bytes.to_vec();
    out.extend(block.iter().map(|v| code(*v, d, -127.0, 127.0) as i8 as u8));
    out
}

fn q4_0(block: &[f32]) -> Vec<u8> {
    let (d, bytes) = half(largest(block) / 7.0);
    let codes: Vec<i32> = block.iter().map(|v| code(*v, d, -8.0, 7.0) + 8).collect();
    let mut out = bytes.to_vec();
    out.extend(nibbles(&codes));
    out
}

fn q4_1(block: &[f32]) -> Vec<u8> {
    let (low, high) = range(block);
    let (m, m_bytes) = half(low);
    let (d, d_bytes) = half((high - low) / 15.0);
    let codes: Vec<i32> = block.iter().map(|v| code(*v - m, d, 0.0, 15.0)).collect();
    let mut out = d_bytes.to_vec();
    out.extend(m_bytes);
    out.extend(nibbles(&codes));
    out
}

fn q4_k(block: &[f32]) -> Vec<u8> {
    let ranges: Vec<(f32, f32)> = block.chunks_exact(32).map(range).collect();
    let widest = ranges.iter().map(|(l, h)| (h - l) / 15.0).fold(0.0, f32::max);
    let deepest = ranges.iter().map(|(l, _)| -l).fold(0.0, f32::max);
    let (d, d_bytes) = half(widest / 63.0);
    let (dmin, dmin_bytes) = half(deepest / 63.0);
    let scales: Vec<i32> = ranges.iter().map(|(l, h)| code((h - l) / 15.0, d, 0.0, 63.0)).collect();
    let mins: Vec<i32> = ranges.iter().map(|(l, _)| code(-l, dmin, 0.0, 63.0)).collect();

    let mut packed = [0u8; 12];
    for j in 0..4 {
        packed[j] = scales[j] as u8 | (((scales[j + 4] >> 4) as u8) << 6);
        packed[j + 4] = mins[j] as u8 | (((mins[j + 4] >> 4) as u8) << 6);
        packed[j + 8] = (scales[j + 4] & 15) as u8 | (((mins[j + 4] & 15) as u8) << 4);
    }
    let mut out = d_bytes.to_vec();
    out.extend(dmin_bytes);
    out.extend(packed);
    for (pair, values) in block.chunks_exact(64).enumerate() {
        let codes: Vec<i32> = values
            .iter()
            .enumerate()
            .map(|(i, v)| {
                let j = 2 * pair + i / 32;
                code(*v + dmin * mins[j] as f32, d * scales[j] as f32, 0.0, 15.0)
            })
            .collect();
        out.extend(nibbles(&codes));
    }
    out
}

fn q6_k(block: &[f32]) -> Vec<u8> {
    let steps: Vec<f32> = block.chunks_exact(16).map(|sub| largest(sub) / 31.0).collect();
    let (d, d_bytes) = half(largest(&steps) / 127.0);
    let scales: Vec<i32> = steps.iter().map(|s| code(*s, d, 0.0, 127.0)).collect();
    let codes: Vec<u8> = block
        .iter()
        .enumerate()
        .map(|(i, v)| (code(*v, d * scales[i / 16] as f32, -32.0, 31.0) + 32) as u8)
        .collect();
    let (mut ql, mut qh) = (Vec::new(), Vec::new());
    for half in codes.chunks_exact(128) {
        let (a, rest) = half.split_at(32);
        let (b, rest) = rest.split_at(32);
        let (c, e) = rest.split_at(32);
        ql.extend((0..32).map(|i| (a[i] & 15) | (c[i] << 4)));
        ql.extend((0..32).map(|i| (b[i] & 15) | (e[i] << 4)));
        qh.extend(
            (0..32).map(|i| (a[i] >> 4) | ((b[i] >> 4) << 2) | ((c[i] >> 4) << 4) | ((e[i] >> 4) << 6)),
        );
    }
    let mut out = ql;
    out.extend(qh);
    out.extend(scales.iter().map(|s| *s as i8 as u8));
    out.extend(d_bytes);
    out
}
