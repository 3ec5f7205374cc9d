//! Battles as programs and people write them: each class of input that users met, by another member.

use std::io::Write;
use std::path::{Path, PathBuf};

use camelid_ratings::{
    Battles, BradleyTerry, Elo, Leaderboard, LeaderboardOptions, Method, Needs, Outcome, PairCounts,
    RatingsError, ReadOptions, Selection, Sources, Ties, read, read_all,
};

/// Model a, model b and the verdict: a tie, a win for the first, …
const ROWS: [(&str, &str, &str); 6] = [
    ("x", "y", "model_a"),
    ("y", "z", "model_b"),
    ("z", "x", "tie"),
    ("x", "y", "tie (bothbad)"),
    ("y", "x", "model_a"),
    ("x", "z", "model_b"),
];

fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// A line for each of [`ROWS`], by what makes it.
fn table(header: &str, row: impl Fn(usize, &str, &str, &str) -> String) -> String {
    let rows = ROWS.iter().enumerate().map(|(i, (a, b, winner))| row(i, a, b, winner) + "\n");
    rows.fold(header.to_owned() + "\n", |text, row| text + &row)
}

fn ratings(battles: &Battles) -> Vec<(String, f64)> {
    let fitted = BradleyTerry::default().fit(&PairCounts::new(battles).unwrap()).unwrap();
    let mut rated: Vec<_> = fitted.models.into_iter().zip(fitted.ratings).collect();
    rated.sort_by(|a, b| a.0.cmp(&b.0));
    rated
}

fn sources(path: &Path, needs: Needs) -> Result<Sources, RatingsError> {
    read_all(&[path.to_owned()], &ReadOptions { format: None, needs }, |_| ())
}

#[test]
fn every_kind_of_file_gives_the_same_ratings() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let csv = table("model_a,model_b,winner", |_, a, b, winner| format!("{a},{b},{winner}"));
    let right = ratings(&read(&write(folder, "votes.csv", csv.as_bytes())).unwrap());
    let object = |a: &str, b: &str, winner: &str| {
        format!("{{\"model_a\": \"{a}\", \"model_b\": \"{b}\", \"winner\": \"{winner}\"}}")
    };
    let lines = table("", |_, a, b, winner| object(a, b, winner));
    let array: Vec<String> = ROWS.iter().map(|(a, b, winner)| object(a, b, winner)).collect();
    let column = |of: fn(&(&str, &str, &str)) -> String| {
        let cells = ROWS.iter().enumerate().map(|(i, row)| format!("\"{i}\": \"{}\"", of(row)));
        format!("{{{}}}", cells.collect::<Vec<_>>().join(", "))
    };
    let columns = format!(
        "{{\"model_a\": {}, \"model_b\": {}, \"winner\": {}}}",
        column(|row| row.0.to_owned()),
        column(|row| row.1.to_owned()),
        column(|row| row.2.to_owned())
    );
    let gzip = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(lines.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    for (name, bytes) in [
        ("no_ending", csv.clone().into_bytes()),
        ("tabs.txt", csv.replace(',', "\t").into_bytes()),
        ("semicolons.csv", csv.replace(',', ";").into_bytes()),
        ("blanks.csv", csv.replace(',', " , ").into_bytes()),
        ("lines.log", lines.clone().into_bytes()),
        ("lines.jsonl.gz", gzip),
        ("array.json", format!("[{}]", array.join(",\n")).into_bytes()),
        ("indented.jsonl", array.join("\n").replace(", ", ",\n ").into_bytes()),
        ("wrapped.json", format!("{{\"rows\": [{}]}}", array.join(", ")).into_bytes()),
        ("columns.json", columns.into_bytes()),
        ("blank_names.jsonl", lines.replace("\"x\"", "\" x \"").into_bytes()),
    ] {
        assert_eq!(ratings(&read(&write(folder, name, &bytes)).unwrap()), right, "{name}");
    }
}

