//! The arena as people use it, over HTTP.

mod arena_http;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arena_http::{Played, Running, player};
use camelid_chat::Role;
use camelid_ratings::simulation::{Voter, World};
use camelid_ratings::{BradleyTerry, Outcome};
use camelid_serve::arena::{ArenaOptions, Card, Mode, Moderation, Player};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::{Value, json};

const NAMES: [&str; 2] = ["zebrafish-7b", "quokka-13b"];

/// Behind a proxy on this machine, without limits.
fn options() -> ArenaOptions {
    ArenaOptions {
        trusted_proxies: vec!["127.0.0.1".parse().unwrap()],
        prompts_per_minute: 0,
        votes_per_minute: 0,
        ..ArenaOptions::default()
    }
}

fn two() -> Vec<Player> {
    let mut players: Vec<Player> = NAMES
        .iter()
        .map(|name| player(name, |messages| Ok(format!("Answer number {}.", messages.len()))))
        .collect();
    players[0].card = Card {
        licence: "MIT".into(),
        organization: "Zoo".into(),
        link: "https://zoo.example/x".into(),
        weight: 1.0,
    };
    players
}

fn names_in(text: &str) -> bool {
    let text = text.to_lowercase();
    NAMES.iter().any(|name| text.contains(name)) || text.contains("secret") || text.contains("zoo")
}

