use camelid_chat::{Message, Role};
use camelid_ratings::{AnomalyTest, TextRules};

use super::*;
use crate::arena::battle::{Battle, Mode, Side, Verdict};
use crate::arena::log::{export_battles, export_fastchat};
use crate::arena::store::Facts;

struct Arena {
    _folder: tempfile::TempDir,
    store: Arc<Store>,
}

impl Arena {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(&folder.path().join("arena.db")).unwrap());
        Self { _folder: folder, store }
    }

    fn vote(&self, number: usize, models: [&str; 2], verdict: Verdict, user: &str, answer: &str) {
        self.vote_on(number, number, models, verdict, user, answer);
    }

    fn vote_on(
        &self,
        number: usize,
        prompt: usize,
        models: [&str; 2],
        verdict: Verdict,
        user: &str,
        answer: &str,
    ) {
        let side = |place: usize| Side {
            conversation: format!("{number}-{place}"),
            model: models[place].to_owned(),
            messages: vec![
                Message::new(Role::User, format!("What is the answer to question number {prompt}?")),
                Message::new(Role::Assistant, format!("{answer} {place}")),
            ],
        };
        let battle = Battle {
            id: format!("battle-{number}"),
            mode: Mode::Battle,
            sides: vec![side(0), side(1)],
            user: Some(user.to_owned()),
            started: number as f64,
            finished: number as f64 + 1.0,
            verdict: None,
        };
        self.store.save_battle(&battle).unwrap();
        let facts = Facts::of(&battle.sides, &TextRules::default());
        self.store.cast(&battle, verdict, user, number as f64 + 2.0, &facts).unwrap();
    }
}

#[test]
fn the_board_follows_the_votes_and_says_why_some_do_not_count() {
    let arena = Arena::new();
    let board = Board::open(arena.store.clone(), BoardOptions::default(), BTreeMap::new()).unwrap();
    assert!(board.last().overall().is_none());
    for number in 0..40 {
        let verdict = if number % 4 == 0 { Verdict::Right } else { Verdict::Left };
        arena.vote(number, ["x", "y"], verdict, &format!("user {number}"), "Something");
    }
    arena.vote(40, ["y", "x"], Verdict::Left, "user 40", "I am Vicuna");
    assert!(board.current().unwrap().overall().is_none(), "nobody said that there are new votes");
    board.note();
    let snapshot = board.current().unwrap();
    assert_eq!((snapshot.votes, snapshot.counted), (41, 40));
    assert_eq!(snapshot.dropped, BTreeMap::from([("identity", 1)]));
    let overall = snapshot.overall().unwrap();
    let (first, last) = (&overall.entries[0], &overall.entries[1]);
    assert_eq!((first.model.as_str(), first.rank, last.rank), ("x", 1, 2));
    assert!((first.interval.value - last.interval.value - 400.0 * 3f64.log10()).abs() < 0.1);
    assert!(first.bootstrap.is_some() && first.style.is_some());
    assert!(snapshot.board("language-en").is_some() && snapshot.board("code").is_none());
    let reasons: Vec<_> = arena.store.votes_after(0).unwrap().into_iter().filter_map(|v| v.dropped).collect();
    assert_eq!(reasons, ["identity: \"vicuna\""]);
    assert_eq!(arena.store.history().unwrap().len(), 2);
    let figures =
        Figures::draw(&snapshot, overall, &[(0, "x".to_owned(), 1.0), (1, "x".to_owned(), 2.0)]).unwrap();
    for svg in [figures.intervals, figures.wins, figures.votes, figures.history] {
        assert!(svg.starts_with("<svg"), "{svg}");
    }
    assert!(figures::csv(overall, &BTreeMap::new()).starts_with("rank,model,rating,low,high"));
}

#[test]
fn a_board_that_is_opened_again_is_the_same() {
    let arena = Arena::new();
    for number in 0..30 {
        let verdict = [Verdict::Left, Verdict::Right, Verdict::BothBad][number % 3];
        let pair = [["x", "y"], ["y", "z"], ["z", "x"], ["y", "x"]][number % 4];
        arena.vote(number, pair, verdict, &format!("user {}", number % 5), "```\ncode\n```");
    }
    let open = || Board::open(arena.store.clone(), BoardOptions::default(), BTreeMap::new()).unwrap();
    let (one, other) = (open(), open());
    assert_eq!(one.last().boards, other.last().boards);
    assert!(one.last().board("code").is_some());
}

