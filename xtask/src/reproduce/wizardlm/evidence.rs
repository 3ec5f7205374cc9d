//! From what was measured to the evidence for each claim of `papers/wizardlm/claims.toml`.

use std::collections::BTreeMap;

use camelid_data::nano::Slip;
use camelid_evolve::{EvolveReport, Rule};
use camelid_recipe::claims::{Evidence, ExactFigure, Figure, NamedDifference};
use camelid_recipe::compare::{Difference, contrast, crossed};
use camelid_recipe::rounded;

use super::arms::{
    Arm, BOTH, BREADTH, DEPTH, DOWN, ELIMINATED, LAST_TOKENS, MIX, RAW, ROUNDS, SEEDS, SEEDS_TOKENS, UP,
};
use super::evolutions::{self, Item, Lineages};
use super::exam::{DRAWS, Mark};
use super::rules::{Found, found};
use super::study::Tuned;

/// Why the world's own pass rate decides nothing.
const OWN_EVOLVER: &str = "it is the pass rate of the world's own evolver, which fails where the world has nothing \
                           to add; only a real evolver bears on the claim";

/// All that was measured.
pub struct Measured<'a> {
    /// The exams and the evolutions.
    pub lineages: &'a Lineages,
    /// The untuned base on the exam of all rounds.
    pub untuned: &'a [Mark],
    /// Every arm and seed.
    pub tuned: &'a [Tuned],
}

/// How an answer is scored, in percent.
#[derive(Clone, Copy)]
pub enum Score {
    /// The greedy answer is right.
    Greedy,
    /// One of so many drawn answers is.
    Drawn(i32),
}

impl Score {
    fn of(self, mark: &Mark) -> f64 {
        100.0
            * match self {
                Self::Greedy => f64::from(u8::from(mark.right)),
                Self::Drawn(draws) => mark.pass_at(draws),
            }
    }
}

