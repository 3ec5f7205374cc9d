//! A stand-in for a model whose answers are known, so that what becomes of them can be checked.
#![allow(dead_code, reason = "each test file uses its part")]

use camelid_eval::tasks::{
    Completion, LanguageModel, Likelihood, Likelihoods, ModelFacts, ModelFailure, ProgramOptions, RunOptions,
};
use camelid_model::{GenerateOptions, GeneratedText, StopReason};

/// Likelihoods and completions by a function of the prompt; remembers all prompts.
pub struct Scripted<L, C> {
    pub log_likelihood: L,
    pub completion: C,
    pub prompts: Vec<String>,
    pub options: Vec<GenerateOptions>,
}

/// See [`first_wins`].
pub type FirstWins = Scripted<fn(&str, usize, &str) -> f64, fn(&str) -> Result<String, ModelFailure>>;

/// Every continuation's log-likelihood is minus its place in the list: the first wins.
pub fn first_wins() -> FirstWins {
    scripted(|_, index, _| -(index as f64) - 1.0, |_| Ok(String::new()))
}

pub fn scripted<L, C>(log_likelihood: L, completion: C) -> Scripted<L, C>
where
    L: FnMut(&str, usize, &str) -> f64,
    C: FnMut(&str) -> Result<String, ModelFailure>,
{
    Scripted { log_likelihood, completion, prompts: Vec::new(), options: Vec::new() }
}

impl<L, C> LanguageModel for Scripted<L, C>
where
    L: FnMut(&str, usize, &str) -> f64,
    C: FnMut(&str) -> Result<String, ModelFailure>,
{
    fn log_likelihoods(
        &mut self,
        context: &str,
        continuations: &[String],
    ) -> Result<Likelihoods, ModelFailure> {
        self.prompts.push(context.to_owned());
        let of = |(index, text): (usize, &String)| Likelihood {
            sum: (self.log_likelihood)(context, index, text),
            tokens: 1,
            is_greedy: index == 0,
        };
        let continuations = continuations.iter().enumerate().map(of).collect();
        Ok(Likelihoods { continuations, context_tokens: context.len(), cut_tokens: 0 })
    }

    fn text_log_likelihoods(
        &mut self,
        text: &str,
        window: usize,
        _: usize,
    ) -> Result<Vec<Likelihood>, ModelFailure> {
        self.prompts.push(text.to_owned());
        let pieces = text.as_bytes().chunks(window);
        Ok(pieces
            .map(|p| Likelihood { sum: -(p.len() as f64) * 2.0, tokens: p.len(), is_greedy: false })
            .collect())
    }

    fn complete(&mut self, prompt: &str, options: &GenerateOptions) -> Result<Completion, ModelFailure> {
        self.prompts.push(prompt.to_owned());
        self.options.push(options.clone());
        let text = (self.completion)(prompt)?;
        let text = GeneratedText {
            text,
            prompt_tokens: Some(1),
            new_tokens: Some(1),
            reason: StopReason::StopString,
            model_version: None,
            own_temperature: false,
        };
        Ok(Completion { text, cut_tokens: 0 })
    }
}

/// Settings for a run that keeps nothing.
pub fn run_options() -> RunOptions {
    RunOptions {
        shots: None,
        limit: None,
        seed: 0,
        out: None,
        programs: ProgramOptions::default(),
        model: ModelFacts {
            name: "scripted".into(),
            description: "a test".into(),
            sha256: "0".repeat(64),
            load: "f32".into(),
            template: None,
        },
    }
}
