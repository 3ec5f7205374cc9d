//! Words, as the rules count them.

/// Words of English that carry no content: articles, pronouns, prepositions, conjunctions, forms of
/// be, have and do, and modal verbs. The paper names no list; this is the one that rule 3 uses.
const FUNCTION_WORDS: &str = "a about above after again against all also am an and any are as at be because \
    been before being below between both but by can could did do does doing down during each few for from \
    further had has have having he her here hers herself him himself his how i if in into is it its itself \
    just may me might more most must my myself no nor not now of off on once only or other our ours ourselves \
    out over own same shall she should so some such than that the their theirs them themselves then there \
    these they this those through to too under until up us very was we were what when where which while who \
    whom why will with would you your yours yourself yourselves";

/// Whether a word, in lower case and without its apostrophe's tail, carries no content.
pub fn is_function_word(word: &str) -> bool {
    FUNCTION_WORDS.split_whitespace().any(|listed| listed == word)
}

/// The words of a text in lower case: runs of letters and digits of any script, apostrophes inside
/// a word included. `Don't #The Given_Prompt#` is `don't`, `the`, `given`, `prompt`.
pub fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '\'' || c == '’'))
        .map(|word| word.trim_matches(['\'', '’']).to_lowercase())
        .filter(|word| !word.is_empty())
}

/// The words of a text and the signs that mean something between them: `2 + 3` is not `2 * 3`, while a
/// text with other quotes, marks or dashes is the same.
pub fn gist(text: &str) -> impl Iterator<Item = String> {
    let between = |before: &str, after: &str| {
        let side = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || "()".contains(c));
        side(before.trim_end().chars().next_back()) && side(after.trim_start().chars().next())
    };
    let signs = text.lines().flat_map(move |line| {
        line.char_indices().filter_map(move |(at, c)| {
            let sign = match c {
                '-' | '*' | '/' => between(&line[..at], &line[at + 1..]),
                c => "+=<>%^×÷−≤≥≠√&|~$€£".contains(c),
            };
            sign.then(|| c.to_string())
        })
    });
    words(text).chain(signs)
}

/// Whether `phrase`, words in lower case with single spaces, stands in the text as whole words.
pub fn has_phrase(text: &str, phrase: &str) -> bool {
    let text: Vec<String> = words(text).collect();
    let phrase: Vec<&str> = phrase.split(' ').collect();
    text.windows(phrase.len()).any(|window| window.iter().zip(&phrase).all(|(word, asked)| word == asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_at_everything_but_letters_and_digits() {
        let found: Vec<String> = words("Don't #The Given_Prompt#: 'x2' — naïve").collect();
        assert_eq!(found, ["don't", "the", "given", "prompt", "x2", "naïve"]);
        assert!(has_phrase("the #GIVEN  PROMPT#.", "given prompt"));
        assert!(!has_phrase("a forgiven prompt", "given prompt"));
    }

    #[test]
    fn signs_count_where_they_mean_something() {
        let same = |a: &str, b: &str| gist(a).eq(gist(b));
        assert!(same("**Name** a river – \"any\".", "name a river: any"));
        assert!(same("- Name a river\n- or a lake", "* Name a river\n* or a lake"));
        for (a, b) in [("What is 2 + 3?", "What is 2 * 3?"), ("5 - 3", "5 / 3"), ("x < y", "x > y")] {
            assert!(!same(a, b), "{a} {b}");
        }
    }
}
