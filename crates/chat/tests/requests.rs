//! Batches of requests against a real HTTP server: nothing is lost, nothing is paid twice.
#![cfg(feature = "requests")]

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use camelid_chat::openai::{OpenAiClient, OpenAiConfig};
use camelid_chat::requests::{
    ChatRequest, Prices, Progress, Reply, RequestStore, RunError, RunSettings, Runner,
};
use camelid_chat::{GenerateOptions, GeneratedText, Message, Role, StopReason, TextGenerator};
use camelid_tests::chat_server::{Answer, Asked, Server};

/// A request for a reply of at most ten tokens.
fn request(text: &str) -> ChatRequest {
    ChatRequest {
        model: "judge".into(),
        messages: vec![Message::new(Role::User, text)],
        options: GenerateOptions { max_new_tokens: 10, ..GenerateOptions::default() },
    }
}

fn requests(count: usize) -> Vec<ChatRequest> {
    (0..count).map(|i| request(&format!("Question <{i}>?"))).collect()
}

/// Four words, the last of which repeat the question.
fn answer(asked: &Asked) -> Answer {
    Answer::Text(reply_to(asked.last()))
}

fn reply_to(question: &str) -> String {
    format!("Answer to {question}")
}

fn client(server: &Server, retries: u32) -> OpenAiClient {
    client_at(server.base_url(), retries)
}

fn client_at(base_url: String, retries: u32) -> OpenAiClient {
    let config = OpenAiConfig::new(base_url, "judge");
    OpenAiClient::new(OpenAiConfig { first_wait_ms: 1, longest_wait_ms: 20, retries, ..config }).unwrap()
}

fn store(folder: &tempfile::TempDir) -> RequestStore {
    RequestStore::open(&folder.path().join("replies.jsonl")).unwrap()
}

fn at_a_time(concurrency: usize) -> RunSettings {
    RunSettings { concurrency, ..RunSettings::default() }
}

/// One currency unit for a token of a reply, so that every request costs ten at most and four.
fn limited(spending_limit: f64) -> RunSettings {
    let prices = Some(Prices { prompt: 0.0, new: 1e6 });
    RunSettings { prices, spending_limit: Some(spending_limit), ..RunSettings::default() }
}

fn run(runner: &Runner, requests: &[ChatRequest]) -> Vec<Reply> {
    let replies = runner.run(requests, &mut |_| ()).unwrap();
    replies.into_iter().map(|reply| reply.unwrap()).collect()
}

fn texts(replies: &[Reply]) -> Vec<&str> {
    replies.iter().map(|reply| reply.text.as_str()).collect()
}

fn expected(requests: &[ChatRequest]) -> Vec<String> {
    requests.iter().map(|request| reply_to(&request.messages[0].content)).collect()
}

#[test]
fn a_batch_survives_the_restart_of_its_server_and_repeats_no_finished_request() {
    let answered = AtomicUsize::new(0);
    let mut server = Server::start(move |asked| match asked.life {
        // In its first life the server answers five requests and hangs at the others.
        1 if answered.fetch_add(1, Ordering::SeqCst) >= 5 => Answer::Stall,
        _ => answer(asked),
    });
    let folder = tempfile::tempdir().unwrap();
    let (store, client, asked) = (store(&folder), client(&server, 100_000), requests(20));
    let runner = Runner::new(&client, &store, at_a_time(3)).unwrap();
    let replies = std::thread::scope(|scope| {
        let batch = scope.spawn(|| run(&runner, &asked));
        server.wait_until(|counts| counts.answered_in_all() == 5 && counts.asked_in_all() == 8);
        server.restart();
        batch.join().unwrap()
    });
    assert_eq!(texts(&replies), expected(&asked));
    let counts = server.counts();
    assert_eq!(counts.answered.len(), 20);
    assert!(counts.answered.values().all(|times| *times == 1), "{:?}", counts.answered);
    // The three that hung were asked again.
    assert!(counts.asked_in_all() >= 23, "{}", counts.asked_in_all());
}

