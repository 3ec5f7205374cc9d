//! Small programs: a nano world for code.
//!
//! A task is a chain of steps over a list of numbers, told in a sentence; its solution is a function in a small
//! part of Python (expressions, lists, loops), its tests are assertions. The steps are carried out here as well, so that the
//! right results are known without Python. The number of steps is the dial of difficulty. Tasks with the same chain are the
//! same task: a hash of it decides whether it may be tuned on or is held out. A [`Problem`] is a task as it is asked, which
//! can be evolved.
//!
//! ```
//! use camelid_data::nano::code::{CodeConfig, CodeTask, Style};
//!
//! let config = CodeConfig { steps: 2, ..CodeConfig::default() };
//! let task = &config.tasks(1, true)?[0];
//! assert!(task.instruction().starts_with("Write a function f of a list of numbers: "));
//! assert!(task.solution(Style::Loops).starts_with("def f(x):\n"));
//! assert!(task.program(&task.solution(Style::Expressions)).contains("assert f(["));
//! # Ok::<(), camelid_data::nano::NanoError>(())
//! ```

mod problem;
mod prose;
mod step;

use std::collections::HashSet;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

pub use problem::Problem;
pub(super) use prose::{function, texts};
pub use step::{Step, Style, Value};

use super::NanoError;
use super::split::{Side, side_of};

/// Sets the stream of random numbers of each side apart from the other.
const STREAMS: [u64; 2] = [21, 22];

/// Draws without a new task after which the world counts as exhausted.
const PATIENCE: usize = 5000;

/// Dials of the world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CodeConfig {
    /// Seed of everything.
    pub seed: u64,
    /// Steps of a task: its difficulty.
    pub steps: usize,
    /// The largest operand.
    pub max_operand: i64,
    /// The largest number of a list; the smallest is its negative.
    pub max_number: i64,
    /// Numbers of a list at most.
    pub max_length: usize,
    /// Assertions of a task.
    pub tests: usize,
    /// Chains in a hundred that are held out.
    pub held_out_percent: u32,
}

impl Default for CodeConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            steps: 1,
            max_operand: 9,
            max_number: 20,
            max_length: 6,
            tests: 5,
            held_out_percent: 20,
        }
    }
}

/// A task with its tests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeTask {
    /// The chain.
    pub steps: Vec<Step>,
    /// Lists that it is tested with.
    pub inputs: Vec<Vec<i64>>,
}

impl CodeConfig {
    /// Different tasks of this difficulty: held out, or to tune on. Fewer than `count` where the world has no more.
    ///
    /// # Errors
    /// [`NanoError::Dial`] for a dial outside its range.
    pub fn tasks(&self, count: usize, held_out: bool) -> Result<Vec<CodeTask>, NanoError> {
        self.check()?;
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(STREAMS[usize::from(held_out)]);
        let (mut tasks, mut seen, mut fruitless) = (Vec::new(), HashSet::new(), 0);
        while tasks.len() < count && fruitless < PATIENCE {
            let steps = self.chain(&mut rng);
            let wanted = steps.as_ref().is_some_and(|steps| self.is_held_out(steps) == held_out);
            match steps.filter(|steps| wanted && seen.insert(steps.clone())) {
                Some(steps) => {
                    fruitless = 0;
                    tasks.extend(self.task(steps, &mut rng));
                }
                None => fruitless += 1,
            }
        }
        Ok(tasks)
    }

    /// Whether a chain is held out, whatever the seed.
    pub fn is_held_out(&self, steps: &[Step]) -> bool {
        side_of(&problem::key(steps), self.held_out_percent) == Side::HeldOut
    }

    fn chain(&self, rng: &mut ChaCha8Rng) -> Option<Vec<Step>> {
        let mut list = true;
        let steps: Vec<Step> = (0..self.steps)
            .map(|_| {
                let step = Step::draw(list, self.max_operand, rng);
                list = step.gives_list();
                step
            })
            .collect();
        fits(&steps).then_some(steps)
    }

    /// The chain with lists to test it by: an empty one, and others. `None` if a result would not fit 64 bits, or if
    /// all results are the same, so that a constant would pass.
    fn task(&self, steps: Vec<Step>, rng: &mut ChaCha8Rng) -> Option<CodeTask> {
        let mut inputs = vec![Vec::new()];
        while inputs.len() < self.tests {
            let length = rng.random_range(1..=self.max_length);
            inputs.push((0..length).map(|_| rng.random_range(-self.max_number..=self.max_number)).collect());
        }
        let task = CodeTask { steps, inputs };
        let results = task.results()?;
        results.iter().any(|result| *result != results[0]).then_some(task)
    }

