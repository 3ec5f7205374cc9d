//! What a program writes: counted, and the end of it kept.

use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Bytes kept.
const KEPT: usize = 4096;

/// How long to wait for the end of a stream whose writers should all be dead.
const PATIENCE: Duration = Duration::from_secs(1);

/// A stream that is read to its end on a thread of its own.
pub(super) struct Output {
    kept: Arc<Mutex<Vec<u8>>>,
    ended: Receiver<()>,
}

impl Output {
    /// Reads `stream`, adding its bytes to `total` as they come.
    pub(super) fn drain(mut stream: impl Read + Send + 'static, total: Arc<AtomicU64>) -> Self {
        let kept = Arc::new(Mutex::new(Vec::with_capacity(2 * KEPT)));
        let (end, ended) = channel();
        let shared = Arc::clone(&kept);
        std::thread::spawn(move || {
            let mut chunk = vec![0; 1 << 16];
            loop {
                match stream.read(&mut chunk) {
                    Ok(0) => break,
                    Ok(read) => {
                        total.fetch_add(read as u64, Ordering::Relaxed);
                        let mut kept = shared.lock().unwrap_or_else(PoisonError::into_inner);
                        keep_end(&mut kept, &chunk[..read]);
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
            // Nobody waits any more where a process that hid holds the stream.
            let _ = end.send(());
        });
        Self { kept, ended }
    }

    /// The end of the stream as text.
    pub(super) fn text(&self) -> String {
        let _ = self.ended.recv_timeout(PATIENCE);
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // A character that the cut went through is not shown.
        let start = kept.iter().take(3).take_while(|&&byte| byte & 0xC0 == 0x80).count();
        String::from_utf8_lossy(&kept[start..]).into_owned()
    }
}

fn keep_end(kept: &mut Vec<u8>, chunk: &[u8]) {
    kept.extend_from_slice(&chunk[chunk.len().saturating_sub(KEPT)..]);
    let surplus = kept.len().saturating_sub(KEPT);
    kept.drain(..surplus);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept_and_everything_counted() {
        let total = Arc::new(AtomicU64::new(0));
        let text = "é".repeat(100_000) + "the end";
        let output = Output::drain(std::io::Cursor::new(text.clone()), Arc::clone(&total));
        let end = output.text();
        assert!(text.ends_with(&end) && end.len() > KEPT - 4 && end.len() <= KEPT, "{}", end.len());
        assert_eq!(total.load(Ordering::Relaxed), text.len() as u64);
    }
}
