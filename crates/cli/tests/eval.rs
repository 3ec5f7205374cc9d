//! `camelid eval ratings` and `camelid eval agreement` on good and bad files.

mod camelid;

use std::fs;
use std::path::{Path, PathBuf};

use camelid_ratings::{read, to_frame};
use camelid_report::write_parquet;
use serde_json::Value;

use camelid::{entries, error_of, output_of, text};
use camelid_tests::oracles;

const HEADER: &str = "model_a,model_b,winner,question,judge,language,turn\n";

/// Sixty battles among three models, by two judges, in two languages; two rows are damaged.
fn battles() -> String {
    let mut rows = HEADER.to_owned();
    for i in 0..60u32 {
        let (a, b) = [("alpaca", "koala"), ("koala", "vicuna"), ("vicuna", "alpaca")][i as usize % 3];
        let winner = match (i / 3) % 5 {
            0 => "tie",
            1 => "model_b",
            _ if a == "alpaca" => "model_b",
            _ => "model_a",
        };
        let (judge, language) = if i % 2 == 0 { ("gpt-4", "English") } else { ("expert_0", "German") };
        rows += &format!("{a},{b},{winner},{},{judge},{language},{}\n", i / 6, 1 + i % 2);
    }
    rows + "alpaca,koala,modelb,1,gpt-4,English,1\nalpaca,alpaca,tie,1,gpt-4,English,1\n"
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

fn ratings(file: &Path, more: &[&str]) -> String {
    output_of(&[&["eval", "ratings", text(file)][..], more].concat())
}

fn rated(file: &Path, more: &[&str]) -> Value {
    serde_json::from_str(&ratings(file, &[more, &["--json"][..]].concat())).unwrap()
}

#[test]
fn battles_are_rated_and_what_was_dropped_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "votes.csv", &battles());
    let said = ratings(&file, &[]);
    assert!(said.contains("Bradley–Terry by maximum likelihood: 60 battles (12 ties) of 3 models"), "{said}");
    let place = |model: &str| said.find(&format!("  {model} ")).unwrap();
    assert!(place("vicuna") < place("alpaca"), "{said}");
    for part in [
        "bootstrap",
        "sandwich",
        "Position effect",
        "first − second",
        "The answer shown first scores",
        "Dropped: 2 of 62 rows",
        "votes.csv, row 61: `winner` is \"modelb\"; expected model_a",
        "row 62: `model_b` is alpaca; expected another model",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(said, ratings(&file, &[]), "the same bits every time");
    assert_ne!(said, ratings(&file, &["--seed", "1"]));
}

#[test]
fn every_method_gives_a_leaderboard() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "votes.csv", &battles());
    for (method, more) in [
        ("elo", vec!["--k", "32", "--initial", "1200"]),
        ("elo-averaged", vec!["--orderings", "50", "--matches", "40", "--ties", "skip"]),
        ("bradley-terry", vec!["--anchor", "alpaca=800", "--ties", "rao-kupper", "--ridge", "0.01"]),
        ("win-rate", vec!["--unit", "questions", "--bootstrap", "50"]),
    ] {
        let report = rated(&file, &[&["--method", method][..], &more].concat());
        let rows = report["leaderboard"]["rows"].as_array().unwrap();
        assert_eq!(rows.len(), 3, "{method}");
        for row in rows {
            let (low, high) =
                (row["bootstrap"]["low"].as_f64().unwrap(), row["bootstrap"]["high"].as_f64().unwrap());
            assert!(
                low <= row["rating"].as_f64().unwrap() && row["rating"].as_f64().unwrap() <= high,
                "{method} {row}"
            );
        }
        if method == "bradley-terry" {
            let alpaca = rows.iter().find(|row| row["model"] == "alpaca").unwrap();
            assert!((alpaca["rating"].as_f64().unwrap() - 800.0).abs() < 1e-6);
        }
    }
    let said = error_of(&["eval", "ratings", text(&file), "--method", "style"]);
    assert!(said.contains("60 of 60 battles carry no style features") && said.contains("length_a"), "{said}");

    let header = "model_a,model_b,winner,length_a,length_b,bold_a,bold_b\n";
    let rows = (0..40).map(|i| {
        let winner = if i % 3 == 0 { "model_b" } else { "model_a" };
        format!("x,y,{winner},{},{},{},1\n", 100 + i, 90 + (i * 7) % 40, i % 2)
    });
    let styled = write(dir.path(), "styled.csv", &(header.to_owned() + &rows.collect::<String>()));
    let said = ratings(&styled, &["--method", "style"]);
    assert!(said.contains("one standard deviation of style is worth") && said.contains("  length"), "{said}");
}

