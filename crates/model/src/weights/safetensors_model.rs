//! A model in safetensors files: one, or shards with an index.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use camelid_kernels::blockwise4::{block_count, packed_len};
use camelid_quant::{QuantError, bnb};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use super::packed_place::{FilePart, PackedPlace};
use super::safetensors_file::SafetensorsFile;
use super::{LoadedTensor, WeightSource};
use crate::config::LlamaConfig;
use crate::error::ModelError;

/// What bitsandbytes calls the JSON part of a 4-bit weight: the weight's name, this,
/// and `nf4` or `fp4`.
const QUANT_STATE: &str = ".quant_state.bitsandbytes__";

/// Safetensors weights with a Hugging Face `config.json` beside them.
#[derive(Debug)]
pub struct SafetensorsWeights {
    /// The file or index that was opened.
    path: PathBuf,
    files: Vec<SafetensorsFile>,
    /// Which of `files` holds each tensor.
    index: BTreeMap<String, usize>,
    /// Names of the weights stored as bitsandbytes 4-bit.
    quantized: BTreeSet<String>,
}

/// `model.safetensors.index.json`; its `metadata` (a total size) is not needed.
#[derive(Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

impl SafetensorsWeights {
    /// Opens a single file.
    ///
    /// # Errors
    /// If the file cannot be read or its header does not fit it.
    pub fn open_file(path: &Path) -> Result<Self, ModelError> {
        let file = SafetensorsFile::open(path)?;
        let index = file.names().into_iter().map(|name| (name, 0)).collect();
        Ok(Self::new(path, vec![file], index))
    }

    /// Opens the shards named by a `model.safetensors.index.json`.
    ///
    /// # Errors
    /// If the index is damaged, a shard is missing or damaged, or a shard lacks a
    /// tensor that the index puts there.
    pub fn open_index(path: &Path) -> Result<Self, ModelError> {
        let damaged = |problem: String| ModelError::File { path: path.to_path_buf(), problem };
        let text = std::fs::read(path).map_err(ModelError::io(path))?;
        let shards: ShardIndex = serde_json::from_slice(&text)
            .map_err(|source| ModelError::Json { path: path.to_path_buf(), source })?;

        let dir = path.parent().unwrap_or(Path::new(""));
        let mut files: Vec<SafetensorsFile> = Vec::new();
        let mut file_of_shard = BTreeMap::new();
        let mut index = BTreeMap::new();
        for (tensor, shard) in shards.weight_map {
            // An index is data from elsewhere: it may name files beside it, no others.
            let mut parts = Path::new(&shard).components();
            if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
                return Err(damaged(format!(
                    "puts tensor `{tensor}` into `{shard}`, expected the name of a file in the same directory"
                )));
            }
            let file = match file_of_shard.get(&shard) {
                Some(&file) => file,
                None => {
                    let shard_path = dir.join(&shard);
                    if !shard_path.exists() {
                        return Err(damaged(format!("names the shard `{shard}`, which is missing")));
                    }
                    files.push(SafetensorsFile::open(&shard_path)?);
                    file_of_shard.insert(shard.clone(), files.len() - 1);
                    files.len() - 1
                }
            };
            if files[file].info(&tensor).is_none() {
                return Err(damaged(format!(
                    "puts tensor `{tensor}` into `{shard}`, which does not hold it"
                )));
            }
            index.insert(tensor, file);
        }
        Ok(Self::new(path, files, index))
    }

    fn new(path: &Path, files: Vec<SafetensorsFile>, index: BTreeMap<String, usize>) -> Self {
        let quantized = index
            .keys()
            .filter_map(|name| name.split_once(QUANT_STATE))
            .map(|(weight, _)| weight.to_string())
            .collect();
        Self { path: path.to_path_buf(), files, index, quantized }
    }

    /// Whether `name` is a part of a bitsandbytes weight rather than a tensor by itself.
    fn is_part(&self, name: &str) -> bool {
        name.match_indices('.').any(|(dot, _)| self.quantized.contains(&name[..dot]))
    }

    /// The packed weight `name` and its parts, wherever the shards put them.
    fn read_quantized(&self, name: &str, file: &Path) -> Result<LoadedTensor, ModelError> {
        let buffer = self.gathered(name, file, |_| true)?;
        bnb::read_tensor(&self.parsed(&buffer, name, file)?, file, name)?
            .map(LoadedTensor::Quantized)
            .ok_or_else(|| self.no_packed_weight(name, file))
    }

    /// The chosen parts of the packed weight `name` in one safetensors buffer, the form that
    /// [`bnb::read_tensor`] reads.
    fn gathered(
        &self,
        name: &str,
        file: &Path,
        chosen: impl Fn(&str) -> bool,
    ) -> Result<Vec<u8>, ModelError> {
        let wrong = |problem| wrong(name, file, problem);
        let prefix = format!("{name}.");
        let parts = self.index.range(prefix.clone()..).take_while(|(part, _)| part.starts_with(&prefix));
        let parts = self.index.get_key_value(name).into_iter().chain(parts);
        let mut data = Vec::new();
        for (part, &file) in parts.filter(|(part, _)| chosen(part.as_str())) {
            let file = &self.files[file];
            if let Some(info) = file.info(part) {
                data.push((part, info.dtype, info.shape.clone(), file.read_bytes(part)?));
            }
        }
        let mut views = Vec::with_capacity(data.len());
        for (part, dtype, shape, bytes) in &data {
            let view = TensorView::new(*dtype, shape.clone(), bytes);
            views.push((*part, view.map_err(|e| wrong(format!("is damaged at `{part}`: {e}")))?));
        }
        safetensors::serialize(views, None)
            .map_err(|e| wrong(format!("cannot be gathered from its parts: {e}")))
    }

    fn parsed<'a>(&self, buffer: &'a [u8], name: &str, file: &Path) -> Result<SafeTensors<'a>, ModelError> {
        SafeTensors::deserialize(buffer)
            .map_err(|e| wrong(name, file, format!("cannot be gathered from its parts: {e}")))
    }

    fn no_packed_weight(&self, name: &str, file: &Path) -> ModelError {
        wrong(name, file, "has a quant_state but no packed weight".into())
    }

    /// The place of the codes, whatever element type they are stored as.
    fn packed(&self, weight: &str, expected: usize) -> Result<FilePart, ModelError> {
        let file = self.index.get(weight).map(|&file| &self.files[file]);
        let found = file.and_then(|file| Some((file.path(), file.info(weight)?, file.place(weight)?)));
        match found {
            None => {
                let (file, weight) = (self.path.clone(), weight.to_owned());
                Err(QuantError::MissingPart { file, part: weight.clone(), weight }.into())
            }
            Some((_, info, _)) if info.dtype == Dtype::U8 => self.part(weight, "", Dtype::U8, expected),
            Some((path, info, range)) if range.len() != expected => Err(QuantError::PackedBytes {
                file: path.to_owned(),
                weight: weight.to_owned(),
                stored_type: info.dtype,
                found: range.len(),
                expected,
            }
            .into()),
            Some((path, _, range)) => Ok(FilePart { file: path.to_owned(), name: weight.to_owned(), range }),
        }
    }

    /// The place of a part that must be of this type and length.
    fn part(
        &self,
        weight: &str,
        suffix: &str,
        dtype: Dtype,
        expected: usize,
    ) -> Result<FilePart, ModelError> {
        let name = format!("{weight}{suffix}");
        let file = self.index.get(&name).map(|&file| &self.files[file]);
        let found = file.and_then(|file| Some((file.path(), file.info(&name)?, file.place(&name)?)));
        let Some((path, info, range)) = found else {
            let file = self.path.clone();
            return Err(QuantError::MissingPart { file, weight: weight.to_owned(), part: name }.into());
        };
        let elements = info.shape.iter().product();
        if info.dtype != dtype || elements != expected {
            return Err(ModelError::Quant(QuantError::Part {
                file: path.to_owned(),
                part: name,
                found_type: info.dtype,
                found: elements,
                expected_type: dtype,
                expected,
            }));
        }
        Ok(FilePart { file: path.to_owned(), name, range })
    }
}

