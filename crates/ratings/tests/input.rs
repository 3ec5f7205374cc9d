//! Battles from files: the published formats, and what is wrong with bad ones.

use std::path::PathBuf;

use camelid_ratings::{
    Battles, BradleyTerry, Elo, Format, NamedBattle, Outcome, PairCounts, RatingsError, Style, from_frame,
    read, read_as, to_frame,
};
use polars::prelude::{Column, DataFrame, ParquetWriter};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

fn outcomes(battles: &Battles) -> Vec<(String, String, Outcome)> {
    let named = battles.rows().iter().map(|row| battles.named(row));
    named.map(|b| (b.model_a.to_owned(), b.model_b.to_owned(), b.outcome)).collect()
}

fn battle(a: &str, b: &str, outcome: Outcome) -> (String, String, Outcome) {
    (a.to_owned(), b.to_owned(), outcome)
}

#[test]
fn an_empty_file_says_that_it_is_empty() {
    let folder = Folder::new();
    for (name, text) in [("b.jsonl", ""), ("b.json", "[]"), ("b.csv", "model_a,model_b,winner\n")] {
        let error = read(&folder.write(name, text)).unwrap_err();
        assert!(matches!(error, RatingsError::Empty { .. }), "{name}: {error}");
        assert!(error.to_string().contains(name), "{error}");
        assert!(error.to_string().contains("not one row"), "{error}");
    }
    let missing = read(&folder.0.path().join("none.jsonl")).unwrap_err().to_string();
    assert!(missing.contains("none.jsonl") && missing.contains("cannot read"), "{missing}");
}

#[test]
fn unknown_winner_labels_are_counted_and_named() {
    let folder = Folder::new();
    let text = "model_a,model_b,winner\nx,y,model_a\nx,y,modelb\ny,x,tie (bothbad)\nx,x,tie\n,y,tie\nx,y\n";
    let battles = read(&folder.write("votes.csv", text)).unwrap();
    let expected = [battle("x", "y", Outcome::ModelA), battle("y", "x", Outcome::Tie)];
    assert_eq!(outcomes(&battles), expected);
    let rejected: Vec<String> = battles.rejected().iter().map(ToString::to_string).collect();
    assert_eq!(rejected.len(), 4, "{rejected:?}");
    assert!(
        rejected[0].starts_with("votes.csv, row 2: `winner` is \"modelb\"; expected model_a"),
        "{rejected:?}"
    );
    assert!(rejected[1].contains("row 4: `model_b` is x; expected another model"), "{rejected:?}");
    assert!(rejected[2].contains("row 5: `model_a` is missing"), "{rejected:?}");
    assert!(rejected[3].contains("row 6: `line`"), "{rejected:?}");

    let all_bad = read(&folder.write("bad.csv", "model_a,model_b,winner\nx,y,?\nx,y,left\n")).unwrap_err();
    let message = all_bad.to_string();
    assert!(
        message.contains("all 2 rows were rejected") && message.contains("`winner` is \"?\""),
        "{message}"
    );
}

#[test]
fn a_missing_column_is_named_with_those_there_are() {
    let folder = Folder::new();
    let error = read(&folder.write("votes.csv", "model_a,model_b,verdict\nx,y,model_a\n")).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("no column `winner`; there are: model_a, model_b, verdict"), "{message}");
    let error = read(&folder.write("votes.jsonl", "{\"model_a\": \"x\", \"model_b\": \"y\"}\n")).unwrap_err();
    assert!(error.to_string().contains("row 1: `winner` is missing; expected model_a"), "{error}");

    let path = folder.0.path().join("votes.parquet");
    let columns = vec![Column::new("model_a".into(), ["x"]), Column::new("winner".into(), ["tie"])];
    let mut frame = DataFrame::new(1, columns).unwrap();
    ParquetWriter::new(std::fs::File::create(&path).unwrap()).finish(&mut frame).unwrap();
    let message = read(&path).unwrap_err().to_string();
    assert!(message.contains("no column `model_b`; there are: model_a, winner"), "{message}");
}

