//! The LLaMA tokenizer's 47 published encode vectors, straight and through a template.

use camelid_chat::{Conversation, Role, Template};

/// Writes a user message and nothing else.
const BARE: &str = r#"
name = "bare"
bos = "tokenizer"
alternate = false
system = { prefix = "", suffix = "" }
user = { prefix = "", suffix = "" }
assistant = { prefix = "", end = "" }
"#;

#[test]
fn all_vectors_pass() {
    let Some(dir) = camelid_tests::oracles() else {
        return;
    };
    let dir = dir.join("llama-tokenizer");
    let tokenizer = camelid_tests::llama_tokenizer().unwrap();
    let texts = std::fs::read_to_string(dir.join("vectors.inp")).unwrap();
    let ids = std::fs::read_to_string(dir.join("vectors.out")).unwrap();
    let texts: Vec<&str> = texts.split("\n__ggml_vocab_test__\n").collect();
    let ids: Vec<Vec<u32>> =
        ids.split('\n').map(|line| line.split_whitespace().map(|id| id.parse().unwrap()).collect()).collect();
    // The last text is empty, and so is its line of ids.
    assert_eq!((texts.len(), ids.len()), (47, 47));

    let bare = Template::from_toml(BARE).unwrap();
    for (text, expected) in texts.iter().zip(&ids) {
        let direct = tokenizer.encode(*text, false).unwrap();
        assert_eq!(direct.get_ids(), expected, "{text:?}");

        let mut talk = Conversation::new("vector");
        talk.push(Role::User, *text);
        let encoded = bare.encode(&talk, &tokenizer, false).unwrap();
        assert_eq!(encoded.ids[0], 1, "<s> comes first");
        assert_eq!(&encoded.ids[1..], expected, "{text:?} through a template");
        assert_eq!((encoded.spans[0].start, encoded.spans[0].end), (1, encoded.ids.len()));
    }
}
