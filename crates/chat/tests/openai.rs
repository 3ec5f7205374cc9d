//! The client against a real HTTP server that misbehaves.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use camelid_chat::openai::{ModerationClient, OpenAiClient, OpenAiConfig, OpenAiError};
use camelid_chat::{GenerateOptions, GeneratedText, Message, Role, StopReason, TextGenerator};
use camelid_tests::chat_server::{Answer, Server};

/// A client with short waits.
fn client(server: &Server) -> OpenAiClient {
    OpenAiClient::new(patient(server)).unwrap()
}

fn patient(server: &Server) -> OpenAiConfig {
    OpenAiConfig {
        first_wait_ms: 1,
        longest_wait_ms: 2_000,
        retries: 3,
        ..OpenAiConfig::new(server.base_url(), "judge")
    }
}

fn ask(client: &OpenAiClient) -> Result<GeneratedText, OpenAiError> {
    let messages = [Message::new(Role::System, "Be brief."), Message::new(Role::User, "Is it raining?")];
    client.answer(&messages, &GenerateOptions::default())
}

fn error(status: u16) -> Answer {
    Answer::Status(status, Vec::new(), format!("words with status {status}"))
}

#[test]
fn a_reply_comes_with_its_counts_and_version() {
    let server = Server::start(|_| Answer::Text("It is not.".into()));
    let client = client(&server);
    let reply = ask(&client).unwrap();
    let expected = GeneratedText {
        text: "It is not.".into(),
        prompt_tokens: Some(5),
        new_tokens: Some(3),
        reason: StopReason::TurnEnd,
        model_version: Some("judge-0613 (fp_test)".into()),
        own_temperature: false,
    };
    assert_eq!(reply, expected);
    let mut shown = String::new();
    let generated = client.generate(&[Message::new(Role::User, "?")], &Default::default(), &mut |text| {
        shown.push_str(text);
        ControlFlow::Continue(())
    });
    assert_eq!(generated.unwrap().text, shown);
}

#[test]
fn errors_that_pass_are_asked_again() {
    for status in [408, 429, 500, 502, 503] {
        let server = Server::start(move |asked| match asked.times {
            1 | 2 => error(status),
            _ => Answer::Text("Yes.".into()),
        });
        assert_eq!(ask(&client(&server)).unwrap().text, "Yes.");
        assert_eq!(server.counts().asked_in_all(), 3);
    }
}

#[test]
fn errors_that_stay_are_final_and_keep_the_servers_words() {
    for status in [300, 400, 401, 404, 422] {
        let server = Server::start(move |_| error(status));
        let failed = ask(&client(&server)).unwrap_err();
        assert!(matches!(failed, OpenAiError::Status { attempts: 1, .. }), "{failed}");
        assert_eq!(failed.text(), Some(format!("words with status {status}").as_str()));
        assert_eq!(server.counts().asked_in_all(), 1);
    }
    // A redirection would take the key elsewhere.
    let location = vec![("location", "http://127.0.0.1:9/v1/chat/completions".to_owned())];
    let server = Server::start(move |_| Answer::Status(307, location.clone(), String::new()));
    let failed = ask(&client(&server)).unwrap_err();
    assert!(matches!(failed, OpenAiError::Status { status: 307, attempts: 1, .. }), "{failed}");
    let server = Server::start(|_| error(500));
    let message = ask(&client(&server)).unwrap_err().to_string();
    assert!(message.contains("HTTP status 500 in 4 attempts: \"words with status 500\""), "{message}");
}

#[test]
fn a_server_says_when_to_come_back() {
    let after = |seconds: &str| {
        let seconds = seconds.to_owned();
        Server::start(move |asked| match asked.times {
            1 => Answer::Status(429, vec![("retry-after", seconds.clone())], "slow down".into()),
            _ => Answer::Text("Now.".into()),
        })
    };
    let server = after("0.3");
    let begun = std::time::Instant::now();
    assert_eq!(ask(&client(&server)).unwrap().text, "Now.");
    // A wait is never shorter than asked for, however busy the machine is.
    assert!(begun.elapsed().as_millis() >= 300);
    // Longer than we would wait: asking earlier would be pointless, so it is not done.
    let server = after("3600");
    let failed = ask(&client(&server)).unwrap_err();
    assert!(matches!(failed, OpenAiError::Status { status: 429, attempts: 1, .. }), "{failed}");
    assert_eq!(server.counts().asked_in_all(), 1);
}

#[test]
fn a_stalling_server_is_left_and_asked_again() {
    let server = Server::start(|asked| match asked.times {
        1 => Answer::Stall,
        _ => Answer::Text("Sorry.".into()),
    });
    let impatient = |retries| OpenAiConfig { timeout_ms: 200, retries, ..patient(&server) };
    assert_eq!(ask(&OpenAiClient::new(impatient(1)).unwrap()).unwrap().text, "Sorry.");

    let server = Server::start(|_| Answer::Stall);
    let config = OpenAiConfig { timeout_ms: 50, retries: 1, ..patient(&server) };
    let failed = ask(&OpenAiClient::new(config).unwrap()).unwrap_err();
    assert!(matches!(failed, OpenAiError::Timeout { attempts: 2, timeout_ms: 50, .. }), "{failed}");
    assert_eq!(failed.charged_attempts(), 2);
}

