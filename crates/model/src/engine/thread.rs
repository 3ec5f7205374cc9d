//! An engine that runs by itself.

use std::collections::HashMap;
use std::fmt;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokenizers::Tokenizer;

use super::Engine;
use super::checks::{Checked, Checks};
use super::constraint::Constraint;
use super::request::{EngineEvent, EngineLoad, EngineRequest, SequenceId};
use crate::error::ModelError;

/// What becomes of the events of a sequence.
type OnEvent = Box<dyn FnMut(EngineEvent) -> ControlFlow<()> + Send>;

enum Command {
    Submit(SequenceId, Box<Checked>, OnEvent),
    Cancel(SequenceId),
    Embed(Vec<u32>, Sender<Result<Vec<f32>, ModelError>>),
    /// Take nothing new, and end when everything that was taken has ended.
    Finish,
    /// End now.
    Stop,
}

/// A handle to an engine that runs on a thread of its own; clones share it. When the last one is
/// dropped the engine cancels what runs and ends.
#[derive(Clone)]
pub struct EngineThread {
    shared: Arc<Shared>,
}

impl fmt::Debug for EngineThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineThread").field("load", &self.load()).finish_non_exhaustive()
    }
}

struct Shared {
    commands: Sender<Command>,
    checks: Arc<Checks>,
    next_id: AtomicU64,
    load: Arc<Mutex<EngineLoad>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl EngineThread {
    /// Starts `engine`. Adapters are added before.
    pub fn start(engine: Engine) -> Self {
        let (commands, received) = channel();
        let checks = Arc::clone(&engine.checks);
        let load = Arc::new(Mutex::new(engine.load()));
        let next_id = AtomicU64::new(engine.next_id);
        let runner = Runner { engine, listeners: HashMap::new(), load: Arc::clone(&load), finishing: false };
        let thread = std::thread::spawn(move || {
            runner.run(&received);
            // Whoever came too late hears so too.
            for command in received.try_iter() {
                if let Command::Submit(_, _, mut listener) = command {
                    let _ = listener(EngineEvent::Failed(ModelError::EngineEnded));
                }
            }
        });
        let thread = Mutex::new(Some(thread));
        Self { shared: Arc::new(Shared { commands, checks, next_id, load, thread }) }
    }

    /// Takes a sequence. `on_event` gets its events on the engine's thread, where it must not wait;
    /// [`ControlFlow::Break`] cancels the sequence, and no further event comes.
    ///
    /// # Errors
    /// As [`Engine::submit`], and when the engine has ended.
    pub fn submit(
        &self,
        request: EngineRequest,
        on_event: impl FnMut(EngineEvent) -> ControlFlow<()> + Send + 'static,
    ) -> Result<SequenceId, ModelError> {
        let checked = self.shared.checks.check(request)?;
        let id = SequenceId(self.shared.next_id.fetch_add(1, Ordering::Relaxed));
        self.send(Command::Submit(id, Box::new(checked), Box::new(on_event)))?;
        Ok(id)
    }

    /// Finds out whether a text can be held to `constraint`, on the caller's thread. What was found good
    /// is compiled for the sequences that then ask for it.
    ///
    /// # Errors
    /// When it cannot be read, or the model has no end token.
    pub fn check_constraint(&self, constraint: &Constraint) -> Result<(), ModelError> {
        self.shared.checks.start(constraint).map(drop)
    }

    /// Ends a sequence before the next step; it is told by its last event.
    pub fn cancel(&self, id: SequenceId) {
        // An engine that has ended runs nothing.
        let _ = self.send(Command::Cancel(id));
    }

    /// As [`Engine::embed`], between two steps. Waits for the result.
    ///
    /// # Errors
    /// As [`Engine::embed`], and when the engine has ended.
    pub fn embed(&self, ids: &[u32]) -> Result<Vec<f32>, ModelError> {
        self.shared.checks.check_text(ids)?;
        let (reply, result) = channel();
        self.send(Command::Embed(ids.to_vec(), reply))?;
        result.recv().map_err(|_| ModelError::EngineEnded)?
    }

    /// What it is doing, and has done, as of its last step.
    pub fn load(&self) -> EngineLoad {
        *self.shared.load.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        self.shared.checks.tokenizer()
    }

    /// The names of the adapters.
    pub fn adapters(&self) -> Vec<String> {
        self.shared.checks.adapters()
    }

    /// Most tokens of a prompt and its answer together.
    pub fn context(&self) -> usize {
        self.shared.checks.context()
    }

    /// Takes nothing new and waits until everything that was taken has ended by itself.
    pub fn finish(&self) {
        let _ = self.send(Command::Finish);
        self.join();
    }

    /// Cancels everything and waits until the engine has ended.
    pub fn stop(&self) {
        let _ = self.send(Command::Stop);
        self.join();
    }

    fn send(&self, command: Command) -> Result<(), ModelError> {
        self.shared.commands.send(command).map_err(|_| ModelError::EngineEnded)
    }

    fn join(&self) {
        let thread = self.shared.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // From one of its own callbacks the thread cannot wait for itself.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            // A panic of the engine was told to everyone who listened.
            let _ = thread.join();
        }
    }
}

