//! An arena on a port of this machine, and people who use it over HTTP.
#![allow(dead_code, reason = "test and example each use their part")]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use camelid_chat::{GenerateOptions, GeneratedText, Message, StopReason, TextGenerator};
use camelid_serve::arena::{Arena, ArenaOptions, Player, Store, serve};
use serde_json::{Value, json};

/// Answers as a function of the conversation says, in pieces.
pub struct Scripted<F>(pub F);

impl<F: Fn(&[Message]) -> Result<String, String> + Send + Sync> TextGenerator for Scripted<F> {
    fn generate(
        &self,
        messages: &[Message],
        _: &GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<GeneratedText, Box<dyn std::error::Error + Send + Sync>> {
        let answer = (self.0)(messages)?;
        let (mut text, mut reason) = (String::new(), StopReason::TurnEnd);
        for piece in answer.split_inclusive(' ') {
            text.push_str(piece);
            if on_text(piece) == ControlFlow::Break(()) {
                reason = StopReason::Cancelled;
                break;
            }
        }
        let (prompt_tokens, new_tokens, model_version) = (None, None, Some("secret-version".to_owned()));
        Ok(GeneratedText { text, prompt_tokens, new_tokens, reason, model_version, own_temperature: false })
    }
}

/// A player that answers as `script` says.
pub fn player(
    name: &str,
    script: impl Fn(&[Message]) -> Result<String, String> + Send + Sync + 'static,
) -> Player {
    Player::new(name, Arc::new(Scripted(script)))
}

/// A running arena; it ends when this is dropped.
pub struct Running {
    pub base: String,
    pub arena: Arc<Arena>,
    agent: ureq::Agent,
    _runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

impl Running {
    pub fn start(players: Vec<Player>, options: ArenaOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(&folder.path().join("arena.db")).unwrap());
        let arena = Arc::new(Arena::new(store, players, options).unwrap());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(serve(listener, arena.clone(), std::future::pending()));
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .into();
        Self { base, arena, agent, _runtime: runtime, _folder: folder }
    }

    /// Status, headers as text, body.
    pub fn get(&self, path: &str) -> (u16, String, String) {
        let response = self.agent.get(format!("{}{path}", self.base)).call().unwrap();
        Self::read(response)
    }

    fn read(response: ureq::http::Response<ureq::Body>) -> (u16, String, String) {
        let (status, headers) = (response.status().as_u16(), format!("{:?}", response.headers()));
        (status, headers, response.into_body().read_to_string().unwrap())
    }

    /// The same of a POST by the visitor at an address.
    pub fn post(&self, path: &str, from: &str, body: &Value) -> (u16, String, String) {
        let request = self.agent.post(format!("{}{path}", self.base));
        let request = request.header("content-type", "application/json").header("x-forwarded-for", from);
        Self::read(request.send(body.to_string()).unwrap())
    }

    /// Asks; the whole traffic, and the events in it.
    pub fn ask(&self, from: &str, body: &Value) -> (String, Vec<Value>) {
        let (status, headers, text) = self.post("/arena/turn", from, body);
        assert_eq!(status, 200, "{text}");
        let data = text.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
        let events: Vec<Value> =
            data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect();
        (headers + &text, events)
    }

    /// Plays a battle of one turn: its id, both answers and all traffic.
    pub fn battle(&self, from: &str, prompt: &str) -> Played {
        let (traffic, events) = self.ask(from, &json!({ "mode": "battle", "models": [], "prompt": prompt }));
        Played::of(traffic, &events)
    }

    /// Votes; the status and what was said.
    pub fn vote(&self, from: &str, battle: &str, verdict: &str) -> (u16, Value) {
        let (status, _, body) =
            self.post("/arena/vote", from, &json!({ "battle": battle, "verdict": verdict }));
        (status, serde_json::from_str(&body).unwrap())
    }

    /// What the leaderboard says, as JSON.
    pub fn board(&self) -> Value {
        serde_json::from_str(&self.get("/leaderboard.json").2).unwrap()
    }
}

/// What came of a turn.
#[derive(Debug, Default)]
pub struct Played {
    pub battle: String,
    pub answers: [String; 2],
    pub failed: Vec<String>,
    pub ready: Option<u64>,
    pub void: Option<String>,
    pub traffic: String,
}

impl Played {
    pub fn of(traffic: String, events: &[Value]) -> Self {
        let mut played = Self { traffic, ..Self::default() };
        for event in events {
            if let Some(id) = event["battle"].as_str() {
                played.battle = id.to_owned();
            } else if let Some(text) = event["text"]["text"].as_str() {
                played.answers[event["text"]["side"].as_u64().unwrap() as usize] += text;
            } else if let Some(words) = event["failed"]["words"].as_str() {
                played.failed.push(words.to_owned());
            } else if event["ready"].is_object() {
                played.ready = event["ready"]["turns"].as_u64();
            } else if let Some(words) = event["void"].as_str() {
                played.void = Some(words.to_owned());
            }
        }
        played
    }
}