impl Measured<'_> {
    /// Evidence by claim id; a claim without an entry was not measured.
    pub fn evidence(&self) -> BTreeMap<&'static str, Evidence> {
        let entries = [
            ("evolved-over-seeds", self.evolved_over_seeds()),
            ("more-rounds", self.more_rounds()),
            ("rounds-peak", self.rounds_peak()),
            ("difficulty-rises", self.difficulty_rises()),
            ("increments-shrink", self.increments_shrink()),
            ("mixture-over-last", self.better(&[(&MIX, &LAST_TOKENS)], Score::Greedy)),
            ("eliminator-helps", self.better(&[(&ELIMINATED, &RAW)], Score::Greedy)),
            ("rules-find-what-they-name", self.rules()),
            ("depth-and-breadth", self.depth_and_breadth()),
            ("pass-rate", self.pass_rate()),
            ("down-and-up", self.better(&[(&BOTH, &DOWN), (&BOTH, &UP)], Score::Greedy)),
            ("diversity-kept", self.better(&[(&MIX, &SEEDS), (&MIX, &SEEDS_TOKENS)], Score::Drawn(DRAWS))),
            ("tuning-works", self.tuning()),
        ];
        entries.into_iter().filter_map(|(id, evidence)| Some((id, evidence?))).collect()
    }

    fn better(&self, pairs: &[(&Arm, &Arm)], score: Score) -> Option<Evidence> {
        let difference = |(left, right): &(&Arm, &Arm)| {
            Some(NamedDifference::of(left.name, right.name, self.between(left, right, score, |_| true)?))
        };
        let mut arms: Vec<&Arm> = pairs.iter().flat_map(|(left, right)| [*left, *right]).collect();
        arms.dedup_by_key(|arm| arm.name);
        let mut seen = std::collections::BTreeSet::new();
        arms.retain(|arm| seen.insert(arm.name));
        let figure = |arm: &&Arm| Some(Figure::of(arm.name, self.mean(arm, score, |_| true)?.mean, "%"));
        Some(Evidence {
            figures: arms.iter().map(figure).collect::<Option<_>>()?,
            differences: pairs.iter().map(difference).collect::<Option<_>>()?,
            ..Evidence::default()
        })
    }

    fn evolved_over_seeds(&self) -> Option<Evidence> {
        let by_rounds = |name: &str, right: &Arm, rounds: std::ops::RangeInclusive<usize>| {
            let difference = self.between(&MIX, right, Score::Greedy, |item| rounds.contains(&item.round))?;
            Some(format!("{name}, mix − {}: {}", right.name, in_words(&difference)))
        };
        let note = [
            by_rounds("On first instructions alone", &SEEDS, 0..=0)?,
            by_rounds("on first instructions alone", &SEEDS_TOKENS, 0..=0)?,
            by_rounds("on evolved ones", &SEEDS, 1..=evolutions::ROUNDS)?,
            by_rounds("on evolved ones", &SEEDS_TOKENS, 1..=evolutions::ROUNDS)?,
        ];
        let pairs = [(&MIX, &SEEDS), (&MIX, &SEEDS_TOKENS)];
        Some(Evidence { note: format!("{} points.", note.join("; ")), ..self.better(&pairs, Score::Greedy)? })
    }

    fn more_rounds(&self) -> Option<Evidence> {
        let [one, two, three, four] = &ROUNDS;
        // What never falls has not fallen from the first round to the last either.
        let pairs = [(one, &SEEDS), (two, one), (three, two), (four, three), (four, one)];
        // The slope of a straight line through the five scores.
        let weighted = |sign: f64, of: &Tuned, arm: usize| {
            let weight = f64::max(0.0, sign * (arm as f64 - 2.0)) / 10.0;
            self.marks(of, Score::Greedy, |_| true).into_iter().map(|mark| weight * mark).collect::<Vec<_>>()
        };
        let arms = [&SEEDS, one, two, three, four];
        let side = |sign: f64, seed: u64| {
            let mut sum = vec![0.0; self.lineages.exam.len()];
            for (at, arm) in arms.iter().enumerate() {
                let tuned = self.of(arm).find(|tuned| tuned.seed == seed)?;
                sum.iter_mut().zip(weighted(sign, tuned, at)).for_each(|(sum, mark)| *sum += mark);
            }
            Some(sum)
        };
        let pairs_of_sides: Vec<_> = self
            .of(&SEEDS)
            .filter_map(|tuned| Some((side(1.0, tuned.seed)?, side(-1.0, tuned.seed)?)))
            .collect();
        let slope = over(pairs_of_sides)?;
        let note = format!("A line through the five scores rises by {} points a round.", in_words(&slope));
        Some(Evidence { note, ..self.better(&pairs, Score::Greedy)? })
    }

    fn rounds_peak(&self) -> Option<Evidence> {
        let [first, _, third, last] = &ROUNDS;
        let late = self.between(third, last, Score::Greedy, |_| true)?;
        let note = format!("Round 3 − round 4: {} points.", in_words(&late));
        Some(Evidence { note, ..self.better(&[(first, last)], Score::Greedy)? })
    }

    /// A weighted sum of a student's errors by round.
    fn errors(&self, student: &Arm, name: &str, weights: &[(usize, f64)]) -> Option<NamedDifference> {
        let of_round = |&(round, weight): &(usize, f64)| {
            let errors = |tuned: &Tuned| {
                let marks = self.marks(tuned, Score::Greedy, |item| item.round == round);
                marks.into_iter().map(|mark| 100.0 - mark).collect::<Vec<_>>()
            };
            (weight, self.of(student).map(errors).collect::<Vec<_>>())
        };
        let difference = contrast(&weights.iter().map(of_round).collect::<Vec<_>>())?;
        Some(NamedDifference { name: name.to_owned(), difference })
    }

    fn difficulty_rises(&self) -> Option<Evidence> {
        let step = |round: usize| {
            let name = format!("error in round {} − {round}", round + 1);
            self.errors(&MIX, &name, &[(round + 1, 1.0), (round, -1.0)])
        };
        let rounds = 0..=evolutions::ROUNDS;
        let error =
            |student: &Arm, round: usize| Some(self.errors(student, "", &[(round, 1.0)])?.difference.mean);
        let figure =
            |round: usize| Some(Figure::of(&format!("error in round {round}"), error(&MIX, round)?, "%"));
        let of_seeds: Vec<_> = rounds
            .clone()
            .map(|round| Some(format!("{:.1}", error(&SEEDS, round)?)))
            .collect::<Option<_>>()?;
        let levels: Vec<_> = rounds.clone().map(|round| format!("{:.2}", self.level(round))).collect();
        Some(Evidence {
            figures: rounds.map(figure).collect::<Option<_>>()?,
            differences: (0..evolutions::ROUNDS).map(step).collect::<Option<_>>()?,
            note: format!(
                "Mean level of the instructions by the world's own count: {}. Errors of the model tuned on first \
                 instructions alone: {} %; it has next to none to add in the last rounds.",
                levels.join(", "),
                of_seeds.join(", ")
            ),
            ..Evidence::default()
        })
    }

    fn increments_shrink(&self) -> Option<Evidence> {
        let weights = [(1, 1.0), (0, -1.0), (4, -1.0), (3, 1.0)];
        let levels: Vec<_> = (0..evolutions::ROUNDS)
            .map(|round| format!("{:.2}", self.level(round + 1) - self.level(round)))
            .collect();
        let seeds = self.errors(&SEEDS, "", &weights)?.difference;
        Some(Evidence {
            differences: vec![self.errors(&MIX, "first increment of the error − last", &weights)?],
            note: format!(
                "Increments of the level by the world's own count: {}. By the errors of the model tuned on first \
                 instructions alone: {} points, which come of its having no room above.",
                levels.join(", "),
                in_words(&seeds)
            ),
            ..Evidence::default()
        })
    }

    /// Mean level of the exam's instructions of a round.
    pub fn level(&self, round: usize) -> f64 {
        let levels: Vec<f64> = self
            .lineages
            .exam
            .iter()
            .filter(|item| item.round == round)
            .map(|item| item.level as f64)
            .collect();
        levels.iter().sum::<f64>() / levels.len() as f64
    }

    fn depth_and_breadth(&self) -> Option<Evidence> {
        let depth = self.between(&DEPTH, &BREADTH, Score::Greedy, |_| true)?;
        let easy = self.between(&DEPTH, &BREADTH, Score::Greedy, |item| item.round == 0)?;
        Some(Evidence {
            note: format!(
                "Depth − breadth: {} points, on first instructions alone {}.",
                in_words(&depth),
                in_words(&easy)
            ),
            ..self.better(&[(&MIX, &DEPTH), (&MIX, &BREADTH)], Score::Greedy)?
        })
    }

    /// At 20 % of rows spoilt: of each fault that a rule of the paper names, how much it found, and how much of what
    /// it ended was at fault.
    fn rules(&self) -> Option<Evidence> {
        let found = found(self.lineages.of("faulty-20"), 0.2);
        let exact = |of: &Found| {
            let figure = |name: &str, measured| ExactFigure {
                name: format!("{}, {name}", of.slip.as_str()),
                measured,
                expected: 1.0,
            };
            Some([figure("recall", of.recall_named()?), figure("precision", of.precision()?)])
        };
        let named: Vec<&Found> = found.iter().filter(|of| of.slip != Slip::Wrong).collect();
        let exact = named.into_iter().map(exact).collect::<Option<Vec<_>>>()?.concat();
        let missed: usize = found.iter().map(|of| of.unnamed.made - of.unnamed.ended).sum();
        let unnamed: usize = found.iter().map(|of| of.unnamed.made).sum();
        let wrong = found.iter().find(|of| of.slip == Slip::Wrong)?;
        Some(Evidence {
            exact,
            note: format!(
                "What the rules do not name they do not find: {missed} of {unnamed} faults worded otherwise and {} of \
                 {} wrong answers live on.",
                wrong.named.made - wrong.named.ended,
                wrong.named.made
            ),
            ..Evidence::default()
        })
    }

    fn pass_rate(&self) -> Option<Evidence> {
        let report = EvolveReport::new(self.lineages.of("evolved"));
        let first = report.rounds.get(&1)?;
        let ended = |rules: &[Rule]| rules.iter().filter_map(|rule| first.ended.get(rule)).sum::<usize>();
        let passed = 1.0 - ended(&[Rule::NoGain, Rule::Unchanged]) as f64 / first.made as f64;
        let figure = |(round, passed): (&usize, &camelid_evolve::Passed)| {
            let share = 100.0 * passed.lives as f64 / passed.made as f64;
            Figure::of(&format!("of round {round}, alive"), share, "%")
        };
        Some(Evidence {
            figures: report.rounds.iter().filter(|(round, _)| **round > 0).map(figure).collect(),
            exact: vec![ExactFigure {
                name: "share that passes rule 1 in round 1".into(),
                measured: passed,
                expected: 0.5,
            }],
            undecidable: Some(OWN_EVOLVER.to_owned()),
            ..Evidence::default()
        })
    }

    fn tuning(&self) -> Option<Evidence> {
        let before: Vec<f64> = self.untuned.iter().map(|mark| Score::Greedy.of(mark)).collect();
        let pair = |tuned: &Tuned| (self.marks(tuned, Score::Greedy, |_| true), before.clone());
        let difference = over(self.of(&MIX).map(pair).collect())?;
        Some(Evidence {
            differences: vec![NamedDifference::of(MIX.name, "untuned", difference)],
            ..Evidence::default()
        })
    }

    /// Every seed that an arm was run with.
    pub fn of(&self, arm: &Arm) -> impl Iterator<Item = &Tuned> {
        self.tuned.iter().filter(move |tuned| tuned.arm == arm.name)
    }

    /// What an arm reaches on the items that `keep` takes, its error over items and seeds.
    pub fn mean(&self, arm: &Arm, score: Score, keep: impl Fn(&Item) -> bool + Copy) -> Option<Difference> {
        let with_nothing = |tuned: &Tuned| {
            let marks = self.marks(tuned, score, keep);
            (marks.clone(), vec![0.0; marks.len()])
        };
        over(self.of(arm).map(with_nothing).collect())
    }

    /// What `left` reaches more than `right`, over the seeds that both were run with.
    fn between(
        &self,
        left: &Arm,
        right: &Arm,
        score: Score,
        keep: impl Fn(&Item) -> bool + Copy,
    ) -> Option<Difference> {
        let pair = |l: &Tuned| {
            let r = self.of(right).find(|r| r.seed == l.seed)?;
            Some((self.marks(l, score, keep), self.marks(r, score, keep)))
        };
        over(self.of(left).filter_map(pair).collect())
    }

    fn marks(&self, tuned: &Tuned, score: Score, keep: impl Fn(&Item) -> bool) -> Vec<f64> {
        // An exam is known by its length; sums have one of their own.
        let items = [&self.lineages.exam, &self.lineages.arithmetic]
            .into_iter()
            .find(|items| items.len() == tuned.marks.len())
            .map_or(&[][..], Vec::as_slice);
        items
            .iter()
            .zip(&tuned.marks)
            .filter(|(item, _)| keep(item))
            .map(|(_, mark)| score.of(mark))
            .collect()
    }
}

