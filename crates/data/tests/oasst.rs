//! OASST1 trees: every file format, damage, filters, selections, real data.

use std::io::Write;
use std::path::{Path, PathBuf};

use camelid_chat::Role;
use camelid_data::DataError;
use camelid_data::oasst::{
    self, Filter, MessageNode, MessageTree, Review, Selection, Speaker, Trees, dialogues, trees_from_messages,
};
use camelid_files::FileError;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn file(dir: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn node(id: &str, role: Speaker, rank: Option<i64>, replies: Vec<MessageNode>) -> MessageNode {
    let mut node = MessageNode::new(id, role, format!("text of {id}"));
    node.rank = rank;
    node.replies = replies;
    node
}

fn tree(prompt: MessageNode) -> MessageTree {
    MessageTree {
        message_tree_id: prompt.message_id.clone(),
        tree_state: Some("ready_for_export".to_string()),
        prompt,
    }
}

/// p ─ a (rank 1) ─ pa ─ (x rank 1, y rank 0)
///   ├ b (unranked)
///   └ c (rank 0) ─ pc (unanswered)
fn sample() -> MessageTree {
    use Speaker::{Assistant, Prompter};
    tree(node(
        "p",
        Prompter,
        None,
        vec![
            node("b", Assistant, None, vec![]),
            node(
                "a",
                Assistant,
                Some(1),
                vec![node(
                    "pa",
                    Prompter,
                    None,
                    vec![node("x", Assistant, Some(1), vec![]), node("y", Assistant, Some(0), vec![])],
                )],
            ),
            node("c", Assistant, Some(0), vec![node("pc", Prompter, None, vec![])]),
        ],
    ))
}

fn ids(trees: &[MessageTree], selection: Selection) -> Vec<String> {
    let chosen = dialogues(trees, &Filter::default(), selection).unwrap();
    chosen.conversations.into_iter().map(|c| c.id).collect()
}

#[test]
fn best_ranked_takes_the_lowest_rank_and_cuts_the_unanswered_prompt() {
    let chosen = dialogues(&[sample()], &Filter::default(), Selection::BestRanked).unwrap();
    assert_eq!(chosen.conversations.len(), 1);
    let conversation = &chosen.conversations[0];
    assert_eq!(conversation.id, "c");
    let roles: Vec<Role> = conversation.messages.iter().map(|m| m.role).collect();
    assert_eq!(roles, [Role::User, Role::Assistant]);
    assert_eq!(conversation.messages[1].content, "text of c");
    assert_eq!((chosen.messages.read, chosen.messages.kept), (8, 8));
    assert_eq!((chosen.trees.read, chosen.trees.kept), (1, 1));
}

#[test]
fn all_paths_and_top_k_come_in_order_of_rank_unranked_last() {
    assert_eq!(ids(&[sample()], Selection::AllPaths), ["c", "y", "x", "b"]);
    assert_eq!(ids(&[sample()], Selection::TopK(2)), ["c", "y", "x"]);
    assert_eq!(ids(&[sample()], Selection::TopK(1)), ["c"]);
    let error = dialogues(&[sample()], &Filter::default(), Selection::TopK(0)).unwrap_err();
    assert!(matches!(error, DataError::Option(_)), "{error}");
}

#[test]
fn a_dropped_message_takes_what_is_below_it_along() {
    let mut deleted = sample();
    deleted.prompt.replies[2].deleted = Some(true);
    let chosen = dialogues(&[deleted], &Filter::default(), Selection::BestRanked).unwrap();
    assert_eq!(chosen.conversations[0].id, "y");
    assert_eq!(chosen.messages.dropped_for("deleted"), 1);
    assert_eq!(chosen.messages.dropped_for("below a dropped message"), 1);
    assert_eq!(chosen.messages.dropped["deleted"].examples, ["c"]);
    assert_eq!(chosen.messages.read, chosen.messages.kept + chosen.messages.dropped_in_all());
}

#[test]
fn each_filter_drops_for_its_own_reason() {
    let mut marked = sample();
    marked.prompt.lang = Some("en".into());
    let replies = &mut marked.prompt.replies;
    replies[0].synthetic = Some(true);
    replies[1].lang = Some("de".into());
    replies[2].review_result = Some(false);
    replies[2].lang = Some("en".into());
    let filter = Filter { langs: Some(vec!["en".into()]), ..Filter::default() };
    let chosen = dialogues(&[marked.clone()], &filter, Selection::AllPaths).unwrap();
    assert!(chosen.conversations.is_empty());
    for reason in ["synthetic", "language", "review"] {
        assert_eq!(chosen.messages.dropped_for(reason), 1, "{reason}");
    }
    assert_eq!(chosen.trees.dropped_for("no assistant reply"), 1);

    let lenient = Filter { synthetic: true, review: Review::Any, ..Filter::default() };
    let all = dialogues(&[marked.clone()], &lenient, Selection::AllPaths).unwrap();
    assert_eq!(all.conversations.len(), 4);
    let strict = Filter { review: Review::Accepted, ..Filter::default() };
    let none = dialogues(&[marked.clone()], &strict, Selection::AllPaths).unwrap();
    assert_eq!(none.trees.dropped_for("first prompt dropped"), 1);

    marked.tree_state = Some("growing".into());
    let none = dialogues(&[marked], &lenient, Selection::AllPaths).unwrap();
    assert_eq!(none.messages.dropped_for("tree state"), 8);
}

#[test]
fn damage_in_nested_trees_is_counted_and_named() {
    let mut damaged = sample();
    damaged.prompt.replies[0].role = Speaker::Prompter;
    damaged.prompt.replies[1].parent_id = Some("elsewhere".into());
    damaged.prompt.replies[2].replies[0].message_id = "p".into();
    let chosen = dialogues(&[damaged], &Filter::default(), Selection::AllPaths).unwrap();
    let report = &chosen.messages;
    assert_eq!(report.dropped["role order"].examples, ["b"]);
    assert_eq!(report.dropped["parent_id is not the message above"].examples, ["a"]);
    assert_eq!(report.dropped["duplicate message id"].examples, ["p"]);
    assert_eq!(chosen.conversations.len(), 1);
}

fn message(id: &str, parent: Option<&str>, role: &str, tree: &str) -> serde_json::Value {
    json!({"message_id": id, "parent_id": parent, "text": id, "role": role, "message_tree_id": tree})
}

fn lines(values: &[serde_json::Value]) -> String {
    values.iter().map(|v| format!("{v}\n")).collect()
}

#[test]
fn damage_in_flat_messages_is_counted_and_named() {
    let rows = [
        message("a", Some("p"), "assistant", "p"), // before its parent: fine
        message("p", None, "prompter", "p"),
        message("p", None, "prompter", "p"),
        message("lost", Some("nowhere"), "assistant", "p"),
        message("below", Some("lost"), "prompter", "p"),
        message("round", Some("trip"), "assistant", "p"),
        message("trip", Some("round"), "prompter", "p"),
        message("self", Some("self"), "prompter", "p"),
        message("stray", Some("p"), "assistant", "q"),
    ];
    let rows = rows.into_iter().map(|r| serde_json::from_value(r).unwrap()).collect();
    let built = trees_from_messages(rows);
    assert_eq!((built.report.read, built.report.kept), (9, 2));
    assert_eq!(built.report.dropped["duplicate message id"].examples, ["p"]);
    assert_eq!(built.report.dropped["orphan"].examples, ["lost", "below"]);
    assert_eq!(built.report.dropped["cycle"].examples, ["round", "trip", "self"]);
    assert_eq!(built.report.dropped["reply in another tree"].examples, ["stray"]);
    assert_eq!(built.trees.len(), 1);
    assert_eq!(built.trees[0].prompt.replies[0].message_id, "a");
}

#[test]
fn a_chain_of_a_hundred_thousand_replies_is_damage_not_a_crash() {
    let rows = (0..100_000)
        .map(|i: usize| {
            let parent = i.checked_sub(1).map(|p| p.to_string());
            let role = if i.is_multiple_of(2) { "prompter" } else { "assistant" };
            let row = message(&i.to_string(), parent.as_deref(), role, "t");
            serde_json::from_value(row).unwrap()
        })
        .collect();
    let built = trees_from_messages(rows);
    assert_eq!(built.report.kept, 256);
    assert_eq!(built.report.dropped_for("too deep"), 100_000 - 256);
}

#[test]
fn trees_messages_and_gzip_give_the_same_dialogues() {
    let dir = tempfile::tempdir().unwrap();
    let nested = format!("{}\n\n", serde_json::to_string(&sample()).unwrap());
    let mut flat = Vec::new();
    fn walk(node: &MessageNode, parent: Option<&str>, out: &mut Vec<serde_json::Value>) {
        let mut value = serde_json::to_value(node).unwrap();
        let object = value.as_object_mut().unwrap();
        object.remove("replies");
        object.insert("parent_id".into(), json!(parent));
        object.insert("message_tree_id".into(), json!("p"));
        out.push(value);
        for reply in &node.replies {
            walk(reply, Some(&node.message_id), out);
        }
    }
    walk(&sample().prompt, None, &mut flat);
    let flat = lines(&flat);
    let files = [
        file(&dir, "trees.jsonl", nested.as_bytes()),
        file(&dir, "trees.jsonl.gz", &gzip(nested.as_bytes())),
        file(&dir, "messages.jsonl", flat.as_bytes()),
        file(&dir, "messages.jsonl.gz", &gzip(flat.as_bytes())),
    ];
    let expected = dialogues(&[sample()], &Filter::default(), Selection::AllPaths).unwrap();
    for path in files {
        let loaded = oasst::load(&path, &Filter::default(), Selection::AllPaths).unwrap();
        assert_eq!(loaded, expected, "{}", path.display());
    }
}

#[test]
fn parquet_as_on_the_hub() {
    let loaded =
        oasst::load(&golden("oasst_hub.parquet"), &Filter::default(), Selection::BestRanked).unwrap();
    let found: Vec<_> = loaded.conversations.iter().map(|c| (c.id.as_str(), c.messages.len())).collect();
    assert_eq!(found, [("t1b1x", 4), ("t2a", 2)]);
    assert_eq!(loaded.conversations[1].messages[1].content, "Un camélido de Sudamérica.");
    assert_eq!((loaded.messages.read, loaded.messages.kept), (10, 7));
    for reason in ["deleted", "synthetic", "tree state"] {
        assert_eq!(loaded.messages.dropped_for(reason), 1, "{reason}");
    }
}

#[test]
fn a_missing_column_is_named() {
    let error = oasst::read(&golden("oasst_hub_without_rank.parquet")).unwrap_err();
    let DataError::MissingColumn { column, present, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(column, "rank");
    assert!(present.contains("message_tree_id"), "{present}");
}

#[test]
fn damaged_parquet_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let good = std::fs::read(golden("oasst_hub.parquet")).unwrap();
    let cut = file(&dir, "cut.parquet", &good[..good.len() / 2]);
    let error = oasst::read(&cut).unwrap_err();
    assert!(matches!(error, DataError::Parquet { .. }), "{error}");
    let not = file(&dir, "not.parquet", b"{\"message_id\": 1}");
    assert!(matches!(oasst::read(&not).unwrap_err(), DataError::Parquet { .. }));
    let mut flipped = good.clone();
    for byte in &mut flipped[4..200] {
        *byte ^= 0x5a;
    }
    assert!(oasst::read(&file(&dir, "flipped.parquet", &flipped)).is_err());
}

#[test]
fn a_row_that_is_no_tree_is_dropped_and_named_by_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let good = serde_json::to_string(&sample()).unwrap();
    for bad in ["{oops", "not json", &good[..good.len() - 20], "{\"a\": 1}", "7"] {
        let path = file(&dir, "bad.jsonl", format!("{good}\n{bad}\n").as_bytes());
        let Trees { trees, report } = oasst::read(&path).unwrap();
        assert_eq!((trees.len(), report.kept, report.dropped_in_all()), (1, 8, 1), "{bad}: {report}");
        assert!(report.to_string().contains("line 2"), "{report}");
        assert_eq!(report.dropped.values().next().unwrap().examples, ["bad:2"]);
    }
    let path = file(&dir, "latin1.jsonl", b"{\"text\": \"vicu\xf1a\"}\n");
    let text = oasst::read(&path).unwrap_err().to_string();
    assert!(text.contains("empty data set") && text.contains("line 1"), "{text}");
}

