//! Options that choose among a library's own values, by the names that these have in files.

use anyhow::Result;
use camelid_model::{DenseStorage, WeightSource, WeightStorage};
use camelid_quant::{Format, QuantConfig};
use clap::builder::{PossibleValuesParser, TypedValueParser};

/// The parser of an option that takes one of `all` by its `name`.
pub fn one_of<T: Copy + Send + Sync + 'static>(
    all: impl IntoIterator<Item = T>,
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let all: Vec<T> = all.into_iter().collect();
    PossibleValuesParser::new(all.iter().copied().map(name).collect::<Vec<_>>()).try_map(move |given| {
        all.iter().copied().find(|value| name(*value) == given).ok_or(format!("`{given}` is not known"))
    })
}

/// `--load`, the same for every command that runs a model.
#[derive(Clone, clap::Args)]
pub struct LoadArg {
    /// How to hold dense linear layers; as stored unless given
    #[arg(long, value_name = "STORAGE", value_parser = one_of(storages(), WeightStorage::name))]
    load: Option<WeightStorage>,
}

/// The precisions, integers for inference and, with QLoRA's other settings, the 4-bit formats.
fn storages() -> impl Iterator<Item = WeightStorage> {
    let packed = |format| WeightStorage::Quantized(QuantConfig { format, ..QuantConfig::default() });
    let formats = Format::ALL.map(packed).into_iter();
    formats.chain([WeightStorage::Int8]).chain(DenseStorage::ALL.map(WeightStorage::Dense))
}

impl LoadArg {
    /// Whether a storage was asked for.
    pub fn is_given(&self) -> bool {
        self.load.is_some()
    }

    /// The storage that was asked for, else that of the file.
    pub fn storage(&self, source: &dyn WeightSource) -> Result<WeightStorage> {
        match self.load {
            Some(storage) => Ok(storage),
            None => Ok(WeightStorage::as_stored(source, &source.config()?)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storages_have_the_names_that_files_give_them_each_once() {
        let names: Vec<&str> = storages().map(WeightStorage::name).collect();
        assert_eq!(names, ["nf4", "fp4", "int4", "int8", "f32", "bf16", "f16"]);
    }
}
