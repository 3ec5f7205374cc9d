//! Rows of Arrow IPC streams, the files in which Hugging Face's `datasets` keeps its tables.
//!
//! A stream is a schema message followed by record batches; a message is a length, metadata
//! in FlatBuffers and a body of buffers. Source: "Serialization and Interprocess
//! Communication (IPC)" in Arrow's columnar format, arrow.apache.org/docs/format/Columnar.html.
//! Read are texts, integers, floats, booleans, nulls, and lists and structs of these;
//! uncompressed, without dictionaries, as `datasets` writes them.

use serde_json::{Map, Number, Value};

use super::flatbuffer::Table;

/// What precedes the length of every message since Arrow 0.15.
const CONTINUATION: u32 = u32::MAX;
/// Nested types go no deeper than this; a damaged file could nest for ever.
const DEEPEST: usize = 16;

/// A column: its name and how its values are laid out.
struct Field {
    name: String,
    kind: Kind,
}

enum Kind {
    Null,
    Bool,
    Int { bytes: usize, signed: bool },
    Float { bytes: usize },
    Text { wide: bool },
    List { wide: bool, item: Box<Field> },
    Struct(Vec<Field>),
}

/// The rows of a stream.
///
/// # Errors
/// What is damaged, or which type is not read, with the column's name.
pub(super) fn rows(stream: &[u8]) -> Result<Vec<Map<String, Value>>, String> {
    let mut rest = stream;
    let mut fields: Option<Vec<Field>> = None;
    let mut rows = Vec::new();
    while let Some((metadata, after)) = next_message(rest)? {
        let message = Table::root(metadata).ok_or("an Arrow message is damaged")?;
        let len = usize::try_from(message.long(3)).map_err(|_| "an Arrow message has a negative length")?;
        let body = after.get(..len).ok_or("the Arrow stream is cut off inside a batch")?;
        rest = &after[len..];
        let header = message.table(2).ok_or("an Arrow message has no header")?;
        match (message.byte(1), &fields) {
            (1, None) => {
                let tables = header.tables(1).ok_or("the Arrow schema is damaged")?;
                fields = Some(tables.iter().map(|t| field(t, 0)).collect::<Result<_, _>>()?);
            }
            (3, Some(fields)) => batch(&header, body, fields, &mut rows)?,
            (2, _) => return Err("dictionary-encoded Arrow columns are not supported".into()),
            (kind, _) => return Err(format!("an Arrow message of kind {kind} where none belongs")),
        }
    }
    match fields {
        Some(_) => Ok(rows),
        None => Err("the Arrow stream holds no schema".into()),
    }
}

/// Metadata of a message and what follows it.
type Split<'a> = (&'a [u8], &'a [u8]);

/// Metadata of the next message and what follows it; `None` at the end.
fn next_message(stream: &[u8]) -> Result<Option<Split<'_>>, String> {
    let cut = || "the Arrow stream is cut off between batches".to_string();
    let word = |bytes: &[u8]| bytes.first_chunk().map(|b| u32::from_le_bytes(*b));
    if stream.is_empty() {
        return Ok(None);
    }
    let (len, rest) = match word(stream).ok_or_else(cut)? {
        CONTINUATION => (word(&stream[4..]).ok_or_else(cut)?, &stream[8..]),
        len => (len, &stream[4..]),
    };
    if len == 0 {
        return Ok(None);
    }
    let len = len as usize;
    Ok(Some((rest.get(..len).ok_or_else(cut)?, &rest[len..])))
}

