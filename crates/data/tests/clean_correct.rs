//! Cleaning as it was meant: what must survive, what is dropped and why, and bad input.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use camelid_data::Mode;
use camelid_data::clean::{Blocked, CleanError, CleanOptions, Rule, Summary, clean, markdown};
use camelid_tests::SmallDisk;
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

static GO_ON: AtomicBool = AtomicBool::new(false);

fn correct() -> CleanOptions {
    CleanOptions::new(Mode::Correct)
}

fn turns(texts: &[&str]) -> Value {
    let from = ["human", "gpt"].into_iter().cycle();
    texts.iter().zip(from).map(|(text, from)| json!({"from": from, "value": text})).collect()
}

fn row(id: &str, texts: &[&str]) -> Value {
    json!({"id": id, "conversations": turns(texts)})
}

struct Run {
    folder: TempDir,
    input: PathBuf,
}

impl Run {
    fn of(bytes: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("in.json");
        std::fs::write(&input, bytes).unwrap();
        Self { folder, input }
    }

    fn rows(rows: &[Value]) -> Self {
        Self::of(serde_json::to_vec(rows).unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn clean(&self, options: &CleanOptions) -> (Summary, Vec<Value>) {
        let out = self.path("out.json");
        let summary = clean(&self.input, &out, options, &GO_ON).unwrap();
        (summary, serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap())
    }

    fn fails(&self, options: &CleanOptions) -> CleanError {
        let out = self.path("out.json");
        let error = clean(&self.input, &out, options, &GO_ON).unwrap_err();
        assert!(!out.exists(), "nothing is left half-written");
        let left = std::fs::read_dir(self.folder.path()).unwrap().count();
        assert_eq!(left, 1, "only the input is there");
        error
    }
}

#[test]
fn what_was_on_the_page_survives() {
    for (page, expected) in [
        // Text is text.
        ("Vec<String> and HashMap<K, Vec<V>>", "Vec<String> and HashMap<K, Vec<V>>"),
        ("my_var = foo_bar * 3", "my_var = foo_bar * 3"),
        ("a < b and c > d", "a < b and c > d"),
        ("1 / 2 hello", "1 / 2 hello"),
        ("tag <T> here", "tag <T> here"),
        ("AT&T & <stdio.h>", "AT&T & <stdio.h>"),
        ("is 3 &lt; 4 &amp; 5?", "is 3 < 4 & 5?"),
        ("an open <b> and <!-- no comment", "an open <b> and <!-- no comment"),
        // Markup is markup.
        ("<p>use <b>bold</b>, <i>it</i> and <code>a_b*c</code></p>", "use **bold**, *it* and `a_b*c`"),
        ("<p>Vec&lt;String&gt; and Option<T> of my_var</p>", "Vec<String> and Option<T> of my_var"),
        ("<p>one</p>\n<p>two</p>", "one\n\ntwo"),
        ("<p>one<p>two", "one\n\ntwo"),
        (
            "<h2>Title</h2><p>x<br>y</p><hr><blockquote><p>q</p></blockquote>",
            "## Title\n\nx\ny\n\n---\n\n> q",
        ),
        (
            "<p>Hi</p><pre><div class=\"bg-black\"><div><span>python</span><button>Copy code</button></div><div><code class=\"hljs language-python\">def f(x_y):\n    return x_y * 2 &lt; 3\n</code></div></div></pre><p>Bye</p>",
            "Hi\n\n```python\ndef f(x_y):\n    return x_y * 2 < 3\n```\n\nBye",
        ),
        (
            "<pre><div><span>rust</span><button>Copy code</button></div><code>fn f() {}</code></pre>",
            "```rust\nfn f() {}\n```",
        ),
        ("<pre>pythonCopy code\nprint(1)</pre>", "```python\nprint(1)\n```"),
        ("<pre><code>a ``` b</code></pre>", "````\na ``` b\n````"),
        (
            "<ol><li><p>one</p></li><li><p>two</p><ul><li>a</li><li>b</li></ul></li></ol>",
            "1. one\n2. two\n   - a\n   - b",
        ),
        ("<ol start=\"3\"><li>x</li></ol>", "3. x"),
        ("<ul><li><p>p1</p><pre><code>x\n  y</code></pre></li></ul>", "- p1\n\n  ```\n  x\n    y\n  ```"),
        (
            "<table><thead><tr><th>A</th><th>B</th></tr></thead><tbody><tr><td>a|b</td><td>2</td></tr></tbody></table>",
            "| A | B |\n| --- | --- |\n| a\\|b | 2 |",
        ),
        ("<table><tr><td>1</td><td>2</td></tr></table>", "|  |  |\n| --- | --- |\n| 1 | 2 |"),
        (
            "<p>so <span class=\"katex\"><span class=\"katex-mathml\"><math><semantics><mrow><mi>x</mi></mrow><annotation encoding=\"application/x-tex\">x^2</annotation></semantics></math></span><span class=\"katex-html\" aria-hidden=\"true\"><span>x2</span></span></span>.</p>",
            "so $x^2$.",
        ),
        ("<p>H<sub>2</sub>O</p>", "H<sub>2</sub>O"),
        (
            "<p><a href=\"https://e.org/a_b\">site</a> <a href=\"https://e.org\">https://e.org</a></p>",
            "[site](https://e.org/a_b) <https://e.org>",
        ),
        ("<p><img src=\"a.png\" alt=\"x_y\"></p>", "![x_y](a.png)"),
        // The page's own buttons are none of its text.
        ("1 / 2<div class=\"markdown prose\"><p>Answer</p></div>", "Answer"),
        ("<div>1 / 2</div>", "1 / 2"),
        ("<p>Copy123 chars / 45 words</p><p>Hello</p>", "Hello"),
        ("<p>a</p><script>x()</script><p>b</p>", "a\n\nb"),
        ("<table><tr><td></table><ul></ul><p> </p>", ""),
    ] {
        assert_eq!(markdown(page, Mode::Correct).unwrap(), expected, "{page}");
    }
}

#[test]
fn what_a_user_wrote_is_kept_as_he_wrote_it() {
    let answer = "<p>Close the <code>div</code>.</p>";
    for (question, expected) in [
        ("fix <div>my_page</div> please", "fix <div>my_page</div> please"),
        ("<html><body><p>x</p></body></html>", "<html><body><p>x</p></body></html>"),
        ("def f(a, *b):\n    return a < 3\n\n\nthanks", "def f(a, *b):\n    return a < 3\n\n\nthanks"),
        ("<div>def f():\n    return a &lt; 3</div>", "def f():\n    return a < 3"),
        ("<div class=\"x\"><p>a</p><p>b</p></div>", "a\n\nb"),
        ("one<br><br>two", "one\n\ntwo"),
        ("  1 / 2 of <T>\r\n", "1 / 2 of <T>"),
    ] {
        let (_, kept) = Run::rows(&[row("a", &[question, answer])]).clean(&correct());
        assert_eq!(kept[0]["conversations"][0]["value"], expected, "{question}");
        assert_eq!(kept[0]["conversations"][1]["value"], "Close the `div`.");
    }
}

#[test]
fn rules_drop_what_they_should_and_no_more() {
    let long = "<p>A long enough answer to a question.</p>";
    let rows = [
        row("kept", &["an openair concert?", long]),
        json!({"id": "leading", "conversations": [
            {"from": "gpt", "value": "Hello!"}, {"from": "user", "value": "What is a vicuña?"},
            {"from": "chatgpt", "value": "<p>A wild camelid of the Andes.</p>"}, {"from": "human", "value": "And?"}]}),
        row("blocked", &["What did ChatGPT say?", long]),
        row("attribute", &["See?", "<p><a href=\"https://openai.example.org\">A page of somebody.</a></p>"]),
        json!({"id": "order", "conversations": [
            {"from": "human", "value": "x"}, {"from": "human", "value": "y"}, {"from": "gpt", "value": long}]}),
        row("ends", &["A question at the beginning?", long, "And then?", "<p> </p>", "More?", long]),
        row("short", &["hi", "<p>hello</p>"]),
        row("kept", &["Another question with a known id?", long]),
        row("same", &["an openair  concert?", "<p>A long enough answer to a question.</p> "]),
        json!({"id": "plugin", "plugins": ["x"], "conversations": turns(&["A question of plugins?", long])}),
        json!({"id": "nobody", "conversations": [{"from": "?", "value": "x"}]}),
    ];
    let run = Run::rows(&rows);
    let lineage = run.path("lineage.jsonl");
    let (summary, kept) = run.clean(&CleanOptions { lineage: Some(lineage.clone()), ..correct() });
    let ids: Vec<&Value> = kept.iter().map(|row| &row["id"]).collect();
    assert_eq!(ids, ["kept", "leading", "ends", "same"]);
    assert_eq!(kept[1]["conversations"].as_array().unwrap().len(), 2);
    assert_eq!(kept[2]["conversations"].as_array().unwrap().len(), 2);
    let fates: Vec<Value> =
        std::fs::read_to_string(lineage).unwrap().lines().map(|line| line.parse().unwrap()).collect();
    let rule = |id: &str| fates.iter().rfind(|fate| fate["id"] == id).unwrap()["rule"].clone();
    for (id, expected) in [
        ("blocked", "blocked-word"),
        ("attribute", "blocked-word"),
        ("order", "wrong-format"),
        ("short", "too-short"),
        ("kept", "id-duplicate"),
        ("plugin", "plugin"),
        ("nobody", "unreadable"),
    ] {
        assert_eq!(rule(id), expected, "{id}");
    }
    assert_eq!(fates[2]["turn"], 1);
    assert_eq!(fates[2]["span"], json!([9, 16]));
    assert_eq!(fates[1]["left_out"][0]["rule"], "leading-answer");
    assert_eq!(fates[5]["left_out"][0], json!({"rule": "empty-turn", "turn": 3, "turns": 4, "rounds": 2}));
    assert_eq!(summary.dropped_by(Rule::BlockedWord), 2);
}

#[test]
fn near_duplicates_name_the_first() {
    let text = |change: usize| {
        let word = |n| if n == change { "other".to_owned() } else { format!("word{}", n * n % 997) };
        (0..300).map(word).collect::<Vec<_>>().join(" ")
    };
    let question = "Which words are there in this list, one after the other?";
    let rows = [
        row("first", &[question, &text(500)]),
        row("near", &[question, &text(150)]),
        row("same", &[question, &text(500)]),
        row(
            "far",
            &[
                "Something else is asked here.",
                "And it is answered in quite other words than those before it.",
            ],
        ),
    ];
    let run = Run::rows(&rows);
    let lineage = run.path("lineage.jsonl");
    let (summary, kept) = run.clean(&CleanOptions { lineage: Some(lineage.clone()), ..correct() });
    assert_eq!(kept.len(), 2);
    assert_eq!((summary.dropped_by(Rule::NearDuplicate), summary.dropped_by(Rule::ValueDuplicate)), (1, 1));
    let fates = std::fs::read_to_string(lineage).unwrap();
    assert_eq!(fates.matches("\"duplicate_of\":\"first\"").count(), 2, "{fates}");
    let (_, kept) = run.clean(&CleanOptions { near_duplicates: 1.1, ..correct() });
    assert_eq!(kept.len(), 3);
}

#[test]
fn words_of_ones_own_are_blocked_and_personal_data_masked() {
    let run = Run::rows(&[
        row("a", &["Mail jo@example.org about ChatGPT?", "<p>Call +49 30 1234 5678 instead.</p>"]),
        row("b", &["Do you like soup, as an AI?", "<p>Yes, very much indeed.</p>"]),
    ]);
    let list = run.path("blocked.txt");
    std::fs::write(&list, "# words of ours\nas an AI\n\n").unwrap();
    let options = CleanOptions { blocked: Blocked::read(&list).unwrap(), mask_personal: true, ..correct() };
    let (summary, kept) = run.clean(&options);
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0]["conversations"], turns(&["Mail [email] about ChatGPT?", "Call [phone] instead."]));
    assert_eq!(json!(summary.masked), json!({"email": 1, "phone": 1}));
}