#[test]
fn the_files_hold_the_whole_report() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "votes.csv", &battles());
    let (table, page) = (dir.path().join("board.parquet"), dir.path().join("board.html"));
    ratings(&file, &["--parquet", text(&table), "--html", text(&page)]);
    assert_eq!(entries(dir.path()), ["board.html", "board.parquet", "votes.csv"]);
    // A leaderboard is no table of battles, and says which columns it has instead.
    let columns = read(&table).unwrap_err().to_string();
    for column in ["rank", "model", "rating", "bootstrap_low", "sandwich_high", "advantage"] {
        assert!(columns.contains(column), "{columns}");
    }
    let page = fs::read_to_string(&page).unwrap();
    assert_eq!(page.matches("<svg").count(), 3, "rating intervals, win matrix, position effect");
    assert!(page.contains("row 61: `winner`") && page.contains("Repeat with <code>camelid eval ratings"));
    for outside in ["<script", "<link", "src=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn battles_are_chosen_by_language_judge_turn_and_number() {
    let dir = tempfile::tempdir().unwrap();
    let mut rows = battles();
    rows += "llama,alpaca,model_b,1,gpt-4,English,1\n";
    let file = write(dir.path(), "votes.csv", &rows);
    let battles = |more: &[&str]| rated(&file, more)["leaderboard"]["battles"].as_u64().unwrap();
    assert_eq!(battles(&[]), 61);
    assert_eq!(battles(&["--language", "German"]), 30);
    assert_eq!(battles(&["--language", "German", "--language", "English", "--min-battles", "2"]), 60);
    assert_eq!(battles(&["--judge", "gpt-4", "--turn", "1"]), 31);
    for (more, expected) in [
        (["--language", "French"], "no battle has the language `French`; languages: English, German"),
        (["--judge", "claude"], "no battle has the judge `claude`; judges: gpt-4, expert_0"),
        (["--turn", "3"], "no battle has the turn `3`; turns: 1, 2"),
        (["--min-battles", "1000"], "no battles: there is none between models with 1000 battles or more"),
    ] {
        let said = error_of(&[&["eval", "ratings", text(&file)][..], &more].concat());
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn judges_are_compared_with_humans() {
    let dir = tempfile::tempdir().unwrap();
    let mut rows = HEADER.to_owned();
    for question in 0..20 {
        let turn = 1 + question % 2;
        rows += &format!("x,y,model_a,{question},gpt-4,English,{turn}\n");
        let human = if question % 4 == 0 { "model_b" } else { "model_a" };
        rows += &format!("y,x,{human},{question},expert_{question},English,{turn}\n");
        rows += &format!("x,y,tie,{question},author_0,English,{turn}\n");
    }
    let file = write(dir.path(), "votes.csv", &rows);
    let (table, page) = (dir.path().join("out.parquet"), dir.path().join("out.html"));
    let outputs = ["--parquet", text(&table), "--html", text(&page)];
    let said = output_of(&[&["eval", "agreement", text(&file)][..], &outputs].concat());
    // Of forty pairs of votes with humans five agree; of the twenty that both decided five.
    let words: Vec<&str> = said.split_whitespace().collect();
    let words = words.join(" ");
    assert!(words.contains("human 21 40"), "{said}");
    assert!(words.contains("gpt-4 human all 12.5 % [5.5, 26.1] 40 25.0 % [11.2, 46.9] 20"), "{said}");
    assert!(fs::read_to_string(&page).unwrap().contains("gpt-4 – human, turn 2"));
    assert!(read(&table).unwrap_err().to_string().contains("compared_without_ties"));
    let apart = output_of(&["eval", "agreement", text(&file), "--group", "authors=author_0", "--turn", "1"]);
    assert!(apart.contains("authors") && apart.contains("expert_2") && !apart.contains("human"), "{apart}");
    let alone = error_of(&["eval", "agreement", text(&file), "--judge", "gpt-4"]);
    assert!(alone.contains("no two judges voted on the same pair, question and turn"), "{alone}");
    let wrong = error_of(&["eval", "agreement", text(&file), "--group", "authors"]);
    assert!(wrong.contains("expected NAME=JUDGE"), "{wrong}");
}

#[test]
fn bad_battle_files_are_told_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| write(dir.path(), name, text);
    for (path, expected) in [
        (file("empty.csv", ""), "empty.csv: no column `model_a`"),
        (file("header.csv", HEADER), "header.csv: no battles: there is not one row"),
        (file("empty.jsonl", ""), "empty.jsonl: no battles: there is not one row"),
        (file("one.csv", "model_a,model_b,winner\nx,x,tie\n"), "one.csv: only one model, `x`"),
        (
            file("label.csv", "model_a,model_b,winner\nx,y,left\n"),
            "label.csv: no battles: all 1 rows were rejected, the first: label.csv, row 1: `winner` is \"left\"; expected \
             model_a, model_b, tie",
        ),
        (dir.path().join("nowhere.csv"), "nowhere.csv: cannot read the battles"),
        (file("cut.json", "[{\"model_a\": \"x\", \"mod"), "cut.json: not a sound JSON file"),
        (dir.path().to_owned(), "cannot read the battles"),
    ] {
        for command in ["ratings", "agreement"] {
            let said = error_of(&["eval", command, text(&path)]);
            assert!(said.starts_with("error: ") && said.contains(expected), "{command}: {said}");
        }
    }
    let good = file("good.csv", &battles());
    let both = error_of(&["eval", "ratings", text(&good), text(&dir.path().join("header.csv"))]);
    assert!(both.contains("header.csv: no battles"), "{both}");
    assert!(error_of(&["eval", "ratings"]).contains("<FILE>"));
}

#[test]
fn a_truncated_parquet_file_is_an_error_wherever_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let csv = write(dir.path(), "votes.csv", &battles());
    let whole = dir.path().join("votes.parquet");
    write_parquet(&whole, &mut to_frame(&read(&csv).unwrap()).unwrap()).unwrap();
    let battles = |file: &Path| rated(file, &[])["leaderboard"]["rows"].clone();
    assert_eq!(battles(&whole), battles(&csv));
    let bytes = fs::read(&whole).unwrap();
    let cut = dir.path().join("cut.parquet");
    for length in [0, 3, 8, bytes.len() / 2, bytes.len() - 8, bytes.len() - 1] {
        fs::write(&cut, &bytes[..length]).unwrap();
        let said = error_of(&["eval", "ratings", text(&cut)]);
        assert!(said.contains("cut.parquet: not a sound Parquet file"), "{length}: {said}");
        assert!(!said.contains("panicked"), "{length}: {said}");
    }
    // The end is there, what it points at is not.
    let mut hollow = bytes.clone();
    hollow.drain(4..bytes.len() / 3);
    fs::write(&cut, hollow).unwrap();
    let said = error_of(&["eval", "ratings", text(&cut)]);
    assert!(said.contains("cut.parquet") && !said.contains("panicked"), "{said}");
}

