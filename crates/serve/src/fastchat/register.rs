//! Being known to a controller.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::worker::status;
use crate::app::App;
use crate::client::{ClientError, post_json};
use crate::closing::told;
use crate::settings::ControllerLink;

/// Longest time for the controller to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Registers, and sends heart beats until the server ends. A controller that is not there, or has
/// forgotten this worker, is asked again.
pub(crate) async fn keep_registered(app: Arc<App>, link: ControllerLink) {
    let mut closing = app.closing.subscribe();
    let mut known = false;
    loop {
        let beat = async {
            if known {
                known = heart_beat(&app, &link).await?;
            }
            if !known {
                register(&app, &link).await?;
                known = true;
                say(&app, "registered", &link, None);
            }
            Ok::<(), ClientError>(())
        };
        let wait = match beat.await {
            Ok(()) => link.heart_beat,
            Err(error) => {
                say(&app, "controller_unreachable", &link, Some(&error));
                link.heart_beat.min(TIMEOUT)
            }
        };
        tokio::select! {
            () = told(&mut closing) => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn register(app: &App, link: &ControllerLink) -> Result<(), ClientError> {
    let body = json!({
        "worker_name": link.worker, "check_heart_beat": true, "worker_status": status(app), "multimodal": false,
    });
    post_json(&format!("{}/register_worker", link.controller), &body, TIMEOUT).await.map(drop)
}

/// Whether the controller still knows this worker.
async fn heart_beat(app: &App, link: &ControllerLink) -> Result<bool, ClientError> {
    let body = json!({ "worker_name": link.worker, "queue_length": status(app)["queue_length"] });
    let answer = post_json(&format!("{}/receive_heart_beat", link.controller), &body, TIMEOUT).await?;
    Ok(answer["exist"].as_bool().unwrap_or(false))
}

fn say(app: &App, event: &str, link: &ControllerLink, error: Option<&ClientError>) {
    let mut fields = Map::new();
    fields.insert("controller".into(), json!(link.controller));
    fields.insert("worker".into(), json!(link.worker));
    if let Some(error) = error {
        fields.insert("error".into(), Value::from(error.to_string()));
    }
    app.log.write(event, fields);
}
