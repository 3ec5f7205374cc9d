//! The optimizer itself: which pages belong to which tensor, and the walk over them.

use std::collections::BTreeMap;
use std::ops::Range;

use camelid_kernels::adamw::first_non_finite;
use rayon::prelude::*;

use crate::page::PageLayout;
use crate::store::PageStore;
use crate::update::Update;
use crate::{AdamWConfig, OptimError, StateBits, Traffic};

/// AdamW over named tensors, its state in pages. See the crate's documentation for an example.
#[derive(Debug)]
pub struct PagedAdamW {
    config: AdamWConfig,
    pub(crate) tensors: BTreeMap<String, TensorState>,
    pub(crate) store: PageStore,
}

/// Where one tensor's state is.
#[derive(Clone, Debug)]
pub(crate) struct TensorState {
    pub(crate) bits: StateBits,
    pub(crate) len: usize,
    /// Steps taken.
    pub(crate) step: u64,
    pub(crate) pages: Range<usize>,
}

/// A copy of one tensor's state.
#[derive(Clone, Debug, PartialEq)]
pub enum Moments {
    /// 32-bit state, one value per parameter.
    Bits32 {
        /// First moment, `m`.
        exp_avg: Vec<f32>,
        /// Second moment, `v`.
        exp_avg_sq: Vec<f32>,
    },
    /// 8-bit state: codes of the dynamic maps (signed for `m`, unsigned for `v`) and the absmax
    /// of each block of 256; bitsandbytes' `state1`, `state2`, `absmax1`, `absmax2`.
    Bits8 {
        /// Codes of the first moment.
        state1: Vec<u8>,
        /// Codes of the second moment.
        state2: Vec<u8>,
        /// Absmax of the first moment's blocks.
        absmax1: Vec<f32>,
        /// Absmax of the second moment's blocks.
        absmax2: Vec<f32>,
    },
}

impl PagedAdamW {
    /// An optimizer without state. State for a tensor is made when it is first seen.
    ///
    /// # Errors
    /// [`OptimError::Setting`] for a value out of range.
    pub fn new(config: AdamWConfig) -> Result<Self, OptimError> {
        config.check()?;
        let store = PageStore::new(config.budget, &config.spill);
        Ok(Self { config, tensors: BTreeMap::new(), store })
    }

    /// The settings.
    pub fn config(&self) -> &AdamWConfig {
        &self.config
    }

    /// What paging cost so far.
    pub fn traffic(&self) -> Traffic {
        self.store.traffic()
    }

    /// Makes the state (zeros) of a tensor of `len` elements, with all the space it may ever
    /// need. [`Self::step`] does this by itself; doing it for every tensor first means that a
    /// full disk is found before any of them moves.
    ///
    /// # Errors
    /// [`OptimError::SpillFull`]; [`OptimError::Length`] when the tensor is known with another
    /// length. Nothing changed then.
    pub fn reserve(&mut self, key: &str, len: usize) -> Result<(), OptimError> {
        if let Some(known) = self.tensors.get(key) {
            return same_length(key, "parameter", len, known.len);
        }
        let bits = match self.config.state {
            StateBits::Bits8 if len >= AdamWConfig::MIN_8BIT_ELEMENTS => StateBits::Bits8,
            _ => StateBits::Bits32,
        };
        let page = self.config.page_elements;
        let layouts = (0..len).step_by(page).map(|start| PageLayout { bits, len: page.min(len - start) });
        let pages = self.store.add(layouts)?;
        self.tensors.insert(key.to_owned(), TensorState { bits, len, step: 0, pages });
        Ok(())
    }

    /// One AdamW step of the tensor `key`: `param` is updated in place from `grad`.
    ///
    /// # Errors
    /// [`OptimError::Length`], [`OptimError::LearningRate`], [`OptimError::NonFinite`],
    /// [`OptimError::SpillFull`]: nothing changed. [`OptimError::SpillIo`]: see there.
    pub fn step(&mut self, key: &str, lr: f64, param: &mut [f32], grad: &[f32]) -> Result<(), OptimError> {
        check_step(key, lr, param.len(), grad.len())?;
        check_finite(key, grad)?;
        self.reserve(key, param.len())?;
        self.step_checked(key, lr, 1.0, param, grad)
    }

