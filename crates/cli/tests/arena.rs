//! `camelid arena` as a process: killed between votes, on a full disk, in and out of files, in a browser.

mod camelid;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use burn::tensor::Device;
use camelid::{error_of, output_of, text};
use camelid_model::Llama;
use camelid_recipe::Experiment;
use camelid_recipe::nano::Nano;
use camelid_tests::chat_server::{Answer, Server};
use camelid_tests::{Browser, SmallDisk};
use serde_json::{Value, json};

/// A running `camelid arena`, killed when this is dropped.
struct Arena {
    child: Child,
    address: String,
}

impl Arena {
    fn start(db: &Path, options: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_camelid"))
            .args(["arena", "--port", "0", "--pace", "0", "--db", text(db)])
            .args(["--prompts-per-minute", "0", "--votes-per-minute", "0"])
            .args(options)
            .current_dir(db.parent().unwrap())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("arena at http://").and_then(|rest| rest.strip_suffix('/'));
        let address = address.unwrap_or_else(|| panic!("it says {line:?}")).to_owned();
        Self { child, address }
    }

    /// Kills it as `kill -9` does.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Status and body of a POST, or why there is none.
    fn post(&self, path: &str, body: &Value) -> std::io::Result<(u16, String)> {
        let body = body.to_string();
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    fn get(&self, path: &str) -> (u16, String) {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).unwrap()
    }

