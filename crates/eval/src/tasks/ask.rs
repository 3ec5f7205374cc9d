//! Examples put to a model, some at a time, and what it made of them.

use std::collections::BTreeMap;

use camelid_model::{GenerateOptions, StopReason};
use camelid_sandbox::programs::python;
use camelid_sandbox::{Outcome, Sandbox};

use super::definition::Task;
use super::error::TaskError;
use super::example::{Ask, Example, Examples, Item};
use super::options::RunOptions;
use super::record::Record;
use crate::answers::Protocol;
use crate::language_model::{
    Completion, ContinuationScore, GenerateRequest, LanguageModel, LoglikelihoodRequest, ModelFailure,
    RollingRequest, RollingScore,
};

impl Task {
    /// What the model makes of some examples, asked together.
    ///
    /// # Errors
    /// [`TaskError::Model`] names the first of them.
    pub(super) fn ask(
        &self,
        model: &mut dyn LanguageModel,
        examples: &Examples<'_>,
        items: &[&Item],
        options: &RunOptions,
        sandbox: Option<&Sandbox>,
    ) -> Result<Vec<Record>, TaskError> {
        let generate = self.generate_options(options);
        let (mut records, mut asks) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
        for item in items {
            let Example { prompt, ask } = examples.example(item)?;
            let (id, group) = (item.id.clone(), item.group.clone());
            records.push(Record { id, group, prompt, ..Record::default() });
            asks.push(ask);
        }
        let mut answers = self.answers(model, &records, &asks, &generate).map_err(|source| {
            let example = records.first().map_or_else(String::new, |record| record.id.clone());
            TaskError::Model { task: self.definition.name.clone(), example, source }
        })?;
        for ((record, ask), item) in records.iter_mut().zip(asks).zip(items) {
            match ask {
                Ask::Choice { continuations, characters, gold } => {
                    let found: Vec<_> = answers.scores.by_ref().take(continuations.len()).collect();
                    let normalised = self.definition.multiple_choice.as_ref().is_some_and(|m| m.normalised);
                    record.choose(&found, normalised.then_some(&characters), gold);
                    record.choices = continuations;
                }
                Ask::Answer { gold } => {
                    let Some(form) = self.definition.generated(Protocol::Camelid) else {
                        return Err(self.setting("has neither `number` nor `expression`"));
                    };
                    for completion in answers.completions.by_ref().take(generate.len()) {
                        let found = form.grading.read(record.complete(completion));
                        let right = found.as_ref().is_some_and(|f| form.grading.equal(&f.value, &gold));
                        let marked = found.as_ref().is_some_and(|f| f.marked);
                        record.measures.insert("accuracy".into(), truth(right));
                        record.measures.insert("marked".into(), truth(marked));
                        record.prediction = found.map(|f| f.value);
                    }
                    record.gold = Some(gold);
                }
                Ask::Program => {
                    let Some(sandbox) = sandbox else {
                        return Err(self.setting("has no `program`"));
                    };
                    for completion in answers.completions.by_ref().take(generate.len()) {
                        let program = examples.program(item, record.complete(completion))?;
                        record.outcomes.push(match &sandbox.run(&python(program))? {
                            Outcome::Failed { stderr, .. } => format!("failed: {}", last_line(stderr)),
                            other => other.name().to_owned(),
                        });
                    }
                    self.measure_programs(record, &options.programs.k)?;
                }
                Ask::Text(text) => {
                    let windows = answers.texts.next().map(|score| score.windows).unwrap_or_default();
                    record.log_likelihoods = windows.iter().map(|w| w.sum).collect();
                    record.tokens = windows.iter().map(|w| w.tokens as u32).collect();
                    record.measures.insert("bytes".into(), text.len() as f64);
                    record.prompt = text;
                }
            }
        }
        Ok(records)
    }

