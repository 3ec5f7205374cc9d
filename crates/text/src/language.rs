//! The language of a text, by whatlang.

use std::collections::HashSet;
use std::sync::LazyLock;

use regex::Regex;
use whatlang::Lang;

/// Fewest letters of prose from which a language is plain.
const PLAIN_LETTERS: usize = 40;

/// The ISO 639-1 code of the language that most of the text is in; `unknown` where there is too
/// little of it.
///
/// Code and addresses are in no language, and a sentence counts once however often it comes. A
/// Korean syllable, a kana or a Chinese character weighs as much as four letters.
///
/// FastChat asks polyglot (CLD2) instead, so codes can differ for short and mixed texts.
pub fn language(texts: &[&str]) -> &'static str {
    let prose = prose(texts);
    own_script(&prose).unwrap_or_else(|| whatlang::detect_lang(&prose).map_or("unknown", code))
}

/// The language of a text as [`language`] tells it, where there is no doubt: `None` for a few words, for
/// code, and where another language is nearly as likely.
pub fn plain_language(text: &str) -> Option<&'static str> {
    let prose = prose(&[text]);
    if let Some(own) = own_script(&prose) {
        return Some(own);
    }
    let letters = prose.chars().filter(|c| c.is_alphabetic()).count();
    let found = whatlang::detect(&prose).filter(|found| letters >= PLAIN_LETTERS && found.is_reliable());
    found.map(|found| code(found.lang()))
}

/// What is in a language: each sentence once, a line each, without code and addresses.
fn prose(texts: &[&str]) -> String {
    #[expect(clippy::unwrap_used, reason = "the pattern is a constant, and every call compiles it")]
    static NO_PROSE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?s:```.*?```)|`[^`\n]*`|https?://\S+|\]\([^)\n]*\)").unwrap());
    let mut sentences = HashSet::new();
    let mut prose = String::new();
    for text in texts {
        for sentence in NO_PROSE.replace_all(text, "").split(['\n', '.', '!', '?']) {
            let sentence = sentence.trim_matches(|c: char| !c.is_alphabetic());
            if !sentence.is_empty() && sentences.insert(sentence.to_owned()) {
                prose.push_str(sentence);
                prose.push('\n');
            }
        }
    }
    prose
}

/// The language that a script of its own tells.
fn own_script(prose: &str) -> Option<&'static str> {
    let (mut hangul, mut kana, mut han, mut others) = (0, 0, 0, 0);
    for c in prose.chars().filter(|c| c.is_alphabetic()) {
        let script = match c {
            '\u{ac00}'..='\u{d7a3}' | '\u{1100}'..='\u{11ff}' | '\u{3131}'..='\u{318e}' => &mut hangul,
            '\u{3041}'..='\u{30ff}' => &mut kana,
            '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' => &mut han,
            _ => &mut others,
        };
        *script += 1;
    }
    match hangul + kana + han {
        letters if letters == 0 || 4 * letters < others => None,
        _ if hangul >= kana + han => Some("ko"),
        // A Japanese text is hardly ever without kana, a Chinese one hardly ever with them.
        _ if 10 * kana > han => Some("ja"),
        _ => Some("zh"),
    }
}

/// ISO 639-1, which whatlang's own three letters (ISO 639-3) are not.
fn code(language: Lang) -> &'static str {
    match language {
        Lang::Epo => "eo",
        Lang::Eng => "en",
        Lang::Rus => "ru",
        Lang::Cmn => "zh",
        Lang::Spa => "es",
        Lang::Por => "pt",
        Lang::Ita => "it",
        Lang::Ben => "bn",
        Lang::Fra => "fr",
        Lang::Deu => "de",
        Lang::Ukr => "uk",
        Lang::Kat => "ka",
        Lang::Ara => "ar",
        Lang::Hin => "hi",
        Lang::Jpn => "ja",
        Lang::Heb => "he",
        Lang::Yid => "yi",
        Lang::Pol => "pl",
        Lang::Amh => "am",
        Lang::Jav => "jv",
        Lang::Kor => "ko",
        Lang::Nob => "no",
        Lang::Dan => "da",
        Lang::Swe => "sv",
        Lang::Fin => "fi",
        Lang::Tur => "tr",
        Lang::Nld => "nl",
        Lang::Hun => "hu",
        Lang::Ces => "cs",
        Lang::Ell => "el",
        Lang::Bul => "bg",
        Lang::Bel => "be",
        Lang::Mar => "mr",
        Lang::Kan => "kn",
        Lang::Ron => "ro",
        Lang::Slv => "sl",
        Lang::Hrv => "hr",
        Lang::Srp => "sr",
        Lang::Mkd => "mk",
        Lang::Lit => "lt",
        Lang::Lav => "lv",
        Lang::Est => "et",
        Lang::Tam => "ta",
        Lang::Vie => "vi",
        Lang::Urd => "ur",
        Lang::Tha => "th",
        Lang::Guj => "gu",
        Lang::Uzb => "uz",
        Lang::Pan => "pa",
        Lang::Aze => "az",
        Lang::Ind => "id",
        Lang::Tel => "te",
        Lang::Pes => "fa",
        Lang::Mal => "ml",
        Lang::Ori => "or",
        Lang::Mya => "my",
        Lang::Nep => "ne",
        Lang::Sin => "si",
        Lang::Khm => "km",
        Lang::Tuk => "tk",
        Lang::Aka => "ak",
        Lang::Zul => "zu",
        Lang::Sna => "sn",
        Lang::Afr => "af",
        Lang::Lat => "la",
        Lang::Slk => "sk",
        Lang::Cat => "ca",
        Lang::Tgl => "tl",
        Lang::Hye => "hy",
        other => other.code(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_told_by_its_prose() {
        for (text, expected) in [
            ("The river follows two short examples, and the bridge is old.", "en"),
            ("Der Fluss fließt durch die Stadt, und die Brücke ist sehr alt.", "de"),
            ("안녕하세요, 오늘은 파이썬으로 간단한 프로그램을 만들어 보겠습니다.", "ko"),
            ("これは日本語の文章です。", "ja"),
            ("这是一个中文句子，说明河流和桥梁。", "zh"),
            ("질문이 있습니다\n```\nfor index in range(10): print(index, value)\n```", "ko"),
            ("1 + 1 = 2", "unknown"),
        ] {
            assert_eq!(language(&[text]), expected, "{text}");
        }
    }

    #[test]
    fn a_language_is_plain_where_there_is_enough_of_it() {
        for (text, expected) in [
            ("Describe how a river comes into being and why most of them flow into the sea.", Some("en")),
            ("Beschreibe, wie ein Fluss entsteht und warum die meisten Flüsse ins Meer fließen.", Some("de")),
            ("这是一个中文句子，说明河流和桥梁。", Some("zh")),
            ("Name two rivers.", None),
            ("def area(width, height): return width * height", None),
            ("", None),
        ] {
            assert_eq!(plain_language(text), expected, "{text}");
        }
    }
}
