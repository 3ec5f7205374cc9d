//! The optimizer itself: which pages belong to which tensor, and the walk over them.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::page::{PageData, PageLayout};
use crate::store::PageStore;
use crate::update::{Codes, Step};
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
        check_step(key, lr, param.len(), grad)?;
        self.reserve(key, param.len())?;
        self.step_checked(key, lr, param, grad)
    }

    /// [`Self::step`] of a tensor that has state, after [`check_step`].
    pub(crate) fn step_checked(
        &mut self,
        key: &str,
        lr: f64,
        param: &mut [f32],
        grad: &[f32],
    ) -> Result<(), OptimError> {
        let Some(tensor) = self.tensors.get_mut(key) else { return Ok(()) };
        let step = Step::new(&self.config, lr, tensor.step + 1);
        let runs = param.chunks_mut(self.config.page_elements).zip(grad.chunks(self.config.page_elements));
        for (page, (p, g)) in tensor.pages.clone().zip(runs) {
            let bits = tensor.bits;
            self.store.with_page(page, |data| update_page(&step, bits, p, g, data))?;
        }
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

/// Whether a step of a tensor of `len` elements can be taken with this rate and gradient.
pub(crate) fn check_step(key: &str, lr: f64, len: usize, grad: &[f32]) -> Result<(), OptimError> {
    same_length(key, "gradient", grad.len(), len)?;
    if !(lr >= 0.0 && lr.is_finite()) {
        return Err(OptimError::LearningRate { key: key.to_owned(), lr });
    }
    match grad.iter().position(|g| !g.is_finite()) {
        Some(index) => Err(OptimError::NonFinite { key: key.to_owned(), index, value: grad[index] }),
        None => Ok(()),
    }
}

/// Updates the parameters of one page, and the page.
fn update_page(step: &Step, bits: StateBits, p: &mut [f32], g: &[f32], data: &mut PageData) {
    let [m, v] = &mut data.floats;
    let [m_codes, v_codes] = &mut data.codes;
    match bits {
        StateBits::Bits32 => step.update_f32(p, g, m, v),
        StateBits::Bits8 => {
            let m = Codes { codes: m_codes, absmax: m };
            let v = Codes { codes: v_codes, absmax: v };
            step.update_8bit(p, g, m, v);
        }
    }
}

fn same_length(key: &str, what: &'static str, found: usize, expected: usize) -> Result<(), OptimError> {
    match found == expected {
        true => Ok(()),
        false => Err(OptimError::Length { key: key.to_owned(), what, found, expected }),
    }
}
