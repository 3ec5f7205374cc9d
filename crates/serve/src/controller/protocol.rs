//! FastChat's protocol, the controller's side.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde_json::{Value, json};

use super::Shared;
use super::forward::worker_stream;
use crate::app::read_body;
use crate::client::{check_address, post_json};
use crate::error::ServeError;
use crate::gate::Caller;
use crate::wire::Fields;

/// Longest time for a worker to say how it is.
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);

/// The protocol's paths, which ask for no key.
pub(super) const PATHS: [&str; 10] = [
    "/register_worker",
    "/refresh_all_workers",
    "/list_models",
    "/list_multimodal_models",
    "/list_language_models",
    "/get_worker_address",
    "/receive_heart_beat",
    "/worker_generate_stream",
    "/worker_get_status",
    "/test_connection",
];

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/register_worker", post(register_worker))
        .route("/refresh_all_workers", post(refresh_all_workers))
        .route("/list_models", post(list_models))
        .route("/list_multimodal_models", post(list_multimodal_models))
        .route("/list_language_models", post(list_language_models))
        .route("/get_worker_address", post(get_worker_address))
        .route("/receive_heart_beat", post(receive_heart_beat))
        .route("/worker_generate_stream", post(generate_stream))
        .route("/worker_get_status", post(worker_get_status))
        .route("/test_connection", get(test_connection))
}

async fn fields(shared: &Shared, body: Body) -> Result<Fields, ServeError> {
    Fields::of_body(&read_body(body, &shared.settings).await?)
}

fn required(fields: &mut Fields, name: &str) -> Result<String, ServeError> {
    fields.take(name, "a text")?.ok_or_else(|| fields.missing(name, "a text"))
}

async fn register_worker(State(shared): State<Shared>, body: Body) -> Result<Json<Value>, ServeError> {
    let mut fields = fields(&shared, body).await?;
    let address = required(&mut fields, "worker_name")?;
    check_address(&address).map_err(|error| ServeError::field("worker_name", error.to_string()))?;
    let check_heart_beat = fields.take("check_heart_beat", "true or false")?.unwrap_or(true);
    let multimodal = fields.take("multimodal", "true or false")?.unwrap_or(false);
    let status = match fields.value("worker_status") {
        Some(status) => status,
        None => ask_status(&address).await?,
    };
    match shared.workers.register(&address, &status, check_heart_beat, multimodal) {
        true => Ok(Json(Value::Null)),
        false => {
            let expected = "an object with a list `model_names`, `speed` and `queue_length`";
            Err(fields.wrong("worker_status", &status.to_string(), expected))
        }
    }
}

async fn ask_status(address: &str) -> Result<Value, ServeError> {
    let status = post_json(&format!("{address}/worker_get_status"), &Value::Null, STATUS_TIMEOUT).await;
    status.map_err(|error| ServeError::Worker(error.to_string()))
}

/// Asks every worker how it is, and forgets those that do not say.
async fn refresh_all_workers(State(shared): State<Shared>) -> Json<Value> {
    for (address, check_heart_beat, multimodal) in shared.workers.addresses() {
        match ask_status(&address).await {
            Ok(status) if shared.workers.register(&address, &status, check_heart_beat, multimodal) => {}
            Ok(_) => shared.workers.forget(&address, "it does not say which models it has", &shared.log),
            Err(error) => shared.workers.forget(&address, &error.to_string(), &shared.log),
        }
    }
    Json(Value::Null)
}

async fn list_models(State(shared): State<Shared>) -> Json<Value> {
    Json(json!({ "models": shared.workers.models() }))
}

async fn list_multimodal_models(State(shared): State<Shared>) -> Json<Value> {
    Json(json!({ "models": shared.workers.models_by(true) }))
}

async fn list_language_models(State(shared): State<Shared>) -> Json<Value> {
    Json(json!({ "models": shared.workers.models_by(false) }))
}

async fn get_worker_address(State(shared): State<Shared>, body: Body) -> Result<Json<Value>, ServeError> {
    let model = required(&mut fields(&shared, body).await?, "model")?;
    Ok(Json(json!({ "address": shared.workers.address_for(&model) })))
}

async fn receive_heart_beat(State(shared): State<Shared>, body: Body) -> Result<Json<Value>, ServeError> {
    let mut fields = fields(&shared, body).await?;
    let address = required(&mut fields, "worker_name")?;
    let queue = fields.value("queue_length").unwrap_or_default();
    Ok(Json(json!({ "exist": shared.workers.heart_beat(&address, &queue) })))
}

async fn generate_stream(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, ServeError> {
    worker_stream(&shared, &caller, body).await
}

async fn worker_get_status(State(shared): State<Shared>) -> Json<Value> {
    Json(shared.workers.status())
}

async fn test_connection() -> Json<&'static str> {
    Json("success")
}