#[test]
fn winners_are_labels_or_names_in_any_case_or_a_column_each() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let plain = table("model_a,model_b,winner", |_, a, b, winner| format!("{a},{b},{winner}"));
    let right = ratings(&read(&write(folder, "votes.csv", plain.as_bytes())).unwrap());
    let named = |a: &str, b: &str, winner: &str| match winner {
        "model_a" => a.to_uppercase(),
        "model_b" => b.to_owned(),
        _ => "Tie".to_owned(),
    };
    let one_hot = |winner: &str| {
        ["model_a", "model_b", "tie"]
            .map(|column| if winner.starts_with(column) { "1.0" } else { "0" })
            .join(",")
    };
    for (name, text) in [
        ("case.csv", table("model_a,model_b,winner", |_, a, b, w| format!("{a},{b}, {} ", w.to_uppercase()))),
        ("names.csv", table("model_a,model_b,winner", |_, a, b, w| format!("{a},{b},{}", named(a, b, w)))),
        (
            "columns.csv",
            table("model_a,model_b,winner_model_a,winner_model_b,winner_tie", |_, a, b, w| {
                format!("{a},{b},{}", one_hot(w))
            }),
        ),
    ] {
        assert_eq!(ratings(&read(&write(folder, name, text.as_bytes())).unwrap()), right, "{name}");
    }
    let twice = "model_a,model_b,winner_model_a,winner_model_b,winner_tie\nx,y,1,1,0\ny,x,1,0,0\n";
    let battles = read(&write(folder, "twice.csv", twice.as_bytes())).unwrap();
    assert!(battles.rejected()[0].to_string().contains("exactly one of"), "{:?}", battles.rejected());
}

#[test]
fn what_is_not_needed_is_never_in_the_way_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let text = table("model_a,model_b,winner,timestamp,turn,judge", |i, a, b, winner| {
        let time = ["soon", "2023-04-24T15:53:11Z", "24 Apr 2023", "1682351591000", "", "NaT"][i];
        format!("{a},{b},{winner},{time},first,j")
    });
    let path = write(folder.path(), "votes.csv", text.as_bytes());
    let read = sources(&path, Needs::default()).unwrap();
    assert_eq!((read.battles.rows().len(), read.battles.rejected().len()), (6, 0));
    let times: Vec<Option<f64>> = read.battles.rows().iter().map(|row| row.timestamp).collect();
    let (time, day) = (Some(1_682_351_591.0), Some(1_682_294_400.0));
    assert_eq!(times, [None, time, day, time, None, None]);
    let notices = read.notices.join("\n");
    assert!(
        notices.contains("`timestamp` was not understood in 2 rows") && notices.contains("\"soon\""),
        "{notices}"
    );
    assert!(notices.contains("`turn` was not understood in 6 rows"), "{notices}");
    let needed = sources(&path, Needs { timestamps: true, ..Needs::default() }).unwrap();
    assert_eq!(needed.battles.rejected().len(), 2);
    assert!(matches!(needed.check_dropped(), Err(RatingsError::Dropped { dropped: 2, rows: 6, .. })));
}

#[test]
fn characters_that_are_not_seen_make_no_other_model() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        "model_a,model_b,winner\n\u{feff}x\u{200b},y,model_a\nx,\u{2060}y ,tie\nx,y\u{200d}z,tie\nx,yz,tie\n";
    let read = sources(&write(folder.path(), "names.csv", text.as_bytes()), Needs::default()).unwrap();
    assert_eq!(read.battles.models(), ["x", "y", "y\u{200d}z", "yz"]);
    assert_eq!(read.notices.len(), 1, "{:?}", read.notices);
    assert!(read.notices[0].contains("y\\u{200d}z and yz differ"), "{:?}", read.notices);
}

#[test]
fn metadata_as_python_prints_it_gives_the_style() {
    let folder = tempfile::tempdir().unwrap();
    let cell = "{'sum_assistant_a_tokens': 10, 'sum_assistant_b_tokens': 2e1, 'bold_count_a': {'**': 3, \"it's\": 1}, \
                'bold_count_b': None, 'x': [True, False]}";
    let text = format!("model_a,model_b,winner,conv_metadata\nx,y,tie,\"{}\"\n", cell.replace('"', "\"\""));
    // A table in all but name.
    let read = read(&write(folder.path(), "style.parquet", text.as_bytes())).unwrap();
    let style = read.rows()[0].style.unwrap();
    assert_eq!((style[0].length, style[1].length, style[0].bold), (10.0, 20.0, 4.0));
}

