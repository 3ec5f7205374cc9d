//! A stand-in for a model whose answers are known, so that what becomes of them can be checked.
#![allow(dead_code, reason = "each test file uses its part")]

use camelid_eval::tasks::{ModelFacts, RunOptions};
use camelid_eval::{
    Completion, ContinuationScore, GenerateRequest, LanguageModel, Likelihood, LoglikelihoodRequest,
    ModelFailure, RollingRequest, RollingScore,
};
use camelid_model::{GenerateOptions, GeneratedText, StopReason};

/// Likelihoods (by context, place among its continuations, continuation) and completions by a function of
/// the prompt; remembers all prompts.
pub struct Scripted<L, C> {
    pub log_likelihood: L,
    pub completion: C,
    pub prompts: Vec<String>,
    pub options: Vec<GenerateOptions>,
    /// Examples it is asked about at once.
    pub batch: usize,
    /// Requests of each call.
    pub calls: Vec<usize>,
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
    let (prompts, options, calls) = (Vec::new(), Vec::new(), Vec::new());
    Scripted { log_likelihood, completion, prompts, options, batch: 1, calls }
}

impl<L, C> LanguageModel for Scripted<L, C>
where
    L: FnMut(&str, usize, &str) -> f64,
    C: FnMut(&str) -> Result<String, ModelFailure>,
{
    fn loglikelihood(
        &mut self,
        requests: &[LoglikelihoodRequest<'_>],
    ) -> Result<Vec<ContinuationScore>, ModelFailure> {
        self.calls.push(requests.len());
        let mut scores = Vec::new();
        for same in requests.chunk_by(|a, b| a.context == b.context) {
            self.prompts.push(same[0].context.to_owned());
            scores.extend(same.iter().enumerate().map(|(index, request)| ContinuationScore {
                likelihood: Likelihood {
                    sum: (self.log_likelihood)(request.context, index, request.continuation),
                    tokens: 1,
                    is_greedy: index == 0,
                },
                context_tokens: request.context.len(),
                cut_tokens: 0,
            }));
        }
        Ok(scores)
    }

    fn loglikelihood_rolling(
        &mut self,
        requests: &[RollingRequest<'_>],
    ) -> Result<Vec<RollingScore>, ModelFailure> {
        self.calls.push(requests.len());
        let score = |request: &RollingRequest<'_>| {
            self.prompts.push(request.text.to_owned());
            let of =
                |p: &[u8]| Likelihood { sum: -(p.len() as f64) * 2.0, tokens: p.len(), is_greedy: false };
            let window = request.window.unwrap_or(usize::MAX);
            RollingScore { windows: request.text.as_bytes().chunks(window).map(of).collect() }
        };
        Ok(requests.iter().map(score).collect())
    }

    fn generate_until(&mut self, requests: &[GenerateRequest<'_>]) -> Result<Vec<Completion>, ModelFailure> {
        self.calls.push(requests.len());
        let completion = |request: &GenerateRequest<'_>| {
            self.prompts.push(request.context.to_owned());
            self.options.push(request.options.clone());
            let text = GeneratedText {
                text: (self.completion)(request.context)?,
                prompt_tokens: Some(1),
                new_tokens: Some(1),
                reason: StopReason::StopString,
                model_version: None,
                own_temperature: false,
            };
            Ok(Completion { text, cut_tokens: 0 })
        };
        requests.iter().map(completion).collect()
    }

    fn batch(&self) -> usize {
        self.batch
    }
}

/// Settings for a run that keeps nothing.
pub fn run_options() -> RunOptions {
    RunOptions::new(ModelFacts {
        name: "scripted".into(),
        description: "a test".into(),
        sha256: "0".repeat(64),
        load: "f32".into(),
        template: None,
        device: "nowhere".into(),
    })
}