#[test]
fn a_damaged_archive_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let line = format!("{}\n", serde_json::to_string(&sample()).unwrap());
    let whole = gzip(line.repeat(400).as_bytes());
    let cut = file(&dir, "cut.jsonl.gz", &whole[..whole.len() - 40]);
    let error = oasst::read(&cut).unwrap_err();
    assert!(matches!(error, DataError::File(FileError::Packed { .. })), "{error}");
    let mut broken = whole.clone();
    let middle = broken.len() / 2;
    for byte in &mut broken[middle..middle + 8] {
        *byte ^= 0xff;
    }
    assert!(oasst::read(&file(&dir, "broken.jsonl.gz", &broken)).is_err());
    // A name that says more than the file holds does no harm: the content counts.
    let plain = file(&dir, "plain.jsonl.gz", line.as_bytes());
    assert_eq!(oasst::read(&plain).unwrap().trees.len(), 1);
}

#[test]
fn nothing_usable_is_an_error_that_says_why() {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in [("empty.jsonl", &b""[..]), ("blank.jsonl", b"\n \n")] {
        let error = oasst::read(&file(&dir, name, bytes)).unwrap_err();
        assert!(matches!(error, DataError::Empty { .. }), "{error}");
    }
    let path = file(&dir, "t.jsonl", serde_json::to_string(&sample()).unwrap().as_bytes());
    let filter = Filter { langs: Some(vec!["fr".into()]), ..Filter::default() };
    let text = oasst::load(&path, &filter, Selection::BestRanked).unwrap_err().to_string();
    assert!(text.contains("empty data set") && text.contains("1 dropped (language)"), "{text}");
    assert!(oasst::read(&dir.path().join("absent.jsonl")).is_err());
}

