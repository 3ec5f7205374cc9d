//! A turn, a vote, a report.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, State};
use axum::http::HeaderMap;
use axum::response::Response;
use camelid_chat::{Message, Role};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::fault::Fault;
use crate::arena::battle::{Battle, Mode, Report, Side, Verdict};
use crate::arena::error::ArenaError;
use crate::arena::moderation::Held;
use crate::arena::store::{Cast, Facts};
use crate::arena::turn::{self, Event, Seats};
use crate::arena::{Arena, Busy, new_id, now, visitor};
use crate::stream::{DONE, EVENT_STREAM, event, streamed};

/// How long a turn waits for its place.
const PATIENCE: Duration = Duration::from_secs(30);
/// Events that a slow reader may lag behind.
const LAG: usize = 64;
/// Most characters of a report.
const LONGEST_REPORT: usize = 2_000;

/// A prompt for a new battle, or for one that goes on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// The battle that goes on.
    #[serde(default)]
    battle: Option<String>,
    /// What a new one is.
    #[serde(default)]
    mode: Option<Mode>,
    /// The models of a new one whose names are known: two, or one.
    #[serde(default)]
    models: Vec<String>,
    /// The prompt.
    prompt: String,
}

/// A verdict on a battle.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoteRequest {
    battle: String,
    verdict: Verdict,
}

/// What a voter learns.
#[derive(Debug, Serialize)]
pub struct Revealed {
    /// The models, left and right.
    models: Vec<String>,
    /// The verdict that counts.
    verdict: Verdict,
    /// Whether it is the one just given; a battle keeps its first.
    is_new: bool,
}

/// Words about a battle.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportRequest {
    battle: String,
    words: String,
}

/// A body as it came.
type Sent<T> = Result<Json<T>, JsonRejection>;

/// Where a request comes from.
fn address(arena: &Arena, peer: SocketAddr, headers: &HeaderMap) -> IpAddr {
    visitor::address(peer, headers, &arena.options.trusted_proxies)
}

/// Answers a prompt: a stream of [`Event`]s, ended by `[DONE]`.
pub async fn turn(
    State(arena): State<Arc<Arena>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    ask: Sent<Ask>,
) -> Result<Response, Fault> {
    let Json(ask) = ask?;
    let address = address(&arena, peer, &headers);
    arena.prompts.take(address, Instant::now()).map_err(Fault::too_many)?;
    let prompt = ask.prompt.trim().to_owned();
    if prompt.is_empty() {
        return Err(Fault::wrong("The prompt is empty."));
    }
    let most = arena.options.longest_prompt;
    if prompt.chars().count() > most {
        return Err(Fault::wrong(format!("The prompt has more than {most} characters, which is the most.")));
    }
    let begin = |battle: &str| {
        arena.begin(battle).ok_or_else(|| Fault::conflict("The last prompt is still being answered."))
    };
    // Before it is read: what is read must not change until this turn is written.
    let going_on = ask.battle.as_deref().map(begin).transpose()?;
    let (battle, places) = {
        let (arena, prompt) = (arena.clone(), prompt.clone());
        blocking(move || prepare(&arena, ask, &prompt, address)).await?
    };
    let busy = going_on.map_or_else(|| begin(&battle.id), Ok)?;
    let slot = tokio::time::timeout(PATIENCE, arena.slots.clone().acquire_owned()).await;
    let Ok(Ok(slot)) = slot else { return Err(Fault::busy()) };
    let (sender, receiver) = mpsc::channel(LAG);
    tokio::spawn(async move {
        run(&arena, battle, places, prompt, sender, busy).await;
        drop(slot);
    });
    let events = ReceiverStream::new(receiver).map(|said: Event| event(&said));
    Ok(streamed(EVENT_STREAM, events.chain(tokio_stream::once(DONE))))
}

