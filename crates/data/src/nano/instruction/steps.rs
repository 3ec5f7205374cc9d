//! Answers checked step by step. The world knows every step of its one right answer, so that a label of a step is
//! exact: what process reward models are otherwise given by people, or by trying where a solution leads
//! (Lightman et al. 2023, arXiv 2305.20050; Math-Shepherd, arXiv 2312.08935).

use serde::{Deserialize, Serialize};

use super::super::NanoWorld;
use super::super::task::Task;
use super::Instruction;

/// What a step of an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepVerdict {
    /// The step that stands here in the right answer.
    Right,
    /// An equation that is true and goes on from an earlier wrong result as the question asks.
    Follows,
    /// The equation that is asked for, with a wrong result.
    WrongResult,
    /// Something else than what is to be done here.
    WrongStep,
    /// A step after the answer was complete.
    Surplus,
}

/// A step, as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckedStep {
    /// The sentence.
    pub text: String,
    /// What it is.
    pub verdict: StepVerdict,
}

/// An answer with a verdict on each of its steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckedAnswer {
    /// The steps in their order; none of an empty answer.
    pub steps: Vec<CheckedStep>,
    /// Steps that the answer stops short of.
    pub missing: usize,
}

impl CheckedAnswer {
    /// Whether it is the right answer, to the byte but for white space around it.
    pub fn is_right(&self) -> bool {
        self.first_error().is_none()
    }

    /// The place of the first step, from 0, that is not right; one past the last where the answer only stops too
    /// early. `None` for a right answer.
    pub fn first_error(&self) -> Option<usize> {
        let wrong = self.steps.iter().position(|step| step.verdict != StepVerdict::Right);
        wrong.or((self.missing > 0).then_some(self.steps.len()))
    }

    /// A label for each step: whether all is right up to and with it.
    pub fn labels(&self) -> Vec<bool> {
        let sound = self.first_error().unwrap_or(self.steps.len());
        (0..self.steps.len()).map(|at| at < sound).collect()
    }
}

impl Instruction {
    /// How many steps its answer takes: sums and differences, of a program its own.
    pub fn steps(&self) -> usize {
        let of_task = |task: &Task| match task {
            Task::Number { steps, .. } => steps.len(),
            Task::CountAndAdd { .. } => 1,
            _ => 0,
        };
        match self {
            Self::Questions(questions) => questions.parts.iter().map(|part| of_task(&part.task)).sum(),
            Self::Program(problem) => problem.steps().len(),
        }
    }

    /// An answer to it, checked step by step. A step is a sentence; demands on the answer are steps like others,
    /// and a program is one step.
    pub fn checked(&self, world: &NanoWorld, answer: &str) -> CheckedAnswer {
        let right = self.answer(world);
        let expected: Vec<&str> = sentences(&right).collect();
        // The result that a wrong step left, and the one that should stand there.
        let mut carried: Option<(i64, i64)> = None;
        let mut steps = Vec::new();
        for text in sentences(answer.trim()) {
            let verdict = match expected.get(steps.len()) {
                None => StepVerdict::Surplus,
                Some(wanted) => verdict(text, wanted, &mut carried),
            };
            steps.push(CheckedStep { text: text.to_owned(), verdict });
        }
        let missing = expected.len().saturating_sub(steps.len());
        CheckedAnswer { steps, missing }
    }
}

/// The sentences of an answer; joined by spaces they are the answer.
fn sentences(answer: &str) -> impl Iterator<Item = &str> {
    answer.split_inclusive(". ").map(|sentence| sentence.strip_suffix(' ').unwrap_or(sentence))
}

/// `3 + 4 = 7.`: left side, signed operand, result.
struct Equation {
    left: i64,
    operand: i64,
    result: i64,
}

impl Equation {
    fn parse(sentence: &str) -> Option<Self> {
        let [left, sign, operand, "=", result] =
            sentence.strip_suffix('.')?.split(' ').collect::<Vec<_>>()[..]
        else {
            return None;
        };
        let operand: i64 = operand.parse().ok()?;
        let operand = match sign {
            "+" => operand,
            "-" => operand.checked_neg()?,
            _ => return None,
        };
        Some(Self { left: left.parse().ok()?, operand, result: result.parse().ok()? })
    }
}

