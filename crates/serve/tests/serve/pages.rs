//! Pages and the description of the API.

use std::path::Path;

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use camelid_chat::{SpecialTokens, Template};
use camelid_lora::{AdapterHost, LoraConfig, LoraError, attach};
use camelid_model::{Engine, EngineOptions, Llama, LlamaConfig};
use camelid_serve::{Log, Served, Settings};
use camelid_tests::{Browser, byte_tokenizer, tiny_llama};
use serde_json::json;

use crate::running::{MODEL, Running};

#[test]
fn the_chat_page_and_its_files_are_served_and_forbid_foreign_scripts() {
    let server = Running::start();
    let page = server.get("/");
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
    for part in ["<title>Chat</title>", "role=\"log\"", "id=\"stop\"", "<label"] {
        assert!(page.text.contains(part), "{part}");
    }
    let linked = page
        .text
        .split('"')
        .map(|part| part.replace("&#x2f;", "/"))
        .filter(|part| part.starts_with("/assets/"));
    let mut bytes = 0;
    for path in linked.collect::<Vec<_>>() {
        let file = server.get(&path);
        assert_eq!(file.status, 200, "{path}");
        let tag = file.header("etag").unwrap().to_owned();
        assert_eq!(server.send("GET", &path, &[("if-none-match", &tag)], "").status, 304);
        bytes += file.text.len();
    }
    assert!((4_000..24_000).contains(&bytes), "{bytes} bytes of scripts and styles");
}

#[test]
fn answers_become_html_in_which_nothing_runs() {
    let server = Running::start();
    let html = server.post("/page/markdown", json!({"text": "**a** <script>alert(1)</script>"})).json();
    let html = html["html"].as_str().unwrap();
    assert!(html.contains("<strong>a</strong>") && !html.contains("<script"), "{html}");
}

#[test]
fn the_api_is_described() {
    let server = Running::start();
    let api = server.get("/openapi.json").json();
    assert!(api["openapi"].as_str().unwrap().starts_with("3."));
    for path in
        ["/v1/models", "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/tokenize", "/metrics"]
    {
        assert!(api["paths"][path].is_object(), "{path}");
    }
    assert_eq!(server.get("/docs").status, 200);
}

/// A model and an adapter of it that go on until they are stopped.
fn endless() -> Served {
    let device = Device::flex();
    let mut config = tiny_llama(258, 32, 2);
    config["max_position_embeddings"] = (1 << 14).into();
    let mut config = LlamaConfig::from_value(&config, "the test").unwrap();
    config.eos_token_ids.clear();
    let llama = Llama::random_with_std(&config, 0.2, 5, &device);
    let tokenizer = byte_tokenizer(&["<|im_start|>", "<|im_end|>"]);
    let mut engine = Engine::new(&llama, tokenizer, EngineOptions::default()).unwrap();
    let adapted = |base: Llama| {
        let mut model = attach(base, &LoraConfig::default(), 1, &device)?;
        for (_, linear) in model.linears_mut() {
            if let Some(adapter) = &mut linear.adapter {
                let shape = adapter.lora_b.dims();
                adapter.lora_b = Param::from_tensor(Tensor::full(shape, 0.1, &device));
            }
        }
        Ok::<_, LoraError>(model)
    };
    engine.add_adapter("other", adapted).unwrap();
    let layout = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}";
    let template = Template::from_jinja("plain", layout, SpecialTokens::default()).unwrap();
    Served { name: MODEL.into(), engine, template }
}

#[test]
fn in_a_browser_people_chat_stop_edit_and_find_their_chats_again() {
    let Some(browser) = Browser::find() else { return };
    let server = Running::load(Settings::default(), Log::to, endless);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/chat_page.mjs");
    browser.play(&script, &server.address.to_string());
}
