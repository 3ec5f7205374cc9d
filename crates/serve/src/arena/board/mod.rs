//! The leaderboard: votes, cleaned and rated as they come.

mod category;
mod figures;
mod standings;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use camelid_ratings::{
    Battles, BradleyTerry, CastVote, Cleaning, DropReason, NamedBattle, PairCounts, RatingsError, Style,
    TieRule, WinMatrix,
};

pub use category::Category;
pub use figures::{Figures, csv, json};
pub use standings::{Entry, Standings};

use super::battle::{Mode, Verdict};
use super::error::ArenaError;
use super::player::Card;
use super::store::{Store, StoredVote};

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
    /// How long cleaning and the fit of all votes took.
    pub took: [Duration; 2],
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
}

/// Votes in the shape that cleaning and ratings want, and their facts.
#[derive(Default)]
struct Votes {
    names: Vec<String>,
    places: HashMap<String, u32>,
    users: HashMap<String, u32>,
    cast: Vec<CastVote>,
    rest: Vec<Rest>,
    last: i64,
    /// Why each does not count, as it stands in the database.
    kept_reasons: Vec<Option<String>>,
}

struct Rest {
    id: i64,
    both_bad: bool,
    turns: u32,
    language: Option<String>,
    long: bool,
    code: bool,
    style: Option<[Style; 2]>,
}

impl Votes {
    fn add(&mut self, vote: StoredVote) {
        let [a, b] = vote.models.map(|name| {
            let next = self.names.len() as u32;
            *self.places.entry(name).or_insert_with_key(|name| {
                self.names.push(name.clone());
                next
            })
        });
        let next = self.users.len() as u32;
        self.cast.push(CastVote {
            a,
            b,
            outcome: vote.verdict.outcome(),
            user: vote.user.map(|user| *self.users.entry(user).or_insert(next)),
            prompt: vote.facts.prompt,
            timestamp: vote.at,
            blind: vote.mode == Mode::Battle,
            fault: vote.facts.fault,
        });
        self.rest.push(Rest {
            id: vote.id,
            both_bad: vote.verdict == Verdict::BothBad,
            turns: vote.facts.turns,
            language: vote.facts.language,
            long: vote.facts.long,
            code: vote.facts.code,
            style: vote.facts.style,
        });
        self.kept_reasons.push(vote.dropped);
        self.last = vote.id;
    }

    /// The votes at these places as battles, for what needs them one by one.
    fn battles(&self, kept: &[usize]) -> Battles {
        let mut battles = Battles::new();
        for &place in kept {
            let (cast, rest) = (&self.cast[place], &self.rest[place]);
            let (a, b) = (&self.names[cast.a as usize], &self.names[cast.b as usize]);
            let named = NamedBattle::new(a, b, cast.outcome);
            // Two models of one name were refused when the vote was cast.
            let _ = battles.push(&NamedBattle { style: rest.style, both_bad: rest.both_bad, ..named });
        }
        battles
    }

    /// Counts of the votes at these places, of those models that have some.
    fn counts(&self, kept: &[usize]) -> Result<PairCounts, RatingsError> {
        let mut new = vec![None; self.names.len()];
        let mut models = Vec::new();
        for &place in kept {
            for model in [self.cast[place].a, self.cast[place].b] {
                new[model as usize].get_or_insert_with(|| {
                    models.push(self.names[model as usize].clone());
                    models.len() as u32 - 1
                });
            }
        }
        let place = |model: u32| new[model as usize].unwrap_or(u32::MAX);
        let cast = |&vote: &usize| {
            let CastVote { a, b, outcome, .. } = self.cast[vote];
            (place(a), place(b), outcome)
        };
        PairCounts::tally(models, kept.iter().map(cast))
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
        let board = Self {
            store,
            options,
            cards,
            votes: Mutex::default(),
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
        for vote in self.store.votes_after(votes.last)? {
            votes.add(vote);
        }
        let start = Instant::now();
        let reasons = self.options.cleaning.reasons(&votes.cast)?;
        let cleaned = start.elapsed();
        let mut dropped = BTreeMap::new();
        for reason in reasons.iter().flatten() {
            *dropped.entry(reason.kind()).or_default() += 1;
        }
        self.keep_reasons(votes, &reasons)?;
        let kept: Vec<usize> = (0..reasons.len()).filter(|&place| reasons[place].is_none()).collect();
        let mut snapshot =
            Snapshot { votes: reasons.len(), counted: kept.len(), dropped, ..Snapshot::default() };
        if kept.is_empty() {
            return Ok(snapshot);
        }
        let fitting = Instant::now();
        let counts = votes.counts(&kept)?;
        let mut overall = Standings::fit(&self.options.model, &counts)?;
        snapshot.took = [cleaned, fitting.elapsed()];
        let is_slow_due = self.is_slow_due(kept.len());
        let before = self.last();
        if is_slow_due {
            let battles = votes.battles(&kept);
            overall.add_bootstrap(&self.options.model, &counts, self.options.replicates)?;
            overall.add_style(&self.options.model, &battles)?;
            snapshot.matrix = Some(WinMatrix::new(&battles, TieRule::Half)?);
            self.keep_day(&overall)?;
        } else if let Some(earlier) = before.overall() {
            overall.take_slow(earlier);
            snapshot.matrix = before.matrix.clone();
        }
        snapshot.boards.push((Category::Overall, overall));
        for (category, places) in category::of(&kept, |place| &votes.rest[place]) {
            if places.len() >= self.options.category_votes {
                let standings = Standings::fit(&self.options.model, &votes.counts(&places)?)?;
                snapshot.boards.push((category, standings));
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

    /// Writes the reasons that changed.
    fn keep_reasons(&self, votes: &mut Votes, reasons: &[Option<DropReason>]) -> Result<(), ArenaError> {
        let reasons = reasons.iter().map(|reason| reason.as_ref().map(ToString::to_string));
        let (places, rows): (Vec<usize>, Vec<(i64, Option<String>)>) = reasons
            .enumerate()
            .filter(|(place, reason)| votes.kept_reasons[*place] != *reason)
            .map(|(place, reason)| (place, (votes.rest[place].id, reason)))
            .unzip();
        if rows.is_empty() {
            return Ok(());
        }
        self.store.keep_reasons(&rows)?;
        for (place, (_, reason)) in places.into_iter().zip(rows) {
            votes.kept_reasons[place] = reason;
        }
        Ok(())
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
