//! One turn of a battle: a prompt, and both answers at once.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use camelid_chat::{GenerateOptions, Message, Role, StopReason};
use serde::Serialize;
use tokio::sync::mpsc;

use super::battle::Side;
use super::lobby::Lobby;
use super::moderation::{Held, Moderation};

/// What a visitor's page is told. Nothing of it names a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The battle's id.
    Battle(String),
    /// More of an answer.
    Text {
        /// 0 for left, 1 for right.
        side: usize,
        /// The piece.
        text: String,
    },
    /// An answer is complete.
    Done {
        /// 0 for left, 1 for right.
        side: usize,
    },
    /// An answer will not be complete.
    Failed {
        /// 0 for left, 1 for right.
        side: usize,
        /// In words that fit any model.
        words: &'static str,
    },
    /// Every answer is complete and kept; a vote may be given.
    Ready {
        /// Answered turns.
        turns: usize,
    },
    /// The turn does not count; why.
    Void(&'static str),
}

/// The words for any failure of any model.
pub const FAILED: &str = "This answer could not be completed.";
/// The words for an answer that moderation holds back.
pub const WITHHELD: &str = "This answer is withheld by this arena's rules.";

/// What a side came to.
pub enum Outcome {
    /// The whole answer.
    Answered(String),
    /// None, which the visitor was told.
    Failed,
    /// The visitor went away.
    Gone,
}

/// The models of both sides as they stand; a first turn may exchange one that fails before its first word.
pub struct Seats {
    places: Mutex<Vec<usize>>,
    may_change: bool,
}

impl Seats {
    /// Who sits left and right.
    pub fn new(places: Vec<usize>, may_change: bool) -> Self {
        Self { places: Mutex::new(places), may_change }
    }

    /// Who sits there now.
    pub fn places(&self) -> Vec<usize> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<usize>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seats another model on a side whose own fails; `None` where there is none or it is too late.
    fn exchange(&self, side: usize, lobby: &Lobby) -> Option<usize> {
        if !self.may_change {
            return None;
        }
        let mut places = self.lock();
        let other = places.get(1 - side).copied().unwrap_or(usize::MAX);
        let next = lobby.replace(places[side], other, Instant::now())?;
        places[side] = next;
        Some(next)
    }
}

/// Most models that are tried on one side.
const TRIES: usize = 3;

