//! Rotary position embeddings: the angle of every position and frequency.

use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Device, Int, Tensor, TensorData};
use camelid_kernels::CuSeqlens;

use crate::config::{LlamaConfig, RopeScaling};

/// Cosines and sines by position, computed once and grown on demand.
///
/// Frequency `i` of `head_dim / 2` turns by `position * inv_freq[i]` radians,
/// with `inv_freq[i] = rope_theta^(-2i / head_dim)` before scaling (RoFormer,
/// Su et al. 2021, section 3.2.2). The arithmetic is `f32` throughout, as in
/// transformers, so that long contexts agree with it.
///
/// Clones share one table. It holds no trainable state and is no part of a
/// checkpoint.
#[derive(Clone, Debug)]
pub struct Rope {
    inv_freq: Arc<[f32]>,
    table: Arc<Mutex<Option<Table>>>,
}

#[derive(Clone, Debug)]
struct Table {
    positions: usize,
    device: Device,
    cos: Tensor<2>,
    sin: Tensor<2>,
    /// The last answer of [`Rope::varlen`], which every block of a pass asks again.
    varlen: Option<(CuSeqlens, Tensor<2>, Tensor<2>)>,
}

impl Rope {
    /// The table for a model's head size, base frequency and scaling.
    pub fn new(config: &LlamaConfig) -> Self {
        Self {
            inv_freq: inverse_frequencies(config.head_dim, config.rope_theta, &config.rope_scaling).into(),
            table: Arc::new(Mutex::new(None)),
        }
    }

    /// Cosines and sines of positions `start..start + len`, each
    /// `[len, head_dim / 2]`, on `device` without gradient tracking.
    pub fn slice(&self, start: usize, len: usize, device: &Device) -> (Tensor<2>, Tensor<2>) {
        self.with_table(start + len, device, |table| table.slice(start, len))
    }

    /// Cosines and sines of packed sequences, each from position 0:
    /// `[positions, head_dim / 2]`, as [`Rope::slice`].
    pub fn varlen(&self, cu_seqlens: &CuSeqlens, device: &Device) -> (Tensor<2>, Tensor<2>) {
        self.with_table(cu_seqlens.max_seqlen(), device, |table| {
            let (_, cos, sin) = match table.varlen.take() {
                Some(known) if known.0 == *cu_seqlens => table.varlen.insert(known),
                _ => {
                    let slices = cu_seqlens.lengths().map(|len| table.slice(0, len));
                    let (cos, sin) = slices.unzip();
                    table.varlen.insert((cu_seqlens.clone(), Tensor::cat(cos, 0), Tensor::cat(sin, 0)))
                }
            };
            (cos.clone(), sin.clone())
        })
    }

    /// Cosines and sines of any positions, `[positions, head_dim / 2]`, as [`Rope::slice`].
    pub(crate) fn at(&self, positions: &[usize], device: &Device) -> (Tensor<2>, Tensor<2>) {
        let most = positions.iter().max().map_or(0, |last| last + 1);
        let indices: Vec<i64> = positions.iter().map(|position| *position as i64).collect();
        self.with_table(most, device, |table| {
            let data = TensorData::new(indices, [positions.len()]);
            let indices = Tensor::<1, Int>::from_data(data, &table.cos.device());
            (table.cos.clone().select(0, indices.clone()), table.sin.clone().select(0, indices))
        })
    }

    /// Calls `f` with a table of at least `positions` positions.
    fn with_table<R>(&self, positions: usize, device: &Device, f: impl FnOnce(&mut Table) -> R) -> R {
        // A panic elsewhere cannot leave the table half-written: it is replaced whole.
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let usable = table.as_ref().is_some_and(|t| t.positions >= positions && t.device == *device);
        if !usable {
            *table = None;
        }
        f(table.get_or_insert_with(|| self.compute(positions.next_power_of_two(), device)))
    }

    fn compute(&self, positions: usize, device: &Device) -> Table {
        let half = self.inv_freq.len();
        let mut cos = Vec::with_capacity(positions * half);
        let mut sin = Vec::with_capacity(positions * half);
        for position in 0..positions {
            for inv_freq in self.inv_freq.iter() {
                let angle = position as f32 * inv_freq;
                cos.push(angle.cos());
                sin.push(angle.sin());
            }
        }
        // The table lives on the plain device: nothing here is differentiated,
        // and a tracked constant would only lengthen the graph.
        let plain = device.clone().inner();
        let tensor = |v| Tensor::from_data(TensorData::new(v, [positions, half]), &plain);
        Table { positions, device: device.clone(), cos: tensor(cos), sin: tensor(sin), varlen: None }
    }
}

impl Table {
    fn slice(&self, start: usize, len: usize) -> (Tensor<2>, Tensor<2>) {
        (self.cos.clone().narrow(0, start, len), self.sin.clone().narrow(0, start, len))
    }
}

