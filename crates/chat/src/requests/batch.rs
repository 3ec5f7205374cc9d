//! One batch: requests begin on threads of their own, replies are kept as they arrive.

use std::any::Any;
use std::error::Error;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, Scope};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::{GenerateFailure, GeneratedText, StopReason};

use super::context::{Context, Progress};
use super::error::{Filtered, NotAsked, Refused, RequestError, RunError, StoreError};
use super::request::{ChatRequest, Reply};

/// How often the flag of [`Runner::stop_on`](super::Runner::stop_on) is looked at while nothing arrives.
const GLANCE: Duration = Duration::from_millis(50);

/// Failures in a row, of requests that had nothing wrong with them, after which a server is given
/// up: with a reason that will last (see [`GenerateFailure::is_lasting`]), and with any other.
const PATIENCE: (usize, usize) = (3, 8);

type Generated = Result<GeneratedText, Box<dyn Error + Send + Sync>>;
/// What came of a request, by its place.
type Outcome = (usize, Result<Reply, RequestError>);

/// Distinct requests of which some wait, some are under way and some are done.
pub(super) struct Batch<'a> {
    context: &'a Context<'a>,
    requests: &'a [ChatRequest],
    keys: &'a [String],
    /// Places of the requests that wait, last first.
    waiting: Vec<usize>,
    state: Progress,
    progress: &'a mut dyn FnMut(Progress),
    outcomes: Vec<Outcome>,
    /// Failures since the last reply: with a reason that will last, and in all.
    in_a_row: (usize, usize),
    end: Option<End>,
}

/// Why no further request begins.
enum End {
    SpendingLimit { next: f64 },
    Interrupted,
    Store(StoreError),
    GaveUp { failures: usize },
}

impl<'a> Batch<'a> {
    /// The requests at `lacking` will be asked; `stored` further ones have their reply.
    pub fn new(
        context: &'a Context<'a>,
        requests: &'a [ChatRequest],
        keys: &'a [String],
        lacking: Vec<usize>,
        stored: usize,
        progress: &'a mut dyn FnMut(Progress),
    ) -> Self {
        let total = stored + lacking.len();
        let state = Progress { total, stored, spent: context.ledger().spent, ..Default::default() };
        let waiting = lacking.into_iter().rev().collect();
        Self {
            context,
            requests,
            keys,
            waiting,
            state,
            progress,
            outcomes: Vec::new(),
            in_a_row: (0, 0),
            end: None,
        }
    }

    pub fn run(mut self) -> Result<Vec<Outcome>, RunError> {
        (self.progress)(self.state);
        let (sender, arrivals) = mpsc::channel();
        thread::scope(|scope| {
            loop {
                let wait = self.begin_what_may(scope, &sender);
                if self.state.under_way == 0 && (self.end.is_some() || self.waiting.is_empty()) {
                    break;
                }
                self.await_arrival(&arrivals, wait);
            }
        });
        let (total, spent) = (self.state.total, self.state.spent);
        let left = total - self.state.stored - self.state.answered;
        match self.end.take() {
            None => Ok(self.outcomes),
            Some(End::Store(error)) => Err(error.into()),
            Some(End::GaveUp { failures }) => Ok(self.with_the_rest_not_asked(failures)),
            Some(End::Interrupted) => Err(RunError::Interrupted { left, total }),
            Some(End::SpendingLimit { next }) => {
                let limit = self.context.settings.spending_limit.unwrap_or(spent);
                Err(RunError::SpendingLimit { limit, spent, next, left, total })
            }
        }
    }

    /// Every request that waits comes to nothing.
    fn with_the_rest_not_asked(mut self, failures: usize) -> Vec<Outcome> {
        for index in std::mem::take(&mut self.waiting).into_iter().rev() {
            self.state.not_asked += 1;
            self.fail(index, NotAsked { failures }.into());
        }
        (self.progress)(self.state);
        self.outcomes
    }