    /// Everything that examples ask, in one call a question.
    fn answers(
        &self,
        model: &mut dyn LanguageModel,
        records: &[Record],
        asks: &[Ask],
        generate: &[GenerateOptions],
    ) -> Result<Answers, ModelFailure> {
        let (mut scores, mut completions, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        for (record, ask) in records.iter().zip(asks) {
            let context = record.prompt.as_str();
            match ask {
                Ask::Choice { continuations, .. } => {
                    let request = |continuation| LoglikelihoodRequest { context, continuation };
                    scores.extend(continuations.iter().map(String::as_str).map(request));
                }
                Ask::Answer { .. } | Ask::Program => {
                    completions.extend(generate.iter().map(|options| GenerateRequest { context, options }));
                }
                Ask::Text(text) => {
                    let p = self.definition.perplexity.as_ref();
                    let (window, stride) = (p.map(|p| p.window), p.map(|p| p.stride));
                    texts.push(RollingRequest { text, window, stride });
                }
            }
        }
        Ok(Answers {
            scores: all(&scores, |requests| model.loglikelihood(requests))?,
            completions: all(&completions, |requests| model.generate_until(requests))?,
            texts: all(&texts, |requests| model.loglikelihood_rolling(requests))?,
        })
    }

    /// How each of the texts is generated that an example asks for.
    fn generate_options(&self, options: &RunOptions) -> Vec<GenerateOptions> {
        let generate = |max_new_tokens, stop: &[String], seed| GenerateOptions {
            max_new_tokens,
            stop: stop.to_vec(),
            seed,
            ..GenerateOptions::default()
        };
        if let Some(form) = self.definition.generated(Protocol::Camelid) {
            return vec![generate(form.max_new_tokens, form.stop, options.seed)];
        }
        let Some(p) = &self.definition.program else { return Vec::new() };
        let stop = p.chat_stop.as_ref().filter(|_| options.model.template.is_some()).unwrap_or(&p.stop);
        let temperature = options.programs.temperature;
        (0..options.programs.samples as u64)
            .map(|sample| GenerateOptions {
                temperature,
                ..generate(p.max_new_tokens, stop, options.seed + sample)
            })
            .collect()
    }
}

/// What the model answered, in the order of the requests.
struct Answers {
    scores: std::vec::IntoIter<ContinuationScore>,
    completions: std::vec::IntoIter<Completion>,
    texts: std::vec::IntoIter<RollingScore>,
}

/// An answer to each request; a model is not asked for nothing.
fn all<Q, A>(
    requests: &[Q],
    ask: impl FnOnce(&[Q]) -> Result<Vec<A>, ModelFailure>,
) -> Result<std::vec::IntoIter<A>, ModelFailure> {
    let answers = if requests.is_empty() { Vec::new() } else { ask(requests)? };
    match answers.len() == requests.len() {
        true => Ok(answers.into_iter()),
        false => {
            Err(format!("the model gave {} answers to {} requests", answers.len(), requests.len()).into())
        }
    }
}

impl Record {
    /// Notes how likely each choice is; `characters` are their lengths, where scores by length are asked
    /// for.
    fn choose(&mut self, found: &[ContinuationScore], characters: Option<&Vec<usize>>, gold: usize) {
        let sums: Vec<f64> = found.iter().map(|score| score.likelihood.sum).collect();
        // The choices share their context; the longest of them decides what is cut off it.
        let context_tokens = found.first().map_or(0, |score| score.context_tokens);
        let cut_tokens = found.iter().map(|score| score.cut_tokens).max().unwrap_or_default();
        let chosen = likeliest(&sums);
        self.measures = BTreeMap::from([
            ("accuracy".to_owned(), truth(chosen == gold)),
            ("gold_log_likelihood".to_owned(), sums[gold]),
            ("prompt_tokens".to_owned(), context_tokens as f64),
            ("cut_tokens".to_owned(), cut_tokens as f64),
        ]);
        if let Some(characters) = characters {
            let per_character: Vec<f64> =
                sums.iter().zip(characters).map(|(sum, n)| sum / (*n).max(1) as f64).collect();
            self.measures.insert("accuracy_norm".into(), truth(likeliest(&per_character) == gold));
        }
        self.gold = Some(gold.to_string());
        self.prediction = Some(chosen.to_string());
        self.tokens = found.iter().map(|score| score.likelihood.tokens as u32).collect();
        self.log_likelihoods = sums;
    }

    /// Notes a text that the model wrote, and returns it.
    fn complete(&mut self, completion: Completion) -> &str {
        let Completion { text, cut_tokens } = completion;
        // A server need not count tokens; a model in this process always does.
        self.tokens.push(text.new_tokens.unwrap_or(0) as u32);
        let measures =
            [("cut_tokens", cut_tokens as f64), ("cut_off", truth(text.reason == StopReason::Length))];
        let prompt_tokens = text.prompt_tokens.map(|tokens| ("prompt_tokens", tokens as f64));
        let measures = prompt_tokens.into_iter().chain(measures);
        self.measures.extend(measures.map(|(name, value)| (name.to_owned(), value)));
        self.outputs.push(text.text);
        self.outputs.last().map_or("", String::as_str)
    }
}

/// The index of the largest value, the first among equals.
fn likeliest(values: &[f64]) -> usize {
    let mut best = 0;
    for (i, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = i;
        }
    }
    best
}

/// What a failed program said last: the error itself, in Python.
fn last_line(stderr: &str) -> &str {
    stderr.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("said nothing")
}

fn truth(is: bool) -> f64 {
    f64::from(u8::from(is))
}
