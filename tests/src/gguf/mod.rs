//! A small GGUF writer, so that tests can make files of every kind, sound or not.

mod quantise;
pub mod samples;

pub use quantise::{Stored, worst_error};

/// A metadata value as it is written.
#[derive(Clone)]
#[allow(missing_docs, reason = "the types of GGUF, by their names")]
pub enum Meta {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    U64(u64),
    I64(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    Str(String),
    StrArray(Vec<String>),
    I32Array(Vec<i32>),
    F32Array(Vec<f32>),
    BoolArray(Vec<bool>),
    /// Type number and bytes, for what no sound file holds.
    Raw(u32, Vec<u8>),
}

impl Meta {
    /// A text.
    pub fn str(text: &str) -> Self {
        Meta::Str(text.into())
    }

    fn encode(&self) -> (u32, Vec<u8>) {
        match self {
            Meta::U8(v) => (0, v.to_le_bytes().to_vec()),
            Meta::I8(v) => (1, v.to_le_bytes().to_vec()),
            Meta::U16(v) => (2, v.to_le_bytes().to_vec()),
            Meta::I16(v) => (3, v.to_le_bytes().to_vec()),
            Meta::U32(v) => (4, v.to_le_bytes().to_vec()),
            Meta::I32(v) => (5, v.to_le_bytes().to_vec()),
            Meta::F32(v) => (6, v.to_le_bytes().to_vec()),
            Meta::Bool(v) => (7, vec![u8::from(*v)]),
            Meta::Str(v) => (8, string(v)),
            Meta::StrArray(v) => array(8, v.iter().map(|s| string(s))),
            Meta::I32Array(v) => array(5, v.iter().map(|x| x.to_le_bytes().to_vec())),
            Meta::F32Array(v) => array(6, v.iter().map(|x| x.to_le_bytes().to_vec())),
            Meta::BoolArray(v) => array(7, v.iter().map(|x| vec![u8::from(*x)])),
            Meta::U64(v) => (10, v.to_le_bytes().to_vec()),
            Meta::I64(v) => (11, v.to_le_bytes().to_vec()),
            Meta::F64(v) => (12, v.to_le_bytes().to_vec()),
            Meta::Raw(kind, bytes) => (*kind, bytes.clone()),
        }
    }
}

/// A text as GGUF holds it: its length in bytes, then they.
pub fn string(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

fn array(kind: u32, elements: impl ExactSizeIterator<Item = Vec<u8>>) -> (u32, Vec<u8>) {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend((elements.len() as u64).to_le_bytes());
    elements.for_each(|e| bytes.extend(e));
    (9, bytes)
}

/// A tensor as it is written.
pub struct Tensor {
    name: String,
    shape: Vec<usize>,
    type_id: u32,
    data: Vec<u8>,
    offset: Option<u64>,
}

/// Collects metadata and tensors, then writes them.
pub struct GgufWriter {
    /// Version in the header.
    pub version: u32,
    /// Tensors begin at multiples of so many bytes.
    pub alignment: usize,
    /// Keys and values, in the order in which they are written.
    pub metadata: Vec<(String, Meta)>,
    /// Tensors, in the order in which they are written.
    pub tensors: Vec<Tensor>,
}

impl Default for GgufWriter {
    fn default() -> Self {
        Self { version: 3, alignment: 32, metadata: Vec::new(), tensors: Vec::new() }
    }
}

impl GgufWriter {
    /// Adds a key, or replaces its value.
    pub fn set(&mut self, key: &str, value: Meta) -> &mut Self {
        match self.metadata.iter_mut().find(|(k, _)| k == key) {
            Some((_, old)) => *old = value,
            None => self.metadata.push((key.into(), value)),
        }
        self
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &str) -> &mut Self {
        self.metadata.retain(|(k, _)| k != key);
        self
    }

    /// Adds a key a second time.
    ///
    /// # Panics
    /// When it is not there once.
    pub fn duplicate(&mut self, key: &str) -> &mut Self {
        let value = self.metadata.iter().find(|(k, _)| k == key).expect("the key is there").clone();
        self.metadata.push(value);
        self
    }

    /// Adds a tensor of row-major `shape`, quantised from `values`.
    ///
    /// # Panics
    /// When there are more or fewer values than the shape has.
    pub fn tensor(&mut self, name: &str, shape: &[usize], kind: Stored, values: &[f32]) -> &mut Self {
        assert_eq!(values.len(), shape.iter().product::<usize>());
        self.raw_tensor(name, shape, kind.id(), kind.bytes(values))
    }

    /// Adds a tensor with these bytes, sound or not.
    pub fn raw_tensor(&mut self, name: &str, shape: &[usize], type_id: u32, data: Vec<u8>) -> &mut Self {
        self.tensors.push(Tensor { name: name.into(), shape: shape.to_vec(), type_id, data, offset: None });
        self
    }

    /// Gives the last tensor a false offset.
    ///
    /// # Panics
    /// When there is no tensor.
    pub fn at_offset(&mut self, offset: u64) -> &mut Self {
        self.tensors.last_mut().expect("a tensor").offset = Some(offset);
        self
    }

    /// Takes a tensor out.
    pub fn remove_tensor(&mut self, name: &str) -> &mut Self {
        self.tensors.retain(|t| t.name != name);
        self
    }

    /// The file's bytes.
    pub fn build(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            let (kind, bytes) = value.encode();
            out.extend(string(key));
            out.extend(kind.to_le_bytes());
            out.extend(bytes);
        }
        let mut offset = 0;
        for tensor in &self.tensors {
            out.extend(string(&tensor.name));
            out.extend((tensor.shape.len() as u32).to_le_bytes());
            for size in tensor.shape.iter().rev() {
                out.extend((*size as u64).to_le_bytes());
            }
            out.extend(tensor.type_id.to_le_bytes());
            out.extend(tensor.offset.unwrap_or(offset).to_le_bytes());
            offset += tensor.data.len().next_multiple_of(self.alignment) as u64;
        }
        for tensor in &self.tensors {
            out.resize(out.len().next_multiple_of(self.alignment), 0);
            out.extend(&tensor.data);
        }
        out
    }
}
