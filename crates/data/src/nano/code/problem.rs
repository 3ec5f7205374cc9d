//! Problems as they are asked: a chain of steps in one of two wordings, perhaps with a hint that is wrong or a
//! demand on how the program is written; what WizardCoder's five heuristics (arXiv 2306.08568, section 3.1) make of
//! them; and their answers.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::instruction::change::Change;
use super::super::split::{Side, number_of, side_of};
use super::super::task::below;
use super::{CodeConfig, CodeTask, Step, Style, fits};

/// Most steps of a problem.
const MOST_STEPS: usize = 6;
/// Draws of a change before it counts as impossible.
const TRIES: usize = 50;

const WORDINGS: [&str; 2] =
    ["Write a function f of a list of numbers: ", "Given a list of numbers, let f do this: "];
const LOOPS: &str = " Use plain loops.";
const HINT: [&str; 2] = [" Hint: `", "`."];

/// A problem as it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What the program does.
    steps: Vec<Step>,
    /// A step that it does not do, quoted as if it helped.
    hint: Option<Step>,
    /// Whether the program is to be written in loops.
    loops: bool,
    second_wording: bool,
}

impl Problem {
    /// The problem that a task poses, without hint or demand.
    pub fn of(task: &CodeTask, second_wording: bool) -> Self {
        Self { steps: task.steps.clone(), hint: None, loops: false, second_wording }
    }

    /// A problem to begin with, of one or two steps, and its side.
    pub(in super::super) fn first(config: &CodeConfig, rng: &mut ChaCha8Rng) -> (Self, Side) {
        loop {
            let config = CodeConfig { steps: rng.random_range(1..=2), ..config.clone() };
            let Some(steps) = config.chain(rng) else { continue };
            let side = side_of(&key(&steps), config.held_out_percent);
            let problem = Self { steps, hint: None, loops: false, second_wording: rng.random_bool(0.5) };
            if problem.task(&config).is_some() {
                return (problem, side);
            }
        }
    }

    /// The problem of a text; `None` for a text that is none of the world's, to the byte.
    pub fn parse(text: &str) -> Option<Self> {
        let second_wording = text.starts_with(WORDINGS[1]);
        let rest = text.strip_prefix(WORDINGS[usize::from(second_wording)])?;
        let (rest, loops) = rest.strip_suffix(LOOPS).map_or((rest, false), |rest| (rest, true));
        let (rest, hint) = match rest.split_once(HINT[0]) {
            Some((rest, code)) => (rest, Some(Step::of_code(code.strip_suffix(HINT[1])?)?)),
            None => (rest, None),
        };
        let steps = rest.strip_suffix('.')?.split(", then ").map(Step::parse).collect::<Option<Vec<_>>>()?;
        let read = Self { steps, hint, loops, second_wording };
        (fits(&read.steps) && read.text() == text).then_some(read)
    }

    /// The problem as it is asked.
    pub fn text(&self) -> String {
        let steps: Vec<String> = self.steps.iter().map(|step| step.words()).collect();
        let mut text = format!("{}{}.", WORDINGS[usize::from(self.second_wording)], steps.join(", then "));
        if let Some(hint) = self.hint {
            text += &format!("{}{}{}", HINT[0], hint.code(), HINT[1]);
        }
        text + if self.loops { LOOPS } else { "" }
    }

    /// The steps of its program.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// A program that solves it.
    pub fn answer(&self) -> String {
        self.written(&self.steps)
    }

    /// A program that does something else in one step.
    pub fn mistaken(&self, config: &CodeConfig, seed: u64) -> String {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let at = below(&mut rng, self.steps.len());
        loop {
            let mut steps = self.steps.clone();
            steps[at] = Step::draw(steps[at].takes_list(), config.max_operand, &mut rng);
            if steps != self.steps {
                return self.written(&steps);
            }
        }
    }

    fn written(&self, steps: &[Step]) -> String {
        let style = if self.loops { Style::Loops } else { Style::Expressions };
        let task = CodeTask { steps: steps.to_vec(), inputs: Vec::new() };
        task.solution(style).trim_end().to_owned()
    }

    /// The task with its tests, which are the same for the same chain; `None` where none tell programs apart.
    pub fn task(&self, config: &CodeConfig) -> Option<CodeTask> {
        config.task(self.steps.clone(), &mut ChaCha8Rng::seed_from_u64(number_of(&key(&self.steps))))
    }

    /// How hard it is: 1 for every step, 1 for a hint and 1 for a demand.
    pub fn level(&self) -> usize {
        self.steps.len() + usize::from(self.hint.is_some()) + usize::from(self.loops)
    }