#[test]
fn nothing_names_a_model_before_the_vote() {
    let running = Running::start(two(), options());
    let (status, headers, page) = running.get("/");
    assert_eq!(status, 200);
    assert!(!names_in(&page) && !names_in(&headers), "the page of a battle names a model");
    for file in ["/assets/arena.js", "/assets/arena.css", "/about"] {
        assert!(!names_in(&running.get(file).2), "{file} names a model");
    }
    let first = running.battle("203.0.113.1", "How do birds fly?");
    assert_eq!((first.ready, first.answers[0].as_str()), (Some(1), "Answer number 1."));
    let again = json!({ "battle": first.battle, "prompt": "And at night?" });
    let (traffic, events) = running.ask("203.0.113.1", &again);
    let second = Played::of(traffic, &events);
    assert_eq!((second.ready, second.answers[1].as_str()), (Some(2), "Answer number 3."));
    assert!(!names_in(&first.traffic) && !names_in(&second.traffic), "the traffic names a model");
    let report = json!({ "battle": first.battle, "words": "It is odd." });
    assert!(!names_in(&running.post("/arena/report", "203.0.113.1", &report).2));

    let (status, revealed) = running.vote("203.0.113.1", &first.battle, "left");
    assert_eq!((status, &revealed["is_new"]), (200, &json!(true)));
    let mut models: Vec<&str> =
        revealed["models"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    models.sort_unstable();
    assert_eq!(models, ["quokka-13b", "zebrafish-7b"]);
    let (status, _, body) = running.post("/arena/turn", "203.0.113.1", &again);
    assert_eq!(status, 409, "a decided battle does not go on: {body}");
    assert_eq!(running.arena.store().reports().unwrap()[0].words, "It is odd.");
}

#[test]
fn sides_are_random_and_a_battle_keeps_its_first_vote() {
    let running = Running::start(two(), options());
    let mut left = [0; 2];
    for number in 0..24 {
        let from = format!("203.0.113.{number}");
        let battle = running.battle(&from, &format!("Question {number}?")).battle;
        let (_, revealed) = running.vote(&from, &battle, "both_bad");
        left[usize::from(revealed["models"][0] == NAMES[1])] += 1;
        let (status, again) = running.vote(&from, &battle, "left");
        assert_eq!((status, &again["verdict"], &again["is_new"]), (200, &json!("both_bad"), &json!(false)));
    }
    assert!(left[0] > 2 && left[1] > 2, "{left:?}");
    let votes = running.arena.store().votes_after(0).unwrap();
    assert_eq!(votes.len(), 24);
    let users: std::collections::HashSet<_> = votes.iter().map(|vote| vote.user.clone().unwrap()).collect();
    assert_eq!(users.len(), 24, "each address is a user");
    assert!(users.iter().all(|user| !user.contains("203.0")));
}

#[test]
fn models_that_are_chosen_answer_and_their_votes_are_kept_apart() {
    let running = Running::start(two(), options());
    for page in ["/side-by-side", "/direct", "/leaderboard"] {
        let (status, headers, body) = running.get(page);
        assert!(status == 200 && headers.contains("content-security-policy"), "{page}");
        assert!(body.contains("<main"), "{page}");
    }
    assert!(names_in(&running.get("/side-by-side").2));
    let ask = json!({ "mode": "side_by_side", "models": NAMES, "prompt": "Hello?" });
    let (traffic, events) = running.ask("203.0.113.1", &ask);
    let battle = Played::of(traffic, &events).battle;
    assert_eq!(running.vote("203.0.113.1", &battle, "tie").1["models"], json!(NAMES));
    let ask = json!({ "mode": "direct", "models": ["quokka-13b"], "prompt": "Hello?" });
    let (traffic, events) = running.ask("203.0.113.1", &ask);
    let direct = Played::of(traffic, &events);
    assert_eq!((direct.ready, direct.answers[1].as_str()), (Some(1), ""));
    assert_eq!(running.vote("203.0.113.1", &direct.battle, "left").0, 400);
    let board = running.board();
    assert_eq!(
        (&board["votes"], &board["counted"], &board["dropped"]["not blind"]),
        (&json!(1), &json!(0), &json!(1))
    );
    assert_eq!(running.arena.store().votes_after(0).unwrap()[0].mode, Mode::SideBySide);
}

#[test]
fn what_cannot_be_is_said_with_a_status() {
    let running = Running::start(two(), ArenaOptions { longest_prompt: 20, most_turns: 1, ..options() });
    let post = |path: &str, body: Value| running.post(path, "203.0.113.1", &body);
    let battle = |prompt: &str| json!({ "mode": "battle", "prompt": prompt });
    for (path, body, status, words) in [
        ("/arena/turn", battle("  "), 400, "prompt is empty"),
        ("/arena/turn", battle("This prompt is far too long."), 400, "more than 20 characters"),
        ("/arena/turn", json!({ "prompt": "Hi" }), 400, "`mode` is missing"),
        ("/arena/turn", json!({ "mode": "duel", "prompt": "Hi" }), 422, "duel"),
        ("/arena/turn", json!({ "mode": "battle", "prompt": "Hi", "seed": 1 }), 422, "seed"),
        ("/arena/turn", json!({ "mode": "battle", "models": ["x"], "prompt": "Hi" }), 400, "are drawn"),
        ("/arena/turn", json!({ "mode": "direct", "models": ["x"], "prompt": "Hi" }), 400, "no model `x`"),
        (
            "/arena/turn",
            json!({ "mode": "side_by_side", "models": ["x", "x"], "prompt": "Hi" }),
            400,
            "different",
        ),
        ("/arena/turn", json!({ "battle": "none", "prompt": "Hi" }), 404, "no such battle"),
        ("/arena/vote", json!({ "battle": "none", "verdict": "left" }), 404, "no such battle"),
        ("/arena/vote", json!({ "battle": "none", "verdict": "up" }), 422, "up"),
        ("/arena/report", json!({ "battle": "none", "words": "" }), 400, "between 1 and"),
    ] {
        let (found, _, text) = post(path, body);
        assert_eq!(found, status, "{text}");
        let said: Value = serde_json::from_str(&text).unwrap();
        assert!(said["error"]["message"].as_str().unwrap().contains(words), "{text}");
    }
    assert_eq!(running.get("/none").0, 404);
    assert_eq!(running.get("/leaderboard?category=none").0, 404);
    let played = running.battle("203.0.113.1", "Hi");
    let more = post("/arena/turn", json!({ "battle": played.battle, "prompt": "Hi" }));
    assert!(more.0 == 409 && more.2.contains("as many turns"), "{}", more.2);
    assert!(running.board()["votes"] == 0);
}

#[test]
fn a_model_that_fails_is_shown_in_neutral_words_and_the_battle_does_not_count() {
    let failing = |name: &str| player(name, |_| Err("zebrafish-7b ran out of memory".to_owned()));
    let running = Running::start(vec![failing(NAMES[0]), failing(NAMES[1])], options());
    let played = running.battle("203.0.113.1", "Hi");
    assert_eq!(played.failed, ["This answer could not be completed."; 2]);
    assert!(played.ready.is_none() && played.void.unwrap().contains("does not count"));
    assert!(!names_in(&played.traffic));
    assert_eq!(running.vote("203.0.113.1", &played.battle, "left").0, 404);

    // One of three fails: it is exchanged before anything was shown.
    let mut players = two();
    players.push(failing("broken-1b"));
    let running = Running::start(players, options());
    for number in 0..12 {
        let played = running.battle("203.0.113.1", &format!("Question {number}?"));
        assert_eq!((played.ready, played.failed.len()), (Some(1), 0));
        let (_, revealed) = running.vote("203.0.113.1", &played.battle, "tie");
        assert!(!revealed["models"].as_array().unwrap().contains(&json!("broken-1b")));
    }
}

#[test]
fn one_address_waits_and_another_does_not() {
    let running = Running::start(two(), ArenaOptions { prompts_per_minute: 2, ..options() });
    let ask = json!({ "mode": "battle", "prompt": "Hi" });
    assert_eq!(running.post("/arena/turn", "203.0.113.1", &ask).0, 200);
    assert_eq!(running.post("/arena/turn", "203.0.113.1", &ask).0, 200);
    let (status, headers, text) = running.post("/arena/turn", "203.0.113.1", &ask);
    assert!(status == 429 && headers.contains("retry-after") && text.contains("Please wait"), "{text}");
    // An address that the visitor made up comes before the one that the proxy saw.
    assert_eq!(running.post("/arena/turn", "198.51.100.9, 203.0.113.1", &ask).0, 429);
    assert_eq!(running.post("/arena/turn", "203.0.113.2", &ask).0, 200);
}

#[test]
fn words_of_the_list_are_neither_sent_nor_shown() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("words.txt");
    std::fs::write(&list, "blorp\n").unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let bad = move |_: &[camelid_chat::Message]| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok("It is a blorp indeed".to_owned())
    };
    let good = |_: &[camelid_chat::Message]| Ok("It is fine".to_owned());
    let moderation = Moderation::none().with_words(&list).unwrap();
    let players = vec![player(NAMES[0], bad), player(NAMES[1], good)];
    let running = Running::start(players, ArenaOptions { moderation, ..options() });
    let ask = json!({ "mode": "battle", "prompt": "What is BLORP?" });
    let (status, _, text) = running.post("/arena/turn", "203.0.113.1", &ask);
    assert!(status == 400 && text.contains("rules do not allow"), "{text}");
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    let played = running.battle("203.0.113.1", "What is it?");
    assert_eq!(played.failed, ["This answer is withheld by this arena's rules."]);
    assert!(!played.traffic.contains("blorp") && played.ready.is_none());
}