fn any_turn() -> impl Strategy<Value = Value> {
    let from = prop_oneof![6 => Just("human"), 6 => Just("gpt"), 1 => Just("system"), 1 => Just("nobody")];
    let value = prop_oneof![
        Just("A question or an answer of some length.".to_owned()),
        Just(" ".to_owned()),
        Just("<p>Some <b>page</b></p>".to_owned()),
        Just("ChatGPT".to_owned()),
        "[a-z<>/&;]{0,12}",
    ];
    (from, value).prop_map(|(from, value)| json!({"from": from, "value": value}))
}

/// Random turns, and such that take turns, so that some are kept.
fn any_row() -> impl Strategy<Value = Value> {
    let texts = prop::collection::vec(prop_oneof!["[a-z]{3,20}", "[ ]{0,1}"], 0..8);
    let in_turns = texts.prop_map(|texts| turns(&texts.iter().map(String::as_str).collect::<Vec<_>>()));
    let any = prop::collection::vec(any_turn(), 0..8).prop_map(Value::Array);
    (0..20, prop_oneof![in_turns, any]).prop_map(|(id, turns)| json!({"id": id, "conversations": turns}))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn rounds_in_are_rounds_out_and_listed_drops(
        rows in prop::collection::vec(any_row(), 0..24), exact in any::<bool>(),
    ) {
        let run = Run::rows(&rows);
        let lineage = run.path("lineage.jsonl");
        let mode = if exact { Mode::FastchatExact } else { Mode::Correct };
        let options = CleanOptions { lineage: Some(lineage.clone()), ..CleanOptions::new(mode) };
        let out = run.path("out.json");
        let summary = match clean(&run.input, &out, &options, &GO_ON) {
            Ok(summary) => summary,
            // A file without a single row that can be read is none to clean.
            Err(error) => {
                let unreadable = |row: &Value| {
                    let turns = row["conversations"].as_array().unwrap();
                    turns.iter().any(|turn| turn["from"] == "nobody")
                };
                prop_assert!(!rows.is_empty() && rows.iter().all(unreadable), "{}", error);
                prop_assert!(error.to_string().contains("in.json"), "{}", error);
                prop_assert!(!out.exists() && !lineage.exists());
                return Ok(());
            }
        };
        let kept: Vec<Value> = serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap();
        let answers = |rows: &[Value]| -> u64 {
            let turns = rows.iter().filter_map(|row| row["conversations"].as_array());
            let pairs = turns.flat_map(|turns| turns.windows(2).map(|pair| (&pair[0]["from"], &pair[1]["from"])));
            pairs.filter(|(asks, answers)| *asks == "human" && *answers == "gpt").count() as u64
        };
        prop_assert_eq!(summary.rounds_out, answers(&kept));
        let fates: Vec<Value> =
            std::fs::read_to_string(lineage).unwrap().lines().map(|line| line.parse().unwrap()).collect();
        prop_assert_eq!(fates.len(), rows.len());
        for (row, fate) in rows.iter().zip(&fates) {
            let number = |key: &str| fate[key].as_u64().unwrap();
            if fate["rule"] != "unreadable" {
                prop_assert_eq!(number("rounds_in"), answers(std::slice::from_ref(row)));
            }
            let left_out = fate["left_out"].as_array().unwrap().iter().map(|cut| cut["rounds"].as_u64().unwrap());
            if fate["kept"] == true {
                prop_assert_eq!(number("rounds_in"), number("rounds_out") + left_out.sum::<u64>(), "{}", fate);
            }
        }
        let dropped: u64 = summary.dropped.values().map(|dropped| dropped.rounds).sum();
        let left_out: u64 = summary.left_out.values().map(|left_out| left_out.rounds).sum();
        prop_assert_eq!(summary.rounds_in, summary.rounds_out + dropped + left_out);
        let conversations: u64 = summary.dropped.values().map(|dropped| dropped.conversations).sum();
        prop_assert_eq!(summary.total, summary.kept + conversations);
    }
}