    /// Begins requests until one has to wait, and says for how long at most.
    fn begin_what_may<'scope>(
        &mut self,
        scope: &'scope Scope<'scope, 'a>,
        sender: &Sender<(usize, Generated)>,
    ) -> Duration {
        let context = self.context;
        while self.end.is_none()
            && self.state.under_way < context.settings.concurrency
            && let Some(&index) = self.waiting.last()
        {
            if context.stopped() {
                self.end = Some(End::Interrupted);
                break;
            }
            let request = &self.requests[index];
            let most = context.cost_at_most(request);
            if !context.ledger().fits(most, context.settings.spending_limit) {
                // Those under way may turn out to cost less than they might.
                if self.state.under_way == 0 {
                    self.end = Some(End::SpendingLimit { next: most });
                }
                break;
            }
            let now = Instant::now();
            let until_start = context.ledger().until_start(now);
            if !until_start.is_zero() {
                return until_start.min(GLANCE);
            }
            context.ledger().begin(most, context.settings.requests_per_minute, now);
            self.waiting.pop();
            self.state.under_way += 1;
            let sender = sender.clone();
            scope.spawn(move || {
                // The receiver outlives every thread of the scope.
                let _ = sender.send((index, ask(context, request)));
            });
            (self.progress)(self.state);
        }
        GLANCE
    }

    fn await_arrival(&mut self, arrivals: &Receiver<(usize, Generated)>, wait: Duration) {
        let Ok((index, generated)) = arrivals.recv_timeout(wait) else { return };
        let request = &self.requests[index];
        let most = self.context.cost_at_most(request);
        let cost = match &generated {
            Ok(generated) => self.context.cost_of(request, generated),
            Err(error) => most * f64::from(charged_attempts(error.as_ref())),
        };
        self.context.ledger().settle(most, cost);
        self.state.spent = self.context.ledger().spent;
        self.state.under_way -= 1;
        match generated {
            // Half a reply, or an attempt given up, because of the flag: neither is kept.
            Ok(GeneratedText { reason: StopReason::Cancelled, .. }) => self.interrupt(),
            Err(_) if self.context.stopped() => self.interrupt(),
            Ok(GeneratedText { reason: StopReason::ContentFilter, text, .. }) => {
                self.in_a_row = (0, 0);
                self.fail(index, Filtered { text }.into());
            }
            Ok(generated) => {
                self.in_a_row = (0, 0);
                self.keep(index, generated);
            }
            Err(source) => {
                self.count(source.as_ref());
                self.fail(index, source);
            }
        }
        (self.progress)(self.state);
    }

    fn fail(&mut self, index: usize, source: Box<dyn Error + Send + Sync>) {
        self.state.failed += 1;
        let (key, model) = (self.keys[index].clone(), self.requests[index].model.clone());
        self.outcomes.push((index, Err(RequestError { index, key, model, source: source.into() })));
    }

    /// Gives the server up when its failures in a row are too many.
    fn count(&mut self, error: &(dyn Error + Send + Sync + 'static)) {
        let Some(error) = error.downcast_ref::<GenerateFailure>().filter(|e| !e.is_of_this_request) else {
            return;
        };
        self.in_a_row.0 += usize::from(error.is_lasting);
        self.in_a_row.1 += 1;
        if self.in_a_row.0 >= PATIENCE.0 || self.in_a_row.1 >= PATIENCE.1 {
            self.end.get_or_insert(End::GaveUp { failures: self.in_a_row.1 });
        }
    }

    fn interrupt(&mut self) {
        self.end.get_or_insert(End::Interrupted);
    }

    fn keep(&mut self, index: usize, generated: GeneratedText) {
        let reply = Reply {
            key: self.keys[index].clone(),
            text: generated.text,
            reason: generated.reason,
            prompt_tokens: generated.prompt_tokens,
            new_tokens: generated.new_tokens,
            model_version: generated.model_version,
            own_temperature: generated.own_temperature,
            unix_seconds: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        };
        if let Err(reason) = self.context.check(&reply) {
            return self.fail(index, Refused { reason, text: reply.text }.into());
        }
        match self.context.store.put(&self.requests[index], &reply) {
            Ok(()) => {
                self.state.answered += 1;
                self.outcomes.push((index, Ok(reply)));
            }
            Err(error) => self.end = Some(End::Store(error)),
        }
    }
}

/// Puts one request to the model. A panic of the model's code is that request's failure: the
/// replies to the others are worth keeping.
fn ask(context: &Context, request: &ChatRequest) -> Generated {
    request.options.check()?;
    let mut on_text = |_: &str| match context.stopped() {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    let generate = || context.generator.generate(&request.messages, &request.options, &mut on_text);
    catch_unwind(AssertUnwindSafe(generate))
        .unwrap_or_else(|panic| Err(format!("the model's code panicked: {}", words(panic.as_ref())).into()))
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words")
}

fn charged_attempts(error: &(dyn Error + Send + Sync + 'static)) -> u32 {
    error.downcast_ref::<GenerateFailure>().map_or(0, |failure| failure.charged_attempts)
}