#[test]
fn metadata_that_are_not_understood_are_counted_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let sound = "{'sum_assistant_a_tokens': 10, 'sum_assistant_b_tokens': 20}";
    let damaged = [
        "{'sum_assistant_a_tokens': np.int64(10), 'sum_assistant_b_tokens': 20}",
        "{'sum_assistant_a_tokens': 10, 'sum_assistant_b_tokens': 20, 'header_count_a': array([1, 2])}",
        "{'sum_assistant_a_tokens': 10, 'sum_assist",
        "{'sum_user_tokens': 5}",
        "{'sum_assistant_a_tokens': 10, 'sum_assistant_b_tokens': '20'}",
        "{'sum_assistant_a_tokens': 10, 'sum_assistant_b_tokens': 20, 'bold_count_b': {'**': 'many'}}",
    ];
    let cells: Vec<&str> = [sound, "", "nan"].into_iter().chain(damaged).collect();
    let rows: String = cells.iter().map(|cell| format!("x,y,tie,\"{cell}\"\n")).collect();
    let text = format!("model_a,model_b,winner,conv_metadata\n{rows}y,x,model_a,\n");
    let path = write(folder.path(), "votes.csv", text.as_bytes());
    let read = sources(&path, Needs { styles: true, ..Needs::default() }).unwrap();
    let styled = read.battles.rows().iter().filter(|row| row.style.is_some()).count();
    assert_eq!((read.battles.rows().len(), styled), (cells.len() + 1, 1), "every vote counts");
    let notice = read.notices.iter().find(|notice| notice.contains("conv_metadata")).unwrap();
    assert!(
        notice.starts_with("`conv_metadata` was not understood in 6 rows") && notice.contains("row 4"),
        "{notice}"
    );
    // Where columns tell the style, nothing is missing.
    let text =
        format!("model_a,model_b,winner,conv_metadata,length_a,length_b\nx,y,tie,\"{}\",3,4\n", damaged[0]);
    let path = write(folder.path(), "columns.csv", text.as_bytes());
    let read = sources(&path, Needs { styles: true, ..Needs::default() }).unwrap();
    assert_eq!((read.battles.rows()[0].style.unwrap()[1].length, read.notices.len()), (4.0, 0));
    let text = "model_a,model_b,winner,length_a,length_b\nx,y,tie,3,long\nx,y,model_a,3,4\n";
    let path = write(folder.path(), "columns.csv", text.as_bytes());
    let read = sources(&path, Needs { styles: true, ..Needs::default() }).unwrap();
    assert!(read.battles.rows()[0].style.is_none() && read.battles.rows()[1].style.is_some());
    assert!(read.notices[0].contains("`length_b` was not understood in 1 rows"), "{:?}", read.notices);
}

#[test]
fn votes_that_were_not_blind_are_left_out_however_that_is_written() {
    let folder = tempfile::tempdir().unwrap();
    for (blind, seen) in [("yes", "no"), ("Y", "N"), ("1.0", "0.0"), ("TRUE", "FALSE"), ("on", "off")] {
        let text = table("model_a,model_b,winner,anony", |i, a, b, winner| {
            format!("{a},{b},{winner},{}", if i == 3 { seen } else { blind })
        });
        let read = sources(&write(folder.path(), "votes.csv", text.as_bytes()), Needs::default()).unwrap();
        assert_eq!((read.battles.rows().len(), read.battles.rejected().len()), (5, 1), "{seen}");
        assert!(read.check_dropped().is_ok());
    }
    // Where other rows say it, a row that says nothing is no blind vote; where none does, all count.
    for gap in ["", "NaN", "None"] {
        let text = table("model_a,model_b,winner,anony", |i, a, b, winner| {
            format!("{a},{b},{winner},{}", if i == 1 || i == 4 { gap } else { "True" })
        });
        let read = sources(&write(folder.path(), "gaps.csv", text.as_bytes()), Needs::default()).unwrap();
        assert_eq!(read.battles.rows().len(), 4, "{gap:?}");
        let rejected: Vec<String> = read.battles.rejected().iter().map(ToString::to_string).collect();
        assert_eq!(rejected.len(), 2);
        assert!(
            rejected[0].contains("gaps.csv, row 2: `anony` is missing; expected true or false"),
            "{rejected:?}"
        );
        assert!(matches!(read.check_dropped(), Err(RatingsError::Dropped { dropped: 2, rows: 6, .. })));
        let text = table("model_a,model_b,winner,anony", |_, a, b, winner| format!("{a},{b},{winner},{gap}"));
        let read = sources(&write(folder.path(), "unsaid.csv", text.as_bytes()), Needs::default()).unwrap();
        assert_eq!(read.battles.rows().len(), 6, "{gap:?}");
    }
    let text = table("model_a,model_b,winner,anony", |_, a, b, winner| format!("{a},{b},{winner},perhaps"));
    let error = read(&write(folder.path(), "odd.csv", text.as_bytes())).unwrap_err().to_string();
    assert!(error.contains("odd.csv, row 1: `anony` is \"perhaps\"; expected true or false"), "{error}");
}

