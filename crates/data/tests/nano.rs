//! The nano world keeps its promises: same seed same bytes, held-out questions
//! held out, few tokens a sentence, trees like OASST1's.

use std::collections::HashSet;

use camelid_data::nano::{Family, NanoConfig, NanoError, NanoWorld, score};
use camelid_data::oasst::{Filter, MessageNode, MessageTree, Selection, Speaker, dialogues};

fn world() -> NanoWorld {
    NanoWorld::new(&NanoConfig::default()).unwrap()
}

fn walk<'a>(node: &'a MessageNode, out: &mut Vec<&'a MessageNode>) {
    out.push(node);
    for reply in &node.replies {
        walk(reply, out);
    }
}

fn messages(trees: &[MessageTree]) -> Vec<&MessageNode> {
    let mut out = Vec::new();
    for tree in trees {
        walk(&tree.prompt, &mut out);
    }
    out
}

#[test]
fn the_same_configuration_gives_the_same_world() {
    let (one, two) = (world(), world());
    assert!(one.pretraining_text(20_000).eq(two.pretraining_text(20_000)));
    assert_eq!(one.trees(), two.trees());
    assert_eq!(one.eval_items(), two.eval_items());
    assert_eq!(
        one.tokenizer().unwrap().to_string(false).unwrap(),
        two.tokenizer().unwrap().to_string(false).unwrap()
    );

    let other = NanoWorld::new(&NanoConfig { seed: 18, ..NanoConfig::default() }).unwrap();
    assert_ne!(one.trees(), other.trees());
    assert!(!one.pretraining_text(2000).eq(other.pretraining_text(2000)));
}

/// Pins the default world: a change of any text makes published figures
/// incomparable, so it must be deliberate.
#[test]
fn the_default_world_is_pinned() {
    let world = world();
    let mut text: String = world.pretraining_text(20_000).collect();
    for message in messages(&world.trees()) {
        text.push_str(&message.text);
    }
    for item in world.eval_items() {
        text.push_str(&item.conversation.messages[0].content);
        text.push_str(&item.expected);
    }
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    assert_eq!(format!("{hash:016x}"), "517f35a2c668c1e6");
}

#[test]
fn held_out_questions_never_occur_in_tuning() {
    for seed in [17, 18, 19] {
        let config = NanoConfig { seed, ..NanoConfig::default() };
        let world = NanoWorld::new(&config).unwrap();
        let trees = world.trees();
        let asked: HashSet<&str> = messages(&trees)
            .into_iter()
            .filter(|node| node.role == Speaker::Prompter)
            .map(|node| node.text.as_str())
            .collect();
        let items = world.eval_items();
        let mut questions = HashSet::new();
        for item in &items {
            let question = item.conversation.messages[0].content.as_str();
            assert!(!asked.contains(question), "{question}");
            assert!(questions.insert(question), "{question} occurs twice");
            // The other wording of the same task is not asked either.
            let operands = |text: &str| -> String {
                text.chars().filter(|c| c.is_ascii_digit() || "+-".contains(*c)).collect()
            };
            if item.family == Family::Number {
                let same = asked.iter().find(|other| {
                    (other.starts_with("What is ") || other.starts_with("Tell me "))
                        && other.trim_end_matches(['?', '.']).rsplit(' ').next()
                            == question.trim_end_matches(['?', '.']).rsplit(' ').next()
                        && operands(other) == operands(question)
                        && !other.contains("words")
                });
                assert!(same.is_none(), "{question} against {same:?}");
            }
        }
        for family in Family::ALL {
            let count = items.iter().filter(|item| item.family == family).count();
            println!("seed {seed}: {} {count}", family.as_str());
            assert!(count >= 5, "{} has only {count} held-out questions", family.as_str());
        }
    }
}

