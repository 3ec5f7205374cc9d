//! From outcomes to the evidence for each claim of the miniature in `papers/vicuna/claims.toml`.

use std::collections::BTreeMap;

use camelid_eval::exact_match::Marked;
use camelid_recipe::claims::{Evidence, Figure, NamedDifference};
use camelid_recipe::compare::Difference;
use camelid_recipe::matches_crossed;

use super::arms::{ALL_ROUNDS, ALL_TOKENS, ALPACA, Arm, CHOSEN, FIRST_ROUNDS, UNCLEANED};
use super::context::{Context, FACTOR};
use super::exam::Group;
use super::study::Tuned;

/// All that a run measured.
pub struct Measured<'a> {
    /// The untuned base's answers.
    pub untuned: &'a [Marked],
    /// Every arm and seed.
    pub tuned: &'a [Tuned],
    /// The stretched context.
    pub context: &'a Context,
}

/// Answers of two models to the same questions, one pair a seed.
type Pairs<'a> = Vec<(&'a [Marked], &'a [Marked])>;

impl Measured<'_> {
    /// Evidence by claim id.
    pub fn evidence(&self) -> BTreeMap<&'static str, Evidence> {
        let entries = [
            ("tuned", self.gain(&ALL_ROUNDS, Group::Chat).map(difference_alone)),
            ("conversations-over-exercises", self.between(&ALL_ROUNDS, &ALPACA, Group::Chat)),
            ("rounds-for-later-turns", self.between(&ALL_ROUNDS, &FIRST_ROUNDS, Group::Later)),
            ("first-rounds-suffice", self.equal(&ALL_ROUNDS, &FIRST_ROUNDS, Group::Chat)),
            ("chosen-chat", self.equal(&ALL_ROUNDS, &CHOSEN, Group::Chat)),
            ("rest-knowledge", self.between(&ALL_ROUNDS, &CHOSEN, Group::Knowledge)),
            ("assistant-loss", self.between(&ALL_ROUNDS, &ALL_TOKENS, Group::Chat)),
            ("cleaning", self.between(&ALL_ROUNDS, &UNCLEANED, Group::Chat)),
            ("context-ends", self.context_ends()),
            ("context-untuned", self.context_tuned_over(&self.context.short.condensed, FACTOR)),
            ("context-stretched", self.context_tuned_over(&self.context.short.plain, FACTOR)),
            ("context-inside", self.context_tuned_over(&self.context.short.plain, 1)),
        ];
        entries.into_iter().filter_map(|(id, evidence)| Some((id, evidence?))).collect()
    }

    /// Every seed of an arm.
    pub fn seeds_of(&self, arm: &Arm) -> impl Iterator<Item = &Tuned> {
        self.tuned.iter().filter(move |tuned| tuned.arm == arm.name)
    }

    /// Percent right of `left` minus that of `right`, over the seeds both were run with.
    fn between(&self, left: &Arm, right: &Arm, group: Group) -> Option<Evidence> {
        let with_other = |l: &'_ Tuned| self.seeds_of(right).find(|r| r.seed == l.seed);
        let pairs: Pairs =
            self.seeds_of(left).filter_map(|l| Some((&l.answers[..], &with_other(l)?.answers[..]))).collect();
        let figure = |answers: Vec<&[Marked]>, arm: &Arm| {
            let name = format!("{}, {}", arm.name, group.name());
            Some(Figure::of(&name, percent(&answers, |a| group.has(a))?, "%"))
        };
        let (of_left, of_right) = pairs.iter().copied().unzip();
        Some(Evidence {
            figures: vec![figure(of_left, left)?, figure(of_right, right)?],
            ..difference_alone(NamedDifference {
                name: format!("{}, {} − {}", group.name(), left.name, right.name),
                difference: points(&pairs, |a| group.has(a))?,
            })
        })
    }

    /// The same for arms that should be equal: they must both have gained something.
    fn equal(&self, left: &Arm, right: &Arm, group: Group) -> Option<Evidence> {
        let gains = vec![self.gain(left, group)?, self.gain(right, group)?];
        Some(Evidence { gains, ..self.between(left, right, group)? })
    }

    /// What an arm gained over the untuned base.
    fn gain(&self, arm: &Arm, group: Group) -> Option<NamedDifference> {
        let pairs: Pairs = self.seeds_of(arm).map(|t| (&t.answers[..], self.untuned)).collect();
        let name = format!("{}, {} − untuned", group.name(), arm.name);
        Some(NamedDifference { name, difference: points(&pairs, |a| group.has(a))? })
    }

    /// What the short model finds within its length minus what it finds at four times that: the same
    /// questions at both.
    fn context_ends(&self) -> Option<Evidence> {
        let (known, plain) = (self.context.known, &self.context.short.plain);
        let (near, far) = (at_length(plain, known), at_length(plain, FACTOR * known));
        let difference = points(&[(&near, &far)], |_| true)?;
        let name = format!("within {known} − at {} tokens", FACTOR * known);
        Some(difference_alone(NamedDifference { name, difference }))
    }

    /// What the stretched and tuned models find at `times` the known length minus what a model found
    /// `before`.
    fn context_tuned_over(&self, before: &[Marked], times: usize) -> Option<Evidence> {
        let length = times * self.context.known;
        let pairs: Pairs = self.context.long.iter().map(|long| (&long.answers[..], before)).collect();
        let is_at = |answer: &Marked| answer.category == length.to_string();
        let name = format!("stretched and tuned − before, at {length} tokens");
        // At the known length the two should be equal: both found something where before a model that
        // had never been tuned finds nothing.
        let found = |(l, _): &(&[Marked], &[Marked])| l.iter().filter(|a| is_at(a)).any(|a| a.correct);
        let nothing = "neither model finds any key there, so their equality says nothing";
        let undecidable = (times == 1 && !pairs.iter().any(found)).then(|| nothing.to_owned());
        let difference = points(&pairs, is_at)?;
        Some(Evidence { undecidable, ..difference_alone(NamedDifference { name, difference }) })
    }
}