#[test]
fn a_reply_that_breaks_off_is_asked_again_and_its_text_kept() {
    let server = Server::start(|asked| match asked.times {
        1 => Answer::Truncated("Half of this".into()),
        _ => Answer::Text("All of this".into()),
    });
    assert_eq!(ask(&client(&server)).unwrap().text, "All of this");

    let server = Server::start(|_| Answer::Truncated("Half of this".into()));
    let failed = ask(&client(&server)).unwrap_err();
    assert!(matches!(failed, OpenAiError::Truncated { attempts: 4, .. }), "{failed}");
    assert!(failed.text().unwrap().starts_with("{\"id\":\"chatcmpl-1\""), "{failed}");
}

#[test]
fn nonsense_is_final_for_it_may_be_paid_and_its_text_is_kept() {
    for (body, problem) in [
        ("<html>It works!</html>", "not valid JSON"),
        ("{\"choices\": [{\"message\"", "not valid JSON: EOF"),
        ("{\"object\": \"list\"}", "no list `choices`"),
        ("", "not valid JSON: EOF"),
    ] {
        let server = Server::start(move |_| Answer::Body(body.into()));
        let failed = ask(&client(&server)).unwrap_err();
        assert!(matches!(failed, OpenAiError::Nonsense { .. }), "{failed}");
        assert!(failed.to_string().contains(problem), "{failed}");
        assert_eq!((failed.text(), failed.charged_attempts()), (Some(body), 1));
        assert_eq!(server.counts().asked_in_all(), 1);
    }
}

#[test]
fn no_server_at_all_is_a_clear_error() {
    let mut server = Server::start(|_| Answer::Stall);
    let client = client(&server);
    server.stop();
    let failed = ask(&client).unwrap_err();
    assert!(matches!(failed, OpenAiError::Connection { attempts: 4, .. }), "{failed}");
    assert!(failed.to_string().starts_with(&server.base_url()), "{failed}");
}

#[test]
fn a_raised_flag_ends_the_waiting() {
    let server = Server::start(|_| error(503));
    let stop = Arc::new(AtomicBool::new(false));
    let config =
        OpenAiConfig { first_wait_ms: 3_600_000, longest_wait_ms: 3_600_000, retries: 9, ..patient(&server) };
    let client = OpenAiClient::new(config).unwrap().stop_on(stop.clone());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| ask(&client));
        server.wait_until(|counts| counts.answered_in_all() == 1);
        stop.store(true, Ordering::Relaxed);
        let failed = waiting.join().unwrap().unwrap_err();
        assert!(matches!(failed, OpenAiError::Status { status: 503, attempts: 1, .. }), "{failed}");
    });
}

#[test]
fn the_key_is_sent_and_never_shown() {
    // Any variable that is set will do: tests that run side by side cannot change the environment.
    let (variable, key) = ("PATH", std::env::var("PATH").unwrap());
    let expected = format!("Bearer {key}");
    let server =
        Server::start(move |asked| Answer::Text((asked.headers["authorization"] == expected).to_string()));
    let config = OpenAiConfig { api_key_env: Some(variable.into()), ..patient(&server) };
    let client = OpenAiClient::new(config.clone()).unwrap();
    assert_eq!(ask(&client).unwrap().text, "true");
    assert!(!format!("{client:?}").contains(&key), "{client:?}");
    let missing = OpenAiConfig { api_key_env: Some("CAMELID_NO_SUCH_KEY".into()), ..config };
    let message = OpenAiClient::new(missing).unwrap_err().to_string();
    assert!(message.contains("`CAMELID_NO_SUCH_KEY`") && message.contains("is not set"), "{message}");
}

#[test]
fn options_out_of_range_are_not_sent() {
    let server = Server::start(|_| Answer::Text(String::new()));
    let options = GenerateOptions { top_p: 2.0, ..Default::default() };
    let failed = client(&server).answer(&[Message::new(Role::User, "?")], &options).unwrap_err();
    assert!(failed.to_string().contains("`top_p` is 2"), "{failed}");
    assert_eq!(server.counts().asked_in_all(), 0);
}

