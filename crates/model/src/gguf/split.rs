//! Files in several parts: `NAME-00001-of-00003.gguf` and so on, each with a tensor table of its
//! own, the metadata in the first.

use std::path::Path;

use super::error::GgufError;
use super::file::GgufFile;

/// Number of parts.
const COUNT: &str = "split.count";
/// Number of this part, from 0.
const NUMBER: &str = "split.no";
/// Tensors of all parts.
const TENSORS: &str = "split.tensors.count";

impl GgufFile {
    /// The whole that `part`, opened from `path`, belongs to; `part` itself where it is no part.
    pub(super) fn with_other_parts(path: &Path, part: GgufFile) -> Result<GgufFile, GgufError> {
        let count = match part.optional_size(COUNT)? {
            None | Some(0 | 1) => return Ok(part),
            Some(count) => count,
        };
        let prefix = prefix(path, count).ok_or_else(|| GgufError::Damaged {
            file: path.to_path_buf(),
            place: format!("metadata key `{COUNT}`"),
            problem: format!(
                "is {count}, so this is one of {count} parts, expected to be named \
                 NAME-00001-of-{count:05}.gguf and so on"
            ),
        })?;
        let mut whole: Option<GgufFile> = None;
        for number in 0..count {
            let path = path.with_file_name(part_name(prefix, number, count));
            if !path.exists() {
                return Err(GgufError::MissingPart { file: part.path, part: path, count });
            }
            let next = GgufFile::open_part(&path)?;
            next.expect_size(COUNT, count)?;
            next.expect_size(NUMBER, number)?;
            match &mut whole {
                None => whole = Some(next),
                Some(whole) => whole.append(next)?,
            }
        }
        let whole = whole.expect("there are at least two parts");
        if whole.value(TENSORS).is_some() {
            whole.expect_size(TENSORS, whole.tensors().len())?;
        }
        Ok(whole)
    }

    fn expect_size(&self, key: &str, expected: usize) -> Result<(), GgufError> {
        match self.size(key)? {
            found if found == expected => Ok(()),
            found => Err(GgufError::Damaged {
                file: self.path.clone(),
                place: format!("metadata key `{key}`"),
                problem: format!("is {found}, expected {expected} by the parts that are there"),
            }),
        }
    }
}

/// Whether `path` is named like a part that is not the first: a folder's model is opened by its
/// first part.
pub(crate) fn is_later_part(path: &Path) -> bool {
    let count = path.file_stem().and_then(|stem| stem.to_str()?.rsplit_once("-of-")?.1.parse().ok());
    count.is_some_and(|count| {
        prefix(path, count).is_some_and(|prefix| {
            path.file_name().is_some_and(|name| name != part_name(prefix, 0, count).as_str())
        })
    })
}

fn part_name(prefix: &str, number: usize, count: usize) -> String {
    format!("{prefix}-{:05}-of-{count:05}.gguf", number + 1)
}

/// What precedes the numbers in the name of one of `count` parts.
fn prefix(path: &Path, count: usize) -> Option<&str> {
    let stem = path.file_name()?.to_str()?.strip_suffix(&format!("-of-{count:05}.gguf"))?;
    let (prefix, number) = stem.rsplit_once('-')?;
    (number.len() == 5 && number.bytes().all(|b| b.is_ascii_digit())).then_some(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_known_by_their_names() {
        let name = "some/model-Q4_K-00002-of-00003.gguf";
        assert_eq!(prefix(Path::new(name), 3), Some("model-Q4_K"));
        assert_eq!(prefix(Path::new(name), 4), None);
        assert_eq!(prefix(Path::new("model.gguf"), 3), None);
        assert_eq!(part_name("m", 1, 3), "m-00002-of-00003.gguf");
        assert!(is_later_part(Path::new(name)));
        assert!(!is_later_part(Path::new("m-00001-of-00003.gguf")));
        assert!(!is_later_part(Path::new("one-of-a-kind.gguf")));
    }
}