/// The mean difference over pairs of scores, one pair a seed.
fn over(pairs: Vec<(Vec<f64>, Vec<f64>)>) -> Option<Difference> {
    let (left, right): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    crossed(&left, &right, &vec![1.0; left.first()?.len()])
}

fn in_words(difference: &Difference) -> String {
    let (low, high) = difference.interval();
    let figure = |value| rounded(value, difference.standard_error);
    format!("{} [{}, {}]", figure(difference.mean), figure(low), figure(high))
}

#[cfg(test)]
mod tests {
    use camelid_recipe::claims::ClaimsFile;

    use super::*;

    /// Forty instructions of each round, and forty sums of each level.
    fn lineages() -> Lineages {
        let items = |at: usize, of_sums: bool| {
            (0..40).map(move |i| Item {
                round: at,
                level: at + usize::from(of_sums),
                instruction: format!("{at} {i}"),
                answer: String::new(),
            })
        };
        let exam = (0..=evolutions::ROUNDS).flat_map(|round| items(round, false)).collect();
        // One less, since an exam is known by its length.
        let arithmetic = (0..5).flat_map(|level| items(level, true)).skip(1).collect();
        Lineages { exam, arithmetic, ..Lineages::default() }
    }

    /// Three seeds of an arm with so many percent right in each round or level.
    fn tuned(arm: &Arm, right: [usize; 5], lineages: &Lineages) -> Vec<Tuned> {
        let marks = |shift: usize| -> Vec<Mark> {
            let of = |right: usize| {
                (0..40).map(move |i| {
                    let right = (i * 7 + shift) % 40 < right * 40 / 100;
                    Mark { right, probability: if right { 0.9 } else { 0.01 } }
                })
            };
            let all: Vec<Mark> = right.iter().flat_map(|right| of(*right)).collect();
            let sums = arm.exam == camelid_data::nano::Domain::Arithmetic;
            all[all.len() - if sums { lineages.arithmetic.len() } else { lineages.exam.len() }..].to_vec()
        };
        let one = |seed: u64| Tuned {
            arm: arm.name.to_owned(),
            seed,
            rows: 1,
            tokens: 1,
            marks: marks(seed as usize),
            samples: Vec::new(),
            step_losses: Vec::new(),
            seconds: 1.0,
        };
        (0..3).map(one).collect()
    }

