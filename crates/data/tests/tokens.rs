//! Tokenised sets: labels, truncation, counts, the cache.

use std::path::PathBuf;

use camelid_chat::{Conversation, IGNORE_INDEX, LossOn, Role, Template};
use camelid_data::tokens::{CacheOutcome, TRUNCATED_AWAY};
use camelid_data::{DataError, TokenizeOptions, TokenizedSet, Truncation, guanaco};
use camelid_files::FileError;
use camelid_tests::{byte_tokenizer, byte_tokenizer_with_bos};
use tokenizers::Tokenizer;

fn talk(id: &str, question: &str, answer: &str) -> Conversation {
    let mut conversation = Conversation::new(id);
    conversation.push(Role::User, question);
    conversation.push(Role::Assistant, answer);
    conversation
}

fn talks() -> Vec<Conversation> {
    vec![talk("a", "What is 3 + 4?", "7"), talk("b", "Name a camelid of the Andes, please.", "The vicuña.")]
}

fn options(loss_on: LossOn, truncation: Truncation) -> TokenizeOptions {
    TokenizeOptions { loss_on, truncation }
}

fn build(conversations: &[Conversation], options: TokenizeOptions) -> Result<TokenizedSet, DataError> {
    let guanaco = Template::builtin("guanaco").unwrap();
    TokenizedSet::build(conversations, &byte_tokenizer_with_bos(), &guanaco, &options)
}

#[test]
fn labels_follow_the_loss_option_and_are_not_shifted() {
    let all = build(&talks(), options(LossOn::All, Truncation::default())).unwrap();
    let assistant = build(&talks(), options(LossOn::Assistant, Truncation::default())).unwrap();
    for (all, assistant) in all.examples.iter().zip(&assistant.examples) {
        assert_eq!(all.ids, assistant.ids);
        assert_eq!(all.ids[0], 256);
        let own: Vec<i64> = all.ids.iter().map(|&id| i64::from(id)).collect();
        assert_eq!(all.labels, own);
        for (position, label) in assistant.labels.iter().enumerate() {
            assert!(*label == IGNORE_INDEX || *label == own[position]);
        }
    }
    // " 7</s>" and " The vicuña.</s>", a byte a token, ñ two bytes.
    assert_eq!(assistant.report.supervised_tokens, 3 + 14);
    assert_eq!(all.report.supervised_tokens, all.report.tokens - 2);
    assert_eq!((all.report.truncated, all.report.tokens_cut), (0, 0));
}

#[test]
fn total_length_is_cut_at_the_end_and_counted() {
    let whole = build(&talks(), options(LossOn::All, Truncation::default())).unwrap();
    let limit = whole.examples[0].ids.len() + 5;
    let cut = Truncation { total: Some(limit), ..Truncation::default() };
    let set = build(&talks(), options(LossOn::All, cut)).unwrap();
    assert_eq!(set.examples[0], whole.examples[0]);
    assert_eq!(set.examples[1].ids, whole.examples[1].ids[..limit]);
    assert_eq!(set.report.truncated, 1);
    assert_eq!(set.report.tokens_cut, whole.examples[1].ids.len() - limit);
    assert_eq!(set.report.tokens, set.lengths().iter().sum::<usize>());
}

#[test]
fn a_conversation_that_loses_its_answers_is_dropped_and_counted() {
    let cut = Truncation { total: Some(45), ..Truncation::default() };
    let set = build(&talks(), options(LossOn::Assistant, cut)).unwrap();
    assert_eq!(set.examples.len(), 1);
    let report = &set.report.conversations;
    assert_eq!((report.read, report.kept), (2, 1));
    assert_eq!(report.dropped[TRUNCATED_AWAY].examples, ["b"]);

    let cut = Truncation { total: Some(5), ..Truncation::default() };
    let error = build(&talks(), options(LossOn::Assistant, cut)).unwrap_err();
    assert!(matches!(error, DataError::Empty { .. }), "{error}");
}

#[test]
fn source_and_target_are_cut_apart_as_qlora_does() {
    let whole = build(&talks(), options(LossOn::Assistant, Truncation::default())).unwrap();
    let cut = Truncation { source: Some(16), target: Some(6), total: None };
    let set = build(&talks(), options(LossOn::Assistant, cut)).unwrap();
    let (full, kept) = (&whole.examples[1], &set.examples[1]);
    let answer = full.labels.iter().position(|l| *l != IGNORE_INDEX).unwrap();
    assert_eq!(kept.ids[..16], full.ids[..16]);
    assert_eq!(kept.ids[16..], full.ids[answer..answer + 6]);
    assert_eq!(kept.labels[16..], full.labels[answer..answer + 6]);
    assert!(kept.labels[..16].iter().all(|l| *l == IGNORE_INDEX));

    // With loss on everything the source is <s> alone.
    let set = build(&talks(), options(LossOn::All, cut)).unwrap();
    assert_eq!(set.examples[1].ids, full.ids[..7]);
}

#[test]
fn what_cannot_be_masked_is_an_error_with_its_id() {
    let mut conversations = talks();
    conversations[1].messages.truncate(1);
    let error = build(&conversations, options(LossOn::Assistant, Truncation::default())).unwrap_err();
    assert!(matches!(error, DataError::Chat(_)), "{error}");
    assert!(error.to_string().contains('b'), "{error}");
    let zero = Truncation { target: Some(0), ..Truncation::default() };
    assert!(matches!(build(&talks(), options(LossOn::All, zero)), Err(DataError::Option(_))));
    assert!(build(&[], options(LossOn::All, Truncation::default())).is_err());
}