#[test]
fn the_leaderboard_follows_the_votes_and_hostile_names_are_text() {
    let hostile = "<script>alert(1)</script>";
    let mut players = two();
    players[1] = player(hostile, |_| Ok("It is so.".to_owned()));
    let running = Running::start(players, options());
    assert!(running.get("/leaderboard").2.contains("no votes that count yet"));
    for number in 0..40 {
        let from = format!("203.0.113.{number}");
        let played =
            running.battle(&from, &format!("What is the right answer to question {number}, please?"));
        let better = played.answers.iter().position(|answer| answer.contains("number")).unwrap();
        let verdict = if number % 4 == 0 { "tie" } else { ["left", "right"][better] };
        running.vote(&from, &played.battle, verdict);
    }
    let board = running.board();
    let entries = &board["boards"][0]["board"]["entries"];
    assert_eq!(
        (&entries[0]["model"], &entries[0]["rank"], &entries[1]["rank"]),
        (&json!(NAMES[0]), &json!(1), &json!(2))
    );
    assert_eq!((&entries[0]["votes"], &entries[0]["ties"]), (&json!(40), &json!(10)));
    let page = running.get("/leaderboard").2;
    assert!(page.contains("40 votes, of which 40 count") && page.contains("MIT") && page.contains("<svg"));
    assert!(!page.contains("<script>alert") && page.contains("&lt;script&gt;"), "{page}");
    let csv = running.get("/leaderboard.csv").2;
    assert!(csv.lines().nth(1).unwrap().starts_with("1,zebrafish-7b,"), "{csv}");
    assert!(running.get("/leaderboard?category=language-en&part=true").2.contains("Language: en"));
}