/// The battle to answer in, new or as it stands, and who sits where.
fn prepare(arena: &Arena, ask: Ask, prompt: &str, address: IpAddr) -> Result<(Battle, Vec<usize>), Fault> {
    match arena.options.moderation.check(prompt) {
        Ok(()) => {}
        Err(Held::Flagged) => return Err(Fault::wrong("This arena's rules do not allow this prompt.")),
        Err(Held::Unknown(error)) => {
            camelid_files::say!("moderation: {}", camelid_files::program::message(&error));
            return Err(Fault::busy());
        }
    }
    let place = |name: &String| {
        arena.lobby.place(name).ok_or_else(|| Fault::wrong(format!("There is no model `{name}` here.")))
    };
    if let Some(id) = ask.battle {
        let battle =
            arena.store.battle(&id).map_err(|error| Fault::ours(&error, "The battle cannot be read."))?;
        let battle = battle.ok_or_else(|| Fault::missing("There is no such battle; begin a new one."))?;
        if battle.verdict.is_some() && battle.mode == Mode::Battle {
            return Err(Fault::conflict("This battle is decided; begin a new one."));
        }
        if battle.turns() >= arena.options.most_turns {
            return Err(Fault::conflict(
                "This battle has as many turns as it may; vote, or begin a new one.",
            ));
        }
        // The name stays unsaid: the battle may be blind.
        let places: Option<Vec<usize>> =
            battle.sides.iter().map(|side| arena.lobby.place(&side.model)).collect();
        let places = places.ok_or_else(|| Fault::conflict("This battle cannot go on; begin a new one."))?;
        return Ok((battle, places));
    }
    let mode = ask
        .mode
        .ok_or_else(|| Fault::wrong("`mode` is missing; expected battle, side_by_side or direct."))?;
    let places = match (mode, &ask.models[..]) {
        (Mode::Battle, []) => {
            let counts = arena.board.last();
            let drawn = arena.lobby.draw(counts.counts.as_ref(), Instant::now());
            let (left, right) = drawn.ok_or_else(Fault::busy)?;
            vec![left, right]
        }
        (Mode::SideBySide, [left, right]) if left != right => vec![place(left)?, place(right)?],
        (Mode::Direct, [model]) => vec![place(model)?],
        (Mode::Battle, _) => return Err(Fault::wrong("`models` of a battle are drawn; expected none.")),
        (Mode::SideBySide, _) => return Err(Fault::wrong("`models` should be two different models.")),
        (Mode::Direct, _) => return Err(Fault::wrong("`models` should be one model.")),
    };
    let id = || new_id().map_err(|error| Fault::ours(&error, "A battle cannot be begun."));
    let sides: Result<Vec<Side>, Fault> = places
        .iter()
        .map(|&place| {
            let model = arena.lobby.players()[place].name.clone();
            Ok(Side { conversation: id()?, model, messages: Vec::new() })
        })
        .collect();
    let (user, started) = (Some(arena.store.user(address)), now());
    let battle = Battle { id: id()?, mode, sides: sides?, user, started, finished: started, verdict: None };
    Ok((battle, places))
}

/// Lets every side answer at once, then keeps the turn if all of them did.
async fn run(
    arena: &Arc<Arena>,
    mut battle: Battle,
    places: Vec<usize>,
    prompt: String,
    events: mpsc::Sender<Event>,
    _busy: Busy,
) {
    let before = battle.turns();
    let _ = events.send(Event::Battle(battle.id.clone())).await;
    let seats = Arc::new(Seats::new(places, before == 0 && battle.mode == Mode::Battle));
    let mut answering = Vec::new();
    for (side, own) in battle.sides.iter().enumerate() {
        let (arena, seats, events) = (arena.clone(), seats.clone(), events.clone());
        let mut messages = own.messages.clone();
        messages.push(Message::new(Role::User, prompt.clone()));
        answering.push(spawn_blocking(move || {
            let (moderation, options) = (&arena.options.moderation, &arena.options.generate);
            turn::answer(side, &seats, &arena.lobby, moderation, &messages, options, &events)
        }));
    }
    let mut outcomes = Vec::new();
    for answering in answering {
        outcomes.push(answering.await.unwrap_or(turn::Outcome::Failed));
    }
    let Some(answers) = turn::all_answered(outcomes) else {
        let words = if before > 0 {
            "This prompt does not count. You may vote on what came before, or begin a new battle."
        } else {
            "This battle does not count. Please begin a new one."
        };
        let _ = events.send(Event::Void(words)).await;
        return;
    };
    for (side, place) in battle.sides.iter_mut().zip(seats.places()) {
        side.model.clone_from(&arena.lobby.players()[place].name);
    }
    turn::extend(&mut battle.sides, &prompt, answers);
    battle.finished = now();
    let turns = battle.turns();
    let store = arena.store.clone();
    let saved = blocking(move || {
        store.save_battle(&battle).map_err(|error| Fault::ours(&error, "The battle cannot be kept."))
    });
    let event = match saved.await {
        Ok(()) => Event::Ready { turns },
        Err(_) => Event::Void("This battle cannot be kept, so that it does not count."),
    };
    let _ = events.send(event).await;
}