#[test]
fn options_that_say_nothing_are_refused_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "votes.csv", &battles());
    let nowhere = dir.path().join("none/board.html");
    for (more, expected) in [
        (vec!["--k", "32"], "--k means nothing to --method bradley-terry; it is for elo, elo-averaged"),
        (vec!["--method", "elo", "--anchor", "x=1"], "--anchor means nothing to --method elo"),
        (vec!["--method", "elo", "--orderings", "5"], "--orderings means nothing to --method elo"),
        (
            vec!["--method", "elo-averaged", "--ties", "rao-kupper"],
            "`ties` is rao-kupper; expected half or skip",
        ),
        (vec!["--method", "elo-averaged", "--matches", "61"], "`matches per ordering` is 61 of 60"),
        (vec!["--method", "elo", "--k", "-1"], "`k` is -1; expected a positive number"),
        (
            vec!["--anchor", "claude=1000"],
            "there is no battle of model `claude`; models: alpaca, koala, vicuna",
        ),
        (vec!["--anchor", "alpaca"], "expected MODEL=RATING"),
        (vec!["--anchor", "alpaca=1000", "--initial", "1200"], "give one of them"),
        (vec!["--ridge", "0"], "`ridge` is 0; expected a positive number"),
        (vec!["--bootstrap", "1"], "1"),
        (vec!["--method", "glicko"], "bradley-terry"),
        (vec!["--html", text(&nowhere)], "none does not exist"),
        (vec!["--html", text(dir.path())], "is a folder"),
        (vec!["--parquet", text(&file)], "is one of the files to read"),
        (vec!["--format", "mt-bench"], "votes.csv"),
        (vec!["--orderinsg", "5"], "--orderinsg"),
    ] {
        let said = error_of(&[&["eval", "ratings", text(&file)][..], &more].concat());
        assert!(said.contains(expected), "{more:?}: {said}");
        assert_eq!(entries(dir.path()), ["votes.csv"], "{more:?}");
    }
}

