//! HumanEval and MBPP sample files: `task_id` with `completion` or `solution`, any number a problem.

use std::collections::BTreeMap;
use std::path::PathBuf;

use camelid_sandbox::pass_at_k::{Drawn, PassAtK, mean_pass_at_k};
use camelid_sandbox::programs::cut::{Cut, cut};
use camelid_sandbox::programs::reply::{code, joined};
use camelid_sandbox::programs::{human_eval, mbpp, plus, python};
use camelid_sandbox::{Limits, Program, Sandbox};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::samples::{each, names, text, texts};
use super::{Remarks, ScoreError, ScoreReport};
use crate::tasks::{DataPlaces, Task, TaskError, read};

/// A set of programming problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProgramSuite {
    /// Chen et al. 2021.
    HumanEval,
    /// Austin et al. 2021, the test set.
    Mbpp,
    /// HumanEval with EvalPlus's tests (Liu et al. 2023).
    #[serde(rename = "humaneval-plus")]
    HumanEvalPlus,
    /// The 378 problems of MBPP that EvalPlus kept, with its tests.
    #[serde(rename = "mbpp-plus")]
    MbppPlus,
}

/// How samples become programs, and which k are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SampleOptions {
    /// The field that holds them, where it is none of the usual; taken as completions.
    pub field: Option<String>,
    /// Where they end, before anything else.
    pub cuts: Vec<Cut>,
    /// What is done with them then.
    pub form: SampleForm,
    /// The k of pass@k; where none is given, those of 1, 10 and 100 that every problem has samples enough for.
    pub ks: Vec<u64>,
}

/// How samples fared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProgramScores {
    /// The problems.
    pub suite: ProgramSuite,
    /// Problems of the set.
    pub problems: usize,
    /// Samples that were run.
    pub samples: usize,
    /// Samples that passed.
    pub passed: usize,
    /// pass@k over the problems that have samples, for each k that every one of them has enough for.
    pub pass_at: Vec<PassAtK>,
    /// Problems without a sample; they are left out of every figure.
    pub missing: Vec<String>,
    /// By problem, in the set's order.
    pub by_problem: Vec<ProblemScore>,
    /// Samples that hold a code fence.
    pub fenced: usize,
    /// How samples were taken.
    pub form: SampleForm,
    /// Where they were ended.
    pub cuts: Vec<Cut>,
    /// Samples that this shortened.
    pub cut: usize,
    /// What is to be said of some rows.
    #[serde(flatten)]
    pub remarks: Remarks,
}

/// How the samples of one problem fared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProblemScore {
    /// The problem.
    pub task_id: String,
    /// Samples drawn.
    pub n: u64,
    /// Samples that passed.
    pub c: u64,
    /// What became of each sample.
    pub outcomes: Vec<String>,
}

/// How samples become programs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SampleForm {
    /// As human-eval takes them: a completion follows its prompt as it stands.
    #[default]
    AsTheyStand,
    /// As chat models reply: code is taken out of fences, a lost line break or indentation put back, and
    /// a reply that defines the function again counts (`camelid_sandbox::programs::reply`). So do the
    /// tasks of the same names.
    Replies,
}

/// A problem of either set.
enum Problem {
    HumanEval(human_eval::Problem),
    Mbpp(mbpp::Problem),
}

/// What a row of samples says.
enum Sample {
    /// Goes on where the prompt ends.
    Completion(String),
    /// Stands alone.
    Solution(String),
}

impl Problem {
    fn id(&self) -> String {
        match self {
            Self::HumanEval(problem) => problem.task_id.clone(),
            Self::Mbpp(problem) => problem.task_id.to_string(),
        }
    }

    /// The program that decides about a sample.
    fn program(&self, sample: &Sample, form: SampleForm) -> Program {
        match (self, sample, form) {
            (Self::HumanEval(problem), Sample::Completion(text), SampleForm::AsTheyStand) => {
                human_eval::program(problem, text)
            }
            (Self::HumanEval(problem), sample, form) => {
                let human_eval::Problem { prompt, test, entry_point, .. } = problem;
                let whole = match form {
                    SampleForm::AsTheyStand => sample.text().to_owned(),
                    SampleForm::Replies => joined(prompt, sample.text(), entry_point),
                };
                python(format!("{whole}\n{}\ncheck({entry_point})\n", plus::test(test)))
            }
            (Self::Mbpp(problem), sample, SampleForm::AsTheyStand) => mbpp::program(problem, sample.text()),
            (Self::Mbpp(problem), sample, SampleForm::Replies) => {
                mbpp::program(problem, code(sample.text(), ""))
            }
        }
    }
}