#[test]
fn every_form_of_output_holds_the_same_and_is_read_again() {
    let rows: Vec<Value> = (0..30)
        .map(|n| {
            let (question, answer) =
                (format!("What is number {n}?"), format!("<p>It is <b>{n}</b> &lt; {}</p>", n * 7 + 1));
            json!({"id": format!("id{n}"), "model": "gpt4", "conversations": turns(&[&question, &answer])})
        })
        .collect();
    let run = Run::rows(&rows);
    let out = |from: &Path, name: &str| {
        let path = run.path(name);
        clean(from, &path, &correct(), &GO_ON).unwrap();
        path
    };
    let (_, expected) = run.clean(&correct());
    for name in ["a.jsonl", "b.json.gz", "c.jsonl.zst", "d.parquet"] {
        // What was cleaned once is clean: a second time gives the same.
        let again = out(&out(&run.input, name), "again.json");
        let again: Vec<Value> = serde_json::from_slice(&std::fs::read(again).unwrap()).unwrap();
        let turns = |rows: &[Value]| rows.iter().map(|row| row["conversations"].clone()).collect::<Vec<_>>();
        assert_eq!(turns(&again), turns(&expected), "{name}");
    }
    let lineage = run.path("lineage.parquet");
    let options = CleanOptions { lineage: Some(lineage.clone()), ..correct() };
    let (summary, _) = run.clean(&options);
    assert_eq!(summary.kept, 30);
    assert!(std::fs::read(lineage).unwrap().starts_with(b"PAR1"));
    let error = clean(&run.input, &run.path("out.txt"), &correct(), &GO_ON).unwrap_err();
    assert!(error.to_string().contains(".parquet"), "{error}");
}