#[test]
fn a_board_of_what_little_was_left_is_refused_unless_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let rows = (0..20).map(|i| format!("x,y,{}\n", if i % 3 == 0 { "neither" } else { "model_a" }));
    let file =
        write(dir.path(), "votes.csv", &("model_a,model_b,winner\n".to_owned() + &rows.collect::<String>()));
    for command in ["ratings", "agreement"] {
        let said = error_of(&["eval", command, text(&file)]);
        assert!(
            said.contains("votes.csv: 7 of 20 rows are no battles, the first: votes.csv, row 1"),
            "{said}"
        );
        assert!(said.contains("--allow-dropped"), "{said}");
    }
    let said = ratings(&file, &["--allow-dropped"]);
    assert!(said.contains("13 battles") && said.contains("Dropped: 7 of 20 rows"), "{said}");
}

#[test]
fn counts_are_rated_by_every_method_that_needs_no_single_votes() {
    let dir = tempfile::tempdir().unwrap();
    let counts =
        "model_a,model_b,win_a,win_b,tie,both_bad\nx,y,300,200,50,20\ny,z,120,90,0,10\nz,x,80,150,30,0\n";
    let file = write(dir.path(), "counts.csv", counts);
    for method in ["bradley-terry", "davidson", "rao-kupper", "win-rate"] {
        let report = rated(&file, &["--method", method]);
        assert_eq!(report["leaderboard"]["battles"], 1050, "{method}");
        assert_eq!(report["leaderboard"]["rows"][0]["model"], "x", "{method}");
        assert_eq!(report["counted"], true);
    }
    assert_eq!(rated(&file, &["--no-both-bad"])["leaderboard"]["battles"], 1020);
    let said = error_of(&["eval", "ratings", text(&file), "--method", "elo"]);
    assert!(said.contains("a table of counts holds no single votes"), "{said}");
}

#[test]
fn many_judges_do_not_bury_the_board() {
    let dir = tempfile::tempdir().unwrap();
    let rows = (0..300).map(|i| {
        let winner = if i % 3 == 0 { "model_b" } else { "model_a" };
        format!("x,y,{winner},voter_{},q{i}\n", i / 2)
    });
    let header = "model_a,model_b,winner,judge,question\n".to_owned();
    let file = write(dir.path(), "votes.csv", &(header + &rows.collect::<String>()));
    let said = ratings(&file, &[]);
    assert!(said.lines().count() < 40 && said.contains("… and 140 more judges"), "{said}");
    assert!(ratings(&file, &["--all-judges"]).contains("voter_149"));
}

#[test]
fn qloras_published_judgments_give_its_table() {
    let Some(oracles) = oracles() else { return };
    let folder = oracles.join("qlora-elo/vicuna-pairwise");
    let files: Vec<String> =
        entries(&folder).iter().map(|name| text(&folder.join(name)).to_owned()).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let options =
        ["--method", "elo-averaged", "--k", "32", "--orderings", "2000", "--unit", "questions", "--json"];
    let report: Value =
        serde_json::from_str(&output_of(&[&["eval", "ratings"][..], &files, &options].concat())).unwrap();
    assert_eq!((report["files"].as_array().unwrap().len(), report["read"].as_u64()), (56, Some(4467)));
    assert_eq!(report["dropped"].as_array().unwrap().len(), 13);
    let rows = report["leaderboard"]["rows"].as_array().unwrap();
    assert_eq!((&rows[0]["model"], &rows[1]["model"]), (&"gpt4".into(), &"65b-guanaco".into()));
    assert!((rows[0]["rating"].as_f64().unwrap() - 1375.0).abs() < 4.0, "{}", rows[0]);
    assert!(report["position"]["overall"]["first"] == 2512, "{}", report["position"]["overall"]);
}