#[test]
fn what_is_stored_is_not_asked_again() {
    let server = Server::start(answer);
    let folder = tempfile::tempdir().unwrap();
    let client = client(&server, 0);
    let first = run(&Runner::new(&client, &store(&folder), at_a_time(2)).unwrap(), &requests(4));
    assert_eq!(first[2].prompt_tokens, Some(2));
    assert_eq!(first[2].new_tokens, Some(4));
    assert_eq!(first[2].model_version.as_deref(), Some("judge-0613 (fp_test)"));

    let store = store(&folder);
    assert_eq!(store.report().replies, 4);
    let runner = Runner::new(&client, &store, at_a_time(2)).unwrap();
    let mut seen: Vec<Progress> = Vec::new();
    let replies = runner.run(&requests(6), &mut |progress| seen.push(progress)).unwrap();
    assert_eq!(replies[..4].iter().map(|r| r.clone().unwrap()).collect::<Vec<_>>(), first);
    assert_eq!(server.counts().asked_in_all(), 6);
    assert_eq!(seen[0], Progress { total: 6, stored: 4, ..Default::default() });
    assert_eq!(*seen.last().unwrap(), Progress { total: 6, stored: 4, answered: 2, ..Default::default() });
}

#[test]
fn a_killed_process_loses_no_reply_and_the_next_one_goes_on() {
    let answered = AtomicUsize::new(0);
    let mut server = Server::start(move |asked| match asked.life {
        1 if answered.fetch_add(1, Ordering::SeqCst) >= 6 => Answer::Stall,
        _ => answer(asked),
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replies.jsonl");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_process_to_be_killed", "--ignored"])
        .env("CAMELID_TEST_STORE", &path)
        .env("CAMELID_TEST_URL", server.base_url())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    server.wait_until(|counts| counts.asked_in_all() == 7);
    // The store is the child's as long as it lives.
    assert!(RequestStore::open(&path).is_err());
    child.kill().unwrap();
    child.wait().unwrap();
    server.restart();

    let store = RequestStore::open(&path).unwrap();
    assert_eq!(store.report().replies, 6);
    let client = client(&server, 3);
    let replies = run(&Runner::new(&client, &store, at_a_time(4)).unwrap(), &requests(12));
    assert_eq!(texts(&replies), expected(&requests(12)));
    let counts = server.counts();
    assert!(counts.answered.values().all(|times| *times == 1), "{:?}", counts.answered);
    assert_eq!((counts.answered_in_all(), counts.asked_in_all()), (12, 13));
}

#[test]
#[ignore = "run and killed by another test"]
fn a_process_to_be_killed() {
    let path = std::env::var("CAMELID_TEST_STORE").expect("set by the other test");
    let client = client_at(std::env::var("CAMELID_TEST_URL").expect("set by the other test"), 0);
    let store = RequestStore::open(Path::new(&path)).unwrap();
    run(&Runner::new(&client, &store, at_a_time(1)).unwrap(), &requests(12));
    unreachable!("the seventh request is not answered");
}

#[test]
fn equal_requests_are_asked_once_and_other_options_are_another_request() {
    let server = Server::start(answer);
    let folder = tempfile::tempdir().unwrap();
    let (store, client) = (store(&folder), client(&server, 0));
    let warm = ChatRequest {
        options: GenerateOptions { temperature: 0.5, seed: 1, ..request("a").options },
        ..request("a")
    };
    let batch = [request("a"), request("b"), request("a"), warm, request("a")];
    let runner = Runner::new(&client, &store, at_a_time(5)).unwrap();
    assert_eq!((runner.estimate(&batch).new, runner.estimate(&batch).stored), (3, 0));
    let replies = run(&runner, &batch);
    assert_eq!(replies[0], replies[4]);
    assert_eq!(server.counts().asked_in_all(), 3);
    assert_eq!((runner.estimate(&batch).new, runner.estimate(&batch).stored), (0, 3));
}

#[test]
fn failures_stay_in_their_place_with_their_text_and_are_asked_again_by_the_next_run() {
    let server = Server::start(|asked| match (asked.last(), asked.times) {
        ("Question <1>?", 1) => Answer::Body("<html>Sign in</html>".into()),
        ("Question <3>?", 1) => Answer::Status(400, Vec::new(), "too long".into()),
        _ => answer(asked),
    });
    let folder = tempfile::tempdir().unwrap();
    let (store, client) = (store(&folder), client(&server, 3));
    let runner = Runner::new(&client, &store, at_a_time(2)).unwrap();
    let mut batch = requests(5);
    batch.push(batch[1].clone());
    let mut last = Progress::default();
    let replies = runner.run(&batch, &mut |progress| last = progress).unwrap();
    assert_eq!((last.answered, last.failed, last.under_way), (3, 2, 0));
    let failed = |index: usize| replies[index].as_ref().unwrap_err();
    assert_eq!(failed(1).text(), Some("<html>Sign in</html>"));
    assert!(failed(1).to_string().starts_with("request 1 to `judge` (key "), "{}", failed(1));
    assert_eq!(failed(5).index, 5);
    assert_eq!(failed(5).key, failed(1).key);
    assert_eq!(failed(3).text(), Some("too long"));
    assert_eq!(texts(&[replies[4].clone().unwrap()]), ["Answer to Question <4>?"]);

    assert_eq!(texts(&run(&runner, &batch)), expected(&batch));
    assert_eq!(server.counts().asked_in_all(), 7);
}

