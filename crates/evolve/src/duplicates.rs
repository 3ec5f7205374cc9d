//! Instructions that say what another says.

use camelid_files::FileError;
use camelid_text::duplicates::{Kept, fingerprint};
use camelid_text::minhash::Sketch;

use crate::words::gist;

/// Instructions, and the search among them for one that says the same as another: equal in words and
/// signs, whichever row has it, or nearly equal by MinHash and of another line of descent. A rewritten
/// instruction is nearly its parent, so that within a line the likeness says nothing.
pub struct Duplicates {
    kept: Kept,
    least: f64,
}

impl Duplicates {
    /// None yet. `least` is the similarity from which two are nearly equal; above 1 none are.
    ///
    /// # Errors
    /// Temporary files that cannot be made.
    pub fn new(least: f64) -> Result<Self, FileError> {
        Ok(Self { kept: Kept::new()?, least })
    }

    /// The row that says the same as `instruction`, a row of the line `line`: its id, and the similarity
    /// where it is nearly the same.
    ///
    /// # Errors
    /// Temporary files that cannot be read.
    pub fn of(&mut self, instruction: &str, line: &str) -> Result<Option<String>, FileError> {
        if let Some(id) = self.kept.with_text(text(instruction))? {
            return Ok(Some(id));
        }
        let Some(sketch) = self.sketch(instruction) else { return Ok(None) };
        let other_line = |id: &str| id.split('.').next() != Some(line);
        let near = self.kept.near(&sketch, self.least, other_line)?;
        Ok(near.map(|(id, similarity)| format!("{id} ({similarity:.2})")))
    }

    /// One more, the row `id`; what stands before its first point is its line.
    ///
    /// # Errors
    /// Temporary files that cannot be written.
    pub fn add(&mut self, instruction: &str, id: &str) -> Result<(), FileError> {
        let sketch = self.sketch(instruction);
        self.kept.add(None, text(instruction), sketch.as_ref(), id)
    }

    fn sketch(&self, instruction: &str) -> Option<Sketch> {
        Sketch::of(&[instruction]).filter(|_| self.least <= 1.0)
    }
}

fn text(instruction: &str) -> u64 {
    fingerprint(&gist(instruction).collect::<Vec<String>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_found_anywhere_and_the_like_in_other_lines() {
        let task = "Describe the way of a river from its spring to the sea, and name three towns that lie on it \
                    and two bridges that cross it.";
        let longer = format!("{task} Say who built them.");
        let mut kept = Duplicates::new(0.8).unwrap();
        kept.add(task, "3").unwrap();
        assert_eq!(kept.of(&task.to_uppercase(), "3").unwrap().as_deref(), Some("3"));
        assert_eq!(kept.of(&longer, "3").unwrap(), None);
        assert!(kept.of(&longer, "4").unwrap().unwrap().starts_with("3 (0."));
        assert!(Duplicates::new(1.1).unwrap().of(&longer, "4").unwrap().is_none());
        kept.add("What is 2 + 3?", "5").unwrap();
        assert_eq!(kept.of("What is 2 * 3?", "6").unwrap(), None);
        assert_eq!(kept.of("what is  2+3", "6").unwrap().as_deref(), Some("5"));
    }
}
