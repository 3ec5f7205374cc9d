//! From outcomes to the evidence for each claim of `papers/qlora/claims.toml`.

use std::collections::BTreeMap;

use camelid_eval::exact_match::Marked;
use camelid_recipe::claims::{Evidence, ExactFigure, Figure, NamedDifference};
use camelid_recipe::compare::{Difference, crossed, paired};
use camelid_recipe::rounded;
use camelid_train::ExampleLoss;

use super::arms::{self, Arm};
use super::measure::{ArmOutcome, FormatOutcome, token_mean};

/// All that a run measured.
pub struct Measured<'a> {
    /// The untuned base in each storage format.
    pub formats: &'a [FormatOutcome],
    /// Every arm and seed that was run.
    pub arms: &'a [ArmOutcome],
    /// The largest difference of any adapter parameter, paged against resident.
    pub paged_difference: Option<f64>,
    /// Whether the base's weights come from a file that was itself quantised.
    pub requantised: bool,
}

/// Why formats are not ranked on weights that were rounded before.
const REQUANTISED: &str = "the base comes from a 4-bit file, so its weights lie on another format's grid and rank nothing; give the \
     original with --base";
/// Why one seed decides no equality of tuned arms.
const ONE_SEED: &str = "one seed, so the spread between seeds is unknown; --seeds 4 measures it";

