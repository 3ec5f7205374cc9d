#![doc = include_str!("README.md")]

mod battle;
mod board;
pub mod demo;
mod error;
mod lobby;
mod log;
mod moderation;
mod player;
pub mod replay;
mod store;
mod turn;
mod visitor;
mod web;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use camelid_chat::GenerateOptions;
use camelid_files::digest;
use camelid_ratings::{PairRule, TextRules};
use tokio::sync::Semaphore;

pub use battle::{Battle, Mode, Report, Side, Verdict};
pub use board::{Board, BoardOptions, Category, Entry, Figures, Snapshot, Standings};
pub use error::ArenaError;
pub use log::{Imported, export_battles, export_fastchat, import_battles, import_fastchat};
pub use moderation::{Held, Moderation};
pub use player::{Card, Player, read_cards};
pub use store::{Cast, Conversation, Facts, Store, StoredVote, UserKey};
pub use visitor::{ProxyError, RateLimit, TrustedProxy};
pub use web::{router, serve};

use lobby::Lobby;

/// How an arena is run.
#[derive(Debug)]
pub struct ArenaOptions {
    /// How votes become a board.
    pub board: BoardOptions,
    /// How pairs are drawn.
    pub rule: PairRule,
    /// How models answer; the seed is drawn anew for each answer.
    pub generate: GenerateOptions,
    /// What may be sent and shown.
    pub moderation: Moderation,
    /// Proxies whose word on the visitor's address is taken.
    pub trusted_proxies: Vec<TrustedProxy>,
    /// Prompts of one address a minute; 0 is no limit.
    pub prompts_per_minute: u32,
    /// Votes and reports of one address a minute; 0 is no limit.
    pub votes_per_minute: u32,
    /// Most characters of a prompt.
    pub longest_prompt: usize,
    /// Most turns of a battle.
    pub most_turns: usize,
    /// Most turns that are answered at once.
    pub most_at_once: usize,
    /// Prompts that the page offers, with those that follow them.
    pub suggestions: Vec<Vec<String>>,
}

impl Default for ArenaOptions {
    /// FastChat's limits of length and turns, twenty prompts and thirty votes a minute.
    fn default() -> Self {
        Self {
            board: BoardOptions::default(),
            rule: PairRule::default(),
            generate: GenerateOptions { temperature: 0.7, max_new_tokens: 512, ..GenerateOptions::default() },
            moderation: Moderation::none(),
            trusted_proxies: Vec::new(),
            prompts_per_minute: 20,
            votes_per_minute: 30,
            longest_prompt: 12_000,
            most_turns: 50,
            most_at_once: 8,
            suggestions: Vec::new(),
        }
    }
}

/// A running arena.
pub struct Arena {
    store: Arc<Store>,
    board: Board,
    lobby: Lobby,
    rules: TextRules,
    options: ArenaOptions,
    prompts: RateLimit,
    votes: RateLimit,
    slots: Arc<Semaphore>,
    /// Battles with a turn under way.
    busy: Arc<Mutex<HashSet<String>>>,
}

impl Arena {
    /// An arena of these models whose votes are in `store`.
    ///
    /// # Errors
    /// [`ArenaError::Setting`] for fewer than two models or names that are not different; those of
    /// [`Board::open`].
    pub fn new(store: Arc<Store>, players: Vec<Player>, options: ArenaOptions) -> Result<Self, ArenaError> {
        player::check_names(&players)?;
        options.generate.check().map_err(|error| ArenaError::Setting(error.to_string()))?;
        let names: Vec<&str> = players.iter().map(|player| player.name.as_str()).collect();
        let rules = TextRules::default().with_models(&names);
        let cards: BTreeMap<String, Card> =
            players.iter().map(|player| (player.name.clone(), player.card.clone())).collect();
        let board = Board::open(store.clone(), options.board.clone(), cards)?;
        Ok(Self {
            board,
            rules,
            lobby: Lobby::new(players, options.rule, store::random()?),
            prompts: RateLimit::new(options.prompts_per_minute),
            votes: RateLimit::new(options.votes_per_minute),
            slots: Arc::new(Semaphore::new(options.most_at_once.max(1))),
            busy: Arc::default(),
            store,
            options,
        })
    }

    /// The board.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Marks a battle as being answered; `None` where it is already.
    fn begin(&self, battle: &str) -> Option<Busy> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = busy.insert(battle.to_owned());
        is_new.then(|| Busy { battle: battle.to_owned(), all: self.busy.clone() })
    }
}

/// A battle with a turn under way, until this is dropped.
struct Busy {
    battle: String,
    all: Arc<Mutex<HashSet<String>>>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.battle);
    }
}

/// Seconds since the Unix epoch.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// An id that nobody can guess.
fn new_id() -> Result<String, ArenaError> {
    Ok(digest::hex(&store::random::<16>()?))
}
