//! AdamW whose state lives in pages: resident under a budget in bytes, the rest in host memory
//! or in a file.
//!
//! * [`PagedAdamW`] — AdamW (Loshchilov & Hutter, 2019) with 32-bit state, or with the 8-bit
//!   blockwise state of Dettmers et al. (2022). Works on plain slices keyed by name
//!   ([`PagedAdamW::step`]) or on any burn module ([`PagedAdamW::step_module`]).
//! * [`clip_global_norm`] — clipping by the norm of all gradients together, as
//!   `torch.nn.utils.clip_grad_norm_` does it; or [`global_norm`], [`clip_scale`] and
//!   [`PagedAdamW::step_module_scaled`], which scales in the pass that updates.
//! * [`Traffic`] — what the paging cost: pages and bytes moved, updates that had to wait.
//!
//! The numbers do not depend on the budget, on where pages go, on the number of threads or on
//! the processor: every value is computed alone, rounded at fixed points.
//!
//! ```
//! use camelid_paged_optim::{AdamWConfig, PagedAdamW, Spill, StateBits};
//!
//! # fn main() -> Result<(), camelid_paged_optim::OptimError> {
//! let mut optim = PagedAdamW::new(AdamWConfig {
//!     weight_decay: 0.01,
//!     state: StateBits::Bits8,
//!     budget: Some(16 * 1024),                       // at most 16 KiB of state stay resident
//!     spill: Spill::File(std::env::temp_dir()),      // the rest waits in an unnamed file there
//!     page_elements: 4096,
//!     ..AdamWConfig::default()
//! })?;
//! let mut weights = vec![1.0_f32; 50_000];
//! for _ in 0..10 {
//!     let gradient: Vec<f32> = weights.iter().map(|w| 2.0 * w).collect();   // of Σ w²
//!     optim.step("weights", 0.05, &mut weights, &gradient)?;
//! }
//! assert!(weights.iter().all(|w| w.abs() < 0.6));
//! assert!(optim.traffic().pages_out > 0);
//! # Ok(())
//! # }
//! ```

mod clip;
mod config;
mod error;
mod module;
mod optimizer;
mod page;
mod spill;
mod state_file;
mod store;
mod update;

pub use camelid_kernels::adamw::sum_of_squares;
pub use camelid_kernels::blockwise4::Rounding;
pub use clip::{clip_global_norm, clip_scale, global_norm};
pub use config::{AdamWConfig, PageBudget, Spill, StateBits};
pub use error::OptimError;
pub use module::{ParamPath, named_float_params, named_trainable_params};
pub use optimizer::{Moments, PagedAdamW};
pub use spill::SpillFile;
pub use store::Traffic;
