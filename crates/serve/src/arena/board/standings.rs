//! Models from the best to the worst.

use camelid_ratings::{
    Battles, Bootstrap, BradleyTerry, Interval, PairCounts, RatingsError, Standing, StyleWorth, Z95, ranks,
};
use serde::Serialize;

/// One model's place.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// One more than the models whose interval lies wholly above its own.
    pub rank: usize,
    /// Its name.
    pub model: String,
    /// Its rating with its 95 % sandwich interval.
    pub interval: Interval,
    /// The same by bootstrap, as last made.
    pub bootstrap: Option<Interval>,
    /// Its rating at equal length and layout of the answers, as last made.
    pub style: Option<Interval>,
    /// Its rank by that.
    pub style_rank: Option<usize>,
    /// Whether the votes bound the rating: it won and lost, or the like.
    pub is_bounded: bool,
    /// The part of the comparisons it belongs to; ratings of different parts cannot be compared.
    pub part: u32,
    /// Its votes.
    pub votes: u64,
    /// Votes for it.
    pub wins: u64,
    /// Votes against it.
    pub losses: u64,
    /// Ties, those included that say that both are bad.
    pub ties: u64,
}

/// A board.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Standings {
    /// Votes.
    pub votes: u64,
    /// Parts between which there are no votes.
    pub parts: usize,
    /// The models.
    pub entries: Vec<Entry>,
    /// Points that one standard deviation of a feature of style is worth.
    pub style: Vec<StyleWorth>,
}

impl Standings {
    /// Ratings and sandwich intervals.
    ///
    /// # Errors
    /// As [`BradleyTerry::sandwich`].
    pub fn fit(model: &BradleyTerry, counts: &PairCounts) -> Result<Self, RatingsError> {
        let (fitted, intervals) = model.sandwich(counts, Z95)?;
        let mut tally = vec![[0u64; 3]; fitted.models.len()];
        for pair in counts.pairs() {
            let [won, lost, tied] = pair.counts.map(|count| count.battles);
            for (sum, votes) in tally[pair.i as usize].iter_mut().zip([won, lost, tied]) {
                *sum += votes;
            }
            for (sum, votes) in tally[pair.j as usize].iter_mut().zip([lost, won, tied]) {
                *sum += votes;
            }
        }
        let rank = ranks(&intervals);
        let mut entries: Vec<Entry> = (0..fitted.models.len())
            .map(|m| Entry {
                rank: rank[m],
                model: fitted.models[m].clone(),
                interval: intervals[m],
                bootstrap: None,
                style: None,
                style_rank: None,
                is_bounded: fitted.standing[m] == Standing::Bounded,
                part: fitted.part[m],
                votes: tally[m].iter().sum(),
                wins: tally[m][0],
                losses: tally[m][1],
                ties: tally[m][2],
            })
            .collect();
        entries.sort_by(|a, b| {
            b.interval.value.total_cmp(&a.interval.value).then_with(|| a.model.cmp(&b.model))
        });
        Ok(Self { votes: counts.battles(), parts: fitted.parts, entries, style: Vec::new() })
    }

    /// Adds intervals by bootstrap.
    ///
    /// # Errors
    /// As [`Bootstrap::counted`].
    pub fn add_bootstrap(
        &mut self,
        model: &BradleyTerry,
        counts: &PairCounts,
        replicates: usize,
    ) -> Result<(), RatingsError> {
        let drawn = Bootstrap { replicates, ..Bootstrap::default() }.counted(model, counts)?;
        for (name, interval) in drawn.models.iter().zip(drawn.intervals()) {
            if let Some(entry) = self.entry(name) {
                entry.bootstrap = Some(interval);
            }
        }
        Ok(())
    }

    /// Adds ratings at equal style; nothing where a vote's answers are not known.
    ///
    /// # Errors
    /// As [`BradleyTerry::fit_with_style`].
    pub fn add_style(&mut self, model: &BradleyTerry, battles: &Battles) -> Result<(), RatingsError> {
        let fitted = match model.fit_with_style(battles, Z95) {
            Err(RatingsError::NoStyle { .. }) => return Ok(()),
            fitted => fitted?,
        };
        let rank = ranks(&fitted.intervals);
        for ((name, interval), rank) in fitted.ratings.models.iter().zip(&fitted.intervals).zip(rank) {
            if let Some(entry) = self.entry(name) {
                (entry.style, entry.style_rank) = (Some(*interval), Some(rank));
            }
        }
        let worth = camelid_ratings::FEATURE_NAMES.iter().zip(fitted.coefficients);
        self.style = worth.map(|(name, points)| StyleWorth { feature: (*name).to_owned(), points }).collect();
        Ok(())
    }

    /// Takes what is slow to make from an earlier board.
    pub fn take_slow(&mut self, earlier: &Self) {
        for old in &earlier.entries {
            if let Some(entry) = self.entry(&old.model) {
                (entry.bootstrap, entry.style, entry.style_rank) = (old.bootstrap, old.style, old.style_rank);
            }
        }
        self.style.clone_from(&earlier.style);
    }

    fn entry(&mut self, model: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.model == model)
    }
}
