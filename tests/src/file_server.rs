//! A small HTTP server on 127.0.0.1 whose faults a test can choose.

use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::http::Request;

/// What to do with one request.
#[derive(Clone)]
pub enum Answer {
    /// The file, or the range asked for.
    Serve,
    /// The same, but the connection closes after this many body bytes.
    CloseAfter(usize),
    /// The same, but nothing more comes after this many body bytes.
    StallAfter(usize),
    /// The whole file, whatever range was asked for.
    IgnoreRange,
    /// Only this status line.
    Status(&'static str),
}

/// What a client asked for.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The path.
    pub path: String,
    /// `range`.
    pub range: Option<String>,
    /// `if-range`.
    pub if_range: Option<String>,
    /// `authorization`.
    pub authorization: Option<String>,
}

/// The server; it serves until the process ends.
pub struct Server {
    /// Its address, `http://127.0.0.1:…`.
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Serves `body`; `script` answers the first requests, later ones get
    /// [`Answer::Serve`].
    pub fn start(body: Vec<u8>, etag: Option<&'static str>, script: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (body, log) = (body.clone(), log.clone());
                let answer = script.get(number).cloned().unwrap_or(Answer::Serve);
                std::thread::spawn(move || {
                    // The client may hang up first.
                    let _ = respond(stream.unwrap(), &body, etag, answer, &log);
                });
            }
        });
        Self { url, asked }
    }

    /// What was asked for so far, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn respond(
    mut stream: TcpStream,
    body: &[u8],
    etag: Option<&str>,
    answer: Answer,
    log: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    let Some(request) = Request::read(&mut BufReader::new(&stream))? else { return Ok(()) };
    let header = |name: &str| request.headers.get(name).cloned();
    let asked = Asked {
        path: request.path.clone(),
        range: header("range"),
        if_range: header("if-range"),
        authorization: header("authorization"),
    };
    log.lock().unwrap().push(asked.clone());
    if let Answer::Status(status) = answer {
        return write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    }
    let same_version = asked.if_range.is_none() || asked.if_range.as_deref() == etag;
    let start = asked
        .range
        .as_deref()
        .filter(|_| same_version && !matches!(answer, Answer::IgnoreRange))
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let tag = etag.map_or_else(String::new, |tag| format!("etag: {tag}\r\n"));
    let total = body.len();
    let sent = match start {
        Some(start) if start >= total => {
            return write!(
                stream,
                "HTTP/1.1 416 Range Not Satisfiable\r\ncontent-range: bytes */{total}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
        }
        Some(start) => {
            let length = total - start;
            let last = total - 1;
            write!(
                stream,
                "HTTP/1.1 206 Partial Content\r\n{tag}content-range: bytes {start}-{last}/{total}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
            )?;
            &body[start..]
        }
        None => {
            write!(stream, "HTTP/1.1 200 OK\r\n{tag}content-length: {total}\r\nconnection: close\r\n\r\n")?;
            body
        }
    };
    match answer {
        Answer::CloseAfter(count) => stream.write_all(&sent[..count.min(sent.len())]),
        Answer::StallAfter(count) => {
            stream.write_all(&sent[..count.min(sent.len())])?;
            std::thread::sleep(Duration::from_secs(30));
            Ok(())
        }
        _ => stream.write_all(sent),
    }
}