impl Measured<'_> {
    /// Evidence by claim id; a claim without an entry was not measured.
    pub fn evidence(&self) -> BTreeMap<&'static str, Evidence> {
        let entries = [
            ("dq-bits", self.constant_bits()),
            ("nf4-error", self.format_errors(&[("fp4-dq", "nf4-dq"), ("int4-dq", "nf4-dq")])),
            ("fp4-int4-error", self.format_errors(&[("int4-dq", "fp4-dq")])),
            ("format-perplexity", self.format_losses()),
            ("dq-free", self.format_difference("nf4-dq", "nf4")),
            ("qlora-lora", self.equal_losses(arms::QLORA, arms::LORA)),
            ("qlora-full", self.equal_losses(arms::QLORA, arms::FULL)),
            ("fp4-behind", self.loss_difference(arms::FP4, arms::QLORA)),
            ("all-layers", self.loss_difference(arms::ATTENTION, arms::QLORA)),
            ("paged-same", self.paged()),
            ("tuning-works", self.tuning()),
        ];
        entries.into_iter().filter_map(|(id, evidence)| Some((id, evidence?))).collect()
    }

    fn constant_bits(&self) -> Option<Evidence> {
        let figure = |name: &str, label: &str, expected| {
            let format = self.format(name)?;
            Some(ExactFigure { name: label.to_owned(), measured: format.constant_bits, expected })
        };
        Some(Evidence {
            exact: vec![
                figure("nf4", "plain, bit/parameter", 0.5)?,
                figure("nf4-dq", "double-quantised, bit/parameter", 0.127)?,
            ],
            note: "Counted from the packed tensors of the model that was tuned.".to_owned(),
            ..Evidence::default()
        })
    }

    fn format_errors(&self, pairs: &[(&str, &str)]) -> Option<Evidence> {
        let pair = |(worse, better): &(&str, &str)| {
            let (w, b) = (self.format(worse)?, self.format(better)?);
            named(worse, better, paired(&w.layer_errors, &b.layer_errors)?)
        };
        let mean = |f: &FormatOutcome| f.layer_errors.iter().sum::<f64>() / f.layer_errors.len() as f64;
        let figures = ["nf4-dq", "fp4-dq", "int4-dq"]
            .iter()
            .map(|name| Some(figure(name, mean(self.format(name)?), "of the weights' RMS")))
            .collect::<Option<Vec<_>>>()?;
        Some(Evidence {
            figures,
            differences: pairs.iter().map(pair).collect::<Option<_>>()?,
            undecidable: self.requantised.then(|| REQUANTISED.to_owned()),
            note: "n is the number of layers. INT4 is symmetric absmax with levels −7…7 over 7.".to_owned(),
            ..Evidence::default()
        })
    }

    fn format_losses(&self) -> Option<Evidence> {
        let pair = |worse: &str, better: &str| {
            let (w, b) = (self.format(worse)?, self.format(better)?);
            named(worse, better, loss_pair(&w.text_losses, &b.text_losses)?)
        };
        let figures = ["f32", "nf4-dq", "fp4-dq", "int4-dq"]
            .iter()
            .map(|name| {
                Some(figure(
                    &format!("{name}, perplexity"),
                    token_mean(&self.format(name)?.text_losses).exp(),
                    "",
                ))
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Evidence {
            figures,
            differences: vec![pair("int4-dq", "fp4-dq")?, pair("fp4-dq", "nf4-dq")?],
            undecidable: self.requantised.then(|| REQUANTISED.to_owned()),
            note: "The paper averages over 125M to 13B models and web text; here one small model on held-out text \
                   of the kind it was trained on (nano) or on held-out conversations (smol). Differences in \
                   nats per token."
                .to_owned(),
            ..Evidence::default()
        })
    }

    fn format_difference(&self, left: &str, right: &str) -> Option<Evidence> {
        let difference = loss_pair(&self.format(left)?.text_losses, &self.format(right)?.text_losses)?;
        Some(Evidence { differences: vec![named(left, right, difference)?], ..Evidence::default() })
    }

    /// Test loss of `left` minus that of `right`, over the seeds both were run with.
    fn loss_difference(&self, left: Arm, right: Arm) -> Option<Evidence> {
        let pairs = self.by_seed(left, right);
        let losses: Vec<_> = pairs.iter().map(|(l, r)| (&l.losses[..], &r.losses[..])).collect();
        Some(Evidence {
            figures: vec![self.loss_figure(left)?, self.loss_figure(right)?],
            differences: vec![named(left.name, right.name, losses_crossed(&losses)?)?],
            ..Evidence::default()
        })
    }

    /// As [`Self::loss_difference`], for arms that should be equal; where a scale has questions
    /// with one right answer, their exact match stands beside, which decides nothing.
    fn equal_losses(&self, left: Arm, right: Arm) -> Option<Evidence> {
        let mut evidence = self.loss_difference(left, right)?;
        let gain = |arm: Arm| {
            let base = self.format(&arm.base.name())?;
            let pairs: Vec<_> = self.seeds_of(arm).map(|o| (&base.losses[..], &o.losses[..])).collect();
            named(&format!("untuned {}", base.name), arm.name, losses_crossed(&pairs)?)
        };
        evidence.gains = vec![gain(left)?, gain(right)?];
        evidence.undecidable = one_seed(&evidence);
        if let Some(difference) = self.match_difference(left, right) {
            let (low, high) = difference.interval();
            let percent = |share: f64| rounded(100.0 * share, 100.0 * difference.standard_error);
            evidence.note = format!(
                "Exact match on the held-out questions, {} − {}: {} points [{}, {}].",
                left.name,
                right.name,
                percent(difference.mean),
                percent(low),
                percent(high)
            );
        }
        Some(evidence)
    }

    /// Exact match of `left` minus that of `right`; none where a scale has no such tasks.
    fn match_difference(&self, left: Arm, right: Arm) -> Option<Difference> {
        let pairs = self.by_seed(left, right);
        if pairs.iter().any(|(l, _)| l.answers.is_empty()) {
            return None;
        }
        matches_crossed(&pairs.iter().map(|(l, r)| (&l.answers[..], &r.answers[..])).collect::<Vec<_>>())
    }

    fn paged(&self) -> Option<Evidence> {
        let pages = self.seeds_of(arms::PAGED).map(|o| o.pages_moved).sum::<u64>();
        if pages == 0 {
            return None;
        }
        Some(Evidence {
            figures: vec![figure("pages moved in and out", pages as f64, "pages")],
            exact: vec![ExactFigure {
                name: "largest difference of an adapter parameter".to_owned(),
                measured: self.paged_difference?,
                expected: 0.0,
            }],
            note: "Equal speed, the paper's other half of this claim, is not judged here.".to_owned(),
            ..Evidence::default()
        })
    }

    fn tuning(&self) -> Option<Evidence> {
        let base = self.format("nf4-dq")?;
        let tuned: Vec<&ArmOutcome> = self.seeds_of(arms::QLORA).collect();
        let by_match = tuned.iter().all(|o| !o.answers.is_empty());
        let difference = match by_match {
            true => matches_crossed(
                &tuned.iter().map(|o| (&o.answers[..], &base.answers[..])).collect::<Vec<_>>(),
            ),
            false => {
                losses_crossed(&tuned.iter().map(|o| (&base.losses[..], &o.losses[..])).collect::<Vec<_>>())
            }
        };
        let name = match by_match {
            true => "exact match, tuned − base",
            false => "held-out loss, base − tuned",
        };
        Some(Evidence {
            differences: vec![NamedDifference { name: name.to_owned(), difference: difference? }],
            note:
                "A small scale's proof that the recipe works at all; the paper's figures are preferences of \
                   GPT-4 at 7B to 65B."
                    .to_owned(),
            ..Evidence::default()
        })
    }

    fn format(&self, name: &str) -> Option<&FormatOutcome> {
        self.formats.iter().find(|f| f.name == name)
    }

    fn seeds_of(&self, arm: Arm) -> impl Iterator<Item = &ArmOutcome> {
        self.arms.iter().filter(move |o| o.arm == arm.name)
    }

    fn by_seed(&self, left: Arm, right: Arm) -> Vec<(&ArmOutcome, &ArmOutcome)> {
        self.seeds_of(left)
            .filter_map(|l| Some((l, self.seeds_of(right).find(|r| r.seed == l.seed)?)))
            .collect()
    }

    fn loss_figure(&self, arm: Arm) -> Option<Figure> {
        let losses: Vec<f64> = self.seeds_of(arm).map(|o| token_mean(&o.losses)).collect();
        (!losses.is_empty())
            .then(|| figure(arm.name, losses.iter().sum::<f64>() / losses.len() as f64, "nats per token"))
    }
}

