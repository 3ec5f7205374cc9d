//! Continuations of texts.

use burn::module::Module;
use camelid_model::PromptCache;
use serde_json::{Value, json};

use crate::running::{CONTEXT, Running, small_llama, streamed_text};

fn complete(server: &Running, more: Value) -> Value {
    let mut body = json!({"model": "tiny", "prompt": "Once", "temperature": 0, "max_tokens": 8});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    let reply = server.post("/v1/completions", body);
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()
}

#[test]
fn tokens_are_as_good_as_their_text() {
    let server = Running::start();
    let text = complete(&server, json!({}));
    let ids = server.post("/tokenize", json!({"prompt": "Once"})).json()["tokens"].clone();
    let of_ids = complete(&server, json!({"prompt": ids, "echo": true}));
    let expected = format!("Once{}", text["choices"][0]["text"].as_str().unwrap());
    assert_eq!(of_ids["choices"][0]["text"], expected);
    assert_eq!(of_ids["usage"]["prompt_tokens"], 4);
    let several = complete(&server, json!({"prompt": [ids, ids]}));
    assert_eq!(several["choices"][1]["text"], text["choices"][0]["text"]);
    assert_eq!(several["usage"]["prompt_tokens"], 8);
}

#[test]
fn several_prompts_have_their_choices_in_order() {
    let server = Running::start();
    let one = |prompt: &str| complete(&server, json!({"prompt": prompt}))["choices"][0]["text"].clone();
    let both = complete(&server, json!({"prompt": ["Once", "Twice"], "n": 2}));
    let choices = both["choices"].as_array().unwrap();
    assert!(choices.iter().enumerate().all(|(at, choice)| choice["index"] == at));
    let texts: Vec<&Value> = choices.iter().map(|choice| &choice["text"]).collect();
    let (once, twice) = (one("Once"), one("Twice"));
    assert_eq!(texts, [&once, &once, &twice, &twice]);
    assert_eq!(both["usage"]["prompt_tokens"], 9, "a prompt counts once, however many its choices");
}

#[test]
fn a_prompt_is_scored_by_echo_and_logprobs() {
    let server = Running::start();
    let scored = complete(&server, json!({"prompt": "Once é", "echo": true, "logprobs": 2, "max_tokens": 1}));
    let told = &scored["choices"][0]["logprobs"];
    let list = |name: &str| told[name].as_array().unwrap().clone();
    // Seven bytes, and one token more.
    let lengths: Vec<usize> =
        ["tokens", "token_logprobs", "top_logprobs", "text_offset"].map(|name| list(name).len()).to_vec();
    assert_eq!(lengths, [8; 4]);
    assert!(list("token_logprobs")[0].is_null() && list("top_logprobs")[0].is_null());
    assert_eq!(list("tokens")[5], "bytes:\\xc3");
    let offsets: Vec<u64> = list("text_offset").iter().map(|offset| offset.as_u64().unwrap()).collect();
    assert_eq!(offsets, [0, 1, 2, 3, 4, 5, 6, 6], "characters, counted where they begin");
    for (token, score) in list("tokens").iter().zip(list("token_logprobs")).skip(1) {
        assert!(score.as_f64().unwrap() < 0.0, "{token}");
    }
    for top in &list("top_logprobs")[1..] {
        assert!((2..=3).contains(&top.as_object().unwrap().len()), "two, and the token itself");
    }
    // What echo says of a token is what generation says of it.
    let made = complete(&server, json!({"logprobs": 1, "max_tokens": 5}));
    let text = format!("Once{}", made["choices"][0]["text"].as_str().unwrap());
    if !text.contains('\u{FFFD}') {
        let again = complete(&server, json!({"prompt": text, "echo": true, "logprobs": 1, "max_tokens": 0}));
        let scores = |reply: &Value| -> Vec<f64> {
            let list = reply["choices"][0]["logprobs"]["token_logprobs"].as_array().unwrap();
            list.iter().filter_map(Value::as_f64).collect()
        };
        let (made, again) = (scores(&made), scores(&again));
        for (a, b) in made.iter().zip(&again[again.len() - made.len()..]) {
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
    }
}

#[test]
fn a_prompt_can_be_scored_without_an_answer() {
    let server = Running::start();
    let scored = complete(&server, json!({"echo": true, "logprobs": 0, "max_tokens": 0}));
    assert_eq!(scored["choices"][0]["text"], "Once");
    assert_eq!(scored["choices"][0]["finish_reason"], "length");
    assert_eq!(scored["choices"][0]["logprobs"]["tokens"], json!(["O", "n", "c", "e"]));
    assert_eq!(scored["usage"]["completion_tokens"], 0);
}

#[test]
fn a_streamed_continuation_is_the_same_text() {
    let server = Running::start();
    let whole = complete(&server, json!({"echo": true}));
    let body = json!({"model": "tiny", "prompt": "Once", "temperature": 0, "max_tokens": 8, "echo": true,
        "stream": true, "stream_options": {"include_usage": true}, "logprobs": 1});
    let events = server.post("/v1/completions", body).events();
    assert_eq!(streamed_text(&events, 0), whole["choices"][0]["text"].as_str().unwrap());
    let (usage, pieces) = events.split_last().unwrap();
    assert_eq!(usage["usage"], whole["usage"]);
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(pieces.last().unwrap()["choices"][0]["finish_reason"], whole["choices"][0]["finish_reason"]);
    assert!(pieces.iter().all(|piece| piece["object"] == "text_completion" && piece["usage"].is_null()));
    let tokens = pieces.iter().filter_map(|piece| piece["choices"][0]["logprobs"]["tokens"].as_array());
    assert_eq!(tokens.flatten().count() as u64, usage["usage"]["total_tokens"].as_u64().unwrap());
}

/// What lm-evaluation-harness asks `local-completions` for: token ids, `echo`, `logprobs` 1, one token more.
#[test]
fn a_harness_gets_the_scores_of_the_model_itself() {
    let server = Running::start();
    let model = small_llama(CONTEXT).valid();
    let ids = server.post("/tokenize", json!({"prompt": "A question? An answer"})).json()["tokens"].clone();
    let ids: Vec<u32> = serde_json::from_value(ids).unwrap();
    let logits = PromptCache::new(&model).logits_from(&ids, 0).unwrap();
    let expected = logits.chunks_exact(model.config().vocab_size).zip(&ids[1..]).map(|(row, id)| {
        let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = row.iter().map(|logit| f64::from(logit - most).exp()).sum();
        f64::from(row[*id as usize] - most) - sum.ln()
    });
    let mut body = json!({"prompt": [ids], "echo": true, "logprobs": 1, "max_tokens": 1, "seed": 1234});
    let told = complete(&server, body.clone())["choices"][0]["logprobs"].clone();
    // The one token is there though it ends the text: the harness leaves it out unseen.
    body["logit_bias"] = json!({"257": 100});
    let ended = complete(&server, body)["choices"][0].clone();
    let tokens = ended["logprobs"]["tokens"].as_array().unwrap();
    assert_eq!((tokens.len(), tokens.last()), (ids.len() + 1, Some(&json!("<|im_end|>"))));
    assert_eq!(ended["text"], "A question? An answer");
    for (at, expected) in expected.enumerate() {
        let found = told["token_logprobs"][at + 1].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-3, "token {at}: {found} instead of {expected}");
        // Greedy where the token is its own likeliest alternative, as the harness finds out.
        let top = told["top_logprobs"][at + 1].as_object().unwrap();
        let best = top.values().filter_map(Value::as_f64).fold(f64::NEG_INFINITY, f64::max);
        assert!(found <= best + 1e-9);
    }
}