/// The thread's side.
struct Runner {
    engine: Engine,
    listeners: HashMap<SequenceId, OnEvent>,
    load: Arc<Mutex<EngineLoad>>,
    finishing: bool,
}

impl Runner {
    fn run(mut self, commands: &Receiver<Command>) {
        while self.obey_all(commands).is_continue() {
            if self.engine.is_idle() {
                // It was told to finish.
                return;
            }
            let Ok(events) = catch_unwind(AssertUnwindSafe(|| self.engine.step())) else {
                // What a pass left behind when it broke off is not gone on with.
                for (_, mut listener) in self.listeners.drain() {
                    let _ = listener(EngineEvent::Failed(ModelError::EngineEnded));
                }
                return;
            };
            self.publish();
            self.tell(events);
        }
        self.cancel_all();
    }

    /// Obeys what has come; with nothing to do it waits until there is something, or it may end.
    fn obey_all(&mut self, commands: &Receiver<Command>) -> ControlFlow<()> {
        loop {
            let command = match commands.try_recv() {
                Ok(command) => command,
                Err(TryRecvError::Empty) if self.finishing || !self.engine.is_idle() => {
                    return ControlFlow::Continue(());
                }
                Err(TryRecvError::Empty) => match commands.recv() {
                    Ok(command) => command,
                    Err(_) => return ControlFlow::Break(()),
                },
                Err(TryRecvError::Disconnected) => return ControlFlow::Break(()),
            };
            self.obey(command)?;
        }
    }

    fn obey(&mut self, command: Command) -> ControlFlow<()> {
        match command {
            Command::Submit(_, _, mut listener) if self.finishing => {
                let _ = listener(EngineEvent::Failed(ModelError::EngineEnded));
            }
            Command::Submit(id, checked, listener) => {
                self.engine.take_in(id, *checked);
                self.listeners.insert(id, listener);
                self.publish();
            }
            Command::Cancel(id) => self.engine.cancel(id),
            Command::Embed(ids, reply) => {
                let result = catch_unwind(AssertUnwindSafe(|| self.engine.embed(&ids)));
                // Whoever asked may have left.
                let _ = reply.send(result.unwrap_or(Err(ModelError::EngineEnded)));
            }
            Command::Finish => self.finishing = true,
            Command::Stop => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    fn tell(&mut self, events: Vec<(SequenceId, EngineEvent)>) {
        for (id, event) in events {
            let last = matches!(event, EngineEvent::Done(_) | EngineEvent::Failed(_));
            let Some(listener) = self.listeners.get_mut(&id) else { continue };
            let flow = listener(event);
            if last || flow.is_break() {
                self.listeners.remove(&id);
            }
            if flow.is_break() && !last {
                self.engine.cancel(id);
            }
        }
    }

    fn cancel_all(mut self) {
        let ids: Vec<SequenceId> = self.listeners.keys().copied().collect();
        ids.into_iter().for_each(|id| self.engine.cancel(id));
        let events = std::mem::take(&mut self.engine.events);
        self.tell(events);
        self.publish();
    }

    fn publish(&self) {
        *self.load.lock().unwrap_or_else(PoisonError::into_inner) = self.engine.load();
    }
}
