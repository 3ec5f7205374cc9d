//! A small HTTP server on 127.0.0.1 whose faults a test can choose.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

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
    pub path: String,
    pub range: Option<String>,
    pub if_range: Option<String>,
    pub authorization: Option<String>,
}

pub struct Server {
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
    let asked = read_request(&stream)?;
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

fn read_request(stream: &TcpStream) -> std::io::Result<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut asked = Asked { path: line.split(' ').nth(1).unwrap_or("").to_string(), ..Asked::default() };
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            return Ok(asked);
        };
        let value = Some(value.to_string());
        match name.to_ascii_lowercase().as_str() {
            "range" => asked.range = value,
            "if-range" => asked.if_range = value,
            "authorization" => asked.authorization = value,
            _ => {}
        }
    }
}
