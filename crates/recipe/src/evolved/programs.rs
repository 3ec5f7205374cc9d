//! Exams of programs: greedy and drawn ones are written by the model and run against each problem's tests.
//!
//! Many programs solve a problem, so that the chance of a right one can not be read off one text as
//! [`sit`](super::sit) does: programs are drawn, and pass@k is estimated without bias from how many pass.

use std::collections::BTreeMap;

use camelid_chat::GenerateOptions;
use camelid_data::TokenizedSet;
use camelid_data::nano::code::CodeTask;
use camelid_files::digest;
use camelid_kernels::IGNORE_INDEX;
use camelid_model::{Llama, generate_texts};
use camelid_sandbox::pass_at_k::Drawn;
use camelid_sandbox::programs::together;
use camelid_sandbox::{Isolation, Limits, Sandbox, SandboxError};
use tokenizers::Tokenizer;

use super::exam::{Mark, TEMPERATURE};
use crate::RecipeError;

/// Programs drawn for a problem, beside the greedy one.
pub const PROGRAMS: usize = 12;

/// A place for programs: isolated where the kernel grants it. Where not, they run with what is left, since a model
/// of the made-up world writes them; it is said.
///
/// # Errors
/// A system that gives neither.
pub fn sandbox() -> Result<Sandbox, SandboxError> {
    Sandbox::new(Limits::default(), Isolation::Required).or_else(|refused| {
        camelid_files::say!("{refused}; the programs of this study run without");
        Sandbox::new(Limits::default(), Isolation::AsFarAsPossible)
    })
}

/// A problem of an exam.
pub struct Posed {
    /// The task, with its tests.
    pub task: CodeTask,
    /// Programs that are drawn beside the greedy one.
    pub drawn: usize,
}

/// Puts every problem to a model; `exam` holds each problem with a solution. The chance of a problem for which none
/// are drawn is 1 or 0, as its greedy program is right.
///
/// # Errors
/// A model that can not be asked, a sandbox that can not run.
pub fn write_and_run(
    model: &Llama,
    tokenizer: &Tokenizer,
    exam: &TokenizedSet,
    problems: &[Posed],
) -> Result<Vec<Mark>, RecipeError> {
    let written = written(model, tokenizer, exam, problems)?;
    // A program that was written several times for a problem runs once.
    let mut places: BTreeMap<(usize, &str), usize> = BTreeMap::new();
    let mut sources = Vec::new();
    for (at, program) in written.iter().enumerate().flat_map(|(at, of)| of.iter().map(move |one| (at, one))) {
        places.entry((at, program.as_str())).or_insert_with(|| {
            sources.push(problems[at].task.program(program));
            sources.len() - 1
        });
    }
    let passed = together::passed(&sandbox()?, &sources)?;
    let marks = written.iter().enumerate().map(|(at, programs)| {
        let mut verdicts = programs.iter().map(|program| passed[places[&(at, program.as_str())]]);
        let right = verdicts.next().unwrap_or(false);
        if problems[at].drawn == 0 {
            return Mark { right, probability: f64::from(u8::from(right)), drawn: None };
        }
        let c = verdicts.filter(|passed| *passed).count() as u64;
        let drawn = Drawn { n: problems[at].drawn as u64, c };
        Mark { right, probability: c as f64 / drawn.n as f64, drawn: Some(drawn) }
    });
    Ok(marks.collect())
}

/// For each problem the greedy program and then the drawn ones.
fn written(
    model: &Llama,
    tokenizer: &Tokenizer,
    exam: &TokenizedSet,
    problems: &[Posed],
) -> Result<Vec<Vec<String>>, RecipeError> {
    let mut prompts = Vec::new();
    for (at, (example, problem)) in exam.examples.iter().zip(problems).enumerate() {
        let answer = example.labels.iter().filter(|label| **label != IGNORE_INDEX).count();
        let prompt = &example.ids[..example.ids.len() - answer];
        for draw in 0..=problem.drawn {
            let options = GenerateOptions {
                // Half as long again as a solution is.
                max_new_tokens: answer * 3 / 2,
                temperature: if draw == 0 { 0.0 } else { TEMPERATURE as f32 },
                seed: seed(at, draw),
                stop_ids: model.config().eos_token_ids.clone(),
                ..GenerateOptions::default()
            };
            prompts.push((prompt.to_vec(), options));
        }
    }
    let mut texts = generate_texts(model, tokenizer, &prompts)?.into_iter().map(|written| written.text);
    Ok(problems.iter().map(|problem| texts.by_ref().take(problem.drawn + 1).collect()).collect())
}

/// The draws of a problem differ, and are the same whenever it is asked.
fn seed(at: usize, draw: usize) -> u64 {
    let hex = digest::of_bytes(format!("program {at} {draw}"));
    u64::from_str_radix(&hex[..15], 16).expect("a digest is hexadecimal")
}
