//! From what was asked to what the engine runs.

use std::sync::Arc;

use camelid_model::{Constraint, EngineRequest, ModelError};

use crate::app::App;
use crate::error::ServeError;
use crate::gate::Caller;
use crate::model::{ServedModel, Target};
use crate::wire::{ResponseFormat, Sampling};

/// The sequences of one prompt: `n` that differ in their seeds.
///
/// `param` is the field that the prompt stands in.
///
/// # Errors
/// When the prompt is empty, holds unknown tokens, or leaves no room for an answer.
pub(crate) fn sequences(
    app: &App,
    model: &ServedModel,
    target: &Target,
    sampling: &Sampling,
    prompt: &[u32],
    param: &'static str,
) -> Result<Vec<EngineRequest>, ServeError> {
    if prompt.is_empty() {
        return Err(ServeError::field(param, format!("`{param}` is empty, expected at least one token")));
    }
    if let Some(id) = prompt.iter().find(|id| **id as usize >= model.vocabulary) {
        let message = format!("`{param}` holds the token {id}, expected ids below {}", model.vocabulary);
        return Err(ServeError::field(param, message));
    }
    if let Some((id, _)) = sampling.logit_bias.iter().find(|(id, _)| *id as usize >= model.vocabulary) {
        let message = format!("`logit_bias` is for the token {id}, expected ids below {}", model.vocabulary);
        return Err(ServeError::field("logit_bias", message));
    }
    let room = model.context.saturating_sub(prompt.len());
    // An answer of no tokens, the scores of a prompt, needs no room.
    if room == 0 && !(sampling.max_tokens == Some(0) && prompt.len() == model.context) {
        return Err(ServeError::ContextOverflow { context: model.context, prompt: prompt.len(), param });
    }
    let most = app.settings.max_tokens.unwrap_or(usize::MAX).min(room);
    let mut options = sampling.options.clone();
    options.max_new_tokens = sampling.max_tokens.unwrap_or(most).min(most);
    options.stop_ids.extend(&model.end_ids);
    options.check().map_err(|error| ServeError::field(error.option, error.to_string()))?;
    let request = EngineRequest {
        prompt: prompt.to_vec(),
        options,
        adapter: target.adapter.clone(),
        logit_bias: sampling.logit_bias.clone(),
        presence_penalty: sampling.presence_penalty,
        frequency_penalty: sampling.frequency_penalty,
        constraint: constraint(&sampling.response_format),
        ..EngineRequest::default()
    };
    let with_seed = |index| {
        let mut request = request.clone();
        request.options.seed = sampling.seed_of(index);
        request
    };
    Ok((0..sampling.n).map(with_seed).collect())
}

fn constraint(format: &ResponseFormat) -> Option<Constraint> {
    match format {
        ResponseFormat::Text => None,
        ResponseFormat::JsonObject => Some(Constraint::JsonObject),
        ResponseFormat::JsonSchema(schema) => Some(Constraint::JsonSchema(schema.clone())),
        ResponseFormat::Regex(pattern) => Some(Constraint::Regex(pattern.clone())),
        ResponseFormat::Grammar(grammar) => Some(Constraint::Lark(grammar.clone())),
    }
}

/// Finds out whether what the text has to be can be held to, before a stream begins.
///
/// # Errors
/// When the schema, pattern or grammar cannot be read.
pub(crate) async fn check_constraint(app: &Arc<App>, sampling: &Sampling) -> Result<(), ServeError> {
    let Some(constraint) = constraint(&sampling.response_format) else { return Ok(()) };
    blocking(app, move |model| {
        model.engine.check_constraint(&constraint).map_err(|error| match error {
            ModelError::Constraint { .. } => ServeError::field("response_format", error.to_string()),
            other => other.into(),
        })
    })
    .await
}

/// The model and weights that a request names, noted in its entry.
///
/// # Errors
/// While the model is loading, and for an unknown name.
pub(crate) fn target<'a>(
    app: &'a App,
    caller: &Caller,
    name: &str,
) -> Result<(&'a ServedModel, Target), ServeError> {
    let model = app.model()?;
    let target = model.find(name, app.settings.any_model)?;
    caller.entry.set("model", target.name.as_str());
    Ok((model, target))
}

/// Tokenises a text outside the threads that serve connections.
///
/// # Errors
/// When the tokenizer fails.
pub(crate) async fn tokenise(
    app: &Arc<App>,
    text: String,
    add_special_tokens: bool,
) -> Result<Vec<u32>, ServeError> {
    blocking(app, move |model| {
        let encoded = model.tokens.tokenizer().encode_fast(text, add_special_tokens);
        let encoded = encoded.map_err(|error| {
            let message = format!("the tokenizer failed on the text: {error}");
            ServeError::Invalid { message, param: None }
        })?;
        Ok(encoded.get_ids().to_vec())
    })
    .await
}

/// Runs work that takes a while where it delays nobody.
pub(crate) async fn blocking<T: Send + 'static>(
    app: &Arc<App>,
    work: impl FnOnce(&ServedModel) -> Result<T, ServeError> + Send + 'static,
) -> Result<T, ServeError> {
    let app = app.clone();
    let done = tokio::task::spawn_blocking(move || work(app.model()?)).await;
    done.unwrap_or(Err(ServeError::Unavailable("the work on this request was broken off")))
}