/// Writes one side's answer to `messages`, telling `events`; it blocks, so that it belongs on a thread of
/// its own.
pub fn answer(
    side: usize,
    seats: &Seats,
    lobby: &Lobby,
    moderation: &Moderation,
    messages: &[Message],
    options: &GenerateOptions,
    events: &mpsc::Sender<Event>,
) -> Outcome {
    let mut place = seats.places()[side];
    for _ in 0..TRIES {
        let options = GenerateOptions { seed: lobby.seed(), ..options.clone() };
        let player = &lobby.players()[place];
        let mut gate = moderation.gate();
        let (mut shown, mut held, mut gone) = (false, false, false);
        let generated = player.generator.generate(messages, &options, &mut |piece| {
            match gate.push(piece) {
                Ok(text) if text.is_empty() => {}
                Ok(text) => {
                    shown = true;
                    gone = events.blocking_send(Event::Text { side, text }).is_err();
                }
                Err(_) => held = true,
            }
            // A visitor who went away is noticed although nothing is shown yet.
            gone |= events.is_closed();
            if held || gone { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if gone {
            return Outcome::Gone;
        }
        let failure = match generated {
            // Whatever the model makes of being told to end.
            _ if held => Some(WITHHELD),
            Ok(answer) if answer.reason == StopReason::ContentFilter => Some(WITHHELD),
            Ok(_) => match gate.finish() {
                Ok((rest, whole)) if !whole.trim().is_empty() => {
                    lobby.note(place, true, Instant::now());
                    if !rest.is_empty() {
                        let _ = events.blocking_send(Event::Text { side, text: rest });
                    }
                    let told = events.blocking_send(Event::Done { side });
                    return if told.is_ok() { Outcome::Answered(whole) } else { Outcome::Gone };
                }
                Ok(_) => {
                    camelid_files::say!("{}: an empty answer", player.name);
                    None
                }
                Err(Held::Flagged) => Some(WITHHELD),
                Err(Held::Unknown(error)) => {
                    camelid_files::say!("moderation: {}", camelid_files::program::message(&error));
                    Some(WITHHELD)
                }
            },
            Err(error) => {
                camelid_files::say!("{}: {}", player.name, camelid_files::program::message(error.as_ref()));
                None
            }
        };
        if failure.is_none() {
            lobby.note(place, false, Instant::now());
            if !shown && let Some(next) = seats.exchange(side, lobby) {
                place = next;
                continue;
            }
        }
        let words = failure.unwrap_or(FAILED);
        let told = events.blocking_send(Event::Failed { side, words });
        return if told.is_ok() { Outcome::Failed } else { Outcome::Gone };
    }
    let _ = events.blocking_send(Event::Failed { side, words: FAILED });
    Outcome::Failed
}

/// Adds the turn to the sides: the prompt, and each side's answer.
pub fn extend(sides: &mut [Side], prompt: &str, answers: Vec<String>) {
    for (side, answer) in sides.iter_mut().zip(answers) {
        side.messages.push(Message::new(Role::User, prompt));
        side.messages.push(Message::new(Role::Assistant, answer));
    }
}

/// Both sides' answers, once each thread has ended: `None` unless all are complete.
pub fn all_answered(outcomes: Vec<Outcome>) -> Option<Vec<String>> {
    let answered = |outcome| match outcome {
        Outcome::Answered(text) => Some(text),
        Outcome::Failed | Outcome::Gone => None,
    };
    outcomes.into_iter().map(answered).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use camelid_chat::{GeneratedText, TextGenerator};
    use camelid_ratings::PairRule;

    use super::*;
    use crate::arena::demo;
    use crate::arena::player::Player;

    /// Fails after so many pieces.
    struct Failing(usize);

    impl TextGenerator for Failing {
        fn generate(
            &self,
            _: &[Message],
            _: &GenerateOptions,
            on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
        ) -> Result<GeneratedText, Box<dyn std::error::Error + Send + Sync>> {
            for _ in 0..self.0 {
                let _ = on_text("half ");
            }
            Err("secret-model: out of memory".into())
        }
    }

    fn run(pieces: usize, may_change: bool) -> (Outcome, Vec<Event>, Vec<usize>) {
        let mut players = vec![Player::new("secret-model", Arc::new(Failing(pieces)))];
        players.extend(demo::players(Duration::ZERO).into_iter().take(2));
        let lobby = Lobby::new(players, PairRule::Weights, [0; 32]);
        let seats = Seats::new(vec![0, 1], may_change);
        let (sender, mut receiver) = mpsc::channel(100);
        let prompt = [Message::new(Role::User, "How do birds fly?")];
        let moderation = Moderation::none();
        let outcome = answer(0, &seats, &lobby, &moderation, &prompt, &GenerateOptions::default(), &sender);
        drop(sender);
        let mut events = Vec::new();
        while let Ok(event) = receiver.try_recv() {
            events.push(event);
        }
        (outcome, events, seats.places())
    }

    #[test]
    fn a_model_that_fails_before_its_first_word_is_exchanged_in_a_first_turn() {
        let (outcome, events, places) = run(0, true);
        assert!(matches!(outcome, Outcome::Answered(_)));
        assert_eq!((places, events.last()), (vec![2, 1], Some(&Event::Done { side: 0 })));
    }

    #[test]
    fn a_failure_is_told_in_words_that_name_no_model() {
        for (pieces, may_change) in [(0, false), (2, true)] {
            let (outcome, events, places) = run(pieces, may_change);
            assert!(matches!(outcome, Outcome::Failed) && places == [0, 1]);
            assert_eq!(events.last(), Some(&Event::Failed { side: 0, words: FAILED }));
            assert!(!serde_json::to_string(&events).unwrap().contains("secret"));
        }
    }

    #[test]
    fn an_answer_ends_when_nobody_listens_any_more() {
        let lobby = Lobby::new(demo::players(Duration::ZERO), PairRule::Weights, [0; 32]);
        let (sender, receiver) = mpsc::channel(1);
        drop(receiver);
        let (seats, options) = (Seats::new(vec![0, 1], true), GenerateOptions::default());
        let prompt = [Message::new(Role::User, "Hi")];
        let outcome = answer(1, &seats, &lobby, &Moderation::none(), &prompt, &options, &sender);
        assert!(matches!(outcome, Outcome::Gone));
    }
}
