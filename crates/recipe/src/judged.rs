//! A tuned model's answers judged against those of the untuned base, each pair in both orders.
//!
//! Without a judge, questions with one right answer decide: the right answer beats the wrong one.
//! Any model that is named is asked instead; its replies are kept and never asked for twice.

use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use camelid_chat::Conversation;
use camelid_chat::requests::{Prices, RequestStore, RunError, RunSettings};
use camelid_eval::exact_match::{Marked, compare_marked};
use camelid_eval::judge::{
    Answer, Answers, EndpointSettings, JudgeError, Judgment, Mode, ModelSpec, Question, QuestionSet,
    Resampling, Scoreboard, Setup,
};
use camelid_files::FileError;
use serde::{Deserialize, Serialize};

use crate::{Arm, Measured, RecipeError, Study, requests_bar, show_requests};

/// Names of the two in judgments, files and the report.
const BASE: &str = "base";
const TUNED: &str = "tuned";

/// Who judges, and at what price.
#[derive(Debug, Clone)]
pub struct Judge {
    /// The judge.
    pub model: ModelSpec,
    /// Prices of its endpoint.
    pub prices: Option<Prices>,
    /// Environment variable with the API key of its endpoint.
    pub api_key_env: Option<String>,
    /// Most that it may cost, in the currency of the prices.
    pub spending_limit: Option<f64>,
}

/// How the comparison ended.
#[derive(Debug)]
pub enum Compared {
    /// Ctrl-C; what the judge had replied is kept.
    Interrupted,
    /// It came to its end; `None` where there was nothing to compare, or no judge for it.
    Done(Option<Judged>),
}

/// Wins, ties and losses of the tuned model against its base, for the report.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judged {
    /// Who judged, by which prompts.
    pub judge: String,
    /// Questions that were answered by both.
    pub questions: usize,
    /// Games won in both orders, tied, lost in both orders.
    pub wins_ties_losses: [usize; 3],
    /// Ties because the two orders contradict each other.
    pub inconsistent: usize,
    /// Questions without a verdict in one of the orders.
    pub errors: usize,
    /// Share of games that the tuned model won, a tie as half, with its 95 % interval over questions.
    pub win_rate: Option<(f64, Option<f64>, Option<f64>)>,
    /// Share of verdicts for the answer shown first, a tie as half; 0.5 without a position effect.
    pub first_position: Option<f64>,
}

impl Study {
    /// Compares the first seed of `arm` with the untuned base that it began from.
    ///
    /// # Errors
    /// A judge that cannot be asked, a disk that is full.
    pub fn judge(
        &self,
        arm: &impl Arm,
        measured: &Measured,
        judge: Option<&Judge>,
        interrupted: &AtomicBool,
    ) -> Result<Compared, RecipeError> {
        let (Some(tuned), Some(base)) = (measured.seeds_of(arm).next(), measured.base_of(arm)) else {
            return Ok(Compared::Done(None));
        };
        let Some(judge) = judge else {
            let rows = compare_marked((TUNED, &tuned.answers), (BASE, &base.answers));
            let judged = (!rows.is_empty()).then(|| summed(&self.asked(), &rows)).transpose()?;
            return Ok(Compared::Done(judged));
        };
        let texts = |answers: &[Marked], samples: &[String]| match self.questions.is_empty() {
            true => samples.to_vec(),
            false => answers.iter().map(|answer| answer.text.clone()).collect(),
        };
        let texts =
            [(BASE, texts(&base.answers, &base.samples)), (TUNED, texts(&tuned.answers, &tuned.samples))];
        self.judged_by(judge, texts, interrupted)
    }

    /// What both models were asked: the questions with one right answer, else the first messages of
    /// held-out conversations.
    fn asked(&self) -> QuestionSet {
        let first = |c: &Conversation| Question {
            id: c.id.clone(),
            category: "held-out conversations".to_owned(),
            turns: vec![c.messages.first().map_or_else(String::new, |message| message.content.clone())],
            reference: Vec::new(),
            temperature: None,
        };
        // The judge grades without knowing the right answers.
        let open = |q: &Question| Question { reference: Vec::new(), ..q.clone() };
        let questions = match self.questions.is_empty() {
            true => self.samples.iter().map(first).collect(),
            false => self.questions.iter().map(open).collect(),
        };
        QuestionSet { name: format!("{} held out", self.comparison.experiment.name), questions }
    }

