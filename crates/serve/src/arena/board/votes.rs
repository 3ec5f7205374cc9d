//! An arena's votes as cleaning and ratings want them, followed as they come.

use std::collections::{BTreeMap, HashMap};

use camelid_ratings::{
    Battles, BradleyTerry, CastVote, Cleaner, Cleaning, DropReason, NamedBattle, Outcome, PairCounts,
    RatingsError, Style, VoteTally,
};

use super::category::{self, Category};
use super::standings::Standings;
use crate::arena::battle::{Mode, Verdict};
use crate::arena::store::StoredVote;

/// Why each of these votes does not count, `None` where it does. They come in the order in which they were
/// cast.
///
/// # Errors
/// As [`Cleaner::new`].
pub fn clean(votes: &[StoredVote], cleaning: &Cleaning) -> Result<Vec<Option<DropReason>>, RatingsError> {
    let mut all = Votes::new(cleaning.clone())?;
    all.add(votes.to_vec());
    Ok(all.reasons().to_vec())
}

/// All votes so far. What one more costs does not grow with their number, save where it changes whether
/// earlier ones count.
pub(super) struct Votes {
    names: Numbers,
    users: Numbers,
    cleaner: Cleaner,
    votes: Vec<Vote>,
    groups: BTreeMap<Category, Group>,
    /// The number of the last vote in the database.
    last: i64,
    /// Places of votes whose reason there may be another.
    unwritten: Vec<usize>,
}

/// A vote, and what it is to be rated by.
struct Vote {
    id: i64,
    a: u32,
    b: u32,
    outcome: Outcome,
    both_bad: bool,
    categories: Vec<Category>,
    style: Option<[Style; 2]>,
}

/// The votes of one category that count.
#[derive(Default)]
struct Group {
    tally: VoteTally,
    /// What they gave, until another one comes.
    standings: Option<Standings>,
}

/// Names in the order in which they came, and the number of each.
#[derive(Default)]
struct Numbers {
    names: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Numbers {
    fn of(&mut self, name: String) -> u32 {
        let next = self.names.len() as u32;
        *self.numbers.entry(name).or_insert_with_key(|name| {
            self.names.push(name.clone());
            next
        })
    }
}

impl Votes {
    /// No votes yet.
    ///
    /// # Errors
    /// As [`Cleaner::new`].
    pub(super) fn new(cleaning: Cleaning) -> Result<Self, RatingsError> {
        Ok(Self {
            names: Numbers::default(),
            users: Numbers::default(),
            cleaner: Cleaner::new(cleaning)?,
            votes: Vec::new(),
            groups: BTreeMap::new(),
            last: 0,
            unwritten: Vec::new(),
        })
    }

    /// The number of the last vote.
    pub(super) fn last(&self) -> i64 {
        self.last
    }

    /// Why each vote does not count.
    pub(super) fn reasons(&self) -> &[Option<DropReason>] {
        self.cleaner.reasons()
    }

    /// How many count.
    pub(super) fn counted(&self) -> u64 {
        self.groups.get(&Category::Overall).map_or(0, |group| group.tally.votes())
    }

    /// Adds the votes that came after [`Votes::last`].
    pub(super) fn add(&mut self, new: Vec<StoredVote>) {
        let first = self.votes.len();
        let mut written = Vec::with_capacity(new.len());
        let mut cast = Vec::with_capacity(new.len());
        for StoredVote { id, mode, models, verdict, user, at, facts, dropped, .. } in new {
            let [a, b] = models.map(|name| self.names.of(name));
            cast.push(CastVote {
                a,
                b,
                outcome: verdict.outcome(),
                user: user.map(|user| self.users.of(user)),
                prompt: facts.prompt,
                timestamp: at,
                blind: mode == Mode::Battle,
                fault: facts.fault.clone(),
            });
            self.votes.push(Vote {
                id,
                a,
                b,
                outcome: verdict.outcome(),
                both_bad: verdict == Verdict::BothBad,
                categories: category::of(&facts),
                style: facts.style,
            });
            written.push(dropped);
            self.last = id;
        }
        for (place, was) in self.cleaner.extend(&cast) {
            self.unwritten.push(place);
            let counts = self.cleaner.reasons()[place].is_none();
            if counts != was.is_none() {
                self.count(place, counts);
            }
        }
        for (place, written) in (first..).zip(written) {
            let reason = &self.cleaner.reasons()[place];
            if reason.as_ref().map(ToString::to_string) != written {
                self.unwritten.push(place);
            }
            if reason.is_none() {
                self.count(place, true);
            }
        }
    }

    /// Counts a vote in its categories, or counts it there no longer.
    fn count(&mut self, place: usize, counts: bool) {
        let Vote { a, b, outcome, categories, .. } = &self.votes[place];
        for category in categories {
            let group = match self.groups.get_mut(category) {
                Some(group) => group,
                None => self.groups.entry(category.clone()).or_default(),
            };
            group.standings = None;
            if counts {
                group.tally.add(*a, *b, *outcome);
            } else {
                group.tally.remove(*a, *b, *outcome);
            }
        }
    }

    /// Numbers and reasons of the votes whose reason the database may not have.
    pub(super) fn unwritten(&self) -> Vec<(i64, Option<String>)> {
        let reason = |&place: &usize| self.reasons()[place].as_ref().map(ToString::to_string);
        self.unwritten.iter().map(|place| (self.votes[*place].id, reason(place))).collect()
    }

    /// Notes that the database has them.
    pub(super) fn written(&mut self) {
        self.unwritten.clear();
    }

    /// Counts of all pairs.
    ///
    /// # Errors
    /// [`RatingsError::Empty`] where no vote counts.
    pub(super) fn counts(&self) -> Result<PairCounts, RatingsError> {
        let overall = self.groups.get(&Category::Overall).map(|group| &group.tally);
        overall.unwrap_or(&VoteTally::default()).counts(&self.names.names)
    }

    /// The boards of all categories with at least so many votes, that of all votes first; made anew where
    /// votes came.
    ///
    /// # Errors
    /// As [`Standings::fit`].
    pub(super) fn boards(
        &mut self,
        model: &BradleyTerry,
        fewest: u64,
    ) -> Result<Vec<(Category, Standings)>, RatingsError> {
        let mut boards = Vec::new();
        for (category, group) in &mut self.groups {
            let fewest = if *category == Category::Overall { 1 } else { fewest.max(1) };
            if group.tally.votes() < fewest {
                continue;
            }
            let standings = match group.standings.take() {
                Some(standings) => standings,
                None => Standings::fit(model, &group.tally.counts(&self.names.names)?)?,
            };
            group.standings = Some(standings.clone());
            boards.push((category.clone(), standings));
        }
        Ok(boards)
    }

    /// The votes that count as battles, for what needs them one by one.
    pub(super) fn battles(&self) -> Battles {
        let mut battles = Battles::new();
        for (vote, _) in self.votes.iter().zip(self.reasons()).filter(|(_, reason)| reason.is_none()) {
            let [a, b] = [vote.a, vote.b].map(|model| &self.names.names[model as usize]);
            let named = NamedBattle::new(a, b, vote.outcome);
            // Two models of one name were refused when the vote was cast.
            let _ = battles.push(&NamedBattle { style: vote.style, both_bad: vote.both_bad, ..named });
        }
        battles
    }
}
