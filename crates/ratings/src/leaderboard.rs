//! Ratings by one method, with both kinds of intervals, ranked.

use serde::{Deserialize, Serialize};

use crate::battles::{Battles, Outcome};
use crate::bootstrap::Bootstrap;
use crate::bradley_terry::{Anchor, BradleyTerry, Ratings};
use crate::counts::PairCounts;
use crate::elo::{Elo, Orderings, TieRule};
use crate::error::RatingsError;
use crate::graph::Standing;
use crate::scale::{Interval, RatingScale, Z95, ranks};
use crate::style::FEATURE_NAMES;
use crate::ties::Ties;
use crate::win_matrix::WinMatrix;

/// Orderings that each replicate of a bootstrap averages over.
const FEW_ORDERINGS: usize = 100;

/// How battles become ratings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Elo in one pass, in the order of the timestamps where every battle has one, else as read.
    Elo,
    /// Elo averaged over random orderings.
    EloAveraged,
    /// Bradley–Terry by maximum likelihood.
    #[default]
    BradleyTerry,
    /// The same at equal length and layout of the answers.
    Style,
    /// Mean of the win rates against each opponent, in per cent.
    WinRate,
}

impl Method {
    /// The words of a report.
    pub fn words(self) -> &'static str {
        match self {
            Method::Elo => "Elo in one pass",
            Method::EloAveraged => "Elo averaged over random orderings",
            Method::BradleyTerry => "Bradley–Terry by maximum likelihood",
            Method::Style => "Bradley–Terry at equal style",
            Method::WinRate => "Average win rate",
        }
    }
}

/// What a leaderboard is made with; each method takes what it knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LeaderboardOptions {
    /// The method.
    pub method: Method,
    /// The scale of the ratings.
    pub scale: RatingScale,
    /// What a tie says; Rao and Kupper's or Davidson's way for [`Method::BradleyTerry`] only.
    pub ties: Ties,
    /// Elo's K.
    pub k: f64,
    /// Orderings of [`Method::EloAveraged`].
    pub orderings: Orderings,
    /// Weight of the prior of the Bradley–Terry methods.
    pub ridge: f64,
    /// A model whose rating is given, for the Bradley–Terry methods.
    pub anchor: Option<Anchor>,
    /// The bootstrap; its level is 0.95, as that of the other intervals.
    pub bootstrap: Bootstrap,
}

impl Default for LeaderboardOptions {
    fn default() -> Self {
        let BradleyTerry { scale, ties, ridge, anchor } = BradleyTerry::default();
        Self {
            method: Method::default(),
            scale,
            ties,
            k: Elo::default().k,
            orderings: Orderings { orderings: 1000, matches: None, seed: 0 },
            ridge,
            anchor,
            bootstrap: Bootstrap::default(),
        }
    }
}

/// Models from the highest rating to the lowest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Leaderboard {
    /// What it was made with.
    pub options: LeaderboardOptions,
    /// Battles it was made of.
    pub battles: u64,
    /// The models.
    pub rows: Vec<LeaderboardRow>,
    /// Models of which no battle counts, ties being left out.
    pub unrated: Vec<String>,
    /// Connected parts of the comparison graph; ratings in different parts cannot be compared.
    pub parts: usize,
    /// Points that one standard deviation of a style feature is worth, for [`Method::Style`].
    pub style: Vec<StyleWorth>,
    /// ν of Rao and Kupper's or Davidson's ties, where it was fitted.
    pub tie_parameter: Option<f64>,
    /// Mean negative log-likelihood of a vote at the maximum, for [`Method::BradleyTerry`].
    pub negative_log_likelihood: Option<f64>,
    /// Whether the battles were played in the order of their timestamps, for [`Method::Elo`].
    pub by_time: bool,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeaderboardRow {
    /// Its name.
    pub model: String,
    /// One more than the number of models whose bootstrap interval lies wholly above its own.
    pub rank: usize,
    /// Its rating.
    pub rating: f64,
    /// 95 % interval by bootstrap.
    pub bootstrap: Interval,
    /// 95 % interval by the sandwich estimator; for [`Method::WinRate`] by the variance of shares;
    /// sequential ratings have no such formula.
    pub sandwich: Option<Interval>,
    /// Standard error that shuffling leaves, for [`Method::EloAveraged`].
    pub ordering_error: Option<f64>,
    /// Whether the battles bound the rating.
    pub standing: Standing,
    /// Replicates of the bootstrap whose battles do not bound it.
    pub unbounded_replicates: usize,
    /// The connected part it belongs to, from 0.
    pub part: u32,
    /// Its battles.
    pub battles: u64,
    /// Battles it won.
    pub wins: u64,
    /// Battles it lost.
    pub losses: u64,
    /// Ties.
    pub ties: u64,
    /// Mean of its win rates against each opponent, a tie as half.
    pub win_rate: Option<Interval>,
}