#[test]
fn spending_stops_before_the_limit_and_keeps_what_was_paid() {
    let server = Server::start(answer);
    let folder = tempfile::tempdir().unwrap();
    let (store, client, batch) = (store(&folder), client(&server, 0), requests(10));
    let runner = Runner::new(&client, &store, limited(25.0)).unwrap();
    let estimate = runner.estimate(&batch);
    assert_eq!((estimate.cost, estimate.cost_at_most), (Some(100.0), Some(100.0)));
    // Replies cost 4, each may cost 10: after four, 16 are spent and the fifth might not fit.
    let error = runner.run(&batch, &mut |_| ()).unwrap_err();
    assert!(
        matches!(error, RunError::SpendingLimit { limit: 25.0, spent: 16.0, next: 10.0, left: 6, total: 10 }),
        "{error}"
    );
    assert_eq!((store.len(), runner.spent()), (4, 16.0));
    // By now it is known how long replies are.
    assert_eq!(runner.estimate(&batch).cost, Some(24.0));

    let generous = Runner::new(&client, &store, limited(30.0)).unwrap();
    assert_eq!(texts(&run(&generous, &batch)), expected(&batch));
    assert_eq!((generous.spent(), server.counts().asked_in_all()), (24.0, 10));
}

#[test]
fn nonsense_counts_as_paid() {
    let server = Server::start(|_| Answer::Body("{}".into()));
    let folder = tempfile::tempdir().unwrap();
    let (store, client) = (store(&folder), client(&server, 0));
    let runner = Runner::new(&client, &store, limited(25.0)).unwrap();
    let error = runner.run(&requests(10), &mut |_| ()).unwrap_err();
    assert!(matches!(error, RunError::SpendingLimit { spent: 20.0, left: 10, .. }), "{error}");
    assert_eq!(server.counts().asked_in_all(), 2);
}

#[test]
fn an_interrupted_batch_keeps_what_was_under_way() {
    let server = Server::start(answer);
    let folder = tempfile::tempdir().unwrap();
    let (store, client, stop) = (store(&folder), client(&server, 0), AtomicBool::new(false));
    let runner = Runner::new(&client, &store, at_a_time(2)).unwrap().stop_on(&stop);
    let error = runner
        .run(&requests(30), &mut |progress| {
            if progress.answered == 3 {
                stop.store(true, Ordering::Relaxed);
            }
        })
        .unwrap_err();
    let kept = store.len();
    assert!((3..30).contains(&kept), "{kept}");
    assert!(matches!(error, RunError::Interrupted { left, total: 30 } if left == 30 - kept), "{error}");
    assert_eq!(server.counts().asked_in_all(), kept);
}

#[test]
fn no_more_requests_are_under_way_than_allowed() {
    let mut server = Server::start(|_| Answer::Stall);
    let folder = tempfile::tempdir().unwrap();
    let (store, client, stop) = (store(&folder), client(&server, 0), AtomicBool::new(false));
    let runner = Runner::new(&client, &store, at_a_time(3)).unwrap().stop_on(&stop);
    let most = std::thread::scope(|scope| {
        let batch = scope.spawn(|| {
            let mut most = 0;
            let error = runner.run(&requests(9), &mut |progress| most = most.max(progress.under_way));
            assert!(matches!(error, Err(RunError::Interrupted { left: 9, total: 9 })));
            most
        });
        server.wait_until(|counts| counts.asked_in_all() == 3);
        stop.store(true, Ordering::Relaxed);
        server.stop();
        batch.join().unwrap()
    });
    assert_eq!((most, server.counts().asked_in_all()), (3, 3));
}

#[test]
fn requests_keep_their_distance() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let settings = RunSettings { requests_per_minute: Some(3000.0), ..at_a_time(6) };
    let begun = Instant::now();
    run(&Runner::new(&Local, &store, settings).unwrap(), &requests(6));
    // Five distances of 20 ms: never less, however busy the machine is.
    assert!(begun.elapsed() >= Duration::from_millis(100));
}

/// A model in this process: it answers with the question, in capitals and word by word.
struct Local;

