//! The curves of a run as TensorBoard reads them.
//!
//! An event file is a sequence of TFRecords, each the length as 8 bytes (little-endian), a masked
//! CRC-32C of those, an `Event` (protocol buffers) and a masked CRC-32C of that. Of `Event` are
//! used: `wall_time` (1, double), `step` (2, varint), `file_version` (3, text) and `summary` (5),
//! whose values (1) are `tag` (1, text) and `simple_value` (2, float). See `tfrecord.md` and
//! `event.proto` of TensorFlow.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use camelid_files::write_whole;

use crate::{EvalPoint, StepRecord, TrainError};

/// TensorBoard takes every file with `tfevents` in its name.
const NAME: &str = "events.out.tfevents.";

/// The event file of a run, in its folder.
#[derive(Debug)]
pub(crate) struct EventFile {
    file: File,
    path: PathBuf,
}

impl EventFile {
    /// Opens the event file of a run that goes on after `step`: events of later steps, which will
    /// be done again, and one torn by a crash are dropped.
    pub(crate) fn open(run_dir: &Path, step: usize) -> Result<Self, TrainError> {
        let path = existing(run_dir)?.unwrap_or_else(|| {
            // Readers sort the files of a folder by this name.
            run_dir.join(format!("{NAME}{:010}.camelid", now() as u64))
        });
        let old = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => vec![],
            Err(error) => return Err(TrainError::file(&path, "read")(error)),
        };
        let mut kept = record(&event(now(), 0, &[Field::Text(3, "brain.Event:2")]));
        let (first, later) = (records(&old).take(1), records(&old).skip(1));
        if let Some(version) = first.into_iter().next() {
            kept = record(version);
        }
        for event in later.filter(|event| step_of(event).is_some_and(|at| at <= step as u64)) {
            kept.extend(record(event));
        }
        write_whole(&path, &kept)?;
        let file = OpenOptions::new().append(true).open(&path).map_err(TrainError::file(&path, "open"))?;
        Ok(Self { file, path })
    }

    /// Appends the curves of a step.
    pub(crate) fn step(&mut self, r: &StepRecord) -> Result<(), TrainError> {
        self.scalars(
            r.step,
            &[
                ("train/loss", r.loss),
                ("train/learning_rate", r.lr),
                ("train/grad_norm", r.grad_norm),
                ("train/tokens_per_second", r.tokens_per_second),
            ],
        )
    }

    /// Appends an evaluation.
    pub(crate) fn eval(&mut self, point: &EvalPoint) -> Result<(), TrainError> {
        self.scalars(point.step, &[("eval/loss", point.loss.loss)])
    }

    fn scalars(&mut self, step: usize, values: &[(&str, f64)]) -> Result<(), TrainError> {
        let mut summary = vec![];
        for (tag, value) in values {
            let value = message(&[Field::Text(1, tag), Field::Float(2, *value as f32)]);
            summary.extend(message(&[Field::Bytes(1, &value)]));
        }
        let event = event(now(), step as u64, &[Field::Bytes(5, &summary)]);
        self.file.write_all(&record(&event)).map_err(TrainError::file(&self.path, "write"))
    }
}