    /// As [`Self::step`] with the gradient times `grad_scale`, as clipping by the global norm asks
    /// for ([`clip_scale`](crate::clip_scale)): scaled on the way, in the pass that updates.
    ///
    /// Whether the gradient is finite is not looked at again: a finite
    /// [`sum_of_squares`](crate::sum_of_squares) or norm shows that it is.
    ///
    /// # Errors
    /// As [`Self::step`], without [`OptimError::NonFinite`], and [`OptimError::Setting`] for a
    /// scale that is negative or not finite.
    pub fn step_scaled(
        &mut self,
        key: &str,
        lr: f64,
        grad_scale: f32,
        param: &mut [f32],
        grad: &[f32],
    ) -> Result<(), OptimError> {
        check_scale(grad_scale)?;
        check_step(key, lr, param.len(), grad.len())?;
        self.reserve(key, param.len())?;
        self.step_checked(key, lr, grad_scale, param, grad)
    }

    /// [`Self::step_scaled`] of a tensor that has state, after [`check_step`].
    pub(crate) fn step_checked(
        &mut self,
        key: &str,
        lr: f64,
        grad_scale: f32,
        param: &mut [f32],
        grad: &[f32],
    ) -> Result<(), OptimError> {
        let Some(tensor) = self.tensors.get_mut(key) else { return Ok(()) };
        let update = Update::new(&self.config, tensor.bits, lr, tensor.step + 1, grad_scale);
        let page = self.config.page_elements;
        let (mut param, mut grad) = (param, grad);
        self.store.with_pages(tensor.pages.clone(), |pages| {
            let count = param.len().min(pages.len() * page);
            let (p, rest) = std::mem::take(&mut param).split_at_mut(count);
            let (g, grad_rest) = grad.split_at(count);
            (param, grad) = (rest, grad_rest);
            let runs = p.par_chunks_mut(page).zip(g.par_chunks(page));
            runs.zip(pages).for_each(|((p, g), data)| update.page(p, g, data));
        })?;
        tensor.step += 1;
        Ok(())
    }

    /// Names of the tensors that have state, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Steps taken by a tensor; 0 for an unknown one.
    pub fn steps(&self, key: &str) -> u64 {
        self.tensors.get(key).map_or(0, |tensor| tensor.step)
    }

    /// A copy of a tensor's moments; `None` for an unknown tensor.
    ///
    /// # Errors
    /// [`OptimError::SpillIo`] when a page cannot be read.
    pub fn moments(&self, key: &str) -> Result<Option<Moments>, OptimError> {
        let Some(tensor) = self.tensors.get(key) else { return Ok(None) };
        let (mut floats, mut codes) = ([vec![], vec![]], [vec![], vec![]]);
        for page in tensor.pages.clone() {
            let data = self.store.peek(page)?;
            for (all, of_page) in floats.iter_mut().zip(&data.floats) {
                all.extend_from_slice(of_page);
            }
            for (all, of_page) in codes.iter_mut().zip(&data.codes) {
                all.extend_from_slice(of_page);
            }
        }
        let [exp_avg, exp_avg_sq] = floats;
        let [state1, state2] = codes;
        Ok(Some(match tensor.bits {
            StateBits::Bits32 => Moments::Bits32 { exp_avg, exp_avg_sq },
            StateBits::Bits8 => Moments::Bits8 { state1, state2, absmax1: exp_avg, absmax2: exp_avg_sq },
        }))
    }
}

/// Whether a step of a tensor of `len` elements can be taken at this rate, from a gradient of
/// `grad_len`.
pub(crate) fn check_step(key: &str, lr: f64, len: usize, grad_len: usize) -> Result<(), OptimError> {
    same_length(key, "gradient", grad_len, len)?;
    match lr >= 0.0 && lr.is_finite() {
        true => Ok(()),
        false => Err(OptimError::LearningRate { key: key.to_owned(), lr }),
    }
}

pub(crate) fn check_finite(key: &str, grad: &[f32]) -> Result<(), OptimError> {
    match first_non_finite(grad) {
        Some(index) => Err(OptimError::NonFinite { key: key.to_owned(), index, value: grad[index] }),
        None => Ok(()),
    }
}

pub(crate) fn check_scale(grad_scale: f32) -> Result<(), OptimError> {
    let value = f64::from(grad_scale);
    match grad_scale >= 0.0 && grad_scale.is_finite() {
        true => Ok(()),
        false => Err(OptimError::Setting { name: "grad_scale", value, expected: "a finite value >= 0" }),
    }
}

fn same_length(key: &str, what: &'static str, found: usize, expected: usize) -> Result<(), OptimError> {
    match found == expected {
        true => Ok(()),
        false => Err(OptimError::Length { key: key.to_owned(), what, found, expected }),
    }
}