/// What a style feature is worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StyleWorth {
    /// Its name.
    pub feature: String,
    /// Points for one standard deviation of the answers' difference, with its sandwich interval.
    pub points: Interval,
}

/// What every method finds, by index of the model.
struct Found {
    ratings: Vec<f64>,
    bootstrap: Vec<Interval>,
    sandwich: Option<Vec<Interval>>,
    ordering_error: Option<Vec<f64>>,
    unbounded: Vec<usize>,
    style: Vec<StyleWorth>,
    tie_parameter: Option<f64>,
    negative_log_likelihood: Option<f64>,
}

impl Leaderboard {
    /// Rates the battles.
    ///
    /// # Errors
    /// [`RatingsError::Empty`] and [`RatingsError::OneModel`] where there is nothing to rate,
    /// [`RatingsError::Setting`] for settings out of range or that the method does not know, and
    /// those of the method.
    pub fn new(battles: &Battles, options: &LeaderboardOptions) -> Result<Self, RatingsError> {
        battles.check("leaderboard")?;
        if options.method == Method::Elo || options.method == Method::EloAveraged {
            battles.one_by_one("Elo, which plays battles one after the other,")?;
        }
        let counts = PairCounts::new(battles)?;
        let by_time =
            options.method == Method::Elo && battles.rows().iter().all(|row| row.timestamp.is_some());
        let found = match options.method {
            Method::Elo if by_time => {
                let mut sorted = battles.clone();
                sorted.sort_by_time();
                options.sequential(&sorted)?
            }
            Method::Elo => options.sequential(battles)?,
            Method::EloAveraged => options.averaged(battles)?,
            Method::BradleyTerry => options.fitted(battles, &counts)?,
            Method::Style => options.style(battles)?,
            Method::WinRate => options.win_rates(battles)?,
        };
        // Which ratings the battles tell does not depend on the method.
        let graph = BradleyTerry { ties: options.ties, ..BradleyTerry::default() }.fit(&counts)?;
        let matrix = WinMatrix::new(battles, TieRule::Half)?;
        let tally = tally(battles);
        let (rated, unrated): (Vec<usize>, Vec<usize>) =
            (0..battles.models().len()).partition(|&m| found.ratings[m].is_finite());
        let rank = ranks(&rated.iter().map(|&m| found.bootstrap[m]).collect::<Vec<_>>());
        let mut rows: Vec<LeaderboardRow> = rated
            .iter()
            .zip(rank)
            .map(|(&m, rank)| LeaderboardRow {
                model: battles.models()[m].clone(),
                rank,
                rating: found.ratings[m],
                bootstrap: found.bootstrap[m],
                sandwich: found.sandwich.as_ref().map(|s| s[m]),
                ordering_error: found.ordering_error.as_ref().map(|e| e[m]),
                standing: options.standing(&graph, m),
                unbounded_replicates: found.unbounded[m],
                part: graph.part[m],
                battles: tally[m].iter().sum(),
                wins: tally[m][0],
                losses: tally[m][1],
                ties: tally[m][2],
                win_rate: matrix.average_interval(m),
            })
            .collect();
        rows.sort_by(|a, b| b.rating.total_cmp(&a.rating).then_with(|| a.model.cmp(&b.model)));
        Ok(Self {
            options: options.clone(),
            battles: counts.battles(),
            rows,
            unrated: unrated.into_iter().map(|m| battles.models()[m].clone()).collect(),
            parts: graph.parts,
            style: found.style,
            tie_parameter: found.tie_parameter,
            negative_log_likelihood: found.negative_log_likelihood,
            by_time,
        })
    }
}