#[test]
fn damaged_files_are_errors_and_damaged_lines_are_rows() {
    let folder = Folder::new();
    let cut =
        folder.write("cut.json", "[{\"model_a\": \"x\", \"model_b\": \"y\", \"winner\": \"tie\"}, {\"mod");
    assert!(matches!(read(&cut).unwrap_err(), RatingsError::Damaged { expected: "JSON", .. }));
    let sound = "{\"model_a\": \"x\", \"model_b\": \"y\", \"winner\": \"tie\"}";
    let battles =
        read(&folder.write("cut.jsonl", &format!("{sound}\n[1]\n{sound}\n{{\"model_a\": \"x\n"))).unwrap();
    assert_eq!((battles.rows().len(), battles.rejected().len()), (2, 2));
    assert_eq!((battles.rejected()[0].row, battles.rejected()[1].row), (2, 4));
    let broken = read(&folder.write("b.parquet", "PAR1 no more than this")).unwrap_err();
    assert!(matches!(broken, RatingsError::Damaged { expected: "Parquet", .. }), "{broken}");
}

#[test]
fn one_model_only_is_an_error() {
    let folder = Folder::new();
    let error =
        read(&folder.write("self.csv", "model_a,model_b,winner\nx,x,model_a\nx,x,tie\n")).unwrap_err();
    assert!(
        error.to_string().contains("self.csv: only one model, `x`; ratings compare at least two"),
        "{error}"
    );
    assert!(matches!(PairCounts::new(&Battles::new()), Err(RatingsError::Empty { .. })));
}

#[test]
fn chatbot_arena_battles_with_style() {
    let folder = Folder::new();
    let text = r#"[
        {"model_a": "koala-13b", "model_b": "vicuna-13b", "winner": "model_b", "judge": "arena_user_1",
         "turn": 1, "anony": true, "language": "English", "tstamp": 1682351591.1, "question_id": "58",
         "conv_metadata": {"sum_assistant_a_tokens": 100, "sum_assistant_b_tokens": 250,
            "header_count_a": {"h1": 1, "h2": 2}, "header_count_b": {"h1": 0},
            "list_count_a": {"ordered": 3, "unordered": 1}, "list_count_b": {"ordered": 0},
            "bold_count_a": {"**": 2, "__": 0}, "bold_count_b": {"**": 5}}},
        {"model_a": "koala-13b", "model_b": "vicuna-13b", "winner": "tie (bothbad)", "tstamp": 1682351600,
         "anony": true},
        {"model_a": "koala-13b", "model_b": "vicuna-13b", "winner": "model_a", "anony": false}
    ]"#;
    let battles = read(&folder.write("clean_battle.json", text)).unwrap();
    let first = battles.named(&battles.rows()[0]);
    assert_eq!(
        (first.outcome, first.question, first.language),
        (Outcome::ModelB, Some("58"), Some("English"))
    );
    assert_eq!(
        (first.turn, first.timestamp, first.judge),
        (Some(1), Some(1682351591.1), Some("arena_user_1"))
    );
    let style = [
        Style { length: 100.0, headers: 3.0, lists: 4.0, bold: 2.0 },
        Style { length: 250.0, headers: 0.0, lists: 0.0, bold: 5.0 },
    ];
    assert_eq!(first.style, Some(style));
    assert_eq!((battles.rows()[1].outcome, battles.rows()[1].style), (Outcome::Tie, None));
    assert_eq!((battles.rows().len(), battles.rejected().len()), (2, 1));
    assert!(battles.rejected()[0].to_string().contains("row 3: `anony` is false"));
}

#[test]
fn mt_bench_judgments_hold_both_orders() {
    let folder = Folder::new();
    let judged = |g1: &str, g2: &str| {
        format!(
            "{{\"question_id\": 81, \"model_1\": \"alpaca-13b\", \"model_2\": \"claude-v1\", \"g1_winner\": \"{g1}\", \
             \"g2_winner\": \"{g2}\", \"judge\": [\"gpt-4\", \"pair-v2\"], \"turn\": 2, \"tstamp\": 1687.5}}\n"
        )
    };
    let text =
        [judged("model_2", "model_2"), judged("tie", "model_1"), judged("error", "alpaca-13b")].concat();
    let battles = read(&folder.write("gpt-4_pair.jsonl", &text)).unwrap();
    let (one, two) = ("alpaca-13b", "claude-v1");
    let expected = [
        battle(one, two, Outcome::ModelB),
        battle(two, one, Outcome::ModelA),
        battle(one, two, Outcome::Tie),
        battle(two, one, Outcome::ModelB),
        battle(two, one, Outcome::ModelB),
    ];
    assert_eq!(outcomes(&battles), expected);
    let first = battles.named(&battles.rows()[0]);
    assert_eq!((first.judge, first.question, first.turn), (Some("gpt-4 pair-v2"), Some("81"), Some(2)));
    assert_eq!(battles.rejected().len(), 1);
    assert!(battles.rejected()[0].to_string().contains("row 3: `g1_winner` is \"error\""));
}

