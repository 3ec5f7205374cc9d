//! One request's sequences: waiting for their turn, running, and read at the client's own pace.
//!
//! The engine's thread never waits for a client. What a client has not taken yet gathers in one slot a
//! sequence, which holds at most that sequence's own text; a slow reader gets larger pieces, and nobody
//! else notices. When the reader goes away, its sequences end at their next step.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use camelid_model::{
    EngineEvent, EngineRequest, EngineThread, Finished, ModelError, SequenceId, TokenLogprobs,
};
use tokio::sync::{Notify, watch};

use crate::closing::told;
use crate::error::ServeError;
use crate::log::Entry;
use crate::queue::{Permit, Ticket};

/// What is new of a sequence.
#[derive(Debug)]
pub(crate) enum Piece {
    /// The prompt was read.
    Prompt { cached_tokens: usize, logprobs: Option<Vec<TokenLogprobs>> },
    /// More text, and how many tokens it is.
    Text { text: String, tokens: usize, logprobs: Vec<TokenLogprobs> },
    /// The end of this sequence.
    Done(Finished),
}

/// The sequences of a request, by their index.
pub(crate) struct Answer {
    engine: EngineThread,
    stage: Stage,
    entry: Arc<Entry>,
    asked: Instant,
    deadline: tokio::time::Instant,
    seconds: u64,
    closing: watch::Receiver<bool>,
    left: usize,
    /// Where the next look for news begins, so that no sequence is passed over.
    next: usize,
}

enum Stage {
    Waiting { ticket: Ticket, requests: Vec<EngineRequest> },
    Running { shared: Arc<Shared>, ids: Vec<SequenceId> },
    Over,
}

struct Shared {
    slots: Mutex<Slots>,
    news: Notify,
    gone: AtomicBool,
}

struct Slots {
    of: Vec<Slot>,
    running: usize,
    /// Given back with the last sequence's end, however slowly the client reads.
    permit: Option<Permit>,
}

/// What a client has not taken yet.
#[derive(Default)]
struct Slot {
    prompt: Option<(usize, Option<Vec<TokenLogprobs>>)>,
    text: String,
    tokens: usize,
    logprobs: Vec<TokenLogprobs>,
    end: Option<Result<Finished, ModelError>>,
}

impl Answer {
    /// Prepares an answer; the sequences start at their turn.
    pub fn new(
        engine: EngineThread,
        ticket: Ticket,
        requests: Vec<EngineRequest>,
        entry: Arc<Entry>,
        timeout: Duration,
        closing: watch::Receiver<bool>,
    ) -> Self {
        Self {
            engine,
            left: requests.len(),
            stage: Stage::Waiting { ticket, requests },
            entry,
            asked: Instant::now(),
            deadline: tokio::time::Instant::now() + timeout,
            seconds: timeout.as_secs(),
            closing,
            next: 0,
        }
    }

    /// The next piece of any sequence, `None` after the last. May be dropped and called again.
    ///
    /// # Errors
    /// When the engine fails, or time is over; all sequences end with it.
    pub async fn next(&mut self) -> Option<Result<(usize, Piece), ServeError>> {
        let result = match tokio::time::timeout_at(self.deadline, self.wait()).await {
            Ok(result) => result?,
            Err(_) => Err(ServeError::TimedOut { seconds: self.seconds }),
        };
        if let Err(error) = &result {
            self.entry.failed(error);
            self.stop();
        }
        Some(result)
    }

    async fn wait(&mut self) -> Option<Result<(usize, Piece), ServeError>> {
        if let Stage::Waiting { ticket, requests } = &mut self.stage {
            let permit = tokio::select! {
                biased;
                permit = ticket.turn() => permit,
                // What has not begun is handed back: another server may take it.
                () = told(&mut self.closing) => {
                    return Some(Err(ServeError::Unavailable("the server is about to end")));
                }
            };
            let requests = std::mem::take(requests);
            self.entry.started(self.asked.elapsed());
            if let Err(error) = self.start(permit, requests) {
                return Some(Err(error.into()));
            }
        }
        loop {
            if self.left == 0 {
                return None;
            }
            let Stage::Running { shared, .. } = &self.stage else { return None };
            let shared = shared.clone();
            let news = shared.news.notified();
            if let Some((index, piece)) = shared.take(&mut self.next) {
                return Some(self.count(index, piece));
            }
            news.await;
        }
    }