/// The event file that an earlier part of the run began.
fn existing(run_dir: &Path) -> Result<Option<PathBuf>, TrainError> {
    let mut found = vec![];
    for entry in std::fs::read_dir(run_dir).map_err(TrainError::file(run_dir, "list"))? {
        let entry = entry.map_err(TrainError::file(run_dir, "list"))?;
        let name = entry.file_name();
        if name.to_string_lossy().starts_with(NAME) {
            found.push(entry.path());
        }
    }
    Ok(found.into_iter().min())
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// A field of a protocol buffer, with its number.
enum Field<'a> {
    Double(u8, f64),
    Float(u8, f32),
    Varint(u8, u64),
    Text(u8, &'a str),
    Bytes(u8, &'a [u8]),
}

fn event(wall_time: f64, step: u64, rest: &[Field]) -> Vec<u8> {
    let mut bytes = message(&[Field::Double(1, wall_time), Field::Varint(2, step)]);
    bytes.extend(message(rest));
    bytes
}

fn message(fields: &[Field]) -> Vec<u8> {
    let mut bytes = vec![];
    for field in fields {
        match *field {
            Field::Varint(number, value) => {
                bytes.push(number << 3);
                varint(value, &mut bytes);
            }
            Field::Double(number, value) => {
                bytes.push(number << 3 | 1);
                bytes.extend(value.to_le_bytes());
            }
            Field::Float(number, value) => {
                bytes.push(number << 3 | 5);
                bytes.extend(value.to_le_bytes());
            }
            Field::Text(number, text) => bytes.extend(message(&[Field::Bytes(number, text.as_bytes())])),
            Field::Bytes(number, value) => {
                bytes.push(number << 3 | 2);
                varint(value.len() as u64, &mut bytes);
                bytes.extend(value);
            }
        }
    }
    bytes
}

/// Seven bits a byte, the lowest first; the high bit says that more follow.
fn varint(mut value: u64, bytes: &mut Vec<u8>) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// The step of an event that [`event`] made: its second field, after the nine bytes of the first.
fn step_of(event: &[u8]) -> Option<u64> {
    let [0x10, rest @ ..] = event.get(9..)? else { return None };
    let mut step = 0;
    for (i, byte) in rest.iter().enumerate().take(10) {
        step |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some(step);
        }
    }
    None
}

fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut bytes = length.to_vec();
    bytes.extend(masked_crc(&length).to_le_bytes());
    bytes.extend(data);
    bytes.extend(masked_crc(data).to_le_bytes());
    bytes
}

/// The data of the records in `bytes`, up to the first that is cut short or damaged.
fn records(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk::<8>()?;
        let (length_crc, rest) = rest.split_first_chunk::<4>()?;
        let (data, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        let (data_crc, rest) = rest.split_first_chunk::<4>()?;
        let sound = masked_crc(length) == u32::from_le_bytes(*length_crc)
            && masked_crc(data) == u32::from_le_bytes(*data_crc);
        bytes = rest;
        sound.then_some(data)
    })
}

/// CRC-32C (Castagnoli), rotated and offset so that a sum over data that hold sums stays useful.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn crc32c(bytes: &[u8]) -> u32 {
    let divided = |crc: u32| (0..8).fold(crc, |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 });
    !bytes.iter().fold(!0, |crc, byte| divided(crc ^ u32::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_standard() {
        // RFC 3720, B.4, and the check value of the polynomial.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        // Rotated by 15 and offset, as TensorFlow's `MaskedCRC` does.
        assert_eq!(masked_crc(&[0; 32]), 0x0fd7_fffa);
    }

    #[test]
    fn an_event_is_the_bytes_that_its_definition_says() {
        let value = message(&[Field::Text(1, "a"), Field::Float(2, 1.0)]);
        assert_eq!(value, [0x0a, 1, b'a', 0x15, 0, 0, 0x80, 0x3f]);
        let summary = message(&[Field::Bytes(1, &value)]);
        let event = event(1.0, 300, &[Field::Bytes(5, &summary)]);
        let head = [0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x10, 0xac, 0x02, 0x2a, 10, 0x0a, 8];
        assert_eq!(event, [&head[..], &value].concat());
        assert_eq!(step_of(&event), Some(300));
    }

    fn steps(dir: &Path) -> Vec<u64> {
        let path = existing(dir).unwrap().unwrap();
        let bytes = std::fs::read(path).unwrap();
        records(&bytes).skip(1).map(|event| step_of(event).unwrap()).collect()
    }

    #[test]
    fn a_run_that_goes_on_has_each_step_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut events = EventFile::open(dir.path(), 0).unwrap();
        for step in 1..=300 {
            events.scalars(step, &[("train/loss", 0.5)]).unwrap();
        }
        let path = existing(dir.path()).unwrap().unwrap();
        assert!(path.file_name().unwrap().to_string_lossy().starts_with("events.out.tfevents."));
        // Killed in the middle of a write.
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend(&record(&event(1.0, 301, &[]))[..20]);
        std::fs::write(&path, bytes).unwrap();

        let mut events = EventFile::open(dir.path(), 200).unwrap();
        assert_eq!(steps(dir.path()), (1..=200).collect::<Vec<_>>());
        events.scalars(201, &[("train/loss", 0.25)]).unwrap();
        assert_eq!(steps(dir.path()), (1..=201).collect::<Vec<_>>());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "one file");
    }
}
