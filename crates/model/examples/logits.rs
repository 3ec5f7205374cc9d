//! Logits of a model, with an adapter if one is given, as a safetensors file: what
//! `benches/peers/adapters.py` compares with PEFT's.
//!
//! ```text
//! cargo run -p camelid-model --example logits -- MODEL OUT.safetensors 1,5,9
//! cargo run -p camelid-model --example logits -- MODEL OUT.safetensors 1,5,9 --adapter DIR
//! cargo run -p camelid-model --example logits -- MODEL OUT.safetensors 1,5,9 --fresh '{"r": 4}' --save DIR
//! cargo run -p camelid-model --example logits -- MODEL OUT.safetensors 1,5,9 --base DIR
//! ```
//!
//! `--fresh` makes an adapter with these settings, moves all that trains by random amounts, and
//! saves it; `--base` saves the model as a Hugging Face folder.

use std::error::Error;
use std::path::Path;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Distribution, Int, Tensor, TensorData};
use camelid_lora::{ForwardContext, LoraConfig, attach, load_peft, save_peft};
use camelid_model::{Llama, WeightStorage, open_weights};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, out, ids, options @ ..] = args.as_slice() else {
        return Err(
            "expected MODEL OUT.safetensors IDS [--adapter DIR] [--fresh JSON --save DIR] [--base DIR]"
                .into(),
        );
    };
    let option = |name: &str| options.windows(2).find(|pair| pair[0] == name).map(|pair| pair[1].as_str());
    // Only a device that tracks gradients knows what trains.
    let device = Device::flex().autodiff();
    let source = open_weights(Path::new(model))?;
    let storage = WeightStorage::as_stored(source.as_ref(), &source.config()?)?;
    let mut model = Llama::load(source.as_ref(), &storage, &device)?;
    if let Some(dir) = option("--base") {
        model.save_safetensors(Path::new(dir))?;
    }
    if let Some(dir) = option("--adapter") {
        let (adapted, loaded) = load_peft(model, Path::new(dir), &device)?;
        loaded.notes.iter().for_each(|note| eprintln!("{note}"));
        model = adapted;
    }
    if let (Some(settings), Some(dir)) = (option("--fresh"), option("--save")) {
        let config: LoraConfig = serde_json::from_str(settings)?;
        device.seed(5);
        model = attach(model, &config, 7, &device)?.map(&mut Moved(&device));
        save_peft(&model, &config, None, Path::new(dir))?;
    }
    let ids: Vec<i64> = ids.split(',').map(|id| id.trim().parse()).collect::<Result<_, _>>()?;
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids.clone(), [1, ids.len()]), &device);
    let logits = model.forward(ids, &ForwardContext::evaluation()).cast(DType::F32).into_data();
    let shape = logits.shape().to_vec();
    let bytes: Vec<u8> = logits.iter::<f32>().flat_map(f32::to_le_bytes).collect();
    let view = TensorView::new(Dtype::F32, shape, &bytes)?;
    std::fs::write(out, safetensors::serialize([("logits", view)], None)?)?;
    Ok(())
}

/// Adds to every parameter that trains something as large as training would.
struct Moved<'a>(&'a Device);

impl ModuleMapper for Moved<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let trains = param.val().is_require_grad();
        let (id, tensor, mapper) = param.consume();
        if !trains {
            return Param::from_mapped_value(id, tensor, mapper);
        }
        let step = Tensor::random(tensor.dims(), Distribution::Normal(0.0, 0.02), self.0);
        Param::from_mapped_value(id, (tensor + step).detach().require_grad(), mapper)
    }
}