fn wrong(name: &str, file: &Path, problem: String) -> ModelError {
    ModelError::Tensor { origin: file.display().to_string(), name: name.into(), problem }
}

impl WeightSource for SafetensorsWeights {
    fn config(&self) -> Result<LlamaConfig, ModelError> {
        LlamaConfig::from_json(&self.path.with_file_name("config.json"))
    }

    fn names(&self) -> Vec<String> {
        self.index.keys().filter(|name| !self.is_part(name)).cloned().collect()
    }

    fn read(&self, name: &str) -> Result<LoadedTensor, ModelError> {
        let Some(&file) = self.index.get(name) else {
            return Err(ModelError::Tensor {
                origin: self.path.display().to_string(),
                name: name.into(),
                problem: "is not among the weights".into(),
            });
        };
        let file = &self.files[file];
        if self.quantized.contains(name) {
            return self.read_quantized(name, file.path());
        }
        let (shape, values, stored) = file.read_dense(name)?;
        Ok(LoadedTensor::Dense { shape, values, stored })
    }

    fn shape_in_pieces(&self, name: &str) -> Option<Vec<usize>> {
        let &file = self.index.get(name).filter(|_| !self.quantized.contains(name))?;
        let info = self.files[file].info(name)?;
        matches!(info.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16).then(|| info.shape.clone())
    }

    fn read_piece(&self, name: &str, first: usize, values: &mut [f32]) -> Result<(), ModelError> {
        let Some(&file) = self.index.get(name) else {
            return Err(wrong(name, &self.path, "is not among the weights".into()));
        };
        self.files[file].read_dense_piece(name, first, values)
    }

    fn locate_packed(&self, name: &str) -> Result<Option<PackedPlace>, ModelError> {
        let Some(&file) = self.index.get(name).filter(|_| self.quantized.contains(name)) else {
            return Ok(None);
        };
        let file = self.files[file].path();
        // Codes and scales stay where they are; everything else is small.
        let scales = format!("{name}.absmax");
        let buffer = self.gathered(name, file, |part| part != name && part != scales)?;
        let header = bnb::read_header(&self.parsed(&buffer, name, file)?, file, name)?
            .ok_or_else(|| self.no_packed_weight(name, file))?;
        let blocks = block_count(header.len(), header.config.block_size);
        let packed = self.packed(name, packed_len(header.len()))?;
        let (absmax, nested_absmax) = match header.nested {
            None => (self.part(name, ".absmax", Dtype::F32, blocks)?, None),
            Some(nested) => {
                let nested = block_count(blocks, nested.block_size);
                let nested = self.part(name, ".nested_absmax", Dtype::F32, nested)?;
                (self.part(name, ".absmax", Dtype::U8, blocks)?, Some(nested.read_finite()?))
            }
        };
        Ok(Some(PackedPlace { header, packed, absmax, nested_absmax }))
    }

    fn describe(&self) -> String {
        let quantized = match self.quantized.len() {
            0 => String::new(),
            n => format!(", {n} tensors in bitsandbytes 4-bit"),
        };
        match self.files.as_slice() {
            [_] => format!("safetensors file {}{quantized}", self.path.display()),
            shards => format!("{} safetensors shards of {}{quantized}", shards.len(), self.path.display()),
        }
    }
}
