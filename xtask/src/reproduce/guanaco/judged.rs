//! The judged comparison of Guanaco's recipe: the tuned model's answers against the untuned base's,
//! each pair in both orders.
//!
//! Without a judge, questions with one right answer decide: the right answer beats the wrong one.
//! Any model named with `--judge` is asked instead; its replies are kept and never asked for twice.

use std::sync::atomic::AtomicBool;

use anyhow::Context;
use burn::tensor::Device;
use camelid_chat::requests::{Prices, RequestStore, RunError, RunSettings};
use camelid_eval::exact_match::compare_marked;
use camelid_eval::judge::{
    Answer, Answers, EndpointSettings, JudgeError, Judgment, Mode, ModelSpec, Question, QuestionSet,
    Resampling, Scoreboard, Setup,
};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::arms;
use super::evidence::Measured;
use super::setup::Study;
use crate::reproduce::mt_bench::progress_bar;

/// Names of the two in judgments, files and the report.
const BASE: &str = "base";
const TUNED: &str = "tuned";

/// Who judges, and at what price.
#[derive(Args, Clone)]
pub struct JudgeArguments {
    /// Judge of the tuned model's answers against the base's, [NAME=]PATH of its files or [NAME=]URL#MODEL
    /// at an OpenAI-compatible endpoint [default: exact match, where questions have one right answer]
    #[arg(long, value_name = "MODEL")]
    pub judge: Option<ModelSpec>,
    /// Prices of the judge's endpoint per million tokens: of prompts, of replies
    #[arg(long, value_name = "IN,OUT", requires = "judge")]
    pub judge_price: Option<Prices>,
    /// Environment variable with the API key of the judge's endpoint
    #[arg(long, value_name = "VARIABLE", requires = "judge")]
    pub judge_api_key_env: Option<String>,
    /// Most that the judge may cost, in the currency of the prices
    #[arg(long, value_name = "AMOUNT", requires = "judge_price")]
    pub spending_limit: Option<f64>,
}

/// How the comparison ended.
pub enum Compared {
    /// There was nothing to compare, or no judge for it.
    Nothing,
    /// Ctrl-C; what the judge had replied is kept.
    Interrupted,
    /// It came to its end.
    Done(Judged),
}

/// Wins, ties and losses of the tuned model against its base, for the report.
#[derive(Debug, Clone, Serialize, Deserialize)]
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

/// Compares the first seed of the main arm with the untuned base that it began from.
pub fn compare(
    study: &Study,
    measured: &Measured,
    arguments: &JudgeArguments,
    interrupted: &AtomicBool,
) -> anyhow::Result<Compared> {
    let main = arms::QLORA;
    let (Some(tuned), Some(base)) = (
        measured.arms.iter().find(|o| o.arm == main.name),
        measured.formats.iter().find(|f| f.name == main.base.name()),
    ) else {
        return Ok(Compared::Nothing);
    };
    if let Some(judge) = &arguments.judge {
        let asked = asked(study);
        let texts = |of_questions: Vec<&str>, of_samples: &[String]| -> Vec<String> {
            if study.questions.is_empty() {
                of_samples.to_vec()
            } else {
                of_questions.into_iter().map(str::to_owned).collect()
            }
        };
        let texts = [
            (BASE, texts(base.answers.iter().map(|a| a.text.as_str()).collect(), &base.samples)),
            (TUNED, texts(tuned.answers.iter().map(|a| a.text.as_str()).collect(), &tuned.samples)),
        ];
        return by_a_model(study, asked, texts, judge, arguments, interrupted);
    }
    let rows = compare_marked((TUNED, &tuned.answers), (BASE, &base.answers));
    Ok(if rows.is_empty() { Compared::Nothing } else { Compared::Done(summed(&asked(study), &rows)?) })
}

/// What both models were asked: the questions with one right answer, else the first messages of
/// held-out conversations.
fn asked(study: &Study) -> QuestionSet {
    let questions = if study.questions.is_empty() {
        let first = |c: &camelid_chat::Conversation| Question {
            id: c.id.clone(),
            category: "held-out conversations".to_owned(),
            turns: vec![c.messages.first().map_or_else(String::new, |m| m.content.clone())],
            reference: Vec::new(),
            temperature: None,
        };
        study.samples.iter().map(first).collect()
    } else {
        // The judge grades without knowing the right answers.
        let open = |q: &Question| Question { reference: Vec::new(), ..q.clone() };
        study.questions.iter().map(open).collect()
    };
    QuestionSet { name: format!("{} held out", study.comparison.experiment.name), questions }
}

fn by_a_model(
    study: &Study,
    questions: QuestionSet,
    texts: [(&str, Vec<String>); 2],
    judge: &ModelSpec,
    arguments: &JudgeArguments,
    interrupted: &AtomicBool,
) -> anyhow::Result<Compared> {
    let folder = study.comparison.folder.join("judged");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
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
            run: RunSettings { prices: arguments.judge_price, ..RunSettings::default() },
            api_key_env: arguments.judge_api_key_env.clone(),
            ..EndpointSettings::default()
        },
        spending_limit: arguments.spending_limit,
        ..Setup::new(questions.clone(), judge.clone())?
    }
    .open(&Device::flex())?;
    for note in session.notes() {
        eprintln!("warning: {note}");
    }
    let store = RequestStore::open(&folder.join("replies.jsonl"))?;
    for line in session.forecast(&store)?.lines() {
        println!("{line}");
    }
    let bar = progress_bar()?;
    let judged = session.run(&store, interrupted, &mut |stage, progress| {
        bar.set_length(progress.total as u64);
        bar.set_position(progress.done() as u64);
        bar.set_message(stage.progressed(&progress));
    });
    bar.finish_and_clear();
    match judged {
        Err(JudgeError::Run(RunError::Interrupted { .. })) => Ok(Compared::Interrupted),
        judged => Ok(Compared::Done(summed(&questions, &judged?.judgments)?)),
    }
}

fn summed(questions: &QuestionSet, rows: &[Judgment]) -> anyhow::Result<Judged> {
    let board = Scoreboard::new(questions, Mode::Pair, rows, None, Resampling::default());
    let score = board.pairs.iter().find(|score| score.model == TUNED);
    let score = score.context("the judgments say nothing of the tuned model")?;
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
            "tuned model against its base over {} questions: {wins} won, {ties} tied ({} by contradiction), {losses} lost, {} \
             without a verdict{rate}",
            self.questions, self.inconsistent, self.errors
        )
    }
}