    fn judged_by(
        &self,
        judge: &Judge,
        texts: [(&str, Vec<String>); 2],
        interrupted: &AtomicBool,
    ) -> Result<Compared, RecipeError> {
        let questions = self.asked();
        let folder = self.comparison.folder.join("judged");
        std::fs::create_dir_all(&folder).map_err(FileError::io(&folder, "create"))?;
        let mut answers = Vec::new();
        for (model, texts) in texts {
            let path = folder.join(format!("{model}.jsonl"));
            let answer = |(question, text): (&Question, String)| Answer {
                question: question.id.clone(),
                id: format!("{model}-{}", question.id),
                turns: vec![text],
                error: None,
                timestamp: 0.0,
                sampled: None,
            };
            Answers::new(model, questions.questions.iter().zip(texts).map(answer)).write(&path)?;
            answers.push(path);
        }
        let session = Setup {
            without_references: true,
            answers,
            mode: Mode::Pair,
            judge_endpoint: EndpointSettings {
                run: RunSettings { prices: judge.prices, ..RunSettings::default() },
                api_key_env: judge.api_key_env.clone(),
                ..EndpointSettings::default()
            },
            spending_limit: judge.spending_limit,
            ..Setup::new(questions.clone(), judge.model.clone())?
        }
        .open(&Device::flex())?;
        for note in session.notes() {
            camelid_files::say!("warning: {note}");
        }
        let store = RequestStore::open(&folder.join("replies.jsonl"))
            .map_err(|error| JudgeError::Run(error.into()))?;
        for line in session.forecast(&store)?.lines() {
            println!("{line}");
        }
        let bar = requests_bar();
        let judged =
            session.run(&store, interrupted, &mut |stage, progress| show_requests(&bar, stage, &progress));
        bar.finish_and_clear();
        match judged {
            Err(JudgeError::Run(RunError::Interrupted { .. })) => Ok(Compared::Interrupted),
            judged => Ok(Compared::Done(Some(summed(&questions, &judged?.judgments)?))),
        }
    }
}

fn summed(questions: &QuestionSet, rows: &[Judgment]) -> Result<Judged, RecipeError> {
    let board = Scoreboard::new(questions, Mode::Pair, rows, None, Resampling::default());
    let score = board.pairs.iter().find(|score| score.model == TUNED).ok_or_else(|| RecipeError::Child {
        what: "judging".to_owned(),
        reason: "the judgments say nothing of the tuned model".to_owned(),
    })?;
    // Without a model there are no prompts, versions and temperatures to state.
    let asked_a_model = rows.iter().any(|row| row.request.is_some());
    Ok(Judged {
        judge: if asked_a_model { board.judged_by.to_string() } else { board.judged_by.judge.clone() },
        questions: board.questions,
        wins_ties_losses: [score.wins, score.ties, score.losses],
        inconsistent: score.inconsistent,
        errors: score.errors,
        win_rate: score.adjusted_win_rate.map(|rate| (rate.value, rate.low, rate.high)),
        first_position: board.position.as_ref().and_then(|p| p.overall.rate()).map(|rate| rate.value),
    })
}

impl Judged {
    /// The comparison in a sentence.
    pub fn words(&self) -> String {
        let [wins, ties, losses] = self.wins_ties_losses;
        let rate = match self.win_rate {
            Some((rate, Some(low), Some(high))) => {
                format!("; it scores {:.1} % [{:.1}, {:.1}]", 100.0 * rate, 100.0 * low, 100.0 * high)
            }
            Some((rate, ..)) => format!("; it scores {:.1} %", 100.0 * rate),
            None => String::new(),
        };
        format!(
            "tuned model against its base over {} questions: {wins} won, {ties} tied ({} by contradiction), {losses} \
             lost, {} without a verdict{rate}",
            self.questions, self.inconsistent, self.errors
        )
    }
}