fn verdict(text: &str, wanted: &str, carried: &mut Option<(i64, i64)>) -> StepVerdict {
    if text == wanted {
        *carried = None;
        return StepVerdict::Right;
    }
    let (Some(found), Some(wanted)) = (Equation::parse(text), Equation::parse(wanted)) else {
        return StepVerdict::WrongStep;
    };
    let goes_on = carried.is_some_and(|(written, right)| found.left == written && wanted.left == right);
    *carried = Some((found.result, wanted.result));
    if found.operand != wanted.operand || !(goes_on || found.left == wanted.left) {
        return StepVerdict::WrongStep;
    }
    let true_ = found.left.checked_add(found.operand) == Some(found.result);
    if true_ { StepVerdict::Follows } else { StepVerdict::WrongResult }
}

#[cfg(test)]
mod tests {
    use super::super::{Change, Domain};
    use super::StepVerdict::{Follows, Right, Surplus, WrongResult, WrongStep};
    use super::*;
    use crate::nano::NanoConfig;

    fn world() -> NanoWorld {
        NanoWorld::new(&NanoConfig { instructions: true, ..NanoConfig::default() }).unwrap()
    }

    #[test]
    fn each_step_gets_its_verdict_and_labels_end_at_the_first_error() {
        let world = world();
        let sum = Instruction::parse("What is 3 + 4 - 2 + 1?").unwrap();
        assert_eq!(sum.steps(), 3);
        for (answer, verdicts, missing, first_error) in [
            ("3 + 4 = 7. 7 - 2 = 5. 5 + 1 = 6.", vec![Right, Right, Right], 0, None),
            (" 3 + 4 = 7. 7 - 2 = 5. 5 + 1 = 6.\n", vec![Right, Right, Right], 0, None),
            ("3 + 4 = 8. 8 - 2 = 6. 6 + 1 = 7.", vec![WrongResult, Follows, Follows], 0, Some(0)),
            ("3 + 4 = 7. 7 - 2 = 4. 5 + 1 = 6.", vec![Right, WrongResult, Right], 0, Some(1)),
            ("3 + 4 = 8. 8 - 2 = 5. 5 + 1 = 6.", vec![WrongResult, WrongResult, Right], 0, Some(0)),
            ("3 + 4 = 7. 7 + 2 = 9. 9 + 1 = 10.", vec![Right, WrongStep, Follows], 0, Some(1)),
            ("3 + 4 = 7. 7 - 2 = 5.", vec![Right, Right], 1, Some(2)),
            ("3 + 4 = 7.7 - 2 = 5. 5 + 1 = 6.", vec![WrongStep, WrongStep], 1, Some(0)),
            ("3 + 4 = 7. 7 - 2 = 5. 5 + 1 = 6. 6.", vec![Right, Right, Right, Surplus], 0, Some(3)),
            ("I am sorry, I do not know.", vec![WrongStep], 2, Some(0)),
            ("", vec![], 3, Some(0)),
        ] {
            let checked = sum.checked(&world, answer);
            let found: Vec<_> = checked.steps.iter().map(|step| step.verdict).collect();
            assert_eq!((found, checked.missing), (verdicts, missing), "{answer}");
            assert_eq!(checked.first_error(), first_error, "{answer}");
            let sound = checked.labels().iter().take_while(|label| **label).count();
            assert_eq!(sound, first_error.unwrap_or(3).min(checked.steps.len()), "{answer}");
        }
    }

    #[test]
    fn an_answer_is_right_step_by_step_when_it_is_the_right_one_and_only_then() {
        let world = world();
        for domain in [Domain::General, Domain::Arithmetic] {
            for (at, mut instruction) in world.first_instructions(domain, false, 200).into_iter().enumerate()
            {
                for (turn, change) in Change::ALL.into_iter().enumerate() {
                    instruction =
                        instruction.changed(change, &world, (at + turn) as u64).unwrap_or(instruction);
                    let right = instruction.answer(&world);
                    let checked = instruction.checked(&world, &right);
                    assert!(checked.is_right() && checked.labels().iter().all(|label| *label), "{right}");
                    let wrong = instruction.mistaken(&world, at as u64);
                    assert!(!instruction.checked(&world, &wrong).is_right(), "{right} {wrong}");
                }
            }
        }
    }
}