impl LeaderboardOptions {
    /// The words of a report for method and ties.
    pub fn words(&self) -> &'static str {
        match (self.method, self.ties) {
            (Method::BradleyTerry, Ties::Davidson) => "Davidson's tie model by maximum likelihood",
            (Method::BradleyTerry, Ties::RaoKupper) => "Rao and Kupper's tie model by maximum likelihood",
            (method, _) => method.words(),
        }
    }

    fn elo(&self) -> Result<Elo, RatingsError> {
        self.no_anchor()?;
        Ok(Elo { scale: self.scale, k: self.k, ties: self.tie_rule()? })
    }

    fn tie_rule(&self) -> Result<TieRule, RatingsError> {
        match self.ties {
            Ties::Half => Ok(TieRule::Half),
            Ties::Skip => Ok(TieRule::Skip),
            Ties::RaoKupper | Ties::Davidson => Err(RatingsError::setting(
                "ties",
                self.ties.model_name().unwrap_or_default(),
                "half or skip with any method but bradley-terry",
            )),
        }
    }

    fn no_anchor(&self) -> Result<(), RatingsError> {
        match &self.anchor {
            Some(anchor) => {
                Err(RatingsError::setting("anchor", &anchor.model, "none but with bradley-terry and style"))
            }
            None => Ok(()),
        }
    }

    fn model(&self) -> BradleyTerry {
        BradleyTerry { scale: self.scale, ties: self.ties, ridge: self.ridge, anchor: self.anchor.clone() }
    }

    /// Only a maximum can lie at infinity.
    fn standing(&self, graph: &Ratings, model: usize) -> Standing {
        match self.method {
            Method::BradleyTerry | Method::Style => graph.standing[model],
            Method::Elo | Method::EloAveraged | Method::WinRate => Standing::Bounded,
        }
    }

    fn sequential(&self, battles: &Battles) -> Result<Found, RatingsError> {
        let elo = self.elo()?;
        let ratings = elo.sequential(battles)?.ratings;
        // One pass a replicate: its error holds what the order of the battles adds.
        let orderings = Orderings { orderings: 1, matches: None, seed: self.bootstrap.seed };
        let errors = self.bootstrap.elo(&elo, battles, &orderings)?;
        Ok(Found::with_errors(ratings, &errors.standard_error))
    }

    fn averaged(&self, battles: &Battles) -> Result<Found, RatingsError> {
        let elo = self.elo()?;
        let rated = elo.averaged(battles, &self.orderings)?;
        let few = Orderings { orderings: self.orderings.orderings.min(FEW_ORDERINGS), ..self.orderings };
        let errors = self.bootstrap.elo(&elo, battles, &few)?;
        let ordering_error = Some(rated.ordering_error());
        Ok(Found { ordering_error, ..Found::with_errors(rated.ratings, &errors.standard_error) })
    }

    fn fitted(&self, battles: &Battles, counts: &PairCounts) -> Result<Found, RatingsError> {
        let model = self.model();
        let (fitted, sandwich) = model.sandwich(counts, Z95)?;
        let replicates = self.bootstrap.bradley_terry(&model, battles)?;
        let votes: f64 = model.weights(counts.weights()).iter().flatten().sum();
        Ok(Found {
            bootstrap: replicates.intervals(),
            sandwich: Some(sandwich),
            unbounded: replicates.unbounded,
            tie_parameter: fitted.tie_parameter,
            negative_log_likelihood: Some(-fitted.log_likelihood / votes),
            ..Found::with_errors(fitted.ratings, &[])
        })
    }

    fn style(&self, battles: &Battles) -> Result<Found, RatingsError> {
        let (fitted, replicates) = self.bootstrap.style(&self.model(), battles, Z95)?;
        let worth = FEATURE_NAMES.into_iter().zip(fitted.coefficients);
        Ok(Found {
            bootstrap: replicates.intervals(),
            sandwich: Some(fitted.intervals),
            unbounded: replicates.unbounded,
            style: worth.map(|(name, points)| StyleWorth { feature: name.to_owned(), points }).collect(),
            ..Found::with_errors(fitted.ratings.ratings, &[])
        })
    }

    fn win_rates(&self, battles: &Battles) -> Result<Found, RatingsError> {
        self.no_anchor()?;
        let ties = self.tie_rule()?;
        let matrix = WinMatrix::new(battles, ties)?;
        let percent =
            |i: Interval| Interval { value: 100.0 * i.value, low: 100.0 * i.low, high: 100.0 * i.high };
        let unknown = Interval { value: f64::NAN, low: f64::NAN, high: f64::NAN };
        let own = (0..matrix.models.len()).map(|m| matrix.average_interval(m).map_or(unknown, percent));
        let own: Vec<Interval> = own.collect();
        let drawn = self.bootstrap.win_rates(battles, ties)?.intervals();
        Ok(Found {
            bootstrap: drawn.into_iter().map(percent).collect(),
            sandwich: Some(own.clone()),
            ..Found::with_errors(own.iter().map(|i| i.value).collect(), &[])
        })
    }
}

