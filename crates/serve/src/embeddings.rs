//! `POST /v1/embeddings`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::{Extension, Json};

use crate::app::App;
use crate::error::ServeError;
use crate::gate::Caller;
use crate::generation::{blocking, target, tokenise};
use crate::wire::{Embedding, EmbeddingList, EmbeddingRequest, EmbeddingUsage, EmbeddingVector, PromptText};

/// Texts as vectors of length 1.
pub(crate) async fn embeddings(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Json<EmbeddingList>, ServeError> {
    let request = EmbeddingRequest::read(&app.body(body).await?)?;
    app.log.unknown_fields("/v1/embeddings", &request.unknown);
    let (_, target) = target(&app, &caller, &request.model)?;
    if let Some(adapter) = &target.adapter {
        let message =
            format!("`model` is the adapter {adapter}, expected the model itself: vectors are the base's");
        return Err(ServeError::field("model", message));
    }
    let (vectors, tokens) = embed(&app, &caller, request.input).await?;
    let data = vectors.into_iter().enumerate();
    Ok(Json(EmbeddingList {
        object: "list",
        data: data
            .map(|(index, vector)| Embedding {
                object: "embedding",
                index,
                embedding: EmbeddingVector::new(vector, request.base64),
            })
            .collect(),
        model: target.name,
        usage: EmbeddingUsage { prompt_tokens: tokens, total_tokens: tokens },
    }))
}

/// The vectors of texts, and how many tokens they have together.
///
/// # Errors
/// When a text is empty or longer than the context, or a limit is reached.
pub(crate) async fn embed(
    app: &Arc<App>,
    caller: &Caller,
    input: Vec<PromptText>,
) -> Result<(Vec<Vec<f32>>, usize), ServeError> {
    app.admit(caller)?;
    let (context, vocabulary) = app.model().map(|model| (model.context, model.vocabulary))?;
    let mut texts = Vec::with_capacity(input.len());
    for text in input {
        let ids = match text {
            PromptText::Text(text) => tokenise(app, text, true).await?,
            PromptText::Ids(ids) => ids,
        };
        if ids.is_empty() {
            return Err(ServeError::field("input", "`input` has an empty text, expected at least one token"));
        }
        if ids.len() > context {
            return Err(ServeError::ContextOverflow { context, prompt: ids.len(), param: "input" });
        }
        if let Some(id) = ids.iter().find(|id| **id as usize >= vocabulary) {
            let message = format!("`input` holds the token {id}, expected ids below {vocabulary}");
            return Err(ServeError::field("input", message));
        }
        texts.push(ids);
    }
    let tokens = texts.iter().map(Vec::len).sum();
    let mut vectors = Vec::with_capacity(texts.len());
    for ids in texts {
        // One place among the sequences, like any other work of the engine.
        let _permit = app.queue.join(&caller.client, 1)?.turn().await;
        let vector = blocking(app, move |model| Ok(model.engine.embed(&ids)?)).await?;
        vectors.push(unit(vector));
    }
    caller.entry.read(tokens);
    Ok((vectors, tokens))
}

/// The vector at length 1, as clients expect it.
fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
    }
    vector
}