impl TextGenerator for Local {
    fn generate(
        &self,
        messages: &[Message],
        _: &GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<GeneratedText, Box<dyn std::error::Error + Send + Sync>> {
        let question = &messages.last().ok_or("nothing was asked")?.content;
        assert!(!question.contains("panic"), "as asked");
        let mut text = String::new();
        let mut reason = StopReason::TurnEnd;
        for word in question.to_uppercase().split_inclusive(' ') {
            text += word;
            if on_text(word).is_break() {
                reason = StopReason::Cancelled;
                break;
            }
        }
        Ok(GeneratedText {
            text,
            prompt_tokens: None,
            new_tokens: None,
            reason,
            model_version: None,
            own_temperature: false,
        })
    }
}

#[test]
fn a_model_in_process_is_asked_the_same_way() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let runner = Runner::new(&Local, &store, limited(20.0)).unwrap();
    let empty = ChatRequest { messages: Vec::new(), ..request("") };
    let wrong =
        ChatRequest { options: GenerateOptions { top_p: 7.0, ..request("").options }, ..request("c") };
    let replies = runner.run(&[request("a"), empty], &mut |_| ()).unwrap();
    assert_eq!(replies[0].as_ref().unwrap().text, "A");
    assert!(replies[1].as_ref().unwrap_err().to_string().ends_with("nothing was asked"));
    // The model does not count tokens: the most that it may have cost is what it cost.
    assert_eq!(runner.spent(), 10.0);
    let replies = runner.run(&[request("panic"), wrong], &mut |_| ()).unwrap();
    let messages: Vec<String> = replies.iter().map(|r| r.as_ref().unwrap_err().to_string()).collect();
    assert!(messages[0].ends_with("the model's code panicked: as asked"), "{messages:?}");
    assert!(messages[1].contains("`top_p` is 7"), "{messages:?}");
}

/// Ctrl-C comes after its first word.
struct Interrupted<'a>(&'a AtomicBool);

impl TextGenerator for Interrupted<'_> {
    fn generate(
        &self,
        messages: &[Message],
        options: &GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<GeneratedText, Box<dyn std::error::Error + Send + Sync>> {
        Local.generate(messages, options, &mut |word| {
            let flow = on_text(word);
            self.0.store(true, Ordering::Relaxed);
            flow
        })
    }
}

#[test]
fn half_a_reply_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (store, stop) = (store(&folder), AtomicBool::new(false));
    let model = Interrupted(&stop);
    let runner = Runner::new(&model, &store, at_a_time(1)).unwrap().stop_on(&stop);
    let error = runner.run(&[request("one two three")], &mut |_| ()).unwrap_err();
    assert!(matches!(error, RunError::Interrupted { left: 1, total: 1 }), "{error}");
    assert!(store.is_empty());
}

#[test]
fn keys_do_not_change_between_versions() {
    // sha256 of {"messages":[{"content":"Hé?","role":"user"}],"model":"judge","options":{
    // "max_new_tokens":10,"min_p":0.0,"repetition_penalty":1.0,"seed":7,"stop":["###"],
    // "stop_ids":[],"temperature":0.7,"top_k":0,"top_p":1.0}}, without line breaks.
    let mut asked = request("Hé?");
    asked.options.temperature = 0.7;
    asked.options.seed = 7;
    asked.options.stop = vec!["###".into()];
    assert_eq!(asked.key(), "bc0c85bc54be763401cfcdc65f3f8ff0a903686d783e3f8fbb46eca2ea0bf450");
    let variations: BTreeSet<String> = [
        asked.clone(),
        ChatRequest { model: "other".into(), ..asked.clone() },
        ChatRequest { messages: vec![Message::new(Role::System, "Hé?")], ..asked.clone() },
        ChatRequest { options: GenerateOptions { seed: 8, ..asked.options.clone() }, ..asked.clone() },
    ]
    .iter()
    .map(ChatRequest::key)
    .collect();
    assert_eq!(variations.len(), 4);
}

