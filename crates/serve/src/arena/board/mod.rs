//! The leaderboard: votes, cleaned and rated as they come.

mod category;
mod figures;
mod standings;
mod votes;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use camelid_ratings::{BradleyTerry, Cleaning, PairCounts, TieRule, WinMatrix};

pub use category::Category;
pub use figures::{Figures, csv, json};
pub use standings::{Entry, Standings};
pub use votes::clean;

use super::error::ArenaError;
use super::player::Card;
use super::store::Store;
use votes::Votes;

/// How votes become a board.
#[derive(Debug, Clone, PartialEq)]
pub struct BoardOptions {
    /// Which votes count.
    pub cleaning: Cleaning,
    /// How they are rated.
    pub model: BradleyTerry,
    /// Replicates of the bootstrap.
    pub replicates: usize,
    /// Fewest votes of a category that has a board of its own.
    pub category_votes: usize,
}

impl Default for BoardOptions {
    fn default() -> Self {
        Self {
            cleaning: Cleaning::default(),
            model: BradleyTerry::default(),
            replicates: 100,
            category_votes: 30,
        }
    }
}

/// What a page shows: made at one moment, never changed.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Votes cast.
    pub votes: usize,
    /// How many of them count.
    pub counted: usize,
    /// Why the others do not.
    pub dropped: BTreeMap<&'static str, usize>,
    /// A board for all votes, and one for each category with enough.
    pub boards: Vec<(Category, Standings)>,
    /// Counts of all pairs, for the drawing of pairs.
    pub counts: Option<PairCounts>,
    /// What each pair of models scored, over all votes that count.
    pub matrix: Option<WinMatrix>,
    /// How long it took to clean the new votes, and to fit the boards that they changed.
    pub took: [Duration; 2],
    /// Boards as pages show them, by category, each from when it was first asked for.
    pages: Mutex<BTreeMap<String, Bytes>>,
}

impl Snapshot {
    /// The board of all votes, where there are any.
    pub fn overall(&self) -> Option<&Standings> {
        self.boards.first().map(|(_, standings)| standings)
    }

    /// The board of a category by its id.
    pub fn board(&self, id: &str) -> Option<&(Category, Standings)> {
        self.boards.iter().find(|(category, _)| category.id() == id)
    }

    /// A category's board as a page shows it: drawn once, however many look.
    ///
    /// # Errors
    /// Those of `draw`, which then is asked again.
    pub(super) fn page<E>(&self, id: &str, draw: impl FnOnce() -> Result<String, E>) -> Result<Bytes, E> {
        // Whoever waits here finds the page drawn.
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = pages.get(id) {
            return Ok(page.clone());
        }
        let page = Bytes::from(draw()?);
        pages.insert(id.to_owned(), page.clone());
        Ok(page)
    }
}

/// The board of a store's votes.
pub struct Board {
    store: Arc<Store>,
    options: BoardOptions,
    cards: BTreeMap<String, Card>,
    votes: Mutex<Votes>,
    snapshot: RwLock<Arc<Snapshot>>,
    is_stale: AtomicBool,
    slow_made: Mutex<Option<Instant>>,
}

/// Up to so many votes, intervals by bootstrap and style control are made anew with every vote.
const FEW: usize = 2_000;
/// With more, that often.
const SLOW_EVERY: Duration = Duration::from_secs(30);

impl Board {
    /// The board of the votes that are there.
    ///
    /// # Errors
    /// [`ArenaError::Store`], [`ArenaError::Ratings`].
    pub fn open(
        store: Arc<Store>,
        options: BoardOptions,
        cards: BTreeMap<String, Card>,
    ) -> Result<Self, ArenaError> {
        let votes = Mutex::new(Votes::new(options.cleaning.clone())?);
        let board = Self {
            store,
            options,
            cards,
            votes,
            snapshot: RwLock::default(),
            is_stale: AtomicBool::new(true),
            slow_made: Mutex::new(None),
        };
        board.refresh()?;
        Ok(board)
    }

    /// What is known of the models.
    pub fn cards(&self) -> &BTreeMap<String, Card> {
        &self.cards
    }

    /// The board as last made.
    pub fn last(&self) -> Arc<Snapshot> {
        self.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says that there is a new vote.
    pub fn note(&self) {
        self.is_stale.store(true, Ordering::Release);
    }

    /// The board of all votes so far, made anew where there are new ones.
    ///
    /// # Errors
    /// As [`Board::open`].
    pub fn current(&self) -> Result<Arc<Snapshot>, ArenaError> {
        if self.is_stale.load(Ordering::Acquire) {
            self.refresh()?;
        }
        Ok(self.last())
    }

    fn refresh(&self) -> Result<(), ArenaError> {
        // Whoever waits here finds the work done.
        let mut votes = self.votes.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_stale.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let made = self.make(&mut votes);
        if made.is_err() {
            self.note();
        }
        let snapshot = made?;
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
        Ok(())
    }

    fn make(&self, votes: &mut Votes) -> Result<Snapshot, ArenaError> {
        let new = self.store.votes_after(votes.last())?;
        let start = Instant::now();
        votes.add(new);
        let cleaned = start.elapsed();
        self.store.keep_reasons(&votes.unwritten())?;
        votes.written();
        let mut dropped = BTreeMap::new();
        for reason in votes.reasons().iter().flatten() {
            *dropped.entry(reason.kind()).or_default() += 1;
        }
        let (all, counted) = (votes.reasons().len(), votes.counted() as usize);
        let mut snapshot = Snapshot { votes: all, counted, dropped, ..Snapshot::default() };
        if counted == 0 {
            return Ok(snapshot);
        }
        let fitting = Instant::now();
        let model = &self.options.model;
        snapshot.boards = votes.boards(model, self.options.category_votes as u64)?;
        let counts = votes.counts()?;
        snapshot.matrix = Some(WinMatrix::of_counts(&counts, TieRule::Half));
        snapshot.took = [cleaned, fitting.elapsed()];
        let is_slow_due = self.is_slow_due(counted);
        let before = self.last();
        if let Some((_, overall)) = snapshot.boards.first_mut() {
            if is_slow_due {
                overall.add_bootstrap(model, &counts, self.options.replicates)?;
                overall.add_style(model, &votes.battles())?;
                self.keep_day(overall)?;
            } else if let Some(earlier) = before.overall() {
                overall.take_slow(earlier);
            }
        }
        snapshot.counts = Some(counts);
        Ok(snapshot)
    }

    fn is_slow_due(&self, votes: usize) -> bool {
        let mut made = self.slow_made.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = votes <= FEW || made.is_none_or(|made| made.elapsed() >= SLOW_EVERY);
        if is_due {
            *made = Some(Instant::now());
        }
        is_due
    }

    /// Keeps the ratings of today.
    fn keep_day(&self, standings: &Standings) -> Result<(), ArenaError> {
        let today = (super::now() / 86_400.0).floor() as i64;
        let rows = standings.entries.iter().filter(|entry| entry.is_bounded);
        let rows: Vec<(String, [f64; 3], u64)> = rows
            .map(|entry| {
                let interval = entry.interval;
                (entry.model.clone(), [interval.value, interval.low, interval.high], entry.votes)
            })
            .collect();
        self.store.keep_day(today, &rows)
    }
}

#[cfg(test)]
mod tests;
