//! A model in safetensors files: one, or shards with an index.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use camelid_kernels::blockwise4::{block_count, packed_len};
use camelid_quant::{PIECE_VALUES, QuantError, bnb};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use super::names::mended;
use super::needed::needed_tensors;
use super::output_bias::{Zeros, missing_output_biases};
use super::packed_place::{FilePart, PackedPlace};
use super::safetensors_file::SafetensorsFile;
use super::{LoadedTensor, WeightSource};
use crate::config::LlamaConfig;
use crate::error::ModelError;
use crate::notes::LoadNote;

const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";
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
    /// What the files beside the weights say, and the weights themselves; `None` where that cannot
    /// be read.
    config: Option<LlamaConfig>,
    notes: Vec<LoadNote>,
    /// Tensors that are zero and not stored, with their shapes.
    zeros: Zeros,
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
        Self::new(path, vec![file], index).settled()
    }

    /// Opens the shards named by a `model.safetensors.index.json`.
    ///
    /// # Errors
    /// If the index is damaged, a shard is missing or damaged, or a shard lacks a
    /// tensor that the index puts there.
    pub fn open_index(path: &Path) -> Result<Self, ModelError> {
        let damaged = |problem: String| ModelError::File { path: path.to_path_buf(), problem };
        let text = camelid_files::Input::open(path)?.bytes()?;
        let shards: ShardIndex = serde_json::from_slice(&text).map_err(|cause| match cause.is_data() {
            true => damaged(format!("expected an index of shards, which has `weight_map`: {cause}")),
            false => ModelError::Json { path: path.to_path_buf(), cause },
        })?;

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
        Self::new(path, files, index).settled()
    }

    /// Of a whole file and an index of shards in one folder: the whole file, unless it lacks tensors
    /// that the shards have.
    ///
    /// # Errors
    /// As [`SafetensorsWeights::open_file`].
    pub fn open_either(whole: &Path, index: &Path) -> Result<Self, ModelError> {
        let mut one = Self::open_file(whole)?;
        let lacks =
            |weights: &Self| weights.config().is_ok_and(|config| needed_tensors(&config, weights).is_err());
        let note = |taken: &Path, left: &Path, because| LoadNote::OneOfTwo {
            taken: taken.display().to_string(),
            left: left.display().to_string(),
            because,
        };
        let sharded = Self::open_index(index).ok();
        match sharded {
            Some(mut sharded) if lacks(&one) && !lacks(&sharded) => {
                sharded.notes.push(note(index, whole, "the whole file lacks tensors"));
                Ok(sharded)
            }
            // An index of the whole file itself says nothing else.
            Some(sharded) if sharded.files.len() == 1 && sharded.files[0].path() == whole => Ok(one),
            _ => {
                one.notes.push(note(whole, index, "a whole file goes before an index of shards"));
                Ok(one)
            }
        }
    }

    /// Settles what configuration and tensors say only together: names, head, biases.
    fn settled(mut self) -> Result<Self, ModelError> {
        let folder = self.path.parent().unwrap_or(Path::new("")).to_path_buf();
        // Whoever asks for the configuration is told why it cannot be read.
        let Ok((mut config, notes)) = LlamaConfig::of_folder(&folder) else { return Ok(self) };
        self.notes.extend(notes);
        let mended = mended(self.index.keys().map(String::as_str));
        if let Some((stored, taken_for)) = mended.iter().next() {
            let (stored, taken_for) = (stored.clone(), taken_for.clone());
            self.notes.push(LoadNote::NamesMended { origin: self.describe(), stored, taken_for });
        }
        for (stored, name) in &mended {
            self.rename(stored, name);
        }
        self.settle_head(&mut config)?;
        self.settle_output_bias(&config);
        self.config = Some(config);
        Ok(self)
    }

    /// The stored tensor `stored` under another name.
    fn rename(&mut self, stored: &str, name: &str) {
        if let Some(file) = self.index.remove(stored) {
            self.files[file].rename(stored, name);
            self.index.insert(name.to_owned(), file);
            self.quantized = quantized(&self.index);
        }
    }

    /// Data go before the flag: a head that differs from the embedding is not tied to it, and of a
    /// tied model either copy will do.
    fn settle_head(&mut self, config: &mut LlamaConfig) -> Result<(), ModelError> {
        if !config.tie_word_embeddings || !self.index.contains_key(HEAD) {
            return Ok(());
        }
        if !self.index.contains_key(EMBEDDING) {
            self.rename(HEAD, EMBEDDING);
            self.notes.push(LoadNote::EmbeddingFromHead { origin: self.describe() });
        } else if !self.equal(EMBEDDING, HEAD)? {
            config.tie_word_embeddings = false;
            self.notes.push(LoadNote::HeadOfItsOwn { origin: self.describe() });
        }
        Ok(())
    }

    /// Whether two dense tensors hold the same numbers.
    fn equal(&self, one: &str, other: &str) -> Result<bool, ModelError> {
        let (Some(shape), Some(other_shape)) = (self.shape_in_pieces(one), self.shape_in_pieces(other))
        else {
            return Ok(false);
        };
        if shape != other_shape {
            return Ok(false);
        }
        let len: usize = shape.iter().product();
        let mut pieces = [vec![0.0; PIECE_VALUES.min(len)], vec![0.0; PIECE_VALUES.min(len)]];
        for first in (0..len).step_by(PIECE_VALUES) {
            let count = PIECE_VALUES.min(len - first);
            for (name, piece) in [one, other].iter().zip(&mut pieces) {
                self.read_piece(name, first, &mut piece[..count])?;
            }
            let bits = |piece: &[f32]| piece[..count].iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            if bits(&pieces[0]) != bits(&pieces[1]) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Models made from others have biases on q, k and v alone.
    fn settle_output_bias(&mut self, config: &LlamaConfig) {
        let stored = |part: &str| self.index.keys().any(|name| name.ends_with(part));
        if config.attention_bias && stored("self_attn.k_proj.bias") && !stored("self_attn.o_proj.bias") {
            self.notes.push(LoadNote::NoOutputBias { origin: self.describe() });
            self.zeros = missing_output_biases(config);
        }
    }

    fn new(path: &Path, files: Vec<SafetensorsFile>, index: BTreeMap<String, usize>) -> Self {
        let quantized = quantized(&index);
        let (notes, zeros) = (Vec::new(), Zeros::new());
        Self { path: path.to_path_buf(), files, index, quantized, config: None, notes, zeros }
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

/// The weights stored as bitsandbytes 4-bit: those with a `quant_state`.
fn quantized(index: &BTreeMap<String, usize>) -> BTreeSet<String> {
    index
        .keys()
        .filter_map(|name| name.split_once(QUANT_STATE))
        .map(|(weight, _)| weight.to_string())
        .collect()
}

fn wrong(name: &str, file: &Path, problem: String) -> ModelError {
    ModelError::Tensor { origin: file.display().to_string(), name: name.into(), problem }
}

impl WeightSource for SafetensorsWeights {
    fn config(&self) -> Result<LlamaConfig, ModelError> {
        match &self.config {
            Some(config) => Ok(config.clone()),
            None => {
                LlamaConfig::of_folder(self.path.parent().unwrap_or(Path::new(""))).map(|(config, _)| config)
            }
        }
    }

    fn notes(&self) -> Vec<LoadNote> {
        self.notes.clone()
    }

    fn names(&self) -> Vec<String> {
        let stored = self.index.keys().filter(|name| !self.is_part(name));
        let mut names: Vec<String> = stored.chain(self.zeros.keys()).cloned().collect();
        names.sort();
        names
    }

    fn read(&self, name: &str) -> Result<LoadedTensor, ModelError> {
        if let Some(shape) = self.zeros.get(name) {
            return Ok(LoadedTensor::zeros(shape));
        }
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
        if let Some(shape) = self.zeros.get(name) {
            return Some(shape.clone());
        }
        let &file = self.index.get(name).filter(|_| !self.quantized.contains(name))?;
        let info = self.files[file].info(name)?;
        matches!(info.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16).then(|| info.shape.clone())
    }

    fn read_piece(&self, name: &str, first: usize, values: &mut [f32]) -> Result<(), ModelError> {
        if self.zeros.contains_key(name) {
            values.fill(0.0);
            return Ok(());
        }
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