#[test]
fn a_board_that_follows_every_vote_is_the_one_of_all_votes_to_the_bit() {
    let arena = Arena::new();
    let anomaly = Some(AnomalyTest { alpha: 0.9, ..AnomalyTest::default() });
    let cleaning = Cleaning { daily_votes: Some(6), prompt_percentile: Some(0.9), anomaly, named: false };
    let options = BoardOptions { cleaning, replicates: 2, category_votes: 5, ..BoardOptions::default() };
    let open = || Board::open(arena.store.clone(), options.clone(), BTreeMap::new()).unwrap();
    let followed = open();
    let mut seen = BTreeMap::new();
    for number in 0..160 {
        // The last user is against what all others find.
        let user = number % 4;
        let verdict = if (user == 3) == (number % 7 == 0) { Verdict::Left } else { Verdict::Right };
        let pair = [["x", "y"], ["x", "z"], ["y", "z"], ["x", "w"], ["x", "y"]][number % 5];
        let answer = if number % 9 == 0 { "I am Vicuna" } else { ["Yes", "```\ncode\n```"][number % 2] };
        // Of the prompts each third is the same.
        let prompt = if number % 3 == 0 { 0 } else { number };
        arena.vote_on(number, prompt, pair, verdict, &format!("user {user}"), answer);
        followed.note();
        seen.extend(followed.current().unwrap().dropped.clone());
    }
    let (one, other) = (followed.last(), open().last());
    assert_eq!((one.votes, one.counted, &one.dropped), (other.votes, other.counted, &other.dropped));
    assert_eq!((&one.boards, &one.counts, &one.matrix), (&other.boards, &other.counts, &other.matrix));
    for kind in ["identity", "repeated prompt", "many votes", "anomalous user"] {
        assert!(seen.contains_key(kind), "{seen:?}");
    }
    let stored: Vec<_> = arena.store.votes_after(0).unwrap();
    let reasons = clean(&stored, &options.cleaning).unwrap();
    for (vote, reason) in stored.iter().zip(reasons) {
        assert_eq!(vote.dropped, reason.map(|reason| reason.to_string()), "vote {}", vote.id);
    }
}

#[test]
fn an_export_changes_no_byte_of_the_database() {
    let arena = Arena::new();
    for number in 0..30 {
        arena.vote(number, ["x", "y"], Verdict::Left, "user", "I am Vicuna");
    }
    let path = arena.store.path().to_owned();
    // What SQLite keeps beside the file goes into it when the last one closes it.
    let Arena { _folder: folder, store } = arena;
    drop(store);
    let before = std::fs::read(&path).unwrap();
    let store = Store::open(&path).unwrap();
    let table = folder.path().join("votes.jsonl");
    assert_eq!(export_battles(&store, &table, &Cleaning::default()).unwrap(), 30);
    assert!(std::fs::read_to_string(&table).unwrap().contains("identity: "));
    export_fastchat(&store, &folder.path().join("log.json")).unwrap();
    drop(store);
    assert!(before == std::fs::read(&path).unwrap(), "the database is another one");
}

#[test]
fn a_page_is_drawn_once_for_each_board_of_a_snapshot() {
    let snapshot = Snapshot::default();
    let page = |id: &str, draw: Result<&str, ()>| snapshot.page(id, || draw.map(str::to_owned));
    assert_eq!(page("overall", Err(())), Err(()));
    assert_eq!(page("overall", Ok("all")).unwrap(), "all");
    assert_eq!(page("overall", Ok("again")).unwrap(), "all");
    assert_eq!(page("code", Ok("code")).unwrap(), "code");
}

#[test]
fn a_vote_that_counts_after_a_restart_loses_its_reason() {
    let arena = Arena::new();
    arena.vote(0, ["x", "y"], Verdict::Left, "user", "Something");
    let vote = arena.store.votes_after(0).unwrap().remove(0);
    arena.store.keep_reasons(&[(vote.id, Some("of settings that were".to_owned()))]).unwrap();
    Board::open(arena.store.clone(), BoardOptions::default(), BTreeMap::new()).unwrap();
    assert_eq!(arena.store.votes_after(0).unwrap()[0].dropped, None);
}

#[test]
fn a_vote_waits_for_another_process_that_writes() {
    let arena = Arena::new();
    arena.vote(0, ["x", "y"], Verdict::Left, "user", "Something");
    let mut other = rusqlite::Connection::open(arena.store.path()).unwrap();
    let writing = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    writing.execute("UPDATE votes SET dropped = 'x'", []).unwrap();
    std::thread::scope(|scope| {
        let voter = scope.spawn(|| arena.vote(1, ["x", "y"], Verdict::Left, "another user", "Something"));
        std::thread::sleep(std::time::Duration::from_millis(100));
        writing.commit().unwrap();
        voter.join().unwrap();
    });
    assert_eq!(arena.store.votes_after(0).unwrap().len(), 2);
}
