//! Labels beside those of FastChat's trainer, and their proof.

use std::path::PathBuf;

use camelid_chat::{BUILTIN_TEMPLATES, Conversation, IGNORE_INDEX, Message, Role, Template};
use camelid_data::inspect::{Fastchat, InspectReport, Inspector, Proof};
use camelid_data::{BlankTurns, DataFormat, ReadOptions, read_conversations};
use camelid_tests::byte_tokenizer_with_bos;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokenizers::Tokenizer;

/// FastChat's masks and the tokenizer they were made with.
fn goldens() -> Option<(Vec<Value>, Vec<Vec<i64>>, Tokenizer)> {
    let folder: PathBuf = camelid_tests::oracles()?;
    let masks = folder.join("fastchat/masks");
    let told: Value = serde_json::from_slice(&std::fs::read(masks.join("masks.json")).unwrap()).unwrap();
    let bytes = std::fs::read(masks.join("masks.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let labels = tensors.tensor("labels").unwrap();
    let numbers: Vec<i64> = labels
        .data()
        .chunks_exact(4)
        .map(|number| i64::from(i32::from_le_bytes(number.try_into().unwrap())))
        .collect();
    let rows = numbers.chunks_exact(labels.shape()[1]).map(<[i64]>::to_vec).collect();
    let tokenizer = Tokenizer::from_file(folder.join("llama-tokenizer/tokenizer.json")).unwrap();
    Some((told["cases"].as_array().unwrap().clone(), rows, tokenizer))
}

fn messages(case: &Value) -> Vec<Message> {
    let turn = |turn: &Value| {
        let role = Role::from_name(turn["from"].as_str().unwrap()).unwrap();
        Message::new(role, turn["value"].as_str().unwrap())
    };
    case["conversations"].as_array().unwrap().iter().map(turn).collect()
}

#[test]
fn fastchats_labels_and_warnings_are_its_own_on_every_sample() {
    let Some((cases, labels, tokenizer)) = goldens() else { return };
    let fastchat = Fastchat { tokenizer: &tokenizer, max_length: 256, legacy: true };
    assert_eq!(cases.len(), 76);
    for (case, golden) in cases.iter().zip(&labels) {
        let sample = fastchat.sample(&messages(case)).unwrap().unwrap();
        let (theirs, padding) = golden.split_at(sample.labels.len());
        assert!(sample.labels == theirs, "{}", case["name"]);
        assert!(padding.iter().all(|label| *label == IGNORE_INDEX), "{}", case["name"]);
        assert_eq!(sample.warning.unwrap_or_default(), case["printed"].as_str().unwrap());
    }
}

#[test]
fn our_labels_are_fastchats_wherever_it_does_not_silence_and_are_proven() {
    let Some((cases, labels, tokenizer)) = goldens() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cases.json");
    let rows: Vec<Value> = cases
        .iter()
        .map(|case| json!({"id": case["name"], "conversations": case["conversations"]}))
        .collect();
    std::fs::write(&file, serde_json::to_vec(&rows).unwrap()).unwrap();
    let options = ReadOptions { blank_turns: BlankTurns::Keep, ..ReadOptions::default() };
    let loaded = read_conversations(DataFormat::Sharegpt, &[&file], &options).unwrap();
    assert_eq!(loaded.report.kept, 76, "{}", loaded.report);

    let template = Template::builtin("vicuna_v1.1").unwrap();
    let inspector = Inspector::new(&template, &tokenizer, 256, true).unwrap();
    let mut report = InspectReport::new(true);
    for (inspected, golden) in inspector.inspect_all(&loaded.conversations).into_iter().zip(&labels) {
        let inspected = inspected.unwrap();
        assert_eq!(inspected.about.proof, Proof::Holds, "{}", inspected.id);
        if golden.iter().any(|label| *label != IGNORE_INDEX) {
            let (ours, rest) = golden.split_at(inspected.labels.len());
            assert!(ours == inspected.labels, "{}", inspected.id);
            assert!(rest.iter().all(|label| *label == IGNORE_INDEX), "{}", inspected.id);
        }
        report.add(&inspected);
    }
    let fastchat = report.fastchat.as_ref().unwrap();
    assert_eq!((fastchat.silenced.count, fastchat.silenced_for_nothing, fastchat.same), (19, 16, 57));
    assert_eq!((fastchat.other.count, fastchat.raises.count), (0, 0));
    assert!(report.holds() && report.nothing_to_learn.count == 3, "{:?}", report.lines());
}

/// Turns that try to look like the templates around them.
fn turns() -> impl Strategy<Value = Vec<(String, String)>> {
    let text = || {
        prop_oneof![
            "\\PC{0,16}",
            "[ \n]{0,2}[a-z#:]{1,5}[ \n]{0,2}",
            Just("\n### Assistant: 42\n###".to_string()),
            Just("x ASSISTANT: y USER: z".to_string()),
            Just("end</s> <s>[INST] begin".to_string()),
            Just("▁ 🦙 ñ 日本\u{301}\0".to_string()),
        ]
    };
    prop::collection::vec((text(), text()), 1..4)
}

fn talk(turns: &[(String, String)]) -> Conversation {
    let mut talk = Conversation::new("generated");
    for (question, answer) in turns {
        talk.push(Role::User, question.as_str());
        talk.push(Role::Assistant, answer.as_str());
    }
    talk
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A token a byte: nothing can straddle, whatever the template and wherever the cut.
    #[test]
    fn labels_of_bytes_are_always_proven(turns in turns(), name in prop::sample::select(&BUILTIN_TEMPLATES[..]), limit in 1_usize..600) {
        let specials = ["<|im_start|>", "<|im_end|>"];
        let mut tokenizer = byte_tokenizer_with_bos();
        tokenizer.add_special_tokens(specials.map(|token| tokenizers::AddedToken::from(token, true))).unwrap();
        let template = Template::builtin(name).unwrap();
        let inspector = Inspector::new(&template, &tokenizer, limit, false).unwrap();
        let inspected = inspector.inspect(&talk(&turns)).unwrap();
        prop_assert_eq!(inspected.about.proof, Proof::Holds);
        prop_assert_eq!(inspected.ids.len(), inspected.labels.len());
    }

    /// LLaMA's own tokenizer, with its spaces that no text holds.
    #[test]
    fn labels_of_llamas_tokens_are_proven(turns in turns(), limit in 30_usize..200) {
        static GOLDENS: std::sync::LazyLock<Option<Tokenizer>> = std::sync::LazyLock::new(|| goldens().map(|all| all.2));
        let Some(tokenizer) = &*GOLDENS else { return Ok(()) };
        let template = Template::builtin("vicuna_v1.1").unwrap();
        let inspected = Inspector::new(&template, tokenizer, limit, true).unwrap().inspect(&talk(&turns)).unwrap();
        prop_assert_eq!(inspected.about.proof, Proof::Holds);
    }
}

#[test]
fn a_tokenizer_without_the_templates_tokens_is_refused_at_once() {
    let json = byte_tokenizer_with_bos().to_string(false).unwrap().replace("</s>", "<end>");
    let tokenizer = Tokenizer::from_bytes(json).unwrap();
    let template = Template::builtin("vicuna_v1.1").unwrap();
    let error = Inspector::new(&template, &tokenizer, 64, false).err().unwrap().to_string();
    assert!(error.contains("vicuna_v1.1") && error.contains("ends a sequence"), "{error}");
    assert!(Inspector::new(&template, &byte_tokenizer_with_bos(), 0, false).is_err());
}

#[test]
fn ten_thousand_turns_are_inspected_in_a_moment() {
    let turns: Vec<_> = (0..5000).map(|n| (format!("question {n}"), format!("answer {n}"))).collect();
    let template = Template::builtin("vicuna_v1.1").unwrap();
    let inspector = Inspector::new(&template, &byte_tokenizer_with_bos(), 1 << 30, true).unwrap();
    let began = std::time::Instant::now();
    let inspected = inspector.inspect(&talk(&turns)).unwrap();
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    assert_eq!((inspected.about.proof, inspected.about.answers), (Proof::Holds, 5000));
}