    fn send(&self, request: &str) -> std::io::Result<(u16, String)> {
        let mut connection = TcpStream::connect(&self.address)?;
        connection.write_all(request.as_bytes())?;
        let mut reply = String::new();
        connection.read_to_string(&mut reply)?;
        let status = reply.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| std::io::Error::other("no status"))?;
        Ok((status, reply.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned())))
    }

    /// Plays one turn of a blind battle; its id where it was kept.
    fn battle(&self, prompt: &str) -> std::io::Result<Option<String>> {
        let (_, body) = self.post("/arena/turn", &json!({ "mode": "battle", "prompt": prompt }))?;
        let id = body.split("{\"battle\":\"").nth(1).and_then(|rest| rest.split('"').next());
        Ok(id.filter(|_| body.contains("\"ready\"")).map(str::to_owned))
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A streamed answer in these pieces.
fn streamed<S: AsRef<str>>(pieces: impl IntoIterator<Item = S>) -> Answer {
    let chunk =
        |piece: S| format!("data: {}\n\n", json!({"choices": [{"delta": {"content": piece.as_ref()}}]}));
    let body: String = pieces.into_iter().map(chunk).collect();
    let end = "data: {\"choices\": [{\"delta\": {}, \"finish_reason\": \"stop\"}]}\n\ndata: [DONE]\n\n";
    Answer::Status(200, vec![("content-type", "text/event-stream".to_owned())], body + end)
}

/// The votes of a database, as a table of battles holds them.
fn votes(db: &Path) -> Vec<Value> {
    let out = db.with_extension("jsonl");
    output_of(&["arena", "export", "--db", text(db), text(&out)]);
    let table = std::fs::read_to_string(out).unwrap();
    table.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn killed_between_votes_none_is_lost_and_none_counts_twice() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("arena.db");
    let mut told = 0;
    let mut open = Vec::new();
    for round in 0..4 {
        let mut arena = Arena::start(&db, &["--demo"]);
        // Battles that were answered before the kill can be voted on after it.
        for battle in std::mem::take(&mut open) {
            let (status, body) =
                arena.post("/arena/vote", &json!({ "battle": battle, "verdict": "right" })).unwrap();
            assert_eq!(status, 200, "{body}");
            told += 1;
        }
        for number in 0..5 {
            let battle = arena.battle(&format!("Question {round} {number}?")).unwrap().unwrap();
            let vote = json!({ "battle": battle, "verdict": "left" });
            if number == 4 {
                open.push(battle);
                continue;
            }
            let (status, body) = arena.post("/arena/vote", &vote).unwrap();
            assert_eq!(status, 200, "{body}");
            told += 1;
            if number == 3 {
                // The page sends again what it got no answer to.
                arena.kill();
                arena = Arena::start(&db, &["--demo"]);
                let (status, body) = arena.post("/arena/vote", &vote).unwrap();
                assert!(status == 200 && body.contains("\"is_new\":false"), "{body}");
            }
        }
        // And in the midst of votes that nobody waits for: each is there or not, never half.
        let battle = arena.battle(&format!("Last of {round}?")).unwrap().unwrap();
        let body = json!({ "battle": battle, "verdict": "tie" }).to_string();
        let mut connection = TcpStream::connect(&arena.address).unwrap();
        let head = format!(
            "POST /arena/vote HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        connection.write_all((head + &body).as_bytes()).unwrap();
        arena.kill();
    }
    let kept = votes(&db);
    let certain = kept.iter().filter(|vote| vote["winner"] != "tie").count();
    assert_eq!(certain, told, "every vote that the page said is kept, once");
    assert!(kept.len() - certain <= 4);
}

#[test]
fn told_to_end_it_finishes_the_answers_under_way() {
    let gate = Arc::new(RwLock::new(()));
    let closed = gate.write().unwrap();
    let open = gate.clone();
    let server = Server::start(move |_| {
        drop(open.read());
        streamed(["It ", "is so."])
    });
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("arena.db");
    let models = ["one", "two"].map(|name| format!("{name}={}#{name}", server.base_url()));
    let mut arena = Arena::start(&db, &["--model", &models[0], "--model", &models[1]]);
    let battle = std::thread::scope(|scope| {
        let asking = scope.spawn(|| arena.battle("Is it?"));
        server.wait_until(|counts| counts.asked_in_all() == 2);
        let pid = arena.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let began = Instant::now();
        while TcpStream::connect(&arena.address).is_ok() {
            assert!(began.elapsed() < Duration::from_secs(60), "it still lets people in");
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(closed);
        asking.join().unwrap().unwrap().expect("the battle is kept")
    });
    assert!(arena.child.wait().unwrap().success(), "it ends by itself, without a failure");
    let arena = Arena::start(&db, &["--model", &models[0], "--model", &models[1]]);
    assert_eq!(arena.post("/arena/vote", &json!({ "battle": battle, "verdict": "tie" })).unwrap().0, 200);
}

#[test]
fn a_vote_that_finds_the_disk_full_is_refused_and_counts_once_there_is_room() {
    let Some(disk) = SmallDisk::mount("1m") else { return };
    let db = disk.path().join("arena.db");
    let arena = Arena::start(&db, &["--demo"]);
    let mut told = 0;
    let mut battles = Vec::new();
    for number in 0..4 {
        battles.push(arena.battle(&format!("Question {number}?")).unwrap().unwrap());
    }
    let filler = disk.path().join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    let mut refused = None;
    for battle in &battles {
        let (status, body) =
            arena.post("/arena/vote", &json!({ "battle": battle, "verdict": "left" })).unwrap();
        match status {
            200 => told += 1,
            _ => {
                assert!(status == 507 || status == 500, "{status} {body}");
                assert!(body.contains("does not count"), "{body}");
                refused = Some(battle);
            }
        }
    }
    let refused = refused.expect("the disk was full");
    let (_, body) =
        arena.post("/arena/turn", &json!({ "mode": "battle", "prompt": "Is there room?" })).unwrap();
    assert!(body.contains("does not count"), "a battle that cannot be kept is void: {body}");
    drop(file);
    std::fs::remove_file(&filler).unwrap();
    let (status, body) = arena.post("/arena/vote", &json!({ "battle": refused, "verdict": "left" })).unwrap();
    assert!(status == 200 && body.contains("\"is_new\":true"), "{status} {body}");
    assert_eq!(votes(&db).len(), told + 1);
}

#[test]
fn endpoints_stream_side_by_side_and_their_faults_name_no_model() {
    let server = Server::start(|asked| {
        if asked.body["model"] == "quokka" {
            return Answer::Status(401, Vec::new(), "no key for quokka".into());
        }
        streamed(["It ", "is so."])
    });
    let folder = tempfile::tempdir().unwrap();
    let model = |name: &str, model: &str| format!("{name}={}#{model}", server.base_url());
    let start = |names: [&str; 2]| {
        let models = [model("one", names[0]), model("two", names[1])];
        let db = folder.path().join(format!("{}.db", names[1]));
        Arena::start(&db, &["--model", &models[0], "--model", &models[1]])
    };
    let arena = start(["zebra", "tapir"]);
    let (_, body) = arena.post("/arena/turn", &json!({ "mode": "battle", "prompt": "Is it?" })).unwrap();
    assert!(body.contains("\"text\":\"It \"") && body.contains("\"ready\""), "{body}");
    for name in ["zebra", "tapir", "one", "two"] {
        assert!(!body.contains(&format!("\"{name}\"")), "{body}");
    }
    let broken = start(["zebra", "quokka"]);
    let (_, body) = broken.post("/arena/turn", &json!({ "mode": "battle", "prompt": "Is it?" })).unwrap();
    assert!(
        body.contains("could not be completed") && !body.contains("quokka") && !body.contains("401"),
        "{body}"
    );
}

#[test]
fn votes_go_out_and_in_again_and_a_copy_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let db = path("arena.db");
    let arena = Arena::start(&db, &["--demo"]);
    for number in 0..6 {
        let battle = arena.battle(&format!("Question number {number}?")).unwrap().unwrap();
        let verdict = ["left", "right", "both_bad"][number % 3];
        assert_eq!(
            arena.post("/arena/vote", &json!({ "battle": battle, "verdict": verdict })).unwrap().0,
            200
        );
    }
    // While it runs.
    output_of(&["arena", "backup", "--db", text(&db), text(&path("copy.db"))]);
    let log = path("log.json");
    output_of(&["arena", "export", "--db", text(&db), "--format", "fastchat", text(&log)]);
    output_of(&["arena", "import", "--db", text(&path("other.db")), text(&log)]);
    let plain = |db: &Path| -> Vec<Value> {
        let keep = |vote: Value| {
            json!([vote["model_a"], vote["model_b"], vote["winner"], vote["tstamp"], vote["judge"]])
        };
        votes(db).into_iter().map(keep).collect()
    };
    assert_eq!(plain(&path("copy.db")), plain(&db));
    assert_eq!(plain(&path("other.db")), plain(&db));
    // By other rules, of which the arena's own know nothing.
    output_of(&["arena", "export", "--db", text(&db), "--daily-votes", "2", text(&path("few.jsonl"))]);
    let dropped = std::fs::read_to_string(path("few.jsonl")).unwrap();
    assert_eq!(dropped.matches("\"dropped\":\"many votes\"").count(), 4, "{dropped}");
    let rated = output_of(&["eval", "ratings", text(&path("arena.jsonl"))]);
    assert!(rated.contains("Bradley–Terry"), "{rated}");
    // A table of battles is an arena's, too, and its copy rates the same.
    output_of(&[
        "arena",
        "import",
        "--db",
        text(&path("third.db")),
        "--format",
        "battles",
        text(&path("arena.jsonl")),
    ]);
    assert_eq!(votes(&path("third.db")).len(), 6);
    let board: Value = serde_json::from_str(&arena.get("/leaderboard.json").1).unwrap();
    assert_eq!(board["votes"], 6);

    std::fs::write(&log, "{\"type\": \"leftvote\"}\n").unwrap();
    let error = error_of(&["arena", "import", "--db", text(&path("other.db")), text(&log)]);
    assert!(error.contains("line 1: `models` is missing"), "{error}");
    std::fs::write(path("foreign.db"), "no database at all, but long enough to be read as one").unwrap();
    let error = error_of(&["arena", "import", "--db", text(&path("foreign.db")), text(&log)]);
    assert!(error.contains("not a database"), "{error}");
    let error = error_of(&["arena", "export", "--db", text(&path("none.db")), text(&log)]);
    assert!(error.contains("no such database"), "{error}");
    let error = error_of(&["arena", "--db", text(&path("none.db"))]);
    assert!(error.contains("no models"), "{error}");
}

#[test]
fn ratings_of_a_table_are_cleaned_as_an_arena_cleans_its_votes() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("votes.csv");
    let mut text = "model_a,model_b,winner,judge,tstamp\n".to_owned();
    for number in 0..240 {
        let user = if number % 2 == 0 { "busy".to_owned() } else { format!("user {number}") };
        let winner = if number / 2 % 5 < 3 { "model_a" } else { "model_b" };
        text += &format!("x,y,{winner},{user},{number}\n");
    }
    std::fs::write(&table, text).unwrap();
    let rated = camelid::camelid(&["eval", "ratings", "--clean", self::text(&table)]);
    let said = String::from_utf8_lossy(&rated.stderr);
    assert!(rated.status.success() && said.contains("votes left out: 20 many votes"), "{said}");
    assert!(
        String::from_utf8_lossy(&rated.stdout).contains("220"),
        "{}",
        String::from_utf8_lossy(&rated.stdout)
    );
}

#[test]
fn a_demonstration_plays_the_nano_models_of_past_runs() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    let nano = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments/vicuna/nano.toml");
    let mut experiment = Experiment::read(&nano).unwrap();
    experiment.model.hidden_size = Some(64);
    let shape = Nano::of(&experiment, &runs).unwrap().shape();
    for arm in ["dense-seed0-0000aaaa", "dense-seed1-0000bbbb", "other-seed0-0000cccc"] {
        let arm = runs.join("vicuna-nano/arms").join(arm);
        std::fs::create_dir_all(arm.join("model")).unwrap();
        experiment.save(&arm.join("experiment.toml")).unwrap();
        std::fs::write(arm.join("outcome.json"), "{}").unwrap();
        let model = Llama::random_with_std(&shape, 0.2, 5, &Device::flex());
        model.save_safetensors(&arm.join("model")).unwrap();
    }
    let arena = Arena::start(&folder.path().join("arena.db"), &["--demo", "--max-new-tokens", "4"]);
    let page = arena.get("/side-by-side").1;
    assert!(page.contains("vicuna-nano-dense") && page.contains("vicuna-nano-other"), "{page}");
    assert!(!page.contains("seed") && page.contains("Choose a question"), "one of each arm plays");
    let ask = json!({ "mode": "direct", "models": ["vicuna-nano-other"], "prompt": "Who is the king?" });
    let (_, body) = arena.post("/arena/turn", &ask).unwrap();
    assert!(body.contains("\"text\"") || body.contains("could not be completed"), "{body}");
}

#[test]
fn in_a_browser_three_battles_are_played_and_nothing_in_an_answer_runs() {
    let Some(browser) = Browser::find() else { return };
    let hostile = "Here: <script>window.ran = 'script'</script> <img src=x onerror=\"window.ran = 'image'\">\n\n\
        [a link](javascript:window.ran='link') and <a href=\"javascript:window.ran='raw'\">another</a>, \
        <svg onload=\"window.ran='svg'\"></svg> ![x](x\" onerror=\"window.ran='title')\n\n\
        **Else**: <https://example.com/> and\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```js\nwindow.ran = 'code'\n```\n";
    let server = Server::start(move |asked| {
        let text =
            if asked.last().contains("everything") { hostile } else { "It depends on the **wind**, mostly." };
        let letters: Vec<char> = text.chars().collect();
        streamed(letters.chunks(7).map(|piece| piece.iter().collect::<String>()))
    });
    let folder = tempfile::tempdir().unwrap();
    let models = [format!("nettle={}#one", server.base_url()), format!("thistle={}#two", server.base_url())];
    let arena =
        Arena::start(&folder.path().join("arena.db"), &["--model", &models[0], "--model", &models[1]]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/arena_browser/battles.mjs");
    browser.play(&script, &arena.address);
}
