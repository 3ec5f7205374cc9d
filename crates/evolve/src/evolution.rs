//! The rounds: evolve, eliminate, answer, eliminate, and over again with what lives.

use serde::{Deserialize, Serialize};

use crate::EvolveError;
use crate::asking::{Answered, Asked, Books, Desk, Model, Stage, hash, rng};
use crate::decontaminate::Decontaminator;
use crate::duplicates::Duplicates;
use crate::lineage::{Row, Task};
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

/// Who does what.
#[derive(Clone)]
pub struct Models<'a> {
    /// Rewrites instructions.
    pub evolver: Model<'a>,
    /// Answers them; the paper's is the evolver.
    pub answerer: Model<'a>,
    /// Compares and rates; without one rule 1 is not asked.
    pub judge: Option<Model<'a>>,
}

/// An evolution, ready to run.
pub struct Evolution<'a> {
    /// How it goes.
    pub settings: &'a EvolutionSettings,
    /// What it does with instructions.
    pub operators: &'a OperatorSet,
    /// Who does it.
    pub models: Models<'a>,
    /// Where replies are kept, and what may be spent.
    pub desk: Desk<'a>,
    /// Test sets with which no row may share text: neither a seed nor what comes of it, neither
    /// instructions nor answers.
    pub against: Option<&'a Decontaminator>,
}

