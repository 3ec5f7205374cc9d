//! Self-Instruct as Stanford Alpaca made its 52,002 instructions (`generate_instruction.py`): a model goes
//! on with a list of tasks that begins with demonstrations; what is like an earlier task is left out.

mod filter;
mod reply;

use std::ops::Range;

use camelid_text::rouge::Earlier;
use rand::seq::index;
use serde::{Deserialize, Serialize};

use crate::EvolveError;
use crate::asking::{Answered, Asked, Books, Desk, Model, Stage, hash, rng};
use crate::decontaminate::Decontaminator;
use crate::lineage::{self, Row};
use crate::rules::{Ended, Rule, RuleSettings};
use reply::{Piece, pieces};

/// A task that is shown to the model, written by people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Demonstration {
    /// What is asked.
    pub instruction: String,
    /// What it works on; empty where it needs nothing.
    pub input: String,
    /// An answer.
    pub output: String,
}

/// How instructions are made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SelfInstructSettings {
    /// Instructions to make; the last requests may bring some more. Default 52,000.
    pub instructions: usize,
    /// Demonstrations of a prompt, drawn from the seeds alone. Default 3.
    pub demonstrations: usize,
    /// Tasks that the prompt speaks of, demonstrations included. Default 20.
    pub tasks: usize,
    /// Requests made at a time. Default 5.
    pub batch: usize,
    /// ROUGE-L above which an instruction is too like an earlier one. Default 0.7.
    pub rouge_above: f64,
    /// Fewest words of an instruction. Default 4.
    pub fewest_words: usize,
    /// Most words of an instruction. Default 150.
    pub most_words: usize,
    /// Words that an instruction may not have; by default Alpaca's, which ask for more than text.
    pub barred: Vec<String>,
    /// How an instruction may not begin. Default `Write a program`, which Alpaca's model began too often.
    pub barred_starts: Vec<String>,
    /// Batches in a row without a new instruction that end the run. Default 20.
    pub patience: usize,
    /// Seed of all draws and of sampling.
    pub seed: u64,
    /// Which of Camelid's own rules apply besides Alpaca's, and how.
    pub rules: RuleSettings,
}

/// Alpaca's list.
const BARRED: [&str; 18] = [
    "image",
    "images",
    "graph",
    "graphs",
    "picture",
    "pictures",
    "file",
    "files",
    "map",
    "maps",
    "draw",
    "plot",
    "go to",
    "video",
    "audio",
    "music",
    "flowchart",
    "diagram",
];

impl Default for SelfInstructSettings {
    fn default() -> Self {
        Self {
            instructions: 52_000,
            demonstrations: 3,
            tasks: 20,
            batch: 5,
            rouge_above: 0.7,
            fewest_words: 4,
            most_words: 150,
            barred: BARRED.map(str::to_owned).to_vec(),
            barred_starts: vec!["Write a program".to_owned()],
            patience: 20,
            seed: 0,
            rules: RuleSettings::default(),
        }
    }
}

impl SelfInstructSettings {
    fn check(&self, seeds: usize) -> Result<(), EvolveError> {
        let in_range = |setting: &str, value: usize, range: Range<usize>| {
            if range.contains(&value) {
                return Ok(());
            }
            let expected = match range.end {
                usize::MAX => format!("at least {}", range.start),
                end => format!("from {} to {}", range.start, end - 1),
            };
            Err(EvolveError::Setting { setting: setting.to_owned(), found: value.to_string(), expected })
        };
        in_range("instructions", self.instructions, 1..usize::MAX)?;
        in_range("demonstrations", self.demonstrations, 1..seeds + 1)?;
        in_range("tasks", self.tasks, self.demonstrations + 1..usize::MAX)?;
        in_range("batch", self.batch, 1..usize::MAX)?;
        in_range("patience", self.patience, 1..usize::MAX)?;
        if !(0.0..=1.0).contains(&self.rouge_above) {
            let (setting, found) = ("rouge_above".to_owned(), self.rouge_above.to_string());
            return Err(EvolveError::Setting { setting, found, expected: "a number from 0 to 1".to_owned() });
        }
        Ok(())
    }
}

/// Camelid's own words before the list of tasks; `{tasks}` stands for their number.
pub const PROMPT: &str = include_str!("prompt.txt");

