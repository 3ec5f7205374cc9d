//! The official clients' Rust cousin, whose types are strict.

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use serde_json::json;
use tokio_stream::StreamExt;

use crate::running::{Running, chat_body};

fn client(server: &Running) -> Client<OpenAIConfig> {
    let base = format!("http://{}/v1", server.address);
    Client::with_config(OpenAIConfig::new().with_api_base(base).with_api_key("none"))
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[test]
fn a_chat_and_its_stream_parse() {
    let server = Running::start();
    run(async {
        let client = client(&server);
        let request = |more| serde_json::from_value(chat_body(more)).unwrap();
        let whole = client
            .chat()
            .create(request(json!({"n": 2, "logprobs": true, "top_logprobs": 2})))
            .await
            .unwrap();
        assert_eq!(whole.choices.len(), 2);
        let said = whole.choices[0].message.content.clone().unwrap();
        let usage = whole.usage.unwrap();
        let logprobs = whole.choices[0].logprobs.as_ref().unwrap().content.as_ref().unwrap();
        assert_eq!(2 * logprobs.len(), usage.completion_tokens as usize);

        let streamed = json!({"stream": true, "stream_options": {"include_usage": true}});
        let mut stream = client.chat().create_stream(request(streamed)).await.unwrap();
        let (mut text, mut counts, mut reasons) = (String::new(), None, 0);
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.unwrap();
            for choice in &chunk.choices {
                text.push_str(choice.delta.content.as_deref().unwrap_or_default());
                reasons += usize::from(choice.finish_reason.is_some());
            }
            counts = chunk.usage.or(counts);
        }
        assert_eq!((text, reasons), (said, 1));
        assert_eq!(counts.unwrap().prompt_tokens, usage.prompt_tokens);
    });
}

#[test]
fn models_and_completions_parse() {
    let server = Running::start();
    run(async {
        let client = client(&server);
        let models = client.models().list().await.unwrap();
        assert_eq!(models.data[0].id, "tiny");
        let body = json!({"model": "tiny", "prompt": ["Once", "Twice"], "max_tokens": 3, "logprobs": 1, "echo": true});
        let whole = client.completions().create(serde_json::from_value(body).unwrap()).await.unwrap();
        assert_eq!(whole.choices.len(), 2);
        assert!(whole.choices[1].text.starts_with("Twice"));
        assert!(whole.choices[0].logprobs.is_some() && whole.usage.is_some());
    });
}

#[test]
fn an_error_is_the_clients_own_error() {
    let server = Running::start();
    run(async {
        let wrong = serde_json::from_value(chat_body(json!({"model": "gpt-4o"}))).unwrap();
        let error = client(&server).chat().create(wrong).await.unwrap_err();
        let OpenAIError::ApiError(error) = error else { panic!("{error:?}") };
        assert_eq!(error.api_error.code.as_deref(), Some("model_not_found"));
        assert_eq!(error.api_error.param.as_deref(), Some("model"));
    });
}