/// A field of the schema. Numbers of types are those of Arrow's `Schema.fbs`.
fn field(table: &Table<'_>, depth: usize) -> Result<Field, String> {
    let name = table.text(0).unwrap_or_default().to_owned();
    let wrong = |problem: &str| format!("column `{name}`: {problem}");
    if depth > DEEPEST {
        return Err(wrong("its type is nested too deeply"));
    }
    if table.has(4) {
        return Err(wrong("dictionary-encoded columns are not supported"));
    }
    let kind = table.table(3).ok_or_else(|| wrong("has no type"))?;
    let mut children = table
        .tables(5)
        .ok_or_else(|| wrong("its children are damaged"))?
        .iter()
        .map(|child| field(child, depth + 1))
        .collect::<Result<Vec<_>, _>>()?;
    let kind = match table.byte(2) {
        1 => Kind::Null,
        2 => match kind.int(0) {
            bits @ (8 | 16 | 32 | 64) => Kind::Int { bytes: bits as usize / 8, signed: kind.byte(1) != 0 },
            bits => return Err(wrong(&format!("holds integers of {bits} bits"))),
        },
        3 => match kind.short(0) {
            1 => Kind::Float { bytes: 4 },
            2 => Kind::Float { bytes: 8 },
            other => return Err(wrong(&format!("holds floats of precision {other}"))),
        },
        5 => Kind::Text { wide: false },
        20 => Kind::Text { wide: true },
        6 => Kind::Bool,
        list @ (12 | 21) => {
            let item = children.pop().ok_or_else(|| wrong("is a list of nothing"))?;
            Kind::List { wide: list == 21, item: Box::new(item) }
        }
        13 => Kind::Struct(children),
        other => return Err(wrong(&format!("Arrow type {other} is not supported"))),
    };
    Ok(Field { name, kind })
}

/// Adds the rows of one record batch.
fn batch(
    header: &Table<'_>,
    body: &[u8],
    fields: &[Field],
    rows: &mut Vec<Map<String, Value>>,
) -> Result<(), String> {
    if header.has(3) {
        return Err("compressed Arrow batches are not supported".into());
    }
    let damaged = || "an Arrow batch is damaged".to_string();
    let count = usize::try_from(header.long(0)).map_err(|_| damaged())?;
    let nodes = header.pairs(1).ok_or_else(damaged)?;
    let buffers = header.pairs(2).ok_or_else(damaged)?;
    let mut reader = Reader { body, nodes: nodes.into_iter(), buffers: buffers.into_iter() };
    let first = rows.len();
    for (i, field) in fields.iter().enumerate() {
        let values = reader.column(field)?;
        if values.len() != count {
            return Err(format!(
                "column `{}` has {} values, its batch {count} rows",
                field.name,
                values.len()
            ));
        }
        if i == 0 {
            rows.resize_with(first + count, Map::new);
        }
        for (row, value) in rows[first..].iter_mut().zip(values) {
            row.insert(field.name.clone(), value);
        }
    }
    Ok(())
}

/// Takes nodes and buffers in the order in which the columns were written.
struct Reader<'a> {
    body: &'a [u8],
    nodes: std::vec::IntoIter<(i64, i64)>,
    buffers: std::vec::IntoIter<(i64, i64)>,
}