/// Percentage of right answers among those that `counts`, over all models; `None` where there are none.
pub fn percent(models: &[&[Marked]], counts: impl Fn(&Marked) -> bool) -> Option<f64> {
    let marks: Vec<bool> =
        models.iter().flat_map(|m| m.iter()).filter(|a| counts(a)).map(|a| a.correct).collect();
    let right = marks.iter().filter(|right| **right).count();
    (!marks.is_empty()).then(|| 100.0 * right as f64 / marks.len() as f64)
}

/// The difference of two models, in percentage points, on the questions that `counts`.
fn points(pairs: &[(&[Marked], &[Marked])], counts: impl Fn(&Marked) -> bool) -> Option<Difference> {
    let those = |answers: &[Marked]| answers.iter().filter(|a| counts(a)).cloned().collect::<Vec<_>>();
    let chosen: Vec<_> = pairs.iter().map(|(l, r)| (those(l), those(r))).collect();
    let pairs: Pairs = chosen.iter().map(|(l, r)| (&l[..], &r[..])).collect();
    let share = matches_crossed(&pairs)?;
    Some(Difference { mean: 100.0 * share.mean, standard_error: 100.0 * share.standard_error, ..share })
}

fn at_length(answers: &[Marked], tokens: usize) -> Vec<Marked> {
    answers.iter().filter(|answer| answer.category == tokens.to_string()).cloned().collect()
}

fn difference_alone(difference: NamedDifference) -> Evidence {
    Evidence { differences: vec![difference], ..Evidence::default() }
}

#[cfg(test)]
mod tests {
    use camelid_recipe::claims::ClaimsFile;

    use super::super::context::{Long, Short};
    use super::*;

    /// Four hundred questions of each category, of which so many in a hundred are answered rightly.
    fn answers(by_category: &[(&str, usize)]) -> Vec<Marked> {
        let category = |(category, percent): &(&str, usize)| {
            let (category, right) = ((*category).to_owned(), percent * 4);
            (0..400).map(move |i| Marked {
                question: format!("{category}-{i}"),
                category: category.clone(),
                text: String::new(),
                correct: i < right,
            })
        };
        by_category.iter().flat_map(|of| category(of).collect::<Vec<_>>()).collect()
    }

    fn seeds(arm: &Arm, first: usize, later: usize, told: usize) -> Vec<Tuned> {
        let tuned = |seed| Tuned {
            arm: arm.name.to_owned(),
            seed,
            tokens: 1,
            test_loss: 1.0,
            answers: answers(&[("list", first), ("list, later", later), ("told", told)]),
            seconds: 1.0,
        };
        (0..3).map(tuned).collect()
    }

    fn context(plain: usize, condensed: usize, tuned: usize) -> Context {
        let found = |far: usize| answers(&[("256", 90), ("1024", far)]);
        let long = |seed| Long { seed, answers: found(tuned) };
        Context {
            known: 256,
            short: Short { plain: found(plain), condensed: found(condensed) },
            long: (0..3).map(long).collect(),
            reused: 0,
        }
    }

    fn verdicts(tuned: &[Tuned], context: &Context) -> BTreeMap<String, &'static str> {
        let path = crate::workspace::workspace().join("papers/vicuna/claims.toml");
        let untuned = answers(&[("list", 0), ("list, later", 0), ("told", 0)]);
        let evidence = Measured { untuned: &untuned, tuned, context }.evidence();
        let file = ClaimsFile::read(&path).unwrap();
        let of_nano = file.claims.iter().filter(|claim| claim.scales.iter().any(|scale| scale == "nano"));
        of_nano
            .map(|claim| {
                let decision = claim.decide(evidence.get(claim.id.as_str()), "nano", false);
                (claim.id.clone(), decision.verdict.words())
            })
            .collect()
    }

    #[test]
    fn each_claim_asks_for_the_papers_sign() {
        let tuned: Vec<Tuned> = [
            seeds(&ALL_ROUNDS, 90, 80, 90),
            seeds(&FIRST_ROUNDS, 90, 20, 90),
            seeds(&CHOSEN, 90, 80, 10),
            seeds(&ALPACA, 80, 10, 0),
            seeds(&ALL_TOKENS, 60, 50, 90),
            seeds(&UNCLEANED, 30, 20, 90),
        ]
        .concat();
        let found = verdicts(&tuned, &context(0, 10, 85));
        let refuted = ["first-rounds-suffice"];
        for (id, verdict) in &found {
            let expected = if refuted.contains(&id.as_str()) { "refuted here" } else { "held in direction" };
            assert_eq!(*verdict, expected, "{id}");
        }
        assert_eq!(found.len(), 12);
    }

    #[test]
    fn the_opposite_is_refuted_and_nothing_found_decides_no_equality() {
        let tuned: Vec<Tuned> = [
            seeds(&ALL_ROUNDS, 20, 20, 20),
            seeds(&FIRST_ROUNDS, 20, 60, 90),
            seeds(&CHOSEN, 90, 80, 90),
            seeds(&ALPACA, 80, 60, 0),
        ]
        .concat();
        let found = verdicts(&tuned, &context(95, 95, 20));
        for id in ["conversations-over-exercises", "rounds-for-later-turns", "chosen-chat", "rest-knowledge"]
        {
            assert_eq!(found[id], "refuted here", "{id}");
        }
        assert_eq!(found["context-stretched"], "refuted here");
        assert_eq!(found["cleaning"], "not testable at this scale");
    }
}
