//! The rounds: evolve, eliminate, answer, eliminate, and over again with what lives.

use camelid_chat::requests::{ChatRequest, NotAsked, Prices, Progress, Reply, RequestError, Runner};
use camelid_chat::{GenerateFailure, GenerateOptions, Message, Role, StopReason};
use camelid_files::digest;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::EvolveError;
use crate::lineage::{Call, Row, Task};
use crate::operators::{Kind, OperatorSet};
use crate::reply::{Equality, difficulty, equality, instruction_of};
use crate::rules::{Ended, Rule, RuleSettings};
use crate::template::Slot;

/// An instruction to begin with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seed {
    /// What is asked, its input included.
    pub instruction: String,
    /// Its answer, where there is one; a seed without is answered like an evolved instruction.
    pub response: Option<String>,
}

/// How an evolution goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvolutionSettings {
    /// Rounds (M in the paper). Default 4.
    pub rounds: usize,
    /// How often an instruction is tried within a round before its parent waits for the next.
    /// Default 1, as in the paper.
    pub attempts: usize,
    /// Seed of all draws and of sampling.
    pub seed: u64,
    /// What ends a row.
    pub rules: RuleSettings,
    /// How many rows of each round, drawn by the seed, a judge rates from 1 to 10. Default 0; the
    /// paper rated 600.
    pub rated: usize,
}

impl Default for EvolutionSettings {
    fn default() -> Self {
        Self { rounds: 4, attempts: 1, seed: 0, rules: RuleSettings::default(), rated: 0 }
    }
}

/// A model with the store of its replies, and how it is asked.
#[derive(Clone, Debug)]
pub struct Model<'a> {
    /// Asks it, and keeps what it replies.
    pub runner: &'a Runner<'a>,
    /// Its name in requests and lineage.
    pub name: String,
    /// How it generates; the seed is each request's own.
    pub options: GenerateOptions,
    /// Prices, for the cost in the lineage.
    pub prices: Option<Prices>,
}

/// Who does what.
#[derive(Clone, Debug)]
pub struct Models<'a> {
    /// Rewrites instructions.
    pub evolver: Model<'a>,
    /// Answers them; the paper's is the evolver.
    pub answerer: Model<'a>,
    /// Compares and rates; without one rule 1 is not asked.
    pub judge: Option<Model<'a>>,
}

/// Where an evolution is.
#[derive(Clone, Copy, Debug)]
pub struct Stage {
    /// The round, from 1; 0 for the seeds' own answers.
    pub round: usize,
    /// What is asked for.
    pub task: Task,
    /// How far the requests are.
    pub requests: Progress,
}

/// Ends a row whose text must not be in the data, with what was found: a
/// [`Decontaminator`](crate::Decontaminator), or a rule of the caller's.
pub type Screen<'a> = &'a dyn Fn(&str) -> Option<String>;

/// An evolution, ready to run.
pub struct Evolution<'a> {
    /// How it goes.
    pub settings: &'a EvolutionSettings,
    /// What it does with instructions.
    pub operators: &'a OperatorSet,
    /// Who does it.
    pub models: Models<'a>,
    /// What else ends a row as [`Rule::Contaminated`]; asked of instructions and of answers.
    pub screen: Option<Screen<'a>>,
}