/// Tuned arms compared with one seed decide no equality.
fn one_seed(evidence: &Evidence) -> Option<String> {
    evidence.differences.iter().any(|d| d.difference.seeds == 1).then(|| ONE_SEED.to_owned())
}

/// Share of answers that match exactly.
pub fn share_correct(answers: &[Marked]) -> f64 {
    correct(answers).iter().sum::<f64>() / answers.len() as f64
}

/// Difference per token of two models' losses on the same examples.
pub fn loss_pair(left: &[ExampleLoss], right: &[ExampleLoss]) -> Option<Difference> {
    losses_crossed(&[(left, right)])
}

/// The same over seeds, each a pair of losses.
fn losses_crossed(pairs: &[(&[ExampleLoss], &[ExampleLoss])]) -> Option<Difference> {
    let nll = |losses: &[ExampleLoss]| losses.iter().map(|l| l.nll).collect::<Vec<_>>();
    let (left, right): (Vec<_>, Vec<_>) = pairs.iter().map(|(l, r)| (nll(l), nll(r))).unzip();
    let tokens: Vec<f64> = pairs.first()?.0.iter().map(|l| l.tokens as f64).collect();
    crossed(&left, &right, &tokens)
}

/// Difference of two models' shares of right answers to the same questions, over seeds.
fn matches_crossed(pairs: &[(&[Marked], &[Marked])]) -> Option<Difference> {
    let (left, right): (Vec<_>, Vec<_>) = pairs.iter().map(|(l, r)| (correct(l), correct(r))).unzip();
    crossed(&left, &right, &vec![1.0; left.first()?.len()])
}

fn correct(answers: &[Marked]) -> Vec<f64> {
    answers.iter().map(|a| f64::from(u8::from(a.correct))).collect()
}

fn named(left: &str, right: &str, difference: Difference) -> Option<NamedDifference> {
    Some(NamedDifference { name: format!("{left} − {right}"), difference })
}