#[test]
fn an_answer_ends_soon_after_the_visitor_left() {
    let written = Arc::new(AtomicUsize::new(0));
    let slow = |name: &str| {
        let written = written.clone();
        Player::new(name, Arc::new(Endless(written)))
    };
    let running = Running::start(vec![slow(NAMES[0]), slow(NAMES[1])], options());
    let address = running.base.strip_prefix("http://").unwrap();
    let mut connection = std::net::TcpStream::connect(address).unwrap();
    let body = r#"{"mode": "battle", "prompt": "Hi"}"#;
    let head = format!(
        "POST /arena/turn HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    std::io::Write::write_all(&mut connection, (head + body).as_bytes()).unwrap();
    let mut buffer = [0; 512];
    let read = std::io::Read::read(&mut connection, &mut buffer).unwrap();
    assert!(read > 0);
    drop(connection);
    // Once nobody listens, both answers end: the count stands still.
    let mut before = usize::MAX;
    for _ in 0..600 {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let now = written.load(Ordering::Relaxed);
        if now == before {
            return;
        }
        before = now;
    }
    panic!("the answers went on for half a minute");
}

/// Writes a word each five milliseconds, for ever.
struct Endless(Arc<AtomicUsize>);

impl camelid_chat::TextGenerator for Endless {
    fn generate(
        &self,
        _: &[camelid_chat::Message],
        _: &camelid_chat::GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> std::ops::ControlFlow<()>,
    ) -> Result<camelid_chat::GeneratedText, Box<dyn std::error::Error + Send + Sync>> {
        loop {
            std::thread::sleep(std::time::Duration::from_millis(5));
            self.0.fetch_add(1, Ordering::Relaxed);
            if on_text("word ").is_break() {
                return Err("ended".into());
            }
        }
    }
}

#[test]
fn votes_through_the_pages_give_the_strengths_back() {
    let world = World { ties: 0.4, position: 0.2, ..World::spaced(4, 300.0) };
    let players = (0..4)
        .map(|strength| {
            player(&format!("m{strength}"), move |messages| {
                let asked = messages.iter().filter(|message| message.role == Role::User).count();
                Ok(format!("Strength {strength} in turn {asked}."))
            })
        })
        .collect();
    let running = Running::start(players, options());
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    for number in 0..400 {
        let from = format!("2001:db8:{:x}::1", rng.random_range(0..60));
        let played = running.battle(&from, &format!("Question {number}?"));
        let [left, right] = played.answers.map(|answer| answer.as_bytes()[9] as usize - b'0' as usize);
        let verdict = match world.vote(Voter::Careful, left, right, &mut rng) {
            Outcome::ModelA => "left",
            Outcome::ModelB => "right",
            Outcome::Tie => "tie",
        };
        assert_eq!(running.vote(&from, &played.battle, verdict).0, 200);
    }
    let board = running.board();
    assert_eq!(board["votes"], 400);
    assert!(board["counted"].as_u64().unwrap() > 300, "{}", board["dropped"]);
    let truth = world.ratings(&BradleyTerry::default()).unwrap();
    let entries = board["boards"][0]["board"]["entries"].as_array().unwrap();
    for entry in entries {
        let strength = entry["model"].as_str().unwrap()[1..].parse::<usize>().unwrap();
        let [low, high] = ["low", "high"].map(|end| entry["interval"][end].as_f64().unwrap());
        // Wider by a third than 95 %: four intervals of one draw must all hold, whatever the platform.
        let slack = (high - low) / 3.0;
        assert!(low - slack < truth[strength] && truth[strength] < high + slack, "{entry} {truth:?}");
    }
}