#[test]
fn a_bad_row_is_named_and_skipped_or_fatal() {
    let good = row("good", &["A question?", "<p>And a long enough answer.</p>"]).to_string();
    let run = Run::of(format!("{good}\n{{\"id\": \"bad\", \"conversations\": 3}}\n{{\"id\": \n[1]\n"));
    let (summary, kept) = run.clean(&correct());
    assert_eq!((kept.len(), summary.dropped_by(Rule::Unreadable)), (1, 3));
    let names: Vec<&str> =
        summary.dropped[&Rule::Unreadable].examples.iter().map(|example| example.name.as_str()).collect();
    assert_eq!(names, ["bad", "line 3", "line 4"]);
    std::fs::remove_file(run.path("out.json")).unwrap();
    let error = run.fails(&CleanOptions { strict: true, ..correct() }).to_string();
    assert!(error.contains("line 2: id bad") && error.contains("list of turns"), "{error}");
}

#[test]
fn a_file_without_a_row_that_can_be_read_is_none_to_clean() {
    let nobody = json!({"id": 0, "conversations": [{"from": "nobody", "value": "A text."}]});
    let no_turns = json!({"id": 1, "conversations": 3});
    // The exact mode drops the first as too short before it looks at who speaks, as FastChat does.
    for (mode, rows) in [
        (Mode::Correct, vec![nobody.clone()]),
        (Mode::Correct, vec![nobody, no_turns.clone(), json!("a text")]),
        (Mode::FastchatExact, vec![no_turns, json!("a text")]),
    ] {
        let error = Run::rows(&rows).fails(&CleanOptions::new(mode)).to_string();
        assert!(error.contains("in.json") && error.contains("unreadable"), "{mode:?}: {error}");
    }
}

