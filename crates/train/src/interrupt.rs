//! Ctrl-C: finish the step, save, say how to go on.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::TrainError;

/// A wish to stop, shared between whoever has it and the trainer. The trainer looks at it after
/// each step.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    /// One that only [`Interrupt::request`] raises.
    pub fn new() -> Self {
        Self::default()
    }

    /// The one that Ctrl-C (and SIGTERM) raises; a second Ctrl-C ends the process at once. Every
    /// call gives the same one.
    ///
    /// # Errors
    /// [`TrainError::CtrlC`] when another part of the program already handles Ctrl-C.
    pub fn from_ctrl_c() -> Result<Self, TrainError> {
        static INSTALLED: OnceLock<Interrupt> = OnceLock::new();
        if let Some(interrupt) = INSTALLED.get() {
            return Ok(interrupt.clone());
        }
        let interrupt = Self::new();
        let raised = interrupt.clone();
        ctrlc::set_handler(move || {
            if raised.0.fetch_add(1, Ordering::SeqCst) == 0 {
                camelid_files::say!("\nfinishing this step and saving; press Ctrl-C again to stop at once");
            } else {
                std::process::exit(130);
            }
        })?;
        Ok(INSTALLED.get_or_init(|| interrupt).clone())
    }

    /// Asks the trainer to stop after the step it is in.
    pub fn request(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether someone asked.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }

    /// Withdraws the wish, for the next run of the same process.
    pub fn clear(&self) {
        self.0.store(0, Ordering::SeqCst);
    }
}