struct Cache {
    dir: tempfile::TempDir,
}

impl Cache {
    fn get(
        &self,
        conversations: &[Conversation],
        tokenizer: &Tokenizer,
        template: &str,
        options: TokenizeOptions,
    ) -> (TokenizedSet, CacheOutcome) {
        let template = Template::builtin(template).unwrap();
        TokenizedSet::cached(self.dir.path(), conversations, tokenizer, &template, &options).unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

#[test]
fn a_cache_hit_gives_the_identical_set() {
    let cache = Cache { dir: tempfile::tempdir().unwrap() };
    let tokenizer = byte_tokenizer_with_bos();
    let cut = Truncation { total: Some(45), ..Truncation::default() };
    let options = options(LossOn::Assistant, cut);
    let (built, outcome) = cache.get(&talks(), &tokenizer, "guanaco", options);
    assert!(matches!(outcome, CacheOutcome::Built(_)));
    let (read, outcome) = cache.get(&talks(), &tokenizer, "guanaco", options);
    assert_eq!(outcome, CacheOutcome::Hit(cache.files()[0].clone()));
    assert_eq!(read, built);
    assert_eq!(read.report.conversations.dropped_for(TRUNCATED_AWAY), 1);
}

#[test]
fn anything_that_changes_the_tokens_changes_the_key() {
    let cache = Cache { dir: tempfile::tempdir().unwrap() };
    let tokenizer = byte_tokenizer_with_bos();
    let plain = options(LossOn::All, Truncation::default());
    cache.get(&talks(), &tokenizer, "guanaco", plain);
    let mut edited = talks();
    edited[1].messages[1].content.push('!');
    let long = Truncation { total: Some(999), ..Truncation::default() };
    let others = [
        cache.get(&edited, &tokenizer, "guanaco", plain).1,
        cache.get(&talks(), &byte_tokenizer(&["<s>", "</s>"]), "guanaco", plain).1,
        cache.get(&talks(), &tokenizer, "vicuna_v1.1", plain).1,
        cache.get(&talks(), &tokenizer, "guanaco", options(LossOn::Assistant, Truncation::default())).1,
        cache.get(&talks(), &tokenizer, "guanaco", options(LossOn::All, long)).1,
    ];
    for outcome in others {
        assert!(matches!(outcome, CacheOutcome::Built(_)), "{outcome:?}");
    }
    assert_eq!(cache.files().len(), 6);
}

#[test]
fn a_damaged_cache_is_built_anew_with_a_note() {
    let cache = Cache { dir: tempfile::tempdir().unwrap() };
    let tokenizer = byte_tokenizer_with_bos();
    let plain = options(LossOn::All, Truncation::default());
    let (built, _) = cache.get(&talks(), &tokenizer, "guanaco", plain);
    let path = cache.files()[0].clone();
    let good = std::fs::read(&path).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for damaged in [&flipped[..], &good[..good.len() / 2], b""] {
        std::fs::write(&path, damaged).unwrap();
        let (set, outcome) = cache.get(&talks(), &tokenizer, "guanaco", plain);
        assert_eq!(set, built);
        let CacheOutcome::Rebuilt { note, .. } = outcome else {
            panic!("{outcome:?}");
        };
        assert!(note.contains("SHA-256") && note.contains("built anew"), "{note}");
        assert_eq!(std::fs::read(&path).unwrap(), good);
        assert_eq!(cache.files().len(), 1);
    }
}

#[test]
fn a_cache_folder_that_is_a_file_is_an_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let template = Template::builtin("guanaco").unwrap();
    let plain = options(LossOn::All, Truncation::default());
    let error = TokenizedSet::cached(file.path(), &talks(), &byte_tokenizer_with_bos(), &template, &plain)
        .unwrap_err();
    assert!(matches!(error, DataError::File(FileError::Io { .. })), "{error}");
}

/// All 953 real dialogues with LLaMA's tokenizer and QLoRA's limits.
#[test]
fn real_dialogues_at_qloras_limits() {
    let Some(folder) = camelid_tests::oracles() else { return };
    let conversations =
        guanaco::load_questions(&folder.join("oasst1/oa_questions.jsonl")).unwrap().conversations;
    let tokenizer = Tokenizer::from_file(folder.join("llama-tokenizer/tokenizer.json")).unwrap();
    let cache = Cache { dir: tempfile::tempdir().unwrap() };
    let qlora = Truncation { source: Some(16), target: Some(512), total: None };
    let options = options(LossOn::All, qlora);
    let (set, _) = cache.get(&conversations, &tokenizer, "guanaco", options);
    assert_eq!(set.examples.len(), 953);
    assert!(set.lengths().iter().all(|length| (2..=513).contains(length)));
    let cut = set.lengths().iter().filter(|length| **length == 513).count();
    assert!(set.report.truncated > 0 && set.report.truncated <= cut);
    assert!(set.examples.iter().all(|example| example.ids[0] == 1));
    let (again, outcome) = cache.get(&conversations, &tokenizer, "guanaco", options);
    assert!(matches!(outcome, CacheOutcome::Hit(_)));
    assert_eq!(again, set);
}