impl<'a> Reader<'a> {
    fn column(&mut self, field: &Field) -> Result<Vec<Value>, String> {
        let damaged = || format!("column `{}` is damaged", field.name);
        let (len, _) = self.nodes.next().ok_or_else(damaged)?;
        let len = usize::try_from(len).map_err(|_| damaged())?;
        if let Kind::Null = field.kind {
            // Bounded by the body: no honest file has more nulls than bits.
            return if len <= 8 * self.body.len().max(64) {
                Ok(vec![Value::Null; len])
            } else {
                Err(damaged())
            };
        }
        let validity = self.buffer().ok_or_else(damaged)?;
        let mut values = match &field.kind {
            Kind::Null => Vec::new(),
            Kind::Bool => {
                let bits = self.buffer().ok_or_else(damaged)?;
                (0..len).map(|i| bit(bits, i).map(Value::Bool)).collect::<Option<_>>().ok_or_else(damaged)?
            }
            Kind::Int { bytes, signed } => {
                self.fixed(len, *bytes, |b| integer(b, *signed)).ok_or_else(damaged)?
            }
            Kind::Float { bytes } => self.fixed(len, *bytes, float).ok_or_else(damaged)?,
            Kind::Text { wide } => {
                let ends = self.offsets(len, *wide).ok_or_else(damaged)?;
                let text = self.buffer().ok_or_else(damaged)?;
                ends.windows(2)
                    .map(|w| Some(Value::from(std::str::from_utf8(text.get(w[0]..w[1])?).ok()?)))
                    .collect::<Option<_>>()
                    .ok_or_else(damaged)?
            }
            Kind::List { wide, item } => {
                let ends = self.offsets(len, *wide).ok_or_else(damaged)?;
                let items = self.column(item)?;
                ends.windows(2)
                    .map(|w| Some(Value::from(items.get(w[0]..w[1])?)))
                    .collect::<Option<_>>()
                    .ok_or_else(damaged)?
            }
            Kind::Struct(fields) => {
                let mut maps = Vec::new();
                for (i, inner) in fields.iter().enumerate() {
                    let values = self.column(inner)?;
                    if values.len() != len {
                        return Err(damaged());
                    }
                    if i == 0 {
                        maps.resize_with(len, Map::new);
                    }
                    for (map, value) in maps.iter_mut().zip(values) {
                        map.insert(inner.name.clone(), value);
                    }
                }
                maps.into_iter().map(Value::Object).collect()
            }
        };
        // Without a validity buffer every value is there.
        if !validity.is_empty() {
            for (i, value) in values.iter_mut().enumerate() {
                if !bit(validity, i).ok_or_else(damaged)? {
                    *value = Value::Null;
                }
            }
        }
        Ok(values)
    }

    fn buffer(&mut self) -> Option<&'a [u8]> {
        let (start, len) = self.buffers.next()?;
        let start = usize::try_from(start).ok()?;
        self.body.get(start..start.checked_add(usize::try_from(len).ok()?)?)
    }

    fn fixed(
        &mut self,
        len: usize,
        bytes: usize,
        read: impl Fn(&[u8]) -> Option<Value>,
    ) -> Option<Vec<Value>> {
        let buffer = self.buffer()?;
        buffer.get(..len.checked_mul(bytes)?)?.chunks_exact(bytes).map(read).collect()
    }

    /// Where each of `len` items begins, and where the last ends.
    fn offsets(&mut self, len: usize, wide: bool) -> Option<Vec<usize>> {
        let buffer = self.buffer()?;
        // A column without rows may have no offsets at all.
        if len == 0 {
            return Some(Vec::new());
        }
        let bytes = if wide { 8 } else { 4 };
        let ends = buffer.get(..len.checked_add(1)?.checked_mul(bytes)?)?;
        ends.chunks_exact(bytes).map(|b| usize::try_from(integer(b, true)?.as_i64()?).ok()).collect()
    }
}

fn bit(bits: &[u8], i: usize) -> Option<bool> {
    Some(bits.get(i / 8)? >> (i % 8) & 1 == 1)
}

/// A little-endian integer of 1, 2, 4 or 8 bytes.
fn integer(bytes: &[u8], signed: bool) -> Option<Value> {
    let negative = signed && bytes.last()? & 0x80 != 0;
    let mut wide = [if negative { 0xff } else { 0 }; 8];
    wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(if signed { Value::from(i64::from_le_bytes(wide)) } else { Value::from(u64::from_le_bytes(wide)) })
}

/// A little-endian float of 4 or 8 bytes; what is no number becomes null, as in JSON.
fn float(bytes: &[u8]) -> Option<Value> {
    let value = match bytes.len() {
        4 => f64::from(f32::from_le_bytes(*bytes.first_chunk()?)),
        _ => f64::from_le_bytes(*bytes.first_chunk()?),
    };
    Some(Number::from_f64(value).map_or(Value::Null, Value::Number))
}