    fn start(&mut self, permit: Permit, requests: Vec<EngineRequest>) -> Result<(), ModelError> {
        let slots = Slots {
            of: requests.iter().map(|_| Slot::default()).collect(),
            running: requests.len(),
            permit: Some(permit),
        };
        let shared =
            Arc::new(Shared { slots: Mutex::new(slots), news: Notify::new(), gone: AtomicBool::new(false) });
        let mut ids = Vec::with_capacity(requests.len());
        for (index, request) in requests.into_iter().enumerate() {
            let slot = shared.clone();
            match self.engine.submit(request, move |event| slot.put(index, event)) {
                Ok(id) => ids.push(id),
                Err(error) => {
                    self.stage = Stage::Running { shared, ids };
                    return Err(error);
                }
            }
        }
        self.stage = Stage::Running { shared, ids };
        Ok(())
    }

    fn count(
        &mut self,
        index: usize,
        piece: Result<Piece, ModelError>,
    ) -> Result<(usize, Piece), ServeError> {
        let piece = piece?;
        match &piece {
            Piece::Prompt { .. } => {}
            Piece::Text { .. } => self.entry.first_text(self.asked.elapsed()),
            Piece::Done(finished) => {
                self.left -= 1;
                self.entry.finished(index, finished, self.left == 0);
            }
        }
        Ok((index, piece))
    }

    /// Ends whatever still runs.
    fn stop(&mut self) {
        if let Stage::Running { shared, ids } = std::mem::replace(&mut self.stage, Stage::Over) {
            shared.gone.store(true, Ordering::Relaxed);
            if self.left > 0 {
                ids.into_iter().for_each(|id| self.engine.cancel(id));
            }
            shared.lock().permit = None;
        }
        self.left = 0;
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what the engine says to its slot.
    fn put(&self, index: usize, event: EngineEvent) -> ControlFlow<()> {
        if self.gone.load(Ordering::Relaxed) {
            return ControlFlow::Break(());
        }
        let mut done = None;
        {
            let mut slots = self.lock();
            let slot = &mut slots.of[index];
            match event {
                EngineEvent::Prompt { cached_tokens, logprobs } => {
                    slot.prompt = Some((cached_tokens, logprobs))
                }
                EngineEvent::Text { text, ids, logprobs } => {
                    slot.text.push_str(&text);
                    slot.tokens += ids.len();
                    slot.logprobs.extend(logprobs);
                }
                EngineEvent::Done(finished) => slot.end = Some(Ok(finished)),
                EngineEvent::Failed(error) => slot.end = Some(Err(error)),
            }
            if slot.end.is_some() {
                slots.running -= 1;
                if slots.running == 0 {
                    done = slots.permit.take();
                }
            }
        }
        // Outside the lock: others are let in by it.
        drop(done);
        self.news.notify_one();
        ControlFlow::Continue(())
    }

    /// Takes what is new of one sequence.
    fn take(&self, next: &mut usize) -> Option<(usize, Result<Piece, ModelError>)> {
        let mut slots = self.lock();
        let count = slots.of.len();
        let order: VecDeque<usize> = (0..count).map(|step| (*next + step) % count).collect();
        for index in order {
            let slot = &mut slots.of[index];
            let piece = if let Some((cached_tokens, logprobs)) = slot.prompt.take() {
                Ok(Piece::Prompt { cached_tokens, logprobs })
            } else if slot.tokens > 0 || !slot.text.is_empty() {
                let (text, logprobs) = (std::mem::take(&mut slot.text), std::mem::take(&mut slot.logprobs));
                Ok(Piece::Text { text, tokens: std::mem::take(&mut slot.tokens), logprobs })
            } else if let Some(end) = slot.end.take() {
                end.map(Piece::Done)
            } else {
                continue;
            };
            *next = index + 1;
            return Some((index, piece));
        }
        None
    }
}