impl Sample {
    fn text(&self) -> &str {
        match self {
            Self::Completion(text) | Self::Solution(text) => text,
        }
    }

    fn cut(self, rules: &[Cut]) -> Self {
        match self {
            Self::Completion(text) => Self::Completion(cut(&text, rules)),
            Self::Solution(text) => Self::Solution(cut(&text, rules)),
        }
    }
}

impl ProgramSuite {
    /// Where WizardCoder's scripts end the completions of this set.
    pub fn wizardcoder(self) -> &'static [Cut] {
        match self {
            Self::HumanEval | Self::HumanEvalPlus => &Cut::WIZARDCODER_HUMANEVAL,
            Self::Mbpp => &Cut::WIZARDCODER_MBPP,
            Self::MbppPlus => &Cut::WIZARDCODER_MBPP_PLUS,
        }
    }

    /// The task that knows where the problems are.
    ///
    /// # Errors
    /// Only if this crate were damaged.
    pub fn task(self) -> Result<Task, TaskError> {
        Task::open(match self {
            Self::HumanEval => "humaneval",
            Self::Mbpp => "mbpp",
            Self::HumanEvalPlus => "humaneval-plus",
            Self::MbppPlus => "mbpp-plus",
        })
    }

    /// What its programs may use.
    pub fn limits(self) -> Limits {
        match self {
            Self::HumanEval | Self::Mbpp => Limits::default(),
            Self::HumanEvalPlus | Self::MbppPlus => plus::limits(),
        }
    }

    fn problems(self, places: &DataPlaces) -> Result<Vec<Problem>, ScoreError> {
        let task = self.task()?;
        let mut problems = Vec::new();
        for files in &task.definition.data.files {
            for file in places.find(&files.pattern) {
                for row in read(&file, files.inner.as_deref())? {
                    let fields = Value::Object(row.fields);
                    let problem = match self {
                        Self::HumanEval | Self::HumanEvalPlus => {
                            serde_json::from_value(fields).map(Problem::HumanEval)
                        }
                        Self::Mbpp | Self::MbppPlus => serde_json::from_value(fields).map(Problem::Mbpp),
                    };
                    problems.push(
                        problem.map_err(|error| TaskError::Row {
                            place: row.place,
                            problem: error.to_string(),
                        })?,
                    );
                }
            }
            if !problems.is_empty() {
                return Ok(problems);
            }
        }
        Err(ScoreError::Setting(format!("no problems of {} in {}", task.definition.name, places.describe())))
    }
}

/// The samples of a row: one text, or a list of them.
fn samples(fields: &Map<String, Value>, field: Option<&str>) -> Result<Vec<Sample>, String> {
    type Kind = fn(String) -> Sample;
    if let Some(field) = field {
        let found = texts(fields, field)?;
        let found = found.ok_or_else(|| format!("no `{field}`; there are: {}", names(fields)))?;
        return Ok(found.into_iter().map(Sample::Completion).collect());
    }
    for (field, kind) in [
        ("completion", Sample::Completion as Kind),
        ("completions", Sample::Completion),
        ("resps", Sample::Completion),
        ("solution", Sample::Solution),
        ("code", Sample::Solution),
    ] {
        if let Some(texts) = texts(fields, field)? {
            return Ok(texts.into_iter().map(kind).collect());
        }
    }
    Err(format!("neither `completion` nor `solution`; there are: {}", names(fields)))
}