    fn verdicts(arms: &[(&Arm, [usize; 5])]) -> BTreeMap<String, &'static str> {
        let lineages = lineages();
        let tuned: Vec<Tuned> = arms.iter().flat_map(|(arm, right)| tuned(arm, *right, &lineages)).collect();
        let untuned = vec![Mark { right: false, probability: 0.0 }; lineages.exam.len()];
        let evidence = Measured { lineages: &lineages, untuned: &untuned, tuned: &tuned }.evidence();
        let path = crate::workspace::workspace().join("papers/wizardlm/claims.toml");
        let file = ClaimsFile::read(&path).unwrap();
        let of_nano = file.claims.iter().filter(|claim| claim.scales.iter().any(|scale| scale == "nano"));
        of_nano
            .map(|claim| {
                (
                    claim.id.clone(),
                    claim.decide(evidence.get(claim.id.as_str()), "nano", false).verdict.words(),
                )
            })
            .collect()
    }

    #[test]
    fn each_claim_asks_for_the_papers_sign() {
        let found = verdicts(&[
            (&MIX, [80, 80, 70, 60, 60]),
            (&SEEDS, [80, 20, 10, 5, 0]),
            (&SEEDS_TOKENS, [80, 30, 10, 5, 5]),
            (&ROUNDS[0], [60, 60, 20, 20, 10]),
            (&ROUNDS[1], [60, 60, 40, 40, 30]),
            (&ROUNDS[2], [60, 60, 60, 60, 50]),
            (&ROUNDS[3], [80, 80, 80, 80, 70]),
            (&LAST_TOKENS, [20, 40, 40, 40, 40]),
            (&DEPTH, [20, 60, 50, 40, 40]),
            (&BREADTH, [80, 30, 10, 5, 5]),
            (&ELIMINATED, [80, 70, 60, 50, 50]),
            (&RAW, [50, 40, 30, 20, 20]),
            (&BOTH, [90, 80, 70, 60, 50]),
            (&DOWN, [90, 60, 30, 10, 0]),
            (&UP, [0, 50, 60, 50, 40]),
        ]);
        for id in [
            "evolved-over-seeds",
            "more-rounds",
            "mixture-over-last",
            "eliminator-helps",
            "depth-and-breadth",
        ] {
            assert_eq!(found[id], "held in direction", "{id}");
        }
        for id in ["down-and-up", "diversity-kept", "tuning-works"] {
            assert_eq!(found[id], "held in direction", "{id}");
        }
        assert_eq!(found["rounds-peak"], "refuted here");
        // Two rounds of the mixture are alike.
        assert_eq!(found["difficulty-rises"], "not testable at this scale");
        // No evolution was run.
        assert_eq!(found["rules-find-what-they-name"], "not testable at this scale");
        assert_eq!(found.len(), 13);
    }

    #[test]
    fn the_opposite_is_refuted_and_a_gain_in_one_control_alone_is_not_held() {
        let found = verdicts(&[
            (&MIX, [60, 50, 30, 30, 30]),
            (&SEEDS, [60, 20, 10, 5, 0]),
            (&SEEDS_TOKENS, [60, 50, 30, 30, 30]),
            (&ROUNDS[0], [60, 60, 60, 60, 60]),
            (&ROUNDS[2], [40, 40, 40, 40, 40]),
            (&ROUNDS[3], [20, 20, 20, 20, 20]),
            (&ELIMINATED, [20, 20, 20, 20, 20]),
            (&RAW, [60, 60, 60, 60, 60]),
        ]);
        assert_eq!(found["evolved-over-seeds"], "not testable at this scale");
        assert_eq!(found["eliminator-helps"], "refuted here");
        assert_eq!(found["rounds-peak"], "held in direction");
        assert_eq!(found["mixture-over-last"], "not testable at this scale");
    }
}