impl Found {
    /// Ratings with normal intervals.
    fn with_errors(ratings: Vec<f64>, errors: &[f64]) -> Self {
        let interval = |(&rating, &error): (&f64, &f64)| Interval::normal(rating, error, Z95);
        Self {
            bootstrap: ratings.iter().zip(errors).map(interval).collect(),
            unbounded: vec![0; ratings.len()],
            ratings,
            sandwich: None,
            ordering_error: None,
            style: Vec::new(),
            tie_parameter: None,
            negative_log_likelihood: None,
        }
    }
}

/// Wins, losses and ties of each model.
fn tally(battles: &Battles) -> Vec<[u64; 3]> {
    let mut tally = vec![[0; 3]; battles.models().len()];
    for row in battles.rows() {
        let (a, b) = match row.outcome {
            Outcome::ModelA => (0, 1),
            Outcome::ModelB => (1, 0),
            Outcome::Tie => (2, 2),
        };
        tally[row.a as usize][a] += row.votes;
        tally[row.b as usize][b] += row.votes;
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::battles::{NamedBattle, Style};

    fn battles() -> Battles {
        let mut battles = Battles::new();
        let style =
            Some([Style { length: 10.0, ..Style::default() }, Style { length: 12.0, ..Style::default() }]);
        for i in 0..120u32 {
            let (a, b) = [("x", "y"), ("y", "z"), ("z", "x")][i as usize % 3];
            let outcome = match (i / 3) % 10 {
                0 => Outcome::Tie,
                1..=6 if a != "z" => Outcome::ModelA,
                7 | 8 if a == "z" => Outcome::ModelA,
                _ => Outcome::ModelB,
            };
            battles.push(&NamedBattle { style, ..NamedBattle::new(a, b, outcome) }).unwrap();
        }
        battles
    }

    fn made(method: Method) -> Leaderboard {
        Leaderboard::new(&battles(), &LeaderboardOptions { method, ..LeaderboardOptions::default() }).unwrap()
    }

    #[test]
    fn every_method_ranks_with_intervals_around_its_ratings() {
        for method in [Method::Elo, Method::EloAveraged, Method::BradleyTerry, Method::Style, Method::WinRate]
        {
            let board = made(method);
            let names: Vec<&str> = board.rows.iter().map(|row| row.model.as_str()).collect();
            assert_eq!(names[0], "x", "{method:?}");
            for row in &board.rows {
                let b = row.bootstrap;
                assert!(b.low < b.value && b.value < b.high && b.value == row.rating, "{method:?} {row:?}");
                assert_eq!((row.battles, row.wins + row.losses + row.ties), (80, 80));
                assert_eq!(row.sandwich.is_none(), matches!(method, Method::Elo | Method::EloAveraged));
            }
            assert_eq!((board.rows[0].rank, board.parts, board.battles), (1, 1, 120));
            assert_eq!(board.style.len(), if method == Method::Style { 4 } else { 0 });
        }
    }

    #[test]
    fn the_ratings_are_those_of_the_method() {
        let battles = battles();
        let rating = |method| made(method).rows.iter().find(|row| row.model == "z").unwrap().rating;
        let z = battles.model("z").unwrap() as usize;
        assert_eq!(rating(Method::Elo), Elo::default().sequential(&battles).unwrap().ratings[z]);
        let fitted = BradleyTerry::default().fit(&PairCounts::new(&battles).unwrap()).unwrap();
        assert_eq!(rating(Method::BradleyTerry), fitted.ratings[z]);
        let average = WinMatrix::new(&battles, TieRule::Half).unwrap().average(z).unwrap();
        assert!((rating(Method::WinRate) - 100.0 * average).abs() < 1e-9);
    }

    #[test]
    fn elo_follows_the_timestamps_where_all_battles_have_one() {
        let mut battles = Battles::new();
        for (time, outcome) in [(2.0, Outcome::ModelA), (1.0, Outcome::ModelB)] {
            let named = NamedBattle::new("x", "y", outcome);
            battles.push(&NamedBattle { timestamp: Some(time), ..named }).unwrap();
        }
        let options = LeaderboardOptions { method: Method::Elo, k: 32.0, ..LeaderboardOptions::default() };
        let board = Leaderboard::new(&battles, &options).unwrap();
        assert!(board.by_time && board.rows[0].model == "x" && board.rows[0].rating > 1000.0);
    }

    #[test]
    fn settings_that_a_method_does_not_know_are_refused() {
        let anchor = Some(Anchor { model: "x".into(), rating: 1000.0 });
        for (options, expected) in [
            (LeaderboardOptions { anchor, ..LeaderboardOptions::default() }, "`anchor` is x"),
            (
                LeaderboardOptions { ties: Ties::RaoKupper, ..LeaderboardOptions::default() },
                "`ties` is rao-kupper",
            ),
        ] {
            for method in [Method::Elo, Method::EloAveraged, Method::WinRate] {
                let error = Leaderboard::new(&battles(), &LeaderboardOptions { method, ..options.clone() });
                let error = error.unwrap_err().to_string();
                assert!(error.contains(expected), "{error}");
            }
        }
    }

    #[test]
    fn a_model_with_nothing_but_ties_is_unrated_when_ties_are_left_out() {
        let mut battles = battles();
        battles.push(&NamedBattle::new("x", "w", Outcome::Tie)).unwrap();
        let options =
            LeaderboardOptions { method: Method::WinRate, ties: Ties::Skip, ..LeaderboardOptions::default() };
        let board = Leaderboard::new(&battles, &options).unwrap();
        assert_eq!((board.unrated, board.rows.len()), (vec!["w".to_owned()], 3));
    }

    #[test]
    fn an_undefeated_model_is_flagged() {
        let mut battles = battles();
        battles.push(&NamedBattle::new("w", "x", Outcome::ModelA)).unwrap();
        let board = Leaderboard::new(&battles, &LeaderboardOptions::default()).unwrap();
        let w = &board.rows[0];
        assert_eq!((w.model.as_str(), w.standing), ("w", Standing::NeverLost));
        assert!(w.rating.is_finite() && w.unbounded_replicates > 50);
    }
}