#[test]
fn a_server_is_taken_at_its_word_about_parameters() {
    let server = Server::start(|asked| {
        let refuse = |words: &str| {
            Answer::Status(400, Vec::new(), format!(r#"{{"error": {{"message": "{words}"}}}}"#))
        };
        if asked.body.get("max_tokens").is_some() {
            refuse(
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            )
        } else if asked.body.get("temperature").is_some() {
            refuse(
                "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.",
            )
        } else {
            Answer::Text(asked.body["max_completion_tokens"].to_string())
        }
    });
    let client = client(&server);
    let reply = ask(&client).unwrap();
    assert_eq!((reply.text.as_str(), reply.own_temperature), ("256", true));
    // What was learned is kept: the next request is right at once.
    assert_eq!(ask(&client).unwrap().text, "256");
    assert_eq!(server.counts().asked_in_all(), 4);
}

#[test]
fn no_money_is_not_waited_for_and_the_servers_words_are_shown() {
    let quota = r#"{"error": {"message": "You exceeded your current quota.", "code": "insufficient_quota"}}"#;
    let server = Server::start(move |_| Answer::Status(429, Vec::new(), quota.into()));
    let failed = ask(&client(&server)).unwrap_err();
    assert!(matches!(failed, OpenAiError::Status { attempts: 1, .. }) && failed.is_lasting(), "{failed}");
    assert!(failed.to_string().ends_with("one attempt: \"You exceeded your current quota.\""), "{failed}");
    let server = Server::start(|_| Answer::Body("<html>Sign in</html>".into()));
    let failed = ask(&client(&server)).unwrap_err();
    assert!(failed.is_lasting() && failed.to_string().contains("web page"), "{failed}");
    let server = Server::start(|_| error(503));
    assert!(!ask(&client(&server)).unwrap_err().is_lasting());
}

#[test]
fn nobody_at_an_address_is_not_waited_for_long() {
    let mut server = Server::start(|_| Answer::Stall);
    let config =
        OpenAiConfig { first_wait_ms: 2_500, retries: 5, ..OpenAiConfig::new(server.base_url(), "m") };
    server.stop();
    let begun = std::time::Instant::now();
    let failed = ask(&OpenAiClient::new(config).unwrap()).unwrap_err();
    assert!(begun.elapsed().as_secs() < 20 && failed.is_lasting(), "{failed}");
}

fn events(pieces: &[&str]) -> Answer {
    let chunk = |piece: &&str| {
        let delta = serde_json::json!({"choices": [{"delta": {"content": piece}, "finish_reason": null}]});
        format!("data: {delta}\n\n")
    };
    let body: String = pieces.iter().map(chunk).collect();
    let end = "data: {\"choices\": [{\"delta\": {}, \"finish_reason\": \"stop\"}]}\n\ndata: [DONE]\n\n";
    Answer::Status(200, vec![("content-type", "text/event-stream".to_owned())], body + end)
}

/// What a streamed client hands on, ending after `most` pieces.
fn streamed(server: &Server, most: usize) -> (Vec<String>, Result<GeneratedText, String>) {
    let mut pieces = Vec::new();
    let generated = client(server).streamed().generate(
        &[Message::new(Role::User, "Is it raining?")],
        &GenerateOptions::default(),
        &mut |piece| {
            pieces.push(piece.to_owned());
            if pieces.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        },
    );
    (pieces, generated.map_err(|error| error.to_string()))
}

#[test]
fn a_streamed_reply_comes_in_pieces_after_a_server_that_was_busy_and_can_be_ended() {
    let server = Server::start(|asked| {
        assert_eq!(asked.body["stream"], true);
        if asked.times == 1 { error(503) } else { events(&["It ", "is ", "not."]) }
    });
    let (pieces, reply) = streamed(&server, usize::MAX);
    assert_eq!((pieces.len(), reply.unwrap().text.as_str()), (3, "It is not."));
    let (pieces, reply) = streamed(&server, 2);
    let reply = reply.unwrap();
    assert_eq!((pieces.len(), reply.text.as_str(), reply.reason), (2, "It is ", StopReason::Cancelled));
}

#[test]
fn a_server_that_does_not_stream_is_read_whole_and_one_that_breaks_off_is_not_asked_again() {
    let whole = Server::start(|_| Answer::Text("It is not.".into()));
    assert_eq!(streamed(&whole, usize::MAX).0, ["It is not."]);
    let broken = Server::start(|_| {
        let Answer::Status(status, headers, body) = events(&["It ", "is "]) else { unreachable!() };
        let (begun, _) = body.split_once("data: {\"choices\": [{\"delta\": {}").unwrap();
        Answer::Status(status, headers, begun.to_owned())
    });
    let (pieces, reply) = streamed(&broken, usize::MAX);
    assert_eq!((pieces.len(), broken.counts().asked_in_all()), (2, 1));
    assert!(reply.unwrap_err().contains("broke off"));
}

#[test]
fn a_moderation_endpoint_flags_texts_and_its_nonsense_is_an_error() {
    let server = Server::start(|asked| match asked.body["input"].as_str() {
        Some("bad") => Answer::Body(
            r#"{"results": [{"flagged": true, "categories": {"hate": true, "violence": false}}]}"#.into(),
        ),
        Some("odd") => Answer::Body("{}".into()),
        _ => Answer::Body(r#"{"results": [{"flagged": false, "categories": {"hate": false}}]}"#.into()),
    });
    let client = ModerationClient::new(&format!("{}/chat/completions", server.base_url()), None).unwrap();
    assert_eq!(client.flagged("bad").unwrap(), Some(vec!["hate".to_owned()]));
    assert_eq!(client.flagged("good").unwrap(), None);
    assert!(client.flagged("odd").unwrap_err().to_string().contains("no `results[0].flagged`"));
    assert!(ModerationClient::new("localhost", None).is_err());
}
