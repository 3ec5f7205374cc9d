//! Whether a text may be shown, asked of an endpoint ("Create moderation" of OpenAI's API reference).

use std::time::Duration;

use serde_json::{Value, json};
use ureq::http::{HeaderValue, header};
use ureq::{Agent, Timeout};

use super::{LONGEST_REPLY, OpenAiError, authorization};

/// A moderation endpoint.
pub struct ModerationClient {
    url: String,
    authorization: Option<HeaderValue>,
    agent: Agent,
    timeout_ms: u64,
}

impl std::fmt::Debug for ModerationClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModerationClient").field("url", &self.url).finish_non_exhaustive()
    }
}

impl ModerationClient {
    /// Prepares a client of the endpoint at `url`, e.g. `http://localhost:8000/v1/moderations`; the API
    /// key is in the environment variable `api_key_env`.
    ///
    /// # Errors
    /// When the address or the key cannot be used.
    pub fn new(url: &str, api_key_env: Option<&str>) -> Result<Self, OpenAiError> {
        Self::with_timeout(url, api_key_env, 10_000)
    }

    fn with_timeout(url: &str, api_key_env: Option<&str>, timeout_ms: u64) -> Result<Self, OpenAiError> {
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            return Err(OpenAiError::Setting {
                setting: "moderation endpoint",
                found: format!("`{url}`"),
                expected: "an address that begins with http:// or https://",
            });
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(Duration::from_millis(timeout_ms)))
            .build()
            .into();
        let authorization = api_key_env.map(authorization).transpose()?;
        Ok(Self { url: url.to_owned(), authorization, agent, timeout_ms })
    }

    /// The categories for which the text is flagged; `None` where it is not.
    ///
    /// # Errors
    /// [`OpenAiError`] where there is no answer; who asks then does not know whether the text may be shown.
    pub fn flagged(&self, text: &str) -> Result<Option<Vec<String>>, OpenAiError> {
        let mut request = self.agent.post(&self.url).header(header::CONTENT_TYPE, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let url = || self.url.clone();
        let late = || OpenAiError::Timeout {
            url: url(),
            attempts: 1,
            timeout_ms: self.timeout_ms,
            text: String::new(),
        };
        let response = request.send(json!({ "input": text }).to_string()).map_err(|error| match error {
            ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
                OpenAiError::Connection { url: url(), attempts: 1, message: error.to_string() }
            }
            ureq::Error::Timeout(_) => late(),
            other => OpenAiError::Connection { url: url(), attempts: 1, message: other.to_string() },
        })?;
        let status = response.status().as_u16();
        let body = response.into_body().into_with_config().limit(LONGEST_REPLY).read_to_string();
        let text = body.map_err(|error| match error {
            ureq::Error::Timeout(_) => late(),
            other => OpenAiError::Truncated {
                url: url(),
                attempts: 1,
                message: other.to_string(),
                text: String::new(),
            },
        })?;
        if status != 200 {
            return Err(OpenAiError::Status { url: url(), attempts: 1, status, text });
        }
        let reply: Option<Value> = serde_json::from_str(&text).ok();
        let result = reply.as_ref().and_then(|reply| reply.get("results")?.get(0));
        let Some(flagged) = result.and_then(|result| result.get("flagged")?.as_bool()) else {
            let problem = "no `results[0].flagged`".to_owned();
            return Err(OpenAiError::Nonsense { url: url(), problem, text });
        };
        let categories = result.and_then(|result| result.get("categories")?.as_object());
        let named = categories.into_iter().flatten().filter(|(_, is)| is.as_bool() == Some(true));
        Ok(flagged.then(|| named.map(|(name, _)| name.clone()).collect()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn an_endpoint_that_takes_too_long_is_late_and_not_cut_short() {
        let half = "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{\"results\":";
        for beginning in ["", half] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}/v1/moderations", listener.local_addr().unwrap());
            let serving = std::thread::spawn(move || {
                let (mut connection, _) = listener.accept().unwrap();
                connection.write_all(beginning.as_bytes()).unwrap();
                // Until the client goes away.
                let _ = connection.read_to_end(&mut Vec::new());
            });
            let client = ModerationClient::with_timeout(&url, None, 100).unwrap();
            let error = client.flagged("text").unwrap_err();
            assert!(matches!(error, OpenAiError::Timeout { timeout_ms: 100, .. }), "{error}");
            drop(client);
            serving.join().unwrap();
        }
    }
}