/// `head_dim / 2` rotation speeds in radians per position, after scaling.
///
/// # Panics
/// If [`RopeScaling::Divisors`] are fewer; [`LlamaConfig::check`] refuses such a configuration.
pub fn inverse_frequencies(head_dim: usize, theta: f64, scaling: &RopeScaling) -> Vec<f32> {
    let base = theta as f32;
    (0..head_dim / 2).map(|i| scale(1.0 / base.powf((2 * i) as f32 / head_dim as f32), i, scaling)).collect()
}

/// What llama.cpp divides each frequency by (`rope_freqs`): for scalings that treat frequencies
/// differently, `None` where one factor or none serves for all.
pub(crate) fn divisors(config: &LlamaConfig) -> Option<Vec<f32>> {
    match &config.rope_scaling {
        RopeScaling::None | RopeScaling::Linear { .. } => None,
        RopeScaling::Divisors(divisors) => Some(divisors.to_vec()),
        scaling @ RopeScaling::Llama3 { .. } => {
            let plain = inverse_frequencies(config.head_dim, config.rope_theta, &RopeScaling::None);
            let scaled = inverse_frequencies(config.head_dim, config.rope_theta, scaling);
            Some(plain.iter().zip(&scaled).map(|(plain, scaled)| plain / scaled).collect())
        }
    }
}

fn scale(inv_freq: f32, i: usize, scaling: &RopeScaling) -> f32 {
    match *scaling {
        RopeScaling::None => inv_freq,
        // Position interpolation (Chen et al. 2023): position p becomes p / factor.
        RopeScaling::Linear { factor } => inv_freq / factor as f32,
        RopeScaling::Divisors(ref divisors) => inv_freq / divisors[i],
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings,
        } => {
            // Llama 3.1: wavelengths much longer than the original context are
            // interpolated, short ones kept, those between blended.
            let (factor, low, high) = (factor as f32, low_freq_factor as f32, high_freq_factor as f32);
            let context = original_max_position_embeddings as f32;
            let wavelength = 2.0 * std::f32::consts::PI / inv_freq;
            if wavelength < context / high {
                inv_freq
            } else if wavelength > context / low {
                inv_freq / factor
            } else {
                let smooth = (context / wavelength - low) / (high - low);
                (1.0 - smooth) * inv_freq / factor + smooth * inv_freq
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unscaled_frequencies_fall_from_one_to_nearly_one_over_theta() {
        let f = inverse_frequencies(4, 10_000.0, &RopeScaling::None);
        assert_eq!(f.len(), 2);
        assert_eq!(f[0], 1.0);
        assert!((f[1] - 0.01).abs() < 1e-8);
    }

    #[test]
    fn linear_scaling_divides_every_frequency() {
        let plain = inverse_frequencies(16, 10_000.0, &RopeScaling::None);
        let scaled = inverse_frequencies(16, 10_000.0, &RopeScaling::Linear { factor: 8.0 });
        for (p, s) in plain.iter().zip(&scaled) {
            assert_eq!(p / 8.0, *s);
        }
    }

    #[test]
    fn a_stretched_position_is_the_original_one_divided() {
        // LongChat's own definition: position p is taken for p / ratio.
        let plain = LlamaConfig::smollm2_135m();
        let long = LlamaConfig { rope_scaling: RopeScaling::Linear { factor: 8.0 }, ..plain.clone() };
        let device = Device::flex();
        let (cos, sin) = Rope::new(&plain).slice(0, 64, &device);
        let (cos_long, sin_long) = Rope::new(&long).slice(0, 505, &device);
        for position in 0..64 {
            for (short, stretched) in [(&cos, &cos_long), (&sin, &sin_long)] {
                let row = |table: &Tensor<2>, at| table.clone().narrow(0, at, 1).into_data();
                assert_eq!(row(short, position), row(stretched, 8 * position), "position {position}");
            }
        }
    }

    #[test]
    fn llama3_scaling_keeps_short_waves_divides_long_ones_and_blends_between() {
        // Llama 3.1 8B's own settings.
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192,
        };
        let plain = inverse_frequencies(128, 500_000.0, &RopeScaling::None);
        let scaled = inverse_frequencies(128, 500_000.0, &scaling);
        let mut blended = 0;
        for (p, s) in plain.iter().zip(&scaled) {
            let wavelength = 2.0 * std::f32::consts::PI / p;
            if wavelength < 2048.0 {
                assert_eq!(p, s);
            } else if wavelength > 8192.0 {
                assert_eq!(p / 8.0, *s);
            } else {
                assert!(*s > p / 8.0 && s < p);
                blended += 1;
            }
        }
        assert!(blended > 0, "some wavelengths lie between");
    }

    #[test]
    fn slices_of_a_grown_table_agree_with_a_fresh_one() {
        let config = LlamaConfig::smollm2_135m();
        let device = Device::flex();
        let grown = Rope::new(&config);
        grown.slice(0, 3, &device);
        let (cos, sin) = grown.slice(5, 7, &device);
        let (cos_fresh, sin_fresh) = Rope::new(&config).slice(5, 7, &device);
        assert_eq!(cos.dims(), [7, config.head_dim / 2]);
        assert_eq!(cos.into_data(), cos_fresh.into_data());
        assert_eq!(sin.into_data(), sin_fresh.into_data());
    }
}
