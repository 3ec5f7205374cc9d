//! PEFT adapters onto a model.

use std::path::Path;

use anyhow::{Context, Result};
use burn::tensor::Device;
use camelid_lora::load_peft;
use camelid_model::Llama;

/// The model with the adapter on it. What of the adapter was not followed is said on standard error.
pub fn with_adapter(model: Llama, adapter: &Path, base: &str, device: &Device) -> Result<Llama> {
    let shown = adapter.display();
    let (model, loaded) = load_peft(model, adapter, device)
        .with_context(|| format!("cannot put the adapter {shown} on {base}"))?;
    for note in &loaded.notes {
        eprintln!("warning: {shown}: {note}");
    }
    Ok(model)
}