#[test]
fn alpaca_eval_annotations() {
    let folder = Folder::new();
    let row = |preference: &str| {
        format!(
            "{{\"instruction\": \"Say yes.\", \"generator_1\": \"text_davinci_003\", \"generator_2\": \"guanaco\", \
             \"annotator\": \"alpaca_eval_gpt4\", \"preference\": {preference}}}"
        )
    };
    let rows = ["1", "2.0", "1.5", "0", "1.93", "null", "3"].map(row).join(",");
    let battles = read(&folder.write("annotations.json", &format!("[{rows}]"))).unwrap();
    let found: Vec<Outcome> = battles.rows().iter().map(|row| row.outcome).collect();
    use Outcome::{ModelA, ModelB, Tie};
    assert_eq!(found, [ModelA, ModelB, Tie, Tie, ModelB]);
    let rejected: Vec<String> = battles.rejected().iter().map(ToString::to_string).collect();
    assert!(rejected[0].contains("row 6: `preference` is missing"), "{rejected:?}");
    assert!(rejected[1].contains("row 7: `preference` is 3"), "{rejected:?}");
}

#[test]
fn vicunas_first_review_tables() {
    let folder = Folder::new();
    let review = |score: &str| {
        format!(
            "{{\"review_id\": \"r\", \"question_id\": 1, \"answer1_id\": \"a\", \"answer2_id\": \"b\", \
             \"reviewer_id\": \"gpt-4-0328-generic\", \"metadata\": {{}}, \"text\": \"\", \"score\": {score}}}\n"
        )
    };
    let text = ["[9.0, 8.5]", "[7, 7]", "[6, 8]", "[-1, -1]"].map(review).concat();
    let battles = read(&folder.write("review_gpt35_vicuna-13b.jsonl", &text)).unwrap();
    let found: Vec<Outcome> = battles.rows().iter().map(|row| row.outcome).collect();
    assert_eq!(found, [Outcome::ModelA, Outcome::Tie, Outcome::ModelB]);
    assert_eq!(battles.models(), ["gpt35", "vicuna-13b"]);
    assert_eq!(battles.judges().all(), ["gpt-4-0328-generic"]);
    assert_eq!(battles.rejected()[0].found, "[-1, -1]");
    let unnamed = read_as(&folder.write("scores.jsonl", &text), Format::Reviews).unwrap_err();
    assert!(matches!(unnamed, RatingsError::FileName { .. }), "{unnamed}");
}

#[test]
fn a_frame_keeps_everything_and_rates_the_same() {
    let mut battles = Battles::new();
    let style = Some([
        Style { length: 10.0, ..Style::default() },
        Style { bold: 2.0, length: 7.0, ..Style::default() },
    ]);
    let full = NamedBattle {
        question: Some("q1"),
        judge: Some("human"),
        language: Some("German"),
        turn: Some(2),
        timestamp: Some(5.5),
        style,
        ..NamedBattle::new("x", "y", Outcome::ModelA)
    };
    battles.push(&full).unwrap();
    battles.push(&NamedBattle::new("y", "z", Outcome::Tie)).unwrap();
    battles.push(&NamedBattle::new("z", "x", Outcome::ModelB)).unwrap();
    let mut frame = to_frame(&battles).unwrap();
    let again = from_frame(&frame, "frame").unwrap();
    assert_eq!(again.rows(), battles.rows());
    assert_eq!(again.named(&again.rows()[0]), full);

    let folder = Folder::new();
    let path = folder.0.path().join("battles.parquet");
    ParquetWriter::new(std::fs::File::create(&path).unwrap()).finish(&mut frame).unwrap();
    let read = read(&path).unwrap();
    assert_eq!(read.rows(), battles.rows());
    let rated = |b: &Battles| Elo::default().sequential(b).unwrap();
    assert_eq!(rated(&read), rated(&battles));
    let fitted = |b: &Battles| BradleyTerry::default().fit(&PairCounts::new(b).unwrap()).unwrap();
    assert_eq!(fitted(&read), fitted(&battles));
    let wrong = DataFrame::new(
        1,
        vec![
            Column::new("model_a".into(), ["x"]),
            Column::new("model_b".into(), ["y"]),
            Column::new("winner".into(), [true]),
        ],
    );
    let error = from_frame(&wrong.unwrap(), "votes").unwrap_err().to_string();
    assert!(error.contains("column `winner` holds bool; expected texts or numbers"), "{error}");
}
