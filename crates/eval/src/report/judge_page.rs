//! The page of a judged run.

use camelid_ratings::report::{add_position, position_context, win_matrix};
use camelid_ratings::{Outcome, TieRule, WinMatrix};
use camelid_report::{
    Bar, Outcomes, PAGE_STYLE, RadarSeries, Report, ReportError, Tabular, environment, interval_bars,
    outcome_bars, radar,
};
use minijinja::Value;
use minijinja::value::Serde;
use polars::prelude::{DataFrame, PolarsResult};
use serde::Serialize;

use crate::judge::{
    Answers, Judged, Judgment, Opponents, QuestionSet, Resampling, Scoreboard, Session, Verdict, battles,
    judgments_frame,
};

/// Best grade there is.
const BEST: f64 = 10.0;
/// Judgments shown with what was judged.
const SAMPLES: usize = 12;

/// Everything a judged run has to say.
#[derive(Debug, Clone, Serialize)]
pub struct JudgeReport {
    /// Its headline.
    pub title: String,
    /// The scores.
    pub scoreboard: Scoreboard,
    /// The models, how they were reached, and what they and the judge were asked, in words.
    pub inputs: Vec<String>,
    /// Some of the judgments, with what was judged.
    pub samples: Vec<JudgeSample>,
    /// What was asked and what it cost, when and where, in words.
    pub run: Vec<String>,
    /// The command that repeats the run.
    pub command: String,
    /// The judgments; they go to Parquet.
    #[serde(skip)]
    pub judgments: Vec<Judgment>,
}

/// A judgment with what was judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JudgeSample {
    /// The question's id, category and turn.
    pub place: String,
    /// What the user said in the turn.
    pub question: String,
    /// Model and its answer; two of a pair, the one shown first in front.
    pub answers: Vec<(String, String)>,
    /// The verdict in words.
    pub verdict: String,
    /// The judge's reply.
    pub reply: String,
}

impl JudgeReport {
    /// The report of a run, with the command that repeats it.
    pub fn new(
        title: &str,
        session: &Session,
        judged: Judged,
        resampling: Resampling,
        command: String,
    ) -> Self {
        let baseline = match &session.opponents {
            Opponents::Baseline(model) => Some(model.as_str()),
            Opponents::All => None,
        };
        let scoreboard =
            Scoreboard::new(&session.questions, session.mode, &judged.judgments, baseline, resampling);
        let protocol = &session.judge.protocol;
        let mut inputs: Vec<String> = session.models.iter().map(|model| model.about.clone()).collect();
        inputs.extend(session.given.iter().map(|answers| format!("{}: answers from a file", answers.model)));
        inputs.push(format!("the judge, {}", session.judge.model.about));
        inputs.push(format!(
            "answers of up to {} tokens, temperature by category, else {}; seed {}",
            protocol.max_new_tokens, protocol.default_temperature, session.seed
        ));
        inputs.push(format!(
            "judgments of up to {} tokens, temperature {}",
            protocol.judge.max_new_tokens, protocol.judge.temperature
        ));
        inputs.push(if session.judge.without_references {
            "no reference answers".to_owned()
        } else {
            format!("reference answers for {}", protocol.reference_categories.join(", "))
        });
        let priced =
            session.models.iter().chain([&session.judge.model]).any(|model| model.settings.prices.is_some());
        Self {
            title: title.to_owned(),
            samples: judge_samples(&session.questions, &judged.answers, &judged.judgments, SAMPLES),
            inputs,
            run: judged.tally.lines(priced),
            scoreboard,
            command,
            judgments: judged.judgments,
        }
    }

    fn radar(&self) -> Result<String, ReportError> {
        let axes: Vec<&str> = self.scoreboard.categories.iter().map(String::as_str).collect();
        let series: Vec<RadarSeries> = self
            .scoreboard
            .scores
            .iter()
            .map(|score| RadarSeries {
                name: &score.model,
                values: axes.iter().map(|axis| Some(score.categories.get(*axis)?.value)).collect(),
            })
            .collect();
        radar(&axes, &series, BEST)
    }

    fn score_bars(&self) -> Result<String, ReportError> {
        let bars: Vec<Bar> = self
            .scoreboard
            .scores
            .iter()
            .filter_map(|score| {
                let overall = score.overall?;
                Some(Bar {
                    name: &score.model,
                    value: overall.value,
                    interval: overall.low.zip(overall.high),
                })
            })
            .collect();
        interval_bars(&bars, BEST, "mean grade", |value| format!("{value:.2}"))
    }

    fn outcome_bars(&self) -> Result<String, ReportError> {
        let totals = self.scoreboard.pairs.iter().filter(|pair| pair.opponent.is_none());
        let rows: Vec<Outcomes> = totals
            .map(|pair| Outcomes { name: &pair.model, counts: [pair.wins, pair.ties, pair.losses] })
            .collect();
        outcome_bars(&rows)
    }