    /// Whether both ask for the same, however they are worded.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        self.plainly() == other.plainly()
    }

    /// The same in the wording that all are compared in.
    #[must_use]
    pub fn plainly(&self) -> Self {
        Self { second_wording: false, ..self.clone() }
    }

    /// The same in the other wording.
    #[must_use]
    pub fn in_other_words(&self) -> Self {
        Self { second_wording: !self.second_wording, ..self.clone() }
    }

    /// The problem changed, by draws of this seed; `None` where it can not be changed so.
    pub fn changed(&self, change: Change, config: &CodeConfig, seed: u64) -> Option<Self> {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        match change {
            // One more requirement: a step at the end.
            Change::Constraint => self
                .with_steps(config, rng, |steps, rng| one_more(steps, steps.len(), config.max_operand, rng)),
            // One more step of reasoning, before or between those there are.
            Change::Reasoning => self.with_steps(config, rng, |steps, rng| {
                let at = below(rng, steps.len());
                one_more(steps, at, config.max_operand, rng)
            }),
            Change::Rarer => self.with_steps(config, rng, |steps, rng| {
                let at = below(rng, steps.len());
                let new = Step::draw(steps[at].takes_list(), config.max_operand, rng);
                let mut changed = steps.to_vec();
                (new.is_rare() && !steps[at].is_rare()).then(|| changed[at] = new)?;
                Some(changed)
            }),
            Change::Misdirection => {
                let hint = (0..TRIES)
                    .map(|_| Step::draw(true, config.max_operand, rng))
                    .find(|hint| !self.steps.contains(hint))?;
                self.hint.is_none().then(|| Self { hint: Some(hint), ..self.clone() })
            }
            Change::Complexity => (!self.loops).then(|| Self { loops: true, ..self.clone() }),
            _ => None,
        }
    }

    fn with_steps(
        &self,
        config: &CodeConfig,
        rng: &mut ChaCha8Rng,
        mut change: impl FnMut(&[Step], &mut ChaCha8Rng) -> Option<Vec<Step>>,
    ) -> Option<Self> {
        (0..4 * TRIES).find_map(|_| {
            let steps = change(&self.steps, rng).filter(|steps| fits(steps))?;
            // A hint must stay wrong.
            let hint = self.hint.filter(|hint| !steps.contains(hint));
            let changed = Self { steps, hint, ..self.clone() };
            (hint == self.hint && changed.task(config).is_some()).then_some(changed)
        })
    }
}

/// What makes a chain this one and no other.
pub(super) fn key(steps: &[Step]) -> String {
    format!("code {steps:?}")
}

fn one_more(steps: &[Step], at: usize, max: i64, rng: &mut ChaCha8Rng) -> Option<Vec<Step>> {
    let list = at == 0 || steps[at - 1].gives_list();
    let mut longer = steps.to_vec();
    longer.insert(at, Step::draw(list, max, rng));
    (longer.len() <= MOST_STEPS).then_some(longer)
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_read_as_it_was_written_however_often_it_was_changed() {
        let config = CodeConfig { steps: 2, ..CodeConfig::default() };
        let (mut made, mut levels) = ([0; 5], std::collections::BTreeSet::new());
        for (at, task) in config.tasks(100, false).unwrap().iter().enumerate() {
            let mut problem = Problem::of(task, at % 2 == 1);
            // Now and then the inputs that a chain's own draws give tell no programs apart.
            if problem.task(&config).is_none() {
                continue;
            }
            for turn in 0..6 {
                let which = (at * 3 + turn * 2) % 5;
                let change = Change::OF_PROGRAMS[which];
                if let Some(next) = problem.changed(change, &config, (at * 10 + turn) as u64) {
                    made[which] += 1;
                    let gained = next.level() - problem.level();
                    assert_eq!(gained, usize::from(change != Change::Rarer), "{problem} {next}");
                    assert!(!next.asks_the_same(&problem) && next.task(&config).is_some());
                    problem = next;
                }
                let read = Problem::parse(&problem.text()).unwrap_or_else(|| panic!("{problem}"));
                assert_eq!(read, problem);
                assert_eq!(read.task(&config), problem.task(&config));
                assert!(read.asks_the_same(&read.in_other_words()) && read.in_other_words() != read);
                assert_ne!(read.mistaken(&config, 3), read.answer());
                levels.insert(read.level());
            }
        }
        assert!(made.iter().all(|made| *made > 40), "{made:?}");
        assert!(levels.contains(&2) && levels.contains(&7), "{levels:?}");
    }

    #[test]
    fn hints_and_demands_stand_in_the_text_and_loops_in_the_program() {
        let text = "Given a list of numbers, let f do this: sort the list, then take the last number or 0. Hint: `x = x[::-1]`. Use plain loops.";
        // The largest is asked for in fewer words: such a chain is none of the world's.
        assert_eq!(Problem::parse(text), None);
        let text = text.replace("sort the list", "keep the even numbers");
        let problem = Problem::parse(&text).unwrap();
        assert_eq!((problem.level(), problem.steps()), (4, &[Step::KeepEven, Step::Last][..]));
        let answer = "def f(x):
    y = []
    for n in x:
        if n % 2 == 0:
            y.append(n)
    x = y
    y = 0
    for n in x:
        y = n
    x = y
    return x";
        assert_eq!(problem.answer(), answer);
        let plain = Problem::parse(&text.replace(" Use plain loops.", "")).unwrap();
        assert!(plain.answer().contains("    x = [n for n in x if n % 2 == 0]\n"));
        for other in ["", "Write a function f of a list of numbers: .", "Write a poem.", &text[..60]] {
            assert_eq!(Problem::parse(other), None, "{other}");
        }
    }
}
