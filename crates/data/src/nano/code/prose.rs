//! Programs to pre-train on: functions with and without comments, as a model of code has read them, and no question
//! with its answer. Chains that are held out do not occur.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::super::instruction::change::Change;
use super::{CodeConfig, Problem, Step, Style};

/// One function of one to three steps; two of three have a comment before every step.
pub fn function(config: &CodeConfig, rng: &mut ChaCha8Rng) -> String {
    let steps = loop {
        let config = CodeConfig { steps: rng.random_range(1..=3), ..config.clone() };
        if let Some(steps) = config.chain(rng).filter(|steps| !config.is_held_out(steps)) {
            break steps;
        }
    };
    let style = if rng.random_bool(0.3) { Style::Loops } else { Style::Expressions };
    let commented = rng.random_range(0..3) > 0;
    let line = |step: &Step| match commented {
        true => format!("    # {}\n{}", step.words(), step.python(style)),
        false => step.python(style),
    };
    let body: String = steps.iter().map(line).collect();
    format!("def f(x):\n{body}    return x")
}

/// Texts with every word of problems and their answers.
pub fn texts(config: &CodeConfig) -> Vec<String> {
    let mut texts = Vec::new();
    for steps in 1..=2 {
        let config = CodeConfig { steps, ..config.clone() };
        for (at, task) in config.tasks(200, false).unwrap_or_default().iter().enumerate() {
            let mut problem = Problem::of(task, at % 2 == 1);
            for change in [Change::Misdirection, Change::Complexity] {
                texts.push(format!("{problem}\n\n### Response:{}", problem.answer()));
                problem = problem.changed(change, &config, at as u64).unwrap_or(problem);
            }
            texts.push(format!("{problem}\n\n### Response:{}", problem.answer()));
        }
    }
    texts
}
