//! A thousand connections at once, of every kind.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use camelid_serve::Settings;
use serde_json::json;

use crate::running::{Reply, Running, chat_body, streamed_text};

/// Memory of this process in MiB, where the system tells.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)).and_then(|kib| kib.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

#[test]
fn a_thousand_connections_leave_room_for_those_who_ask() {
    const IDLE: usize = 500;
    const HALF: usize = 100;
    const OVERSIZED: usize = 50;
    const SLOW: usize = 150;
    const ASKING: usize = 200;
    let settings = Settings { most_waiting: 1000, max_body: 100_000, ..Settings::default() };
    let server = Running::with(settings);
    let expected = server.chat(json!({})).said();
    let before = resident_mib();
    let began = Instant::now();

    let connect = || TcpStream::connect(server.address).unwrap();
    let idle: Vec<TcpStream> = (0..IDLE).map(|_| connect()).collect();
    let half: Vec<TcpStream> = (0..HALF)
        .map(|at| {
            let mut connection = connect();
            let sent: &[u8] = match at % 2 {
                0 => b"POST /v1/chat/compl",
                _ => b"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\ncontent-length: 9000\r\n\r\n{\"messages\": [",
            };
            connection.write_all(sent).unwrap();
            connection
        })
        .collect();
    // Their own answer, unread.
    let body = chat_body(json!({"stream": true})).to_string();
    let slow: Vec<TcpStream> =
        (0..SLOW).map(|_| server.open("POST", "/v1/chat/completions", &[], &body)).collect();
    let oversized: Vec<TcpStream> = (0..OVERSIZED)
        .map(|_| {
            let mut connection = connect();
            let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-length: 200000\r\n\r\n";
            connection.write_all(head.as_bytes()).unwrap();
            // The server may close before it has all of it.
            let _ = connection.write_all(&vec![b'x'; 150_000]);
            connection
        })
        .collect();
    let open = server.metric("camelid_connections_open");
    assert!(open >= (IDLE + HALF) as f64, "{open}");

    let mut waits: Vec<Duration> = std::thread::scope(|scope| {
        let ask = || {
            let began = Instant::now();
            let events = server.chat(json!({"stream": true})).events();
            assert_eq!(streamed_text(&events, 0), expected);
            began.elapsed()
        };
        let asked: Vec<_> = (0..ASKING).map(|_| scope.spawn(ask)).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    waits.sort_unstable();
    for connection in slow {
        assert_eq!(streamed_text(&Reply::read(connection).events(), 0), expected);
    }
    for mut connection in oversized {
        let mut seen = Vec::new();
        // A reset, for what the server did not read, is as good an answer.
        let _ = connection.read_to_end(&mut seen);
        let seen = String::from_utf8_lossy(&seen);
        assert!(seen.is_empty() || seen.starts_with("HTTP/1.1 413"), "{seen}");
    }
    let grown = resident_mib() - before;
    eprintln!(
        "{} connections: {ASKING} streamed answers while {SLOW} wait unread, {IDLE} idle, {HALF} half-sent, \
         {OVERSIZED} oversized: median {:.0} ms, longest {:.0} ms, {:.1} s in all; {grown:.0} MiB more",
        IDLE + HALF + OVERSIZED + SLOW + ASKING,
        waits[waits.len() / 2].as_secs_f64() * 1e3,
        waits[waits.len() - 1].as_secs_f64() * 1e3,
        began.elapsed().as_secs_f64(),
    );
    assert!(grown < 300.0, "{grown} MiB");
    drop((idle, half));
    server.wait_for("their end", || server.metric("camelid_connections_open") <= 2.0);
    assert_eq!(server.metric("camelid_sequences_running"), 0.0);
    assert_eq!(server.metric("camelid_requests_waiting"), 0.0);
}