/// Runs every sample against its problem's tests. `progress` is told how many of how many programs have run.
///
/// # Errors
/// [`ScoreError`]: files or problems that cannot be read, not one sample that can be run, a k without
/// samples enough.
pub fn programs(
    suite: ProgramSuite,
    files: &[PathBuf],
    options: &SampleOptions,
    places: &DataPlaces,
    sandbox: &Sandbox,
    progress: impl Fn(usize, usize) + Sync,
) -> Result<ProgramScores, ScoreError> {
    let problems = suite.problems(places)?;
    let by_id: BTreeMap<String, usize> = problems.iter().map(Problem::id).zip(0..).collect();
    // MBPP's ids are numbers; samples call them `MBPP/11` too, and HumanEval's may be numbers alone.
    let find = |id: &str| {
        let last = id.rsplit('/').next().unwrap_or(id);
        by_id.get(id).or_else(|| by_id.get(last)).or_else(|| by_id.get(&format!("HumanEval/{last}"))).copied()
    };
    let mut of: Vec<usize> = Vec::new();
    let mut queue: Vec<Program> = Vec::new();
    let (mut fenced, mut shortened) = (0, 0);
    let remarks = each(files, |_, fields| {
        // lm-evaluation-harness keeps the problem's row under `doc`.
        let doc = fields.get("doc").and_then(Value::as_object);
        let id = [Some(&fields), doc].into_iter().flatten().find_map(|fields| text(fields, &["task_id"]));
        let id = id.ok_or_else(|| format!("no `task_id`; there are: {}", names(&fields)))?;
        let problem =
            find(&id).ok_or_else(|| format!("`task_id` is {id}, which is no problem of the set"))?;
        for sample in samples(&fields, options.field.as_deref())? {
            let length = sample.text().len();
            let sample = sample.cut(&options.cuts);
            shortened += usize::from(sample.text().len() < length);
            fenced += usize::from(sample.text().contains("```"));
            of.push(problem);
            queue.push(problems[problem].program(&sample, options.form));
        }
        Ok(())
    })?;
    remarks.check(queue.len())?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let outcomes = sandbox.run_all(&queue, threads, |done| progress(done, queue.len()));
    let mut scores: Vec<ProblemScore> = problems
        .iter()
        .map(|problem| ProblemScore { task_id: problem.id(), n: 0, c: 0, outcomes: Vec::new() })
        .collect();
    for (problem, outcome) in of.into_iter().zip(outcomes) {
        let outcome = outcome?;
        let score = &mut scores[problem];
        score.n += 1;
        score.c += u64::from(outcome.passed());
        score.outcomes.push(outcome.name().to_owned());
    }
    let (by_problem, missing): (Vec<_>, Vec<_>) = scores.into_iter().partition(|score| score.n > 0);
    let drawn: Vec<Drawn> = by_problem.iter().map(|score| Drawn { n: score.n, c: score.c }).collect();
    let least = drawn.iter().map(|drawn| drawn.n).min().unwrap_or(0);
    let usual: Vec<u64> = [1, 10, 100].into_iter().filter(|k| *k <= least).collect();
    let pass_at = if options.ks.is_empty() { &usual } else { &options.ks }
        .iter()
        .map(|&k| {
            mean_pass_at_k(&drawn, k).map_err(|_| {
                ScoreError::Setting(format!("pass@{k} needs {k} samples of every problem; some have {least}"))
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(ProgramScores {
        suite,
        problems: problems.len(),
        samples: queue.len(),
        passed: drawn.iter().map(|drawn| drawn.c as usize).sum(),
        pass_at,
        missing: missing.into_iter().map(|score| score.task_id).collect(),
        by_problem,
        fenced,
        form: options.form,
        cuts: options.cuts.clone(),
        cut: shortened,
        remarks,
    })
}

impl ScoreReport for ProgramScores {
    fn text(&self) -> String {
        let tried = self.by_problem.len();
        let rows: Vec<Vec<String>> = self
            .pass_at
            .iter()
            .map(|score| {
                let error =
                    score.standard_error.map_or_else(|| "–".to_owned(), |e| format!("{:.1}", 100.0 * e));
                vec![
                    format!("pass@{}", score.k),
                    format!("{:.1} %", 100.0 * score.mean),
                    error,
                    tried.to_string(),
                ]
            })
            .collect();
        let mut text = camelid_report::text_table(&["score", "value", "± s.e.", "problems"], &rows, &[0]);
        text += &format!("\n{} of {} samples pass\n", self.passed, self.samples);
        if !self.missing.is_empty() {
            let shown = self.missing.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
            let more = if self.missing.len() > 5 { ", …" } else { "" };
            text += &format!(
                "{} of {} problems have no sample and are left out: {shown}{more}\n",
                self.missing.len(),
                self.problems
            );
        }
        if !self.cuts.is_empty() {
            let rules: Vec<&str> = self.cuts.iter().map(|rule| rule.name()).collect();
            text += &format!("{} samples were ended by {}\n", self.cut, rules.join(", "));
        }
        if self.fenced > 0 && self.form == SampleForm::AsTheyStand {
            text += &format!(
                "{} samples hold a code fence and were run with it, as the original protocol does; --replies takes the \
                 code out\n",
                self.fenced
            );
        }
        text + &self.remarks.to_string()
    }
}