    fn ratio_bars(&self) -> Result<String, ReportError> {
        let bars: Vec<Bar> = self
            .scoreboard
            .ratios
            .iter()
            .map(|ratio| Bar {
                name: &ratio.model,
                value: ratio.ratio.value,
                interval: ratio.ratio.low.zip(ratio.ratio.high),
            })
            .collect();
        let axis =
            bars.iter().map(|bar| bar.interval.map_or(bar.value, |(_, high)| high)).fold(1.0, f64::max);
        interval_bars(&bars, axis, "grades over the baseline's", |value| format!("{:.1} %", 100.0 * value))
    }
}

impl Report for JudgeReport {
    fn text(&self) -> String {
        self.scoreboard.markdown()
    }

    fn page(&self) -> Result<String, ReportError> {
        let board = &self.scoreboard;
        let position = board.position.as_ref().map(position_context).transpose()?;
        let mut environment = environment();
        add_position(&mut environment)?;
        environment.add_filter("grade", |value: f64| format!("{value:.2}"));
        environment.add_template("judge", include_str!("judge.html.j2"))?;
        Ok(environment.get_template("judge")?.render(minijinja::context! {
            report => Value::from(Serde(self)),
            style => PAGE_STYLE,
            judged_by => board.judged_by.to_string(),
            turns => board.turns(),
            subjects => board.errors.iter().map(|error| error.subject()).collect::<Vec<_>>(),
            position,
            plot_radar => self.radar()?,
            plot_scores => self.score_bars()?,
            plot_outcomes => self.outcome_bars()?,
            plot_ratios => self.ratio_bars()?,
            plot_matrix => matrix(&self.judgments)?,
        })?)
    }
}

impl Tabular for JudgeReport {
    /// The judgments, a row each ([`judgments_frame`]).
    fn frame(&self) -> PolarsResult<DataFrame> {
        judgments_frame(&self.judgments)
    }
}

/// The win matrix over more than two models.
fn matrix(rows: &[Judgment]) -> Result<String, ReportError> {
    let battles = battles(rows);
    if battles.models().len() < 3 {
        return Ok(String::new());
    }
    // Battles among three models are not empty.
    let Ok(matrix) = WinMatrix::new(&battles, TieRule::Half) else { return Ok(String::new()) };
    let names: Vec<&str> = battles.models().iter().map(String::as_str).collect();
    let models = 0..names.len();
    let rates: Vec<Vec<Option<f64>>> =
        models.clone().map(|i| models.clone().map(|j| matrix.rate(i, j)).collect()).collect();
    Ok(win_matrix(&names, &rates)?)
}

/// Judgments to show, `count` at most, spread evenly over all.
pub fn judge_samples(
    questions: &QuestionSet,
    answers: &[Answers],
    rows: &[Judgment],
    count: usize,
) -> Vec<JudgeSample> {
    let sample = |row: &Judgment| {
        let question = questions.questions.iter().find(|question| question.id == row.question)?;
        let turn = row.turn as usize - 1;
        let answer = |model: &str| {
            let answers = answers.iter().find(|answers| answers.model == model)?;
            let text = answers.to(&row.question).and_then(|answer| answer.turns.get(turn));
            Some((model.to_owned(), text.cloned().unwrap_or_else(|| "(no answer)".to_owned())))
        };
        Some(JudgeSample {
            place: format!("question {}, {}, turn {}", row.question, row.category, row.turn),
            question: question.turns.get(turn)?.clone(),
            answers: [Some(row.model.as_str()), row.opponent.as_deref()]
                .into_iter()
                .flatten()
                .filter_map(answer)
                .collect(),
            verdict: words(row),
            reply: row.text.clone(),
        })
    };
    let step = rows.len().div_ceil(count.max(1)).max(1);
    rows.iter().step_by(step).filter_map(sample).collect()
}

/// A verdict in words.
fn words(row: &Judgment) -> String {
    let opponent = row.opponent.as_deref().unwrap_or_default();
    match row.verdict {
        Some(Verdict::Rating(grade)) => format!("grade {grade}"),
        Some(Verdict::Ratings(first, second)) => {
            format!("{} {first}, {opponent} {second}", row.model)
        }
        Some(Verdict::Winner(Outcome::Tie)) => "tie".to_owned(),
        Some(Verdict::Winner(Outcome::ModelA)) => format!("{} wins", row.model),
        Some(Verdict::Winner(Outcome::ModelB)) => format!("{opponent} wins"),
        None => row.error.clone().unwrap_or_else(|| "no verdict".to_owned()),
    }
}