/// The 100 real trees, held against a reading that knows nothing of our types.
#[test]
fn real_trees_agree_with_a_plain_reading() {
    let Some(folder) = camelid_tests::oracles() else { return };
    let path = folder.join("oasst1/en_100_tree.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let trees: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();

    fn usable(node: &serde_json::Value, synthetic: bool) -> bool {
        synthetic || node["synthetic"] != true
    }
    fn count(node: &serde_json::Value, synthetic: bool) -> usize {
        if !usable(node, synthetic) {
            return 0;
        }
        let replies = node["replies"].as_array().unwrap();
        1 + replies.iter().map(|r| count(r, synthetic)).sum::<usize>()
    }
    /// Texts down the lowest ranks, without an unanswered last prompt.
    fn best(root: &serde_json::Value, synthetic: bool) -> Vec<String> {
        let mut texts = Vec::new();
        let mut at = Some(root);
        while let Some(node) = at {
            texts.push(node["text"].as_str().unwrap().to_string());
            let replies = node["replies"].as_array().unwrap().iter();
            at = replies
                .filter(|r| usable(r, synthetic))
                .min_by_key(|r| r["rank"].as_i64().unwrap_or(i64::MAX));
        }
        if texts.len() % 2 == 1 {
            texts.pop();
        }
        texts
    }

    for (synthetic, messages, kept_trees) in [(true, 1167, 100), (false, 1145, 95)] {
        let filter = Filter { synthetic, ..Filter::default() };
        let loaded = oasst::load(&path, &filter, Selection::BestRanked).unwrap();
        let plain: Vec<Vec<String>> = trees
            .iter()
            .filter(|t| usable(&t["prompt"], synthetic))
            .map(|t| best(&t["prompt"], synthetic))
            .filter(|texts| !texts.is_empty())
            .collect();
        let ours: Vec<Vec<String>> = loaded
            .conversations
            .iter()
            .map(|c| c.messages.iter().map(|m| m.content.clone()).collect())
            .collect();
        assert_eq!(ours, plain);
        let counted: usize = trees.iter().map(|t| count(&t["prompt"], synthetic)).sum();
        assert_eq!((loaded.messages.read, loaded.messages.kept), (1167, counted));
        assert_eq!((counted, loaded.trees.kept), (messages, kept_trees));
    }

    let filter = Filter { synthetic: true, ..Filter::default() };
    let every = oasst::load(&path, &filter, Selection::AllPaths).unwrap();
    let ids: std::collections::HashSet<_> = every.conversations.iter().map(|c| &c.id).collect();
    assert_eq!(ids.len(), every.conversations.len());
}