#[test]
fn large_ids_stay_apart_and_those_that_cannot_are_refused_where_they_are_needed() {
    let folder = tempfile::tempdir().unwrap();
    let row = |id: &str, winner: &str| {
        format!(
            "{{\"question_id\": {id}, \"model_a\": \"x\", \"model_b\": \"y\", \"winner\": \"{winner}\"}}\n"
        )
    };
    let exact = row("18446744073709551614", "tie") + &row("18446744073709551615", "tie");
    let battles = read(&write(folder.path(), "ids.jsonl", exact.as_bytes())).unwrap();
    assert_eq!(battles.questions().all(), ["18446744073709551614", "18446744073709551615"]);
    let beyond = row("100000000000000000000001", "tie") + &row("100000000000000000000002", "tie");
    let path = write(folder.path(), "beyond.jsonl", beyond.as_bytes());
    let lenient = sources(&path, Needs::default()).unwrap();
    assert!(lenient.battles.questions().all().is_empty(), "two ids must not become one");
    assert!(lenient.notices[0].contains("held exactly"), "{:?}", lenient.notices);
    assert!(sources(&path, Needs { questions: true, ..Needs::default() }).is_err());
}

#[test]
fn a_file_of_which_much_is_dropped_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let text = table("model_a,model_b,winner", |i, a, b, winner| {
        format!("{a},{b},{}", if i < 2 { "left" } else { winner })
    });
    let read = sources(&write(folder.path(), "votes.csv", text.as_bytes()), Needs::default()).unwrap();
    let error = read.check_dropped().unwrap_err().to_string();
    assert!(
        error.starts_with("votes.csv: 2 of 6 rows are no battles, the first: votes.csv, row 1"),
        "{error}"
    );
}

#[test]
fn files_and_rows_that_count_twice_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let text = table("model_a,model_b,winner", |_, a, b, winner| format!("{a},{b},{winner}"));
    let one = write(folder, "one.csv", text.as_bytes());
    let copy = write(folder, "copy.csv", text.as_bytes());
    let read = |paths: &[PathBuf]| read_all(paths, &ReadOptions::default(), |_| ()).unwrap();
    assert!(read(std::slice::from_ref(&one)).notices.is_empty());
    let twice = read(&[one.clone(), folder.join("./one.csv")]);
    assert!(twice.notices[0].contains("is given twice"), "{:?}", twice.notices);
    assert!(read(&[one, copy]).notices[0].contains("holds the same battles"));
    let asked = table("model_a,model_b,winner,question_id", |_, a, b, winner| format!("{a},{b},{winner},7"));
    let rows = asked.clone() + asked.split_once('\n').unwrap().1;
    let repeated = read(&[write(folder, "repeated.csv", rows.as_bytes())]);
    assert!(repeated.notices[0].starts_with("6 rows repeat an earlier row"), "{:?}", repeated.notices);
}