#[test]
fn a_file_that_is_cut_is_an_error_or_used_as_far_as_it_goes() {
    let rows: Vec<Value> = (0..5)
        .map(|n| row(&n.to_string(), &[&format!("Question {n}?"), "<p>A long enough answer.</p>"]))
        .collect();
    let whole = serde_json::to_vec(&rows).unwrap();
    let run = Run::of(&whole[..whole.len() - 40]);
    assert!(run.fails(&correct()).to_string().contains("cut off at item 5"));
    let (summary, kept) = run.clean(&CleanOptions { salvage: true, ..correct() });
    assert_eq!(kept.len(), 4);
    assert!(summary.cut_off.unwrap().contains("cut off at item 5"));
}

#[test]
fn deep_pages_and_long_conversations_are_read_to_their_end() {
    let nested = "<b><div>".repeat(65_000) + "deep" + &"</div></b>".repeat(65_000);
    let unclosed = "<div>".repeat(200_000) + "deep";
    let items = "<li>".repeat(250_000);
    let quotes = "&lt;".repeat(50_000) + &"<".repeat(300_000) + &"<a href=\"".repeat(50_000);
    let pages = [nested, unclosed, items, quotes];
    let long: Vec<String> = (0..10_000).map(|n| format!("<p>turn {n}</p>")).collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    let mut rows: Vec<Value> = (pages.iter().enumerate())
        .map(|(n, page)| row(&format!("page{n}"), &[&format!("What of page {n}?"), page]))
        .collect();
    rows.push(row("long", &long));
    let run = Run::rows(&rows);
    for mode in Mode::ALL {
        let (summary, kept) = run.clean(&CleanOptions::new(mode));
        assert_eq!(summary.total, 5);
        let of_long = kept.iter().find(|row| row["id"] == "long").unwrap();
        assert_eq!(of_long["conversations"].as_array().unwrap().len(), 10_000);
        if mode == Mode::Correct {
            assert!(kept[0]["conversations"][1]["value"].as_str().unwrap().contains("deep"));
            assert_eq!(kept.len(), 5 - usize::from(summary.dropped_by(Rule::TooShort) > 0));
        }
    }
}

