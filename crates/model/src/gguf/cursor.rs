//! Reading the header part of a GGUF file front to back, never past its end.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::error::GgufError;
use super::value::{Value, ValueType};

/// The longest array accepted. The largest vocabularies have some 260,000 tokens and
/// half a million merges; a longer array is damage, and refusing it bounds memory.
const MAX_ARRAY_LEN: u64 = 1 << 24;

/// A position in the file, its size, and the name of the field being read.
pub(super) struct Cursor<'a> {
    path: &'a Path,
    input: BufReader<&'a File>,
    position: u64,
    file_len: u64,
    place: String,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(path: &'a Path, file: &'a File, file_len: u64) -> Self {
        let input = BufReader::with_capacity(1 << 16, file);
        Self { path, input, position: 0, file_len, place: "header".into() }
    }

    /// Names the field that following reads belong to, for messages.
    pub(super) fn at(&mut self, place: impl Into<String>) {
        self.place = place.into();
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn damaged(&self, problem: impl Into<String>) -> GgufError {
        GgufError::Damaged {
            file: self.path.to_path_buf(),
            place: self.place.clone(),
            problem: problem.into(),
        }
    }

    /// Checks that `count` things of at least `min_bytes` each can still follow, and
    /// gives `count` back as a length to allocate for.
    pub(super) fn claim(&self, what: &str, count: u64, min_bytes: u64) -> Result<usize, GgufError> {
        let left = self.file_len - self.position;
        let fits = count.checked_mul(min_bytes).is_some_and(|bytes| bytes <= left);
        match usize::try_from(count) {
            Ok(count) if fits => Ok(count),
            _ => Err(self.damaged(format!(
                "claims {count} {what} of at least {min_bytes} bytes each, but only {left} bytes of the file \
                 are left (truncated or damaged)"
            ))),
        }
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], GgufError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    pub(super) fn string(&mut self) -> Result<String, GgufError> {
        let start = self.position;
        let len = self.u64()?;
        let len = self.claim("text bytes", len, 1)?;
        let mut bytes = vec![0; len];
        self.fill(&mut bytes)?;
        String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            self.damaged(format!(
                "the text at file offset {start} is not UTF-8 (first bad byte: {at} of {len})"
            ))
        })
    }

    pub(super) fn value_type(&mut self) -> Result<ValueType, GgufError> {
        let id = self.u32()?;
        ValueType::from_id(id)
            .ok_or_else(|| self.damaged(format!("value type {id} does not exist, expected 0 to 12")))
    }

    pub(super) fn value(&mut self, kind: ValueType) -> Result<Value, GgufError> {
        Ok(match kind {
            ValueType::F32 | ValueType::F64 => Value::Float(self.float(kind)?),
            ValueType::Bool => Value::Bool(self.bool()?),
            ValueType::String => Value::String(self.string()?),
            ValueType::Array => self.array()?,
            _ => Value::Integer(self.integer(kind)?),
        })
    }

    fn array(&mut self) -> Result<Value, GgufError> {
        let kind = self.value_type()?;
        let count = self.u64()?;
        let count = self.claim("array elements", count, kind.min_bytes())?;
        if count as u64 > MAX_ARRAY_LEN {
            return Err(
                self.damaged(format!("an array of {count} elements, expected at most {MAX_ARRAY_LEN}"))
            );
        }
        Ok(match kind {
            ValueType::F32 | ValueType::F64 => {
                Value::Floats((0..count).map(|_| self.float(kind)).collect::<Result<_, _>>()?)
            }
            ValueType::Bool => Value::Bools((0..count).map(|_| self.bool()).collect::<Result<_, _>>()?),
            ValueType::String => Value::Strings((0..count).map(|_| self.string()).collect::<Result<_, _>>()?),
            ValueType::Array => {
                return Err(self.damaged("an array of arrays, expected plain elements"));
            }
            _ => {
                let narrow = |cursor: &mut Self| {
                    let wide = cursor.integer(kind)?;
                    i64::try_from(wide).map_err(|_| {
                        cursor.damaged(format!("array element {wide}, expected at most {}", i64::MAX))
                    })
                };
                Value::Integers((0..count).map(|_| narrow(self)).collect::<Result<_, _>>()?)
            }
        })
    }

    fn integer(&mut self, kind: ValueType) -> Result<i128, GgufError> {
        Ok(match kind {
            ValueType::U8 => u8::from_le_bytes(self.bytes()?).into(),
            ValueType::I8 => i8::from_le_bytes(self.bytes()?).into(),
            ValueType::U16 => u16::from_le_bytes(self.bytes()?).into(),
            ValueType::I16 => i16::from_le_bytes(self.bytes()?).into(),
            ValueType::U32 => self.u32()?.into(),
            ValueType::I32 => i32::from_le_bytes(self.bytes()?).into(),
            ValueType::U64 => self.u64()?.into(),
            ValueType::I64 => i64::from_le_bytes(self.bytes()?).into(),
            other => return Err(self.damaged(format!("{other:?} where an integer belongs"))),
        })
    }

    fn float(&mut self, kind: ValueType) -> Result<f64, GgufError> {
        Ok(match kind {
            ValueType::F64 => f64::from_le_bytes(self.bytes()?),
            _ => f32::from_le_bytes(self.bytes()?).into(),
        })
    }

    fn bool(&mut self) -> Result<bool, GgufError> {
        match self.bytes()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(self.damaged(format!("boolean with byte {other}, expected 0 or 1"))),
        }
    }

    fn fill(&mut self, out: &mut [u8]) -> Result<(), GgufError> {
        let left = self.file_len - self.position;
        if out.len() as u64 > left {
            return Err(self.damaged(format!(
                "the file ends at byte {}, {} bytes too early (truncated?)",
                self.file_len,
                out.len() as u64 - left
            )));
        }
        self.input.read_exact(out).map_err(|source| GgufError::Io {
            file: self.path.to_path_buf(),
            place: self.place.clone(),
            source,
        })?;
        self.position += out.len() as u64;
        Ok(())
    }
}