impl Evolution<'_> {
    /// Evolves the seeds and returns every row made, parents before children, rounds in order.
    ///
    /// The result depends on seeds, settings, operators and replies alone. A run that ended early
    /// is therefore gone on with by running again over the same stores: what was answered is not
    /// asked again, and the rows are those of a run that never ended.
    ///
    /// `keep` sees the rows after every round. `progress` is called as requests move.
    ///
    /// # Errors
    /// [`EvolveError::Unanswered`] when requests came to nothing for reasons that pass;
    /// [`EvolveError::Run`] when a limit or the user ended a batch.
    pub fn run(
        &self,
        seeds: &[Seed],
        progress: &mut dyn FnMut(Stage),
        keep: &mut dyn FnMut(&[Row]) -> Result<(), EvolveError>,
    ) -> Result<Vec<Row>, EvolveError> {
        if seeds.is_empty() {
            return Err(EvolveError::NoSeeds);
        }
        let mut rows = self.seed_rows(seeds, progress)?;
        // The place of the row that stands for each line of evolution.
        let mut pool: Vec<usize> = (0..rows.len()).filter(|&at| rows[at].lives()).collect();
        self.rate(&mut rows, 0, progress)?;
        for round in 1..=self.settings.rounds {
            let first = rows.len();
            let mut open: Vec<usize> = (0..pool.len()).collect();
            for attempt in 1..=self.settings.attempts {
                let parents: Vec<&Row> = open.iter().map(|&line| &rows[pool[line]]).collect();
                let made = self.attempt(&parents, round, attempt, progress)?;
                // A failed evolution leaves its parent in the pool.
                let mut failed = Vec::new();
                for (line, row) in open.into_iter().zip(made) {
                    if row.lives() {
                        pool[line] = rows.len();
                    } else {
                        failed.push(line);
                    }
                    rows.push(row);
                }
                open = failed;
            }
            self.rate(&mut rows[first..], round, progress)?;
            keep(&rows)?;
        }
        Ok(rows)
    }

    /// The seeds as rows; those without an answer are answered.
    fn seed_rows(&self, seeds: &[Seed], progress: &mut dyn FnMut(Stage)) -> Result<Vec<Row>, EvolveError> {
        let rules = &self.settings.rules;
        let row = |(at, seed): (usize, &Seed)| Row {
            id: at.to_string(),
            parent: None,
            seed: at,
            round: 0,
            attempt: 0,
            operator: None,
            data_format: None,
            instruction: seed.instruction.clone(),
            response: seed.response.clone().filter(|response| !response.trim().is_empty()),
            judged: None,
            difficulty: None,
            ended: rules.of_seed(&seed.instruction),
            calls: Vec::new(),
        };
        let mut rows: Vec<Row> = seeds.iter().enumerate().map(row).collect();
        self.answer(&mut rows, 0, progress)?;
        Ok(rows)
    }

    /// One evolution of each parent, in their order.
    fn attempt(
        &self,
        parents: &[&Row],
        round: usize,
        attempt: usize,
        progress: &mut dyn FnMut(Stage),
    ) -> Result<Vec<Row>, EvolveError> {
        let (mut rows, prompts): (Vec<Row>, Vec<String>) =
            parents.iter().map(|parent| self.draft(parent, round, attempt)).unzip();
        let evolver = &self.models.evolver;
        let all: Vec<usize> = (0..rows.len()).collect();
        let replies = self.ask(Task::Evolve, evolver, round, &mut rows, &all, &prompts, progress)?;
        for ((row, parent), reply) in rows.iter_mut().zip(parents).zip(replies) {
            let Some(reply) = reply else { continue };
            row.instruction = instruction_of(&reply.text, &self.operators.names);
            let cut_off = reply.reason == StopReason::Length;
            row.ended = self
                .settings
                .rules
                .of_instruction(&row.instruction, &parent.instruction, &self.operators.names, cut_off)
                .or_else(|| self.screened(&row.instruction));
        }
        self.compare(&mut rows, parents, round, progress)?;
        self.answer(&mut rows, round, progress)?;
        Ok(rows)
    }

    /// A row that is to come, and the prompt that asks for it.
    fn draft(&self, parent: &Row, round: usize, attempt: usize) -> (Row, String) {
        let id = format!("{}.{round}.{attempt}", parent.seed);
        let (operator, data_format) = self.operators.draw(&mut self.rng(&id, "draw"));
        let mut values = vec![(Slot::Instruction, parent.instruction.trim())];
        values.extend(data_format.map(|format| (Slot::DataFormat, format)));
        let row = Row {
            id,
            parent: Some(parent.id.clone()),
            seed: parent.seed,
            round,
            attempt,
            operator: Some(operator.name.clone()),
            data_format: data_format.map(str::to_owned),
            instruction: String::new(),
            response: None,
            judged: None,
            difficulty: None,
            ended: None,
            calls: Vec::new(),
        };
        (row, operator.prompt.fill(&values))
    }

    /// Rule 1: ends what a judge finds equal to its parent. A reply that says neither ends nothing
    /// and stays in the row.
    fn compare(
        &self,
        rows: &mut [Row],
        parents: &[&Row],
        round: usize,
        progress: &mut dyn FnMut(Stage),
    ) -> Result<(), EvolveError> {
        let Some(judge) = &self.models.judge else { return Ok(()) };
        let rules = &self.settings.rules;
        if !rules.applies(Rule::NoGain) {
            return Ok(());
        }
        let breadth = |row: &Row| self.kind_of(row) == Some(Kind::Breadth);
        let asked: Vec<usize> = (0..rows.len())
            .filter(|&at| rows[at].ended.is_none() && (rules.no_gain_in_breadth || !breadth(&rows[at])))
            .collect();
        let prompt = |&at: &usize| {
            let both = [
                (Slot::First, parents[at].instruction.as_str()),
                (Slot::Second, rows[at].instruction.as_str()),
            ];
            self.operators.equality.fill(&both)
        };
        let prompts: Vec<String> = asked.iter().map(prompt).collect();
        let replies = self.ask(Task::Compare, judge, round, rows, &asked, &prompts, progress)?;
        for (&at, reply) in asked.iter().zip(replies) {
            let Some(reply) = reply else { continue };
            let said = equality(&reply.text);
            rows[at].judged = Some(said);
            if said == Equality::Equal {
                rows[at].ended = Some(Ended::by(Rule::NoGain, reply.text.trim()));
            }
        }
        Ok(())
    }

    /// Answers every row that nothing ended and that has no answer.
    fn answer(
        &self,
        rows: &mut [Row],
        round: usize,
        progress: &mut dyn FnMut(Stage),
    ) -> Result<(), EvolveError> {
        let asked: Vec<usize> =
            (0..rows.len()).filter(|&at| rows[at].ended.is_none() && rows[at].response.is_none()).collect();
        let prompts: Vec<String> = asked.iter().map(|&at| rows[at].instruction.clone()).collect();
        let answerer = &self.models.answerer;
        let replies = self.ask(Task::Answer, answerer, round, rows, &asked, &prompts, progress)?;
        for (&at, reply) in asked.iter().zip(replies) {
            let Some(reply) = reply else { continue };
            let row = &mut rows[at];
            let cut_off = reply.reason == StopReason::Length;
            row.ended = self
                .settings
                .rules
                .of_response(&reply.text, &row.instruction, cut_off)
                .or_else(|| self.screened(&reply.text));
            row.response = Some(reply.text.trim().to_owned());
        }
        Ok(())
    }

    /// Has a judge rate some rows that live.
    fn rate(
        &self,
        rows: &mut [Row],
        round: usize,
        progress: &mut dyn FnMut(Stage),
    ) -> Result<(), EvolveError> {
        let Some(judge) = self.models.judge.as_ref().filter(|_| self.settings.rated > 0) else {
            return Ok(());
        };
        let mut asked: Vec<usize> = (0..rows.len()).filter(|&at| rows[at].lives()).collect();
        // In an order of the seed's, so that more rows rated are these and more.
        asked.sort_by_cached_key(|&at| self.hash(&rows[at].id, "rated"));
        asked.truncate(self.settings.rated);
        let prompt =
            |&at: &usize| self.operators.difficulty.fill(&[(Slot::Instruction, &rows[at].instruction)]);
        let prompts: Vec<String> = asked.iter().map(prompt).collect();
        // What a judge does not want to rate lives on without a figure.
        let before: Vec<Option<Ended>> = asked.iter().map(|&at| rows[at].ended.clone()).collect();
        let replies = self.ask(Task::Rate, judge, round, rows, &asked, &prompts, progress)?;
        for ((&at, reply), ended) in asked.iter().zip(replies).zip(before) {
            rows[at].ended = ended;
            rows[at].difficulty = reply.and_then(|reply| difficulty(&reply.text));
        }
        Ok(())
    }

    /// Puts a prompt for each row at `asked` to a model. A row whose request the model refuses
    /// ends, and has no reply.
    #[allow(clippy::too_many_arguments)]
    fn ask(
        &self,
        task: Task,
        model: &Model,
        round: usize,
        rows: &mut [Row],
        asked: &[usize],
        prompts: &[String],
        progress: &mut dyn FnMut(Stage),
    ) -> Result<Vec<Option<Reply>>, EvolveError> {
        let request = |(&at, prompt): (&usize, &String)| ChatRequest {
            model: model.name.clone(),
            messages: vec![Message::new(Role::User, prompt.clone())],
            options: GenerateOptions {
                seed: self.hash(&rows[at].id, task.verb()).into(),
                ..model.options.clone()
            },
        };
        let requests: Vec<ChatRequest> = asked.iter().zip(prompts).map(request).collect();
        let mut report = |requests| progress(Stage { round, task, requests });
        let outcomes = model.runner.run(&requests, &mut report)?;
        let total = outcomes.len();
        let passing = |outcome: &Result<Reply, RequestError>| outcome.as_ref().is_err_and(passes);
        let failed = outcomes.iter().filter(|outcome| passing(outcome)).count();
        if let Some(first) = outcomes.iter().find(|outcome| passing(outcome)) {
            let first = first.clone().expect_err("a failure was looked for");
            return Err(EvolveError::Unanswered { round, task: task.verb(), failed, total, first });
        }
        let settle = |((&at, request), outcome): ((&usize, &ChatRequest), Result<Reply, RequestError>)| {
            let reply = match outcome {
                Ok(reply) => Some(reply),
                Err(error) => {
                    rows[at].ended = Some(Ended::by(Rule::Refused, error.source.to_string()));
                    None
                }
            };
            rows[at].calls.push(call(task, model, request, reply.as_ref()));
            reply
        };
        Ok(asked.iter().zip(&requests).zip(outcomes).map(settle).collect())
    }

    fn screened(&self, text: &str) -> Option<Ended> {
        let screen = self.screen.filter(|_| self.settings.rules.applies(Rule::Contaminated))?;
        Some(Ended::by(Rule::Contaminated, screen(text)?))
    }

    fn kind_of(&self, row: &Row) -> Option<Kind> {
        let name = row.operator.as_ref()?;
        self.operators.operators.iter().find(|operator| operator.name == *name).map(|operator| operator.kind)
    }

    /// A number that depends on the run's seed, a row and a purpose, and on nothing else: not on the
    /// order of replies, nor on how many rows there are.
    fn hash(&self, id: &str, purpose: &str) -> u32 {
        let hex = digest::of_bytes(format!("{}\n{id}\n{purpose}", self.settings.seed));
        u32::from_str_radix(&hex[..8], 16).expect("a digest is hexadecimal")
    }

    fn rng(&self, id: &str, purpose: &str) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.hash(id, purpose).into())
    }
}

fn call(task: Task, model: &Model, request: &ChatRequest, reply: Option<&Reply>) -> Call {
    let prompt_tokens = reply.and_then(|reply| reply.prompt_tokens);
    let new_tokens = reply.and_then(|reply| reply.new_tokens);
    let cost = |prices: Prices| Some(prices.cost(prompt_tokens? as f64, new_tokens? as f64));
    Call {
        task,
        model: model.name.clone(),
        request: request.key(),
        seed: request.options.seed,
        prompt_tokens,
        new_tokens,
        cost: model.prices.and_then(cost),
    }
}

/// Whether another run may get a reply where this one got none. What a server holds back, or finds
/// wrong with the request itself, it will again.
fn passes(error: &RequestError) -> bool {
    let source = error.source.as_ref();
    source.downcast_ref::<GenerateFailure>().is_some_and(|failure| !failure.is_of_this_request)
        || source.is::<NotAsked>()
}