    fn check(&self) -> Result<(), NanoError> {
        // A negative operand is below every range.
        let unsigned = |value: i64| u64::try_from(value).unwrap_or(0);
        let dials = [
            ("steps", self.steps as u64, 1, 8),
            ("max_operand", unsigned(self.max_operand), 2, 99),
            ("max_number", unsigned(self.max_number), 1, 999),
            ("max_length", self.max_length as u64, 1, 20),
            ("tests", self.tests as u64, 2, 50),
            ("held_out_percent", u64::from(self.held_out_percent), 0, 100),
        ];
        match dials.into_iter().find(|(_, value, min, max)| !(min..=max).contains(&value)) {
            Some((field, value, min, max)) => Err(NanoError::Dial { field, value, min, max }),
            None => Ok(()),
        }
    }
}

/// Whether every step takes what the one before it gives, and no step undoes or repeats its neighbour.
fn fits(steps: &[Step]) -> bool {
    let takes = steps.iter().scan(true, |list, step| {
        let fits = step.takes_list() == *list;
        *list = step.gives_list();
        Some(fits)
    });
    let idle = |pair: &[Step]| {
        std::mem::discriminant(&pair[0]) == std::mem::discriminant(&pair[1])
            || pair == [Step::Sort, Step::Last]
            || matches!(
                pair,
                [Step::Reverse | Step::Sort, Step::Sort | Step::Sum | Step::Count | Step::Largest]
            )
    };
    takes.into_iter().all(|fits| fits) && !steps.windows(2).any(idle)
}

impl CodeTask {
    /// What is asked.
    pub fn instruction(&self) -> String {
        Problem::of(self, false).text()
    }

    /// A function that does it.
    pub fn solution(&self, style: Style) -> String {
        let body: String = self.steps.iter().map(|step| step.python(style)).collect();
        format!("def f(x):\n{body}    return x\n")
    }

    /// The right result of each input; `None` if one does not fit 64 bits.
    pub fn results(&self) -> Option<Vec<Value>> {
        let result = |input: &Vec<i64>| {
            self.steps.iter().try_fold(Value::List(input.clone()), |value, step| step.apply(value))
        };
        self.inputs.iter().map(result).collect()
    }

    /// The tests, one assertion a line.
    pub fn tests(&self) -> String {
        let shown = |value: &Value| match value {
            Value::List(list) => format!("{list:?}"),
            Value::Number(number) => number.to_string(),
        };
        let lines = self.inputs.iter().zip(self.results().unwrap_or_default());
        lines.map(|(input, result)| format!("assert f({input:?}) == {}\n", shown(&result))).collect()
    }

    /// The program that decides about `code`: it runs to its end if the code is right.
    pub fn program(&self, code: &str) -> String {
        format!("{}\n{}", code.trim_end(), self.tests())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_differ_keep_to_their_side_and_are_the_same_for_a_seed() {
        let config = CodeConfig { steps: 2, ..CodeConfig::default() };
        let [tuned, held] = [false, true].map(|side| config.tasks(100, side).unwrap());
        assert_eq!((tuned.len(), held.len()), (100, 100));
        let chains: HashSet<_> = tuned.iter().chain(&held).map(|task| task.steps.clone()).collect();
        assert_eq!(chains.len(), 200);
        assert!(held.iter().all(|task| config.is_held_out(&task.steps) && task.steps.len() == 2));
        assert_eq!(config.tasks(100, true).unwrap(), held);
        assert_ne!(CodeConfig { seed: 1, ..config.clone() }.tasks(100, true).unwrap(), held);
        // A world of one step is small, and says so by giving fewer.
        let few = CodeConfig { max_operand: 2, ..CodeConfig::default() }.tasks(100, false).unwrap();
        assert!((5..13).contains(&few.len()), "{}", few.len());
    }

    #[test]
    fn a_dial_outside_its_range_is_named() {
        let said = CodeConfig { steps: 0, ..CodeConfig::default() }.tasks(1, false).unwrap_err().to_string();
        assert!(said.contains("steps") && said.contains("1 to 8"), "{said}");
    }
}