#[test]
fn facts_of_held_out_questions_are_stated_in_prose() {
    let world = world();
    let prose: Vec<String> = world.pretraining_text(200_000).collect();
    let prose = prose.join("\n");
    for item in world.eval_items() {
        if matches!(item.family, Family::Fact | Family::Number | Family::Letter) {
            assert!(prose.contains(&item.expected), "{}", item.expected);
        }
    }
}

#[test]
fn prose_never_has_the_form_of_a_dialogue() {
    for paragraph in world().pretraining_text(300_000) {
        assert!(!paragraph.contains("### Human"), "{paragraph}");
        assert!(!paragraph.contains("### Assistant"), "{paragraph}");
    }
}

#[test]
fn sentences_are_few_tokens_and_come_back() {
    let world = world();
    let tokenizer = world.tokenizer().unwrap();
    let vocabulary = tokenizer.get_vocab_size(true);
    assert_eq!(["<s>", "</s>", "<pad>"].map(|t| tokenizer.token_to_id(t)), [Some(0), Some(1), Some(2)]);
    assert!((400..=640).contains(&vocabulary), "{vocabulary}");

    let (mut sentences, mut tokens, mut total) = (0, 0, 0);
    for paragraph in world.pretraining_text(50_000) {
        let ids = tokenizer.encode(paragraph.as_str(), true).unwrap();
        assert_eq!(ids.get_ids()[0], 0, "<s> comes first");
        assert_eq!(tokenizer.decode(ids.get_ids(), true).unwrap(), paragraph);
        sentences += paragraph.matches(". ").count() + 1;
        tokens += ids.len() - 1;
        total += ids.len() + 1;
    }
    println!("vocabulary {vocabulary}, {:.2} tokens a sentence", tokens as f64 / sentences as f64);
    assert!(tokens <= 12 * sentences);
    // The target is met by the tokenizer's own count, to within a paragraph.
    assert!((50_000..50_200).contains(&total), "{total}");

    // Questions and answers: a token for each word, sign and digit.
    for item in world.eval_items() {
        for text in [&item.conversation.messages[0].content, &item.expected] {
            let text = format!(" {text}");
            let ids = tokenizer.encode(text.as_str(), false).unwrap();
            let words = text.split_whitespace().count();
            let extra = text.chars().filter(|c| c.is_ascii_digit() || ".,?".contains(*c)).count();
            assert!(ids.len() <= words + extra, "{text}: {:?}", ids.get_tokens());
        }
    }
    // Anything else is spelled in bytes.
    let odd = "Ünïcode — 日本語 🦙\t<b>";
    let ids = tokenizer.encode(odd, false).unwrap();
    assert_eq!(tokenizer.decode(ids.get_ids(), true).unwrap(), odd);
}

#[test]
fn trees_have_oassts_shape() {
    let trees = world().trees();
    assert_eq!(trees.len(), NanoConfig::default().tuning_trees);
    let nodes = messages(&trees);
    let ids: HashSet<&str> = nodes.iter().map(|node| node.message_id.as_str()).collect();
    assert_eq!(ids.len(), nodes.len(), "ids are unique");
    for node in &nodes {
        let mut ranks = Vec::new();
        for reply in &node.replies {
            assert_eq!(reply.parent_id.as_deref(), Some(node.message_id.as_str()));
            assert_eq!(reply.role, node.role.other());
            if reply.role == Speaker::Assistant {
                ranks.push(reply.rank.unwrap());
            }
        }
        ranks.sort_unstable();
        assert!(ranks.iter().copied().eq(0..ranks.len() as i64));
        if node.role == Speaker::Prompter {
            let best = node.replies.iter().find(|reply| reply.rank == Some(0)).unwrap();
            let worse = node.replies.iter().filter(|reply| reply.rank != Some(0));
            assert!(worse.clone().count() >= 1);
            for other in worse {
                assert!(!score(&other.text, &best.text), "{}", other.text);
                assert!(other.replies.is_empty(), "only good replies are asked on");
            }
        }
    }
    let multi_turn =
        trees.iter().filter(|tree| tree.prompt.replies.iter().any(|reply| !reply.replies.is_empty())).count();
    assert!((400..600).contains(&multi_turn), "{multi_turn} of 2000 trees go on");
}