impl Evolution<'_> {
    /// Evolves the seeds and returns every row made, parents before children, rounds in order.
    ///
    /// The result depends on seeds, settings, operators, test sets and replies alone. A run that ended
    /// early is therefore gone on with by running again over the same stores: what was answered is not
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
        let mut books = Books::open(self.desk, progress);
        let books = &mut books;
        let mut living = Duplicates::new(self.settings.rules.near_duplicates)?;
        let mut rows = self.seed_rows(seeds, &mut living, books)?;
        // The place of the row that stands for each line of evolution.
        let mut pool: Vec<usize> = (0..rows.len()).filter(|&at| rows[at].lives()).collect();
        self.rate(&mut rows, 0, books)?;
        for round in 1..=self.settings.rounds {
            let first = rows.len();
            let mut open: Vec<usize> = (0..pool.len()).collect();
            for attempt in 1..=self.settings.attempts {
                let parents: Vec<&Row> = open.iter().map(|&line| &rows[pool[line]]).collect();
                let made = self.attempt(&parents, (round, attempt), &mut living, books)?;
                // A failed evolution leaves its parent in the pool.
                let mut failed = Vec::new();
                for (line, row) in open.into_iter().zip(made) {
                    if row.lives() {
                        living.add(&row.instruction, &row.id)?;
                        pool[line] = rows.len();
                    } else {
                        failed.push(line);
                    }
                    rows.push(row);
                }
                open = failed;
            }
            self.rate(&mut rows[first..], round, books)?;
            keep(&rows)?;
        }
        Ok(rows)
    }

    /// The seeds as rows; those without an answer are answered.
    fn seed_rows(
        &self,
        seeds: &[Seed],
        living: &mut Duplicates,
        books: &mut Books,
    ) -> Result<Vec<Row>, EvolveError> {
        let row = |(at, seed): (usize, &Seed)| Row {
            response: seed.response.clone().filter(|response| !response.trim().is_empty()),
            ended: self.settings.rules.of_seed(&seed.instruction),
            ..Row::new(at.to_string(), at, seed.instruction.clone())
        };
        let mut rows: Vec<Row> = seeds.iter().enumerate().map(row).collect();
        for row in &mut rows {
            for text in [Some(row.instruction.clone()), row.response.clone()].iter().flatten() {
                self.screen(row, text);
            }
        }
        self.end_duplicates(&mut rows, living)?;
        self.answer(&mut rows, 0, books)?;
        for row in rows.iter().filter(|row| row.lives()) {
            living.add(&row.instruction, &row.id)?;
        }
        Ok(rows)
    }

    /// One evolution of each parent, in their order.
    fn attempt(
        &self,
        parents: &[&Row],
        (round, attempt): (usize, usize),
        living: &mut Duplicates,
        books: &mut Books,
    ) -> Result<Vec<Row>, EvolveError> {
        let (mut rows, prompts): (Vec<Row>, Vec<String>) =
            parents.iter().map(|parent| self.draft(parent, round, attempt)).unzip();
        let all: Vec<usize> = (0..rows.len()).collect();
        let evolver = (Task::Evolve, &self.models.evolver, round);
        let replies = self.ask(books, evolver, &mut rows, &all, prompts)?;
        for ((row, parent), reply) in rows.iter_mut().zip(parents).zip(replies) {
            let Some((text, cut_off)) = reply else { continue };
            let names = &self.operators.names;
            let instruction = instruction_of(&text, names);
            row.ended = self.settings.rules.of_instruction(&instruction, &parent.instruction, names, cut_off);
            self.screen(row, &instruction);
            row.instruction = instruction;
        }
        self.end_duplicates(&mut rows, living)?;
        self.compare(&mut rows, parents, round, books)?;
        self.answer(&mut rows, round, books)?;
        Ok(rows)
    }

    /// Ends rows that say what a living row says, or an earlier one of these that nothing has ended.
    fn end_duplicates(&self, rows: &mut [Row], living: &mut Duplicates) -> Result<(), EvolveError> {
        let rules = &self.settings.rules;
        if !rules.applies(Rule::Duplicate) {
            return Ok(());
        }
        let mut these = Duplicates::new(rules.near_duplicates)?;
        for row in rows.iter_mut().filter(|row| row.ended.is_none()) {
            let line = row.seed.to_string();
            let found = match living.of(&row.instruction, &line)? {
                Some(found) => Some(found),
                None => these.of(&row.instruction, &line)?,
            };
            match found {
                Some(found) => row.ended = Some(Ended::by(Rule::Duplicate, found)),
                None => these.add(&row.instruction, &row.id)?,
            }
        }
        Ok(())
    }

    /// A row that is to come, and the prompt that asks for it.
    fn draft(&self, parent: &Row, round: usize, attempt: usize) -> (Row, String) {
        let id = format!("{}.{round}.{attempt}", parent.seed);
        let (operator, data_format) = self.operators.draw(&mut rng(self.settings.seed, &id, "draw"));
        let mut values = vec![(Slot::Instruction, parent.instruction.trim())];
        values.extend(data_format.map(|format| (Slot::DataFormat, format)));
        let row = Row {
            parent: Some(parent.id.clone()),
            round,
            attempt,
            operator: Some(operator.name.clone()),
            data_format: data_format.map(str::to_owned),
            ..Row::new(id, parent.seed, String::new())
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
        books: &mut Books,
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
        let replies = self.ask(books, (Task::Compare, judge, round), rows, &asked, prompts)?;
        for (&at, reply) in asked.iter().zip(replies) {
            let Some((text, _)) = reply else { continue };
            let said = equality(&text);
            rows[at].judged = Some(said);
            if said == Equality::Equal {
                rows[at].ended = Some(Ended::by(Rule::NoGain, text.trim()));
            }
        }
        Ok(())
    }

    /// Answers every row that nothing ended and that has no answer.
    fn answer(&self, rows: &mut [Row], round: usize, books: &mut Books) -> Result<(), EvolveError> {
        let asked: Vec<usize> =
            (0..rows.len()).filter(|&at| rows[at].ended.is_none() && rows[at].response.is_none()).collect();
        let prompts: Vec<String> = asked.iter().map(|&at| rows[at].instruction.clone()).collect();
        let replies = self.ask(books, (Task::Answer, &self.models.answerer, round), rows, &asked, prompts)?;
        for (&at, reply) in asked.iter().zip(replies) {
            let Some((text, cut_off)) = reply else { continue };
            let row = &mut rows[at];
            row.ended = self.settings.rules.of_response(&text, &row.instruction, cut_off);
            self.screen(row, &text);
            row.response = Some(text.trim().to_owned());
        }
        Ok(())
    }

    /// Has a judge rate some rows that live.
    fn rate(&self, rows: &mut [Row], round: usize, books: &mut Books) -> Result<(), EvolveError> {
        let Some(judge) = self.models.judge.as_ref().filter(|_| self.settings.rated > 0) else {
            return Ok(());
        };
        let mut asked: Vec<usize> = (0..rows.len()).filter(|&at| rows[at].lives()).collect();
        // In an order of the seed's, so that more rows rated are these and more.
        asked.sort_by_cached_key(|&at| hash(self.settings.seed, &rows[at].id, "rated"));
        asked.truncate(self.settings.rated);
        let prompt =
            |&at: &usize| self.operators.difficulty.fill(&[(Slot::Instruction, &rows[at].instruction)]);
        let prompts: Vec<String> = asked.iter().map(prompt).collect();
        let replies = self.ask(books, (Task::Rate, judge, round), rows, &asked, prompts)?;
        for (&at, reply) in asked.iter().zip(replies) {
            // What a judge does not want to rate lives on without a figure.
            rows[at].ended = None;
            rows[at].difficulty = reply.and_then(|(text, _)| difficulty(&text));
        }
        Ok(())
    }

    /// Puts a prompt for each row at `asked` to a model. A row whose request the model refuses
    /// ends, and has no reply.
    fn ask(
        &self,
        books: &mut Books,
        (task, model, round): (Task, &Model, usize),
        rows: &mut [Row],
        asked: &[usize],
        prompts: Vec<String>,
    ) -> Result<Vec<Option<(String, bool)>>, EvolveError> {
        let seed = |at: usize| hash(self.settings.seed, &rows[at].id, task.verb()).into();
        let requests = asked.iter().zip(prompts).map(|(&at, prompt)| Asked { prompt, seed: seed(at) });
        let answered = books.ask(task, model, round, requests.collect())?;
        let settle = |(&at, answered): (&usize, Answered)| {
            let reply = answered.text().map(|(text, cut_off)| (text.to_owned(), cut_off));
            let reply = reply.map_err(|refusal| rows[at].ended = Some(Ended::by(Rule::Refused, refusal)));
            rows[at].calls.push(answered.call);
            reply.ok()
        };
        Ok(asked.iter().zip(answered).map(settle).collect())
    }

    fn screen(&self, row: &mut Row, text: &str) {
        if let Some(against) = self.against {
            row.screen(text, against, &self.settings.rules);
        }
    }

    fn kind_of(&self, row: &Row) -> Option<Kind> {
        let name = row.operator.as_ref()?;
        self.operators.operators.iter().find(|operator| operator.name == *name).map(|operator| operator.kind)
    }
}