/// Keeps a vote, and says who played once it is on disk.
pub async fn vote(
    State(arena): State<Arc<Arena>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    vote: Sent<VoteRequest>,
) -> Result<Json<Revealed>, Fault> {
    let Json(VoteRequest { battle: id, verdict }) = vote?;
    let address = address(&arena, peer, &headers);
    arena.votes.take(address, Instant::now()).map_err(Fault::too_many)?;
    let busy = arena.begin(&id).ok_or_else(|| Fault::conflict("The last prompt is still being answered."))?;
    // To its end, even where the voter does not wait for it.
    let revealed = blocking(move || {
        let _busy = busy;
        let not_kept = |error: ArenaError| {
            Fault::ours(&error, "The vote could not be kept and does not count. Please try again.")
        };
        let battle = find(&arena, &id)?;
        if battle.mode == Mode::Direct {
            return Err(Fault::wrong("There is nothing to vote on in a chat with one model."));
        }
        let facts = Facts::of(&battle.sides, &arena.rules);
        let cast = arena.store.cast(&battle, verdict, &arena.store.user(address), now(), &facts);
        let (verdict, is_new) = match cast.map_err(not_kept)? {
            Cast::Counted => (verdict, true),
            Cast::Before(first) => (first, false),
        };
        arena.board.note();
        Ok(Revealed { models: battle.sides.into_iter().map(|side| side.model).collect(), verdict, is_new })
    })
    .await?;
    Ok(Json(revealed))
}

/// Keeps a report.
pub async fn report(
    State(arena): State<Arc<Arena>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    report: Sent<ReportRequest>,
) -> Result<Json<serde_json::Value>, Fault> {
    let Json(ReportRequest { battle, words }) = report?;
    let address = address(&arena, peer, &headers);
    arena.votes.take(address, Instant::now()).map_err(Fault::too_many)?;
    let words = words.trim().to_owned();
    if words.is_empty() || words.chars().count() > LONGEST_REPORT {
        return Err(Fault::wrong(format!("A report has between 1 and {LONGEST_REPORT} characters.")));
    }
    blocking(move || {
        find(&arena, &battle)?;
        let report = Report { battle, user: Some(arena.store.user(address)), at: now(), words };
        arena.store.report(&report).map_err(|error| Fault::ours(&error, "The report could not be kept."))
    })
    .await?;
    Ok(Json(serde_json::json!({ "kept": true })))
}

fn find(arena: &Arena, id: &str) -> Result<Battle, Fault> {
    let battle = arena.store.battle(id).map_err(|error| Fault::ours(&error, "The battle cannot be read."))?;
    battle.ok_or_else(|| Fault::missing("There is no such battle; begin a new one."))
}

/// Does what waits for the disk or another server on a thread where that holds nobody up.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => {
            let error = ArenaError::Setting(format!("a request ended in a panic: {error}"));
            Err(Fault::ours(&error, "Something went wrong here."))
        }
    }
}