#[test]
fn settings_out_of_range_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let plain = RunSettings::default;
    for (settings, part) in [
        (at_a_time(0), "`concurrency` is 0"),
        (RunSettings { requests_per_minute: Some(0.0), ..plain() }, "`requests_per_minute` is 0"),
        (limited(f64::NAN), "`spending_limit` is NaN"),
        (RunSettings { prices: None, ..limited(1.0) }, "`spending_limit` is 1 without `prices`"),
        (RunSettings { prices: Some(Prices { prompt: -1.0, new: 0.0 }), ..plain() }, "`prices.prompt` is -1"),
    ] {
        let message = Runner::new(&Local, &store, settings).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_server_that_fails_every_request_is_given_up_and_what_came_is_kept() {
    // Good for three replies, then out of money; a batch of sixteen.
    let server = Server::start(|asked| match asked.last() {
        "Question <0>?" | "Question <1>?" | "Question <2>?" => answer(asked),
        _ => Answer::Status(429, Vec::new(), "insufficient_quota".into()),
    });
    let folder = tempfile::tempdir().unwrap();
    let (store, client) = (store(&folder), client(&server, 5));
    let runner = Runner::new(&client, &store, at_a_time(1)).unwrap();
    let mut last = Progress::default();
    let replies = runner.run(&requests(16), &mut |progress| last = progress).unwrap();
    assert_eq!((store.len(), last.answered, last.failed, last.not_asked), (3, 3, 13, 10));
    assert_eq!(server.counts().asked_in_all(), 6);
    let words = |index: usize| replies[index].as_ref().unwrap_err().source.to_string();
    assert!(words(3).contains("insufficient_quota"), "{}", words(3));
    assert_eq!(words(15), "not asked, after 3 failures in a row");
}

#[test]
fn a_request_that_is_too_long_says_nothing_of_the_others() {
    let server = Server::start(|asked| match asked.last() {
        "Question <15>?" => answer(asked),
        _ => Answer::Status(400, Vec::new(), "maximum context length is 10 tokens".into()),
    });
    let folder = tempfile::tempdir().unwrap();
    let (store, client) = (store(&folder), client(&server, 0));
    let runner = Runner::new(&client, &store, at_a_time(1)).unwrap();
    let replies = runner.run(&requests(16), &mut |_| ()).unwrap();
    assert!(replies[15].is_ok() && server.counts().asked_in_all() == 16);
}

#[test]
fn what_a_content_filter_stopped_is_asked_again_by_the_next_run() {
    let filtered = r#"{"choices": [{"message": {"content": "Half"}, "finish_reason": "content_filter"}]}"#;
    let server = Server::start(move |asked| match asked.times {
        1 => Answer::Body(filtered.into()),
        _ => answer(asked),
    });
    let folder = tempfile::tempdir().unwrap();
    let (store, client) = (store(&folder), client(&server, 0));
    let runner = Runner::new(&client, &store, at_a_time(1)).unwrap();
    let failed = runner.run(&requests(1), &mut |_| ()).unwrap().remove(0).unwrap_err();
    assert_eq!(
        (failed.source.to_string().as_str(), failed.text()),
        ("stopped by the content filter", Some("Half"))
    );
    assert_eq!(texts(&run(&runner, &requests(1))), expected(&requests(1)));
}

#[test]
fn a_reply_that_is_not_taken_is_asked_again_and_replaced_even_where_it_was_stored() {
    let server = Server::start(|asked| match asked.times {
        1 | 2 => Answer::Body(
            r#"{"choices": [{"message": {"content": "cut"}, "finish_reason": "length"}]}"#.into(),
        ),
        _ => answer(asked),
    });
    let folder = tempfile::tempdir().unwrap();
    let client = client(&server, 0);
    let whole = |reply: &Reply| match reply.reason {
        StopReason::Length => Err("cut off".to_owned()),
        _ => Ok(()),
    };
    {
        let store = store(&folder);
        // Stored by one that takes everything.
        let runner = Runner::new(&client, &store, at_a_time(1)).unwrap();
        assert_eq!(texts(&run(&runner, &requests(1))), ["cut"]);
        let runner = Runner::new(&client, &store, at_a_time(1)).unwrap().accepting(&whole);
        assert_eq!((runner.estimate(&requests(1)).new, server.counts().asked_in_all()), (1, 1));
        let refused = runner.run(&requests(1), &mut |_| ()).unwrap().remove(0).unwrap_err();
        assert_eq!((refused.source.to_string().as_str(), refused.text()), ("cut off", Some("cut")));
        assert_eq!(texts(&run(&runner, &requests(1))), expected(&requests(1)));
    }
    let store = store(&folder);
    assert_eq!((store.len(), store.report().damaged.len()), (1, 0));
    let runner = Runner::new(&client, &store, at_a_time(1)).unwrap().accepting(&whole);
    assert_eq!(texts(&run(&runner, &requests(1))), expected(&requests(1)));
    assert_eq!(server.counts().asked_in_all(), 3);
}
