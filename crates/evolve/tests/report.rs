//! What a lineage's report and its mixes say.

use camelid_evolve::{Ended, EvolveReport, Hit, Leaked, Mix, Row, Rule, mix};
use camelid_report::Report;

fn row(seed: usize, round: usize, ended: Option<Rule>) -> Row {
    Row {
        id: if round == 0 { seed.to_string() } else { format!("{seed}.{round}.1") },
        parent: (round > 0).then(|| seed.to_string()),
        seed,
        round,
        attempt: usize::from(round > 0),
        operator: (round > 0).then(|| "deepening".to_owned()),
        data_format: None,
        demonstrations: Vec::new(),
        input: String::new(),
        instruction: format!("Task <{seed}> of round {round}"),
        response: Some("Done.".into()),
        judged: None,
        difficulty: Some(2 + round as u8),
        ended: ended.map(|rule| Ended { rule, found: "a & b".into() }),
        hits: Vec::new(),
        calls: Vec::new(),
    }
}

fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = (0..3).map(|seed| row(seed, 0, None)).collect();
    rows.extend([row(0, 1, None), row(1, 1, Some(Rule::Sorry)), row(2, 1, None)]);
    rows.extend([row(0, 2, Some(Rule::NoGain)), row(1, 2, None), row(2, 2, None)]);
    rows
}

#[test]
fn a_report_counts_by_round_operator_and_rule() {
    let report = EvolveReport::new(&rows());
    assert_eq!((report.seeds, report.living_seeds, report.lives), (3, 3, 7));
    assert_eq!((report.rounds[&1].made, report.rounds[&1].lives), (3, 2));
    assert_eq!(report.rounds[&2].difficulty, Some(4.0));
    assert_eq!(report.operators["deepening"].ended[&Rule::NoGain], 1);
    assert_eq!(report.examples[&Rule::Sorry][0].parent, "Task <1> of round 0");
    // The line that went furthest comes first.
    assert_eq!(report.lines[0][0].seed, 2);
    assert!(report.text().contains("no_gain"));
    let page = report.page().unwrap();
    assert!(page.contains("a &amp; b") && page.contains("Task &lt;1&gt;"), "texts are escaped");
    let value: serde_json::Value = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
    assert_eq!(value["rounds"]["1"]["ended"]["sorry"], 1);
    assert!(EvolveReport::new(&[]).page().is_ok());
}

#[test]
fn test_items_are_counted_and_listed() {
    let hit = |id: &str| Hit {
        set: "sums".into(),
        id: id.into(),
        run: 14,
        share: 0.5,
        text: "natalia sold".into(),
        similarity: None,
    };
    let mut rows = rows();
    assert!(!EvolveReport::new(&rows).page().unwrap().contains("Test items"));
    rows[3].hits = vec![hit("7"), hit("9")];
    rows[4].hits = vec![hit("7")];
    let report = EvolveReport::new(&rows);
    assert_eq!(report.leaked["sums"], Leaked { rows: 2, items: 2 });
    assert_eq!(report.found_items.len(), 3);
    assert!(report.text().contains("test set"));
    let page = report.page().unwrap();
    assert!(page.contains("row 0.1.1, sums 9: 14 words"), "{page}");
}

#[test]
fn a_mix_takes_what_lives() {
    let rows = rows();
    let ids = |chosen: Vec<&Row>| chosen.into_iter().map(|row| row.id.clone()).collect::<Vec<_>>();
    let mixed = |which, seed, most| ids(mix(&rows, which, seed, most).unwrap());
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    assert_eq!(sorted(mixed(Mix::All, 0, None)), ["0", "0.1.1", "1", "1.2.1", "2", "2.1.1", "2.2.1"]);
    assert_eq!(sorted(mixed(Mix::Last, 0, None)), ["0.1.1", "1.2.1", "2.2.1"]);
    assert_eq!(sorted(mixed("1".parse().unwrap(), 0, None)), ["0.1.1", "2.1.1"]);
    assert_eq!(mixed(Mix::All, 3, Some(4)), mixed(Mix::All, 3, None)[..4]);
    assert_ne!(mixed(Mix::All, 3, None), mixed(Mix::All, 4, None));
    assert!(mix(&rows, Mix::Round(9), 0, None).is_err());
    assert!("first".parse::<Mix>().unwrap_err().contains("all, last"));
}