/// A run of Self-Instruct.
pub struct SelfInstruct<'a> {
    /// How it goes.
    pub settings: &'a SelfInstructSettings,
    /// What stands before the list of tasks: [`PROMPT`], or other words.
    pub prompt: &'a str,
    /// Who makes the tasks.
    pub model: Model<'a>,
    /// Where replies are kept, and what may be spent.
    pub desk: Desk<'a>,
    /// Test sets with which no row may share text.
    pub against: Option<&'a Decontaminator>,
}

/// What has been made.
struct Made {
    rows: Vec<Row>,
    earlier: Earlier,
    /// The rows in `earlier`.
    ids: Vec<String>,
    living: usize,
}

impl SelfInstruct<'_> {
    /// Makes instructions and returns every row: the seeds, then what came of each request, in order.
    /// Rows are of round 1; their attempt is the request. A request stands with the first row it made.
    ///
    /// The result depends on seeds, settings, test sets and replies alone, as that of
    /// [`Evolution::run`](crate::Evolution::run). `keep` sees the rows now and then.
    ///
    /// # Errors
    /// As [`Evolution::run`](crate::Evolution::run); [`EvolveError::NothingNew`] when requests bring no
    /// new instruction any more.
    pub fn run(
        &self,
        seeds: &[Demonstration],
        progress: &mut dyn FnMut(Stage),
        keep: &mut dyn FnMut(&[Row]) -> Result<(), EvolveError>,
    ) -> Result<Vec<Row>, EvolveError> {
        if seeds.is_empty() {
            return Err(EvolveError::NoSeeds);
        }
        self.settings.check(seeds.len())?;
        let mut books = Books::open(self.desk, progress);
        let mut made = self.seed_rows(seeds);
        let (mut batch, mut in_vain, mut kept) = (0, 0, 0);
        while made.living < self.settings.instructions {
            let before = made.living;
            let requests = batch * self.settings.batch + 1..(batch + 1) * self.settings.batch + 1;
            self.batch(seeds, requests.clone(), &mut made, &mut books)?;
            batch += 1;
            in_vain = if made.living == before { in_vain + 1 } else { 0 };
            if in_vain == self.settings.patience {
                keep(&made.rows)?;
                return Err(EvolveError::NothingNew {
                    requests: in_vain * self.settings.batch,
                    made: made.living,
                    wanted: self.settings.instructions,
                });
            }
            // Rows are written whole each time: seldomer the more there are.
            if made.rows.len() >= kept + kept / 4 {
                keep(&made.rows)?;
                kept = made.rows.len();
            }
        }
        Ok(made.rows)
    }

    fn seed_rows(&self, seeds: &[Demonstration]) -> Made {
        let mut made = Made {
            rows: Vec::new(),
            earlier: Earlier::new(self.settings.rouge_above),
            ids: Vec::new(),
            living: 0,
        };
        for (at, seed) in seeds.iter().enumerate() {
            let mut row = Row {
                input: seed.input.clone(),
                response: Some(seed.output.clone()).filter(|output| !output.trim().is_empty()),
                ended: self.settings.rules.of_seed(&seed.instruction),
                ..Row::new(at.to_string(), at, seed.instruction.clone())
            };
            self.screen(&mut row);
            // Whatever becomes of a seed, it is shown, so that what is like it is no news.
            made.earlier.add(&seed.instruction);
            made.ids.push(row.id.clone());
            made.rows.push(row);
        }
        made
    }

    /// One batch of requests, and the rows that they make.
    fn batch(
        &self,
        seeds: &[Demonstration],
        requests: Range<usize>,
        made: &mut Made,
        books: &mut Books,
    ) -> Result<(), EvolveError> {
        let settings = self.settings;
        let shown = |request: usize| {
            let mut rng = rng(settings.seed, &request.to_string(), "demonstrations");
            index::sample(&mut rng, seeds.len(), settings.demonstrations).into_vec()
        };
        let all: Vec<(usize, Vec<usize>)> = requests.map(|request| (request, shown(request))).collect();
        let asked = |(request, shown): &(usize, Vec<usize>)| Asked {
            prompt: self.ask_for(shown.iter().map(|&at| &seeds[at])),
            seed: hash(settings.seed, &request.to_string(), "instruct").into(),
        };
        let asked: Vec<Asked> = all.iter().map(asked).collect();
        let answered = books.ask(lineage::Task::Instruct, &self.model, 1, asked)?;
        for ((request, shown), answered) in all.into_iter().zip(answered) {
            let shown: Vec<String> = shown.iter().map(usize::to_string).collect();
            self.rows_of(request, &shown, answered, made);
        }
        Ok(())
    }

    /// The prompt: what is wanted, the demonstrations, and the number of the next task.
    fn ask_for<'d>(&self, shown: impl Iterator<Item = &'d Demonstration>) -> String {
        let mut prompt = self.prompt.trim_end().replace("{tasks}", &self.settings.tasks.to_string());
        prompt.push('\n');
        for (at, task) in shown.enumerate() {
            let number = at + 1;
            let instruction = task.instruction.split_whitespace().collect::<Vec<_>>().join(" ");
            let instruction = instruction.trim_end_matches(':');
            let input = if task.input.is_empty() { "<noinput>" } else { &task.input };
            prompt += &format!(
                "###\n{number}. Instruction: {instruction}\n{number}. Input:\n{input}\n{number}. Output:\n{}\n",
                task.output
            );
        }
        prompt + &format!("###\n{}. Instruction:", self.settings.demonstrations + 1)
    }

    /// The rows of one reply.
    fn rows_of(&self, request: usize, shown: &[String], answered: Answered, made: &mut Made) {
        let row = |made: &Made, instruction: String| Row {
            round: 1,
            attempt: request,
            operator: Some("self_instruct".to_owned()),
            demonstrations: shown.to_vec(),
            ..Row::new(made.rows.len().to_string(), made.rows.len(), instruction)
        };
        let first = made.rows.len();
        match answered.text() {
            Err(refusal) => {
                let ended = Some(Ended::by(Rule::Refused, refusal));
                made.rows.push(Row { ended, ..row(made, String::new()) });
            }
            Ok((text, cut_off)) => {
                let pieces = pieces(text, self.settings.demonstrations);
                let last = pieces.len() - 1;
                for (at, piece) in pieces.into_iter().enumerate() {
                    if matches!(&piece, Err(text) if text.is_empty()) {
                        continue;
                    }
                    let instruction =
                        piece.as_ref().map_or_else(Clone::clone, |task| task.instruction.clone());
                    let mut row = row(made, instruction);
                    self.judge(&mut row, piece, cut_off && at == last, made);
                    if row.lives() {
                        made.earlier.add(&row.instruction);
                        made.ids.push(row.id.clone());
                        made.living += 1;
                    }
                    made.rows.push(row);
                }
            }
        }
        made.rows[first].calls.push(answered.call);
    }

    /// Alpaca's rules in its order, then Camelid's own.
    fn judge(&self, row: &mut Row, piece: Piece, cut_off: bool, made: &mut Made) {
        let settings = self.settings;
        let task = match piece {
            _ if cut_off => return row.ended = Some(Ended::by(Rule::CutOff, "the last of its reply")),
            Err(_) => return row.ended = Some(Ended::by(Rule::Format, "")),
            Ok(task) => task,
        };
        row.input = task.input;
        row.response = Some(task.output);
        row.ended = filter::of_instruction(&row.instruction, settings);
        row.ended = row.ended.take().or_else(|| settings.rules.of_seed(&row.instruction));
        self.screen(row);
        if row.ended.is_none()
            && let Some(like) = made.earlier.like(&row.instruction)
        {
            let found = format!("{} ({:.2})", made.ids[like.place], like.score);
            row.ended = Some(Ended::by(Rule::Similar, found));
        }
        if row.ended.is_none() {
            let response = row.response.as_deref().unwrap_or_default();
            row.ended = settings.rules.of_response(response, &row.question(), false);
        }
    }

    /// Notes what a row shares with test sets, and ends it for that.
    fn screen(&self, row: &mut Row) {
        if let Some(against) = self.against.filter(|_| row.ended.is_none()) {
            for text in [Some(row.question()), row.response.clone()].into_iter().flatten() {
                row.screen(&text, against, &self.settings.rules);
            }
        }
    }
}
