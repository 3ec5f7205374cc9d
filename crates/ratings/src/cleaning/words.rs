//! Words of a text, as it comes.

/// Splits a text that comes piece by piece into its words: runs of letters and digits, in lower case.
#[derive(Debug, Clone, Default)]
pub struct WordSplitter {
    /// The word at the end of the text, which may go on.
    word: String,
    /// The byte of the text at which it begins.
    start: usize,
    /// Bytes of the text so far.
    length: usize,
}

impl WordSplitter {
    /// Takes a piece, and hands over every word that ends in it with the byte of the whole text at which it
    /// begins.
    pub fn push(&mut self, piece: &str, mut ended: impl FnMut(usize, String)) {
        for letter in piece.chars() {
            if letter.is_alphanumeric() {
                if self.word.is_empty() {
                    self.start = self.length;
                }
                self.word.extend(letter.to_lowercase());
            } else if !self.word.is_empty() {
                ended(self.start, std::mem::take(&mut self.word));
            }
            self.length += letter.len_utf8();
        }
    }

    /// Where the word begins that the text ends in, which may go on; the text's end where there is none.
    pub fn open(&self) -> usize {
        if self.word.is_empty() { self.length } else { self.start }
    }

    /// The words of a whole text.
    pub fn words(text: &str) -> Vec<String> {
        let mut words = Vec::new();
        let mut splitter = Self::default();
        splitter.push(text, |_, word| words.push(word));
        if !splitter.word.is_empty() {
            words.push(splitter.word);
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_the_same_words_in_any_pieces() {
        let text = "Ça va, Ελλάς? GPT-4's «x»…";
        let expected = ["ça", "va", "ελλάς", "gpt", "4", "s", "x"];
        assert_eq!(WordSplitter::words(text), expected);
        let (mut splitter, mut words) = (WordSplitter::default(), Vec::new());
        for letter in text.chars() {
            splitter.push(letter.encode_utf8(&mut [0; 4]), |start, word| words.push((start, word)));
        }
        assert_eq!(words.iter().map(|(_, word)| word.as_str()).collect::<Vec<_>>(), expected);
        assert!(text[words[3].0..].starts_with("GPT") && text[words[6].0..].starts_with("x»"));
        assert_eq!(splitter.open(), text.len());
        splitter.push("end", |_, _| panic!("it may go on"));
        assert_eq!(splitter.open(), text.len());
    }
}
