//! `POST /v1/completions`.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use camelid_model::TokenLogprobs;
use serde_json::{Map, Value, json};

use crate::answer::Piece;
use crate::app::App;
use crate::chat::FINGERPRINT;
use crate::error::ServeError;
use crate::gate::Caller;
use crate::generation::{blocking, check_constraint, sequences, target, tokenise};
use crate::stream::{DONE, Frames, event, respond};
use crate::tokens::TokenTexts;
use crate::wire::{
    Completion, CompletionChoice, CompletionLogprobs, CompletionRequest, PromptText, Usage, finish_reason,
    new_id, unix_seconds,
};

/// Continues texts.
pub(crate) async fn completions(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, ServeError> {
    let request = CompletionRequest::read(&app.body(body).await?)?;
    app.log.unknown_fields("/v1/completions", &request.unknown);
    let (model, target) = target(&app, &caller, &request.sampling.model)?;
    caller.entry.set("stream", request.sampling.stream);
    caller.entry.set_text("prompts", || json!(format!("{:?}", request.prompts)));
    check_constraint(&app, &request.sampling).await?;
    let mut requests = Vec::new();
    let mut choices = Vec::new();
    let mut prompt_tokens = 0;
    for prompt in request.prompts {
        let (ids, text) = read_prompt(&app, prompt, request.echo).await?;
        prompt_tokens += ids.len();
        let scored = if request.echo { request.logprobs } else { None };
        for mut sequence in sequences(&app, model, &target, &request.sampling, &ids, "prompt")? {
            sequence.logprobs = request.logprobs;
            sequence.prompt_logprobs = scored;
            // A single token is told though it ends the text: lm-evaluation-harness takes the last one for it.
            if request.logprobs.is_some() && sequence.options.max_new_tokens == 1 {
                sequence.options.stop_ids.retain(|id| !model.end_ids.contains(id));
            }
            requests.push(sequence);
            choices.push(Choice {
                prompt: request.echo.then(|| Echo { text: text.clone(), ids: ids.clone() }),
                logprobs: request.logprobs.map(|_| LogprobWriter::default()),
            });
        }
    }
    let n = request.sampling.n;
    let answer = app.answer(&caller, requests)?;
    let mut writer = CompletionWriter {
        app: app.clone(),
        id: new_id("cmpl-"),
        created: unix_seconds(),
        model: target.name,
        include_usage: request.sampling.stream && request.sampling.stream_options.include_usage,
        usage: Usage::new(prompt_tokens, 0, 0),
        choices,
        n,
    };
    if request.sampling.stream {
        return Ok(respond(&app, answer, writer));
    }
    let mut whole: Vec<CompletionChoice> = (0..writer.choices.len()).map(empty_choice).collect();
    let mut answer = answer;
    while let Some(piece) = answer.next().await {
        let (index, piece) = piece?;
        let whole = &mut whole[index];
        if let Some(piece) = writer.read(index, piece) {
            whole.text.push_str(&piece.text);
            whole.finish_reason = piece.finish_reason.or(whole.finish_reason);
            match (&mut whole.logprobs, piece.logprobs) {
                (Some(told), Some(more)) => told.add(more),
                (told @ None, more) => *told = more,
                _ => {}
            }
        }
    }
    caller.entry.set_text("answers", || whole.iter().map(|choice| json!(choice.text)).collect());
    let usage = Some(Some(writer.usage));
    Ok(Json(writer.completion(whole, usage)).into_response())
}

fn empty_choice(index: usize) -> CompletionChoice {
    CompletionChoice { index, text: String::new(), logprobs: None, finish_reason: None }
}

/// A prompt's tokens and, where it is echoed, its text.
async fn read_prompt(
    app: &Arc<App>,
    prompt: PromptText,
    echo: bool,
) -> Result<(Vec<u32>, String), ServeError> {
    match prompt {
        PromptText::Text(text) => {
            let shown = if echo { text.clone() } else { String::new() };
            Ok((tokenise(app, text, true).await?, shown))
        }
        PromptText::Ids(ids) if echo => {
            blocking(app, move |model| {
                let text = model.tokens.tokenizer().decode(&ids, true);
                let text =
                    text.map_err(|error| ServeError::field("prompt", format!("cannot be decoded: {error}")))?;
                Ok((ids, text))
            })
            .await
        }
        PromptText::Ids(ids) => Ok((ids, String::new())),
    }
}

/// Writes continuations as they come.
struct CompletionWriter {
    app: Arc<App>,
    id: String,
    created: u64,
    model: String,
    include_usage: bool,
    usage: Usage,
    choices: Vec<Choice>,
    /// Choices of each prompt.
    n: usize,
}

struct Choice {
    /// The prompt, until it was echoed.
    prompt: Option<Echo>,
    logprobs: Option<LogprobWriter>,
}

struct Echo {
    text: String,
    ids: Vec<u32>,
}

impl CompletionWriter {
    /// What a piece adds to its choice, if anything.
    fn read(&mut self, index: usize, piece: Piece) -> Option<CompletionChoice> {
        let model = self.app.model.get()?;
        let choice = &mut self.choices[index];
        let mut read = empty_choice(index);
        match piece {
            Piece::Prompt { cached_tokens, logprobs } => {
                if index.is_multiple_of(self.n) {
                    self.usage = add(self.usage, cached_tokens, 0);
                }
                let Echo { text, ids } = choice.prompt.take()?;
                read.text = text;
                if let Some(writer) = &mut choice.logprobs {
                    read.logprobs = Some(writer.prompt(&model.tokens, &ids, logprobs.as_deref()));
                }
            }
            Piece::Text { text, logprobs, .. } => {
                read.text = text;
                if let Some(writer) = &mut choice.logprobs {
                    read.logprobs = Some(writer.tokens(&model.tokens, &logprobs));
                }
            }
            Piece::Done(finished) => {
                self.usage = add(self.usage, 0, finished.new_tokens);
                read.finish_reason = Some(finish_reason(finished.reason));
            }
        }
        Some(read)
    }

    fn completion(&self, choices: Vec<CompletionChoice>, usage: Option<Option<Usage>>) -> Completion {
        Completion {
            id: self.id.clone(),
            object: "text_completion",
            created: self.created,
            model: self.model.clone(),
            system_fingerprint: FINGERPRINT,
            choices,
            usage,
        }
    }
}

fn add(usage: Usage, cached_tokens: usize, new_tokens: usize) -> Usage {
    Usage::new(
        usage.prompt_tokens,
        usage.prompt_tokens_details.cached_tokens + cached_tokens,
        usage.completion_tokens + new_tokens,
    )
}

impl Frames for CompletionWriter {
    fn begin(&mut self) -> Vec<Bytes> {
        Vec::new()
    }

    fn piece(&mut self, index: usize, piece: Piece) -> Vec<Bytes> {
        let read = self.read(index, piece);
        let usage = self.include_usage.then_some(None);
        read.map(|choice| event(&self.completion(vec![choice], usage))).into_iter().collect()
    }

    fn end(&mut self) -> Vec<Bytes> {
        let usage = self.include_usage.then(|| event(&self.completion(Vec::new(), Some(Some(self.usage)))));
        usage.into_iter().chain([DONE]).collect()
    }
}

/// Writes the four lists, and knows how far the text has come.
#[derive(Default)]
pub(crate) struct LogprobWriter {
    /// Characters so far.
    offset: usize,
}

impl LogprobWriter {
    /// Those of an echoed prompt; nothing comes before its first token.
    pub fn prompt(
        &mut self,
        tokens: &TokenTexts,
        ids: &[u32],
        logprobs: Option<&[TokenLogprobs]>,
    ) -> CompletionLogprobs {
        let mut told = CompletionLogprobs::default();
        let mut scores = logprobs.unwrap_or_default().iter();
        for (at, id) in ids.iter().enumerate() {
            let score = if at == 0 { None } else { scores.next() };
            self.token(&mut told, tokens, *id, score);
        }
        told
    }

    /// Those of an answer.
    pub fn tokens(&mut self, tokens: &TokenTexts, logprobs: &[TokenLogprobs]) -> CompletionLogprobs {
        let mut told = CompletionLogprobs::default();
        logprobs.iter().for_each(|token| self.token(&mut told, tokens, token.id, Some(token)));
        told
    }

    fn token(
        &mut self,
        told: &mut CompletionLogprobs,
        tokens: &TokenTexts,
        id: u32,
        score: Option<&TokenLogprobs>,
    ) {
        told.tokens.push(tokens.distinct_text(id));
        told.text_offset.push(self.offset);
        // A character counts where it begins. Special tokens are not in the text.
        if !tokens.is_special(id) {
            self.offset += tokens.bytes(id).iter().filter(|byte| **byte & 0xC0 != 0x80).count();
        }
        told.token_logprobs.push(score.map(|score| score.logprob));
        let top = |score: &TokenLogprobs| -> Map<String, Value> {
            // The token itself is always among them, as in OpenAI's answers.
            let own = score.top.iter().all(|(other, _)| *other != id).then_some((id, score.logprob));
            let all = score.top.iter().copied().chain(own);
            all.map(|(id, logprob)| (tokens.distinct_text(id), json!(logprob))).collect()
        };
        told.top_logprobs.push(score.map(top));
    }
}

impl CompletionLogprobs {
    /// Adds what follows.
    pub(crate) fn add(&mut self, more: Self) {
        self.tokens.extend(more.tokens);
        self.token_logprobs.extend(more.token_logprobs);
        self.top_logprobs.extend(more.top_logprobs);
        self.text_offset.extend(more.text_offset);
    }
}