fn figure(name: &str, value: f64, unit: &str) -> Figure {
    Figure { name: name.to_owned(), value, unit: unit.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twenty conversations of ten tokens at about `loss` nats, twenty answers of which `right` are right.
    fn arm(arm: Arm, seed: u64, loss: f64, right: usize) -> ArmOutcome {
        ArmOutcome {
            arm: arm.name.to_owned(),
            seed,
            trainable: 1,
            losses: losses(loss),
            answers: answers(right),
            samples: Vec::new(),
            step_losses: Vec::new(),
            tokens_per_second: 1.0,
            peak_memory_mib: 1.0,
            seconds: 1.0,
            pages_moved: 7,
        }
    }

    fn format(name: &str, loss: f64, error: f64) -> FormatOutcome {
        FormatOutcome {
            name: name.to_owned(),
            bits: 4.127,
            constant_bits: 0.127,
            layer_errors: (0..10).map(|i| error + 1e-4 * f64::from(i)).collect(),
            losses: losses(4.0),
            text_losses: losses(loss),
            answers: answers(0),
            samples: Vec::new(),
            weight_bytes: 1,
        }
    }

    fn losses(loss: f64) -> Vec<ExampleLoss> {
        (0..20)
            .map(|i| ExampleLoss { id: i.to_string(), nll: 10.0 * loss + 0.01 * f64::from(i), tokens: 10 })
            .collect()
    }

    fn answers(right: usize) -> Vec<Marked> {
        let answer = |i: usize| Marked {
            question: i.to_string(),
            category: "f".into(),
            text: String::new(),
            correct: i < right,
        };
        (0..20).map(answer).collect()
    }

    fn formats() -> Vec<FormatOutcome> {
        vec![
            format("f32", 1.0, 0.0),
            format("nf4-dq", 1.1, 0.09),
            format("nf4", 1.1, 0.09),
            format("fp4-dq", 1.3, 0.12),
            format("int4-dq", 1.5, 0.15),
        ]
    }

    fn verdicts(arms: &[ArmOutcome], requantised: bool) -> BTreeMap<String, &'static str> {
        let path = crate::workspace::workspace().join("papers/qlora/claims.toml");
        let claims = camelid_recipe::claims::ClaimsFile::read(&path).unwrap();
        let measured = Measured { formats: &formats(), arms, paged_difference: Some(0.0), requantised };
        let evidence = measured.evidence();
        let decide = |claim: &camelid_recipe::claims::Claim| {
            claim.decide(evidence.get(claim.id.as_str()), "nano", false).verdict.words()
        };
        claims.claims.iter().map(|claim| (claim.id.clone(), decide(claim))).collect()
    }

    #[test]
    fn each_claim_asks_for_the_papers_sign() {
        let seeds =
            |which: Arm, loss: f64, right: usize| (0..3).map(move |seed| arm(which, seed, loss, right));
        let arms: Vec<_> = seeds(arms::QLORA, 1.0, 15)
            .chain(seeds(arms::LORA, 1.0, 15))
            .chain(seeds(arms::FULL, 0.97, 15))
            .chain(seeds(arms::ATTENTION, 1.4, 9))
            .chain(seeds(arms::FP4, 1.2, 12))
            .chain(seeds(arms::PAGED, 1.0, 15))
            .collect();
        let found = verdicts(&arms, false);
        for (id, verdict) in [
            ("dq-bits", "refuted here"), // the plain format above claims 0.127 too
            ("nf4-error", "held in direction"),
            ("fp4-int4-error", "held in direction"),
            ("format-perplexity", "held in direction"),
            ("dq-free", "held in direction"),
            ("qlora-lora", "held in direction"),
            ("qlora-full", "held in direction"),
            ("fp4-behind", "held in direction"),
            ("all-layers", "held in direction"),
            ("paged-same", "held"),
            ("tuning-works", "held in direction"),
            ("memory", "not testable at this scale"),
        ] {
            assert_eq!(found[id], verdict, "{id}");
        }
    }

    #[test]
    fn the_opposite_is_refuted_and_what_cannot_decide_stays_open() {
        let arms = [
            arm(arms::QLORA, 0, 1.0, 0),
            arm(arms::LORA, 0, 1.0, 0),
            arm(arms::ATTENTION, 0, 0.5, 9),
            arm(arms::FP4, 0, 0.5, 9),
        ];
        let found = verdicts(&arms, true);
        for (id, verdict) in [
            ("all-layers", "refuted here"),
            ("fp4-behind", "refuted here"),
            ("qlora-lora", "not testable at this scale"), // one seed
            ("qlora-full", "not testable at this scale"), // not run
            ("tuning-works", "not testable at this scale"), // no answer is right
            ("nf4-error", "not testable at this scale"),  // weights rounded before
            ("format-perplexity", "not testable at this scale"),
        ] {
            assert_eq!(found[id], verdict, "{id}");
        }
    }
}