#[test]
fn oassts_reader_and_selection_take_the_trees() {
    let world = world();
    let trees = world.trees();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nano.jsonl");
    let lines: Vec<String> = trees.iter().map(|tree| serde_json::to_string(tree).unwrap()).collect();
    std::fs::write(&path, lines.join("\n")).unwrap();
    let read = camelid_data::oasst::read(&path).unwrap();
    assert_eq!(read.trees, trees);

    let chosen = dialogues(&read.trees, &Filter::default(), Selection::BestRanked).unwrap();
    let conversations = chosen.conversations;
    assert_eq!(conversations.len(), trees.len(), "one dialogue a tree");
    let known: HashSet<&str> = ["I do not know.", "###"].into();
    for conversation in &conversations {
        assert_eq!(conversation.messages.len() % 2, 0);
        for message in &conversation.messages {
            assert!(!known.contains(message.content.as_str()));
        }
    }
}

#[test]
fn scoring_forgives_space_and_the_final_period_only() {
    let cases = [
        ("Mirel wears red.", "Mirel wears red.", true),
        (" Mirel  wears\nred ", "Mirel wears red.", true),
        ("Mirel wears red .", "Mirel wears red.", true),
        ("mirel wears red.", "Mirel wears red.", false),
        ("Mirel wears red. Tolvo", "Mirel wears red.", false),
        ("red", "Mirel wears red.", false),
        ("3 + 4 = 7", "3 + 4 = 7.", true),
        ("3 + 4 = 17.", "3 + 4 = 7.", false),
        ("3 + 4 = 7..", "3 + 4 = 7.", false),
        ("", "3 + 4 = 7.", false),
    ];
    for (reply, expected, same) in cases {
        assert_eq!(score(reply, expected), same, "{reply:?} against {expected:?}");
    }
}

#[test]
fn dials_turn_and_have_ends() {
    let easy = NanoConfig {
        entities: 4,
        attributes: 1,
        values_per_attribute: 2,
        max_number: 3,
        list_words: 4,
        max_list_len: 3,
        composition_depth: 1,
        tuning_trees: 50,
        ..NanoConfig::default()
    };
    let world = NanoWorld::new(&easy).unwrap();
    assert_eq!(world.trees().len(), 50);
    assert!(world.eval_items().iter().all(|item| item.family != Family::Compose));

    let hard = NanoConfig {
        entities: 48,
        attributes: 6,
        values_per_attribute: 8,
        max_number: 99,
        list_words: 24,
        max_list_len: 8,
        composition_depth: 4,
        tuning_trees: 200,
        ..NanoConfig::default()
    };
    let world = NanoWorld::new(&hard).unwrap();
    let longest = world.eval_items().iter().map(|item| item.expected.len()).max().unwrap();
    assert!(longest > 40, "deep compositions have long answers");
    world.tokenizer().unwrap();

    let error = NanoWorld::new(&NanoConfig { max_list_len: 9, ..hard }).unwrap_err();
    assert!(matches!(error, NanoError::Dial { field: "max_list_len", value: 9, .. }));
    assert!(error.to_string().contains("expected 3 to 8"), "{error}");
    assert!(serde_json::from_str::<NanoConfig>("{\"entitys\": 9}").is_err());
    let partial: NanoConfig = serde_json::from_str("{\"entities\": 9}").unwrap();
    assert_eq!(partial, NanoConfig { entities: 9, ..NanoConfig::default() });
}

#[test]
fn a_million_tokens_take_a_moment() {
    let start = std::time::Instant::now();
    let world = world();
    let bytes: usize = world.pretraining_text(1_000_000).map(|text| text.len()).sum();
    world.tokenizer().unwrap();
    println!("1M tokens, {bytes} bytes and the tokenizer in {:?}", start.elapsed());
    assert!(bytes > 2_000_000);
}