#[test]
fn shards_together_are_the_whole() {
    let rows: Vec<Value> = (0..40)
        .map(|n| {
            row(&(n % 33).to_string(), &[&format!("Question {}?", n % 20), "<p>A long enough answer.</p>"])
        })
        .collect();
    let run = Run::rows(&rows);
    let (_, whole) = run.clean(&correct());
    let mut parts: Vec<Value> = ["1/3", "2/3", "3/3"]
        .iter()
        .flat_map(|shard| run.clean(&CleanOptions { shard: shard.parse().unwrap(), ..correct() }).1)
        .collect();
    parts.sort_by_key(|row| row["id"].as_str().unwrap().parse::<u32>().unwrap());
    assert_eq!(parts, whole);
}

#[test]
fn a_stop_and_a_full_disk_leave_nothing_behind() {
    let rows: Vec<Value> = (0..2000)
        .map(|n| {
            row(&n.to_string(), &[&format!("Question {n}?"), &format!("<p>An answer to question {n}.</p>")])
        })
        .collect();
    let run = Run::rows(&rows);
    let out = run.path("out.json");
    let stopped = clean(&run.input, &out, &correct(), &AtomicBool::new(true)).unwrap_err();
    assert!(matches!(stopped, CleanError::Interrupted));
    assert!(!out.exists() && std::fs::read_dir(run.folder.path()).unwrap().count() == 1);
    let Some(disk) = SmallDisk::mount("64k") else { return };
    for name in ["out.json", "out.jsonl.zst", "out.parquet"] {
        let out = disk.path().join(name);
        match clean(&run.input, &out, &correct(), &GO_ON) {
            Err(error) => assert!(error.to_string().contains("No space left"), "{error}"),
            // Compressed it may fit.
            Ok(_) => assert!(name != "out.json" && std::fs::remove_file(&out).is_ok()),
        }
        assert_eq!(std::fs::read_dir(disk.path()).unwrap().count(), 0, "{name}");
    }
}