#[test]
fn what_is_no_file_of_battles_is_said_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let message =
        |name: &str, text: &str| read(&write(folder.path(), name, text.as_bytes())).unwrap_err().to_string();
    let single = "{\"question_id\": 81, \"model\": \"m\", \"judge\": [\"j\", \"single-v1\"], \"score\": 5}\n";
    assert!(message("single.jsonl", single).contains("grades of single answers"));
    let odd = message("odd.json", "{\"votes\": 3, \"users\": [1, 2]}");
    assert!(odd.contains("an object with the keys votes, users"), "{odd}");
    let nan = "[{\"model_a\": \"x\", \"model_b\": \"y\", \"winner\": \"tie\"}, {\"model_a\": NaN, \"model_b\": \"y\", \
               \"winner\": \"tie\"}]";
    let read = sources(&write(folder.path(), "nan.json", nan.as_bytes()), Needs::default()).unwrap();
    let rejected = read.battles.rejected()[0].to_string();
    assert!(rejected.contains("row 2: `model_a` is NaN"), "{rejected}");
    assert!(read.notices[0].contains("NaN") && read.notices[0].contains("row 2"), "{:?}", read.notices);
}

#[test]
fn counts_rate_as_the_votes_they_stand_for_do() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let counts = "model_a,model_b,win_a,win_b,tie,both_bad\nx,y,30,20,5,2\ny,z,12,9,0,1\nz,x,8,15,3,0\n";
    let counted = sources(&write(folder, "counts.csv", counts.as_bytes()), Needs::default()).unwrap().battles;
    assert_eq!((counted.votes(), counted.rows().len()), (105, 10));
    let mut rows = "model_a,model_b,winner\n".to_owned();
    let mut weighted = "model_a,model_b,winner,weight\n".to_owned();
    for row in counted.rows() {
        let named = counted.named(row);
        let label = if named.both_bad { "tie (bothbad)" } else { named.outcome.label() };
        let line = format!("{},{},{label}", named.model_a, named.model_b);
        rows += &format!("{line}\n").repeat(named.votes as usize);
        weighted += &format!("{line},{}.0\n", named.votes);
    }
    let single = read(&write(folder, "votes.csv", rows.as_bytes())).unwrap();
    let weighted = read(&write(folder, "weighted.csv", weighted.as_bytes())).unwrap();
    assert_eq!(PairCounts::new(&counted).unwrap().pairs(), PairCounts::new(&single).unwrap().pairs());
    for ties in [Ties::Half, Ties::Skip, Ties::RaoKupper, Ties::Davidson] {
        let options = LeaderboardOptions { ties, ..LeaderboardOptions::default() };
        let board = Leaderboard::new(&counted, &options).unwrap();
        assert_eq!(board, Leaderboard::new(&single, &options).unwrap(), "{ties:?}");
        assert_eq!(board, Leaderboard::new(&weighted, &options).unwrap(), "{ties:?}");
    }
    let win_rate = LeaderboardOptions { method: Method::WinRate, ..LeaderboardOptions::default() };
    let rates = |battles: &Battles| {
        let board = Leaderboard::new(battles, &win_rate).unwrap();
        board.rows.into_iter().map(|row| (row.model, row.rating, row.sandwich)).collect::<Vec<_>>()
    };
    assert_eq!(rates(&counted), rates(&single));
    let elo = Elo::default().sequential(&counted).unwrap_err().to_string();
    assert!(elo.contains("a table of counts holds no single votes"), "{elo}");
    let chosen = Selection { without_both_bad: true, ..Selection::default() }.apply(&counted).unwrap();
    assert_eq!(chosen.votes(), 102);
    let ties = |battles: &Battles| battles.rows().iter().filter(|row| row.outcome == Outcome::Tie).count();
    assert_eq!((ties(&counted), ties(&chosen)), (4, 2));
    let wrong = "model_a,model_b,win_a,win_b\nx,y,-1,3\nx,y,1.5,3\nx,y,2,3\n";
    let wrong = read(&write(folder, "wrong.csv", wrong.as_bytes())).unwrap();
    let rejected: Vec<String> = wrong.rejected().iter().map(ToString::to_string).collect();
    assert!(rejected[0].contains("`win_a` is -1; expected a whole number of votes"), "{rejected:?}");
    assert!(rejected[1].contains("`win_a` is \"1.5\""), "{rejected:?}");
}
