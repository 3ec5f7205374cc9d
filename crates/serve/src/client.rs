//! Requests to other servers: to a controller, to workers.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// Longest time for a connection to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of an answer that is read whole.
const MOST_BYTES: usize = 64 << 20;

/// Why a server gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is none of HTTP.
    #[error("{0} is no address of the form http://HOST:PORT")]
    Address(String),
    /// Nobody answers there.
    #[error("cannot connect to {url}: {cause}")]
    Connect {
        /// The address.
        url: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The connection broke.
    #[error("the connection to {url} broke: {cause}")]
    Broken {
        /// The address.
        url: String,
        /// How it broke.
        cause: String,
    },
    /// It took too long.
    #[error("{url} did not answer within {seconds} seconds")]
    TimedOut {
        /// The address.
        url: String,
        /// The limit.
        seconds: u64,
    },
    /// The answer is an error.
    #[error("{url} answers {status}: {text}")]
    Status {
        /// The address.
        url: String,
        /// The status.
        status: StatusCode,
        /// The beginning of the answer.
        text: String,
    },
    /// The answer is not JSON.
    #[error("the answer of {url} is no JSON: {cause}")]
    Json {
        /// The address.
        url: String,
        /// Where and why parsing stopped.
        cause: serde_json::Error,
    },
}

/// Checks that an address is one that can be asked.
///
/// # Errors
/// When it is not `http://HOST:PORT` with a path or without.
pub(crate) fn check_address(url: &str) -> Result<(), ClientError> {
    parse(url).map(drop)
}

fn parse(url: &str) -> Result<(Uri, String), ClientError> {
    let bad = || ClientError::Address(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| bad())?;
    let host = uri.host().ok_or_else(bad)?;
    if uri.scheme_str() != Some("http") {
        return Err(bad());
    }
    let address = format!("{host}:{}", uri.port_u16().unwrap_or(80));
    Ok((uri, address))
}

/// Posts a body and returns the answer's head, with its body still to come. Dropping the answer closes
/// the connection.
///
/// # Errors
/// When no answer begins.
pub(crate) async fn post(
    url: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Response<Incoming>, ClientError> {
    let (uri, address) = parse(url)?;
    let connect = |cause| ClientError::Connect { url: url.to_owned(), cause };
    let stream = match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(&address)).await {
        Ok(stream) => stream.map_err(connect)?,
        Err(_) => return Err(connect(std::io::ErrorKind::TimedOut.into())),
    };
    let _ = stream.set_nodelay(true);
    let broken = |cause: hyper::Error| ClientError::Broken { url: url.to_owned(), cause: cause.to_string() };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // It ends with the answer, or when that is dropped.
    tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::post(path)
        .header(header::HOST, &address)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .body(Body::from(body))
        .map_err(|_| ClientError::Address(url.to_owned()))?;
    request.headers_mut().extend(headers.clone());
    sender.send_request(request).await.map_err(broken)
}

/// Posts JSON and reads JSON.
///
/// # Errors
/// When there is no answer in time, or none of status 200 with JSON.
pub(crate) async fn post_json(url: &str, body: &Value, timeout: Duration) -> Result<Value, ClientError> {
    let asked = async {
        let response = post(url, &HeaderMap::new(), Bytes::from(body.to_string())).await?;
        let status = response.status();
        let bytes = axum::body::to_bytes(Body::new(response.into_body()), MOST_BYTES).await;
        let bytes =
            bytes.map_err(|cause| ClientError::Broken { url: url.to_owned(), cause: cause.to_string() })?;
        if status != StatusCode::OK {
            let text = String::from_utf8_lossy(&bytes).chars().take(200).collect();
            return Err(ClientError::Status { url: url.to_owned(), status, text });
        }
        serde_json::from_slice(&bytes).map_err(|cause| ClientError::Json { url: url.to_owned(), cause })
    };
    match tokio::time::timeout(timeout, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(ClientError::TimedOut { url: url.to_owned(), seconds: timeout.as_secs() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_of_plain_http() {
        for good in ["http://localhost:21001", "http://127.0.0.1", "http://host:1/path"] {
            assert!(check_address(good).is_ok(), "{good}");
        }
        for bad in ["localhost:21001", "https://host", "http://", "", "ftp://host"] {
            assert!(check_address(bad).is_err(), "{bad}");
        }
    }
}
