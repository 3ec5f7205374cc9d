//! What the recipes that evolve share: how they run; and of those for mathematics and code, the report.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, bail};
use camelid_data::nano::Domain;
use camelid_evolve::EvolveReport;
use camelid_recipe::claims::Evidence;
use camelid_recipe::evolved::{Arm, ArmRow, Design, Measured, Study, arms_html, arms_text};
use camelid_recipe::{Children, Experiment, PRETRAINING, RunOptions, Study as Common, watch_for_interrupt};
use camelid_report::{Line, environment, line_chart, text_table};
use serde::Serialize;

use super::Ending;
use super::scale::Scale;
use super::tuning::{Found, Shown, TuningArguments, part};

/// A recipe: rows of evolutions, and an exam.
pub struct Recipe {
    /// Its name, which is its paper's as well.
    pub name: &'static str,
    /// What is evolved and examined, by scale.
    pub design: fn(Scale) -> Design,
    /// What the exam is about that the untuned base sits.
    pub exam: Domain,
    /// Every arm.
    pub arms: fn() -> Vec<Arm>,
    /// Those of a default run.
    pub default: fn() -> Vec<Arm>,
    /// Those that are enough to show that the recipe runs.
    pub checked: fn() -> Vec<Arm>,
    /// Seeds of an arm, where none are asked for.
    pub seeds: u64,
}

/// From what was measured to evidence by claim id and the parts of the report that are the recipe's own.
pub type Decide = fn(&Study, &Measured) -> anyhow::Result<(ByClaim, Own)>;

/// Evidence by claim id.
pub type ByClaim = BTreeMap<&'static str, Evidence>;

/// The parts of a report that are a recipe's own.
#[derive(Debug, Default)]
pub struct Own {
    /// Arms that come of others, below these.
    pub derived: Vec<ArmRow>,
    /// What parts the exam, in words under the plot.
    pub part: &'static str,
    /// The arms of the plot; all where none are named.
    pub plotted: Vec<&'static str>,
    /// Tables below the arms.
    pub tables: Vec<Table>,
    /// Two arms whose answers are shown side by side.
    pub shown: Option<(Arm, Arm)>,
    /// Which of the paper's claims are tested by what else.
    pub elsewhere: &'static str,
}

/// A table of a report.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    /// Its title.
    pub title: String,
    /// Heads of the columns.
    pub header: Vec<String>,
    /// Cells by row.
    pub rows: Vec<Vec<String>>,
    /// What a reader must know.
    pub note: String,
}

/// What the recipe measured, in the rows of its report.
#[derive(Debug, Clone, Serialize)]
pub struct Details {
    /// The arms.
    pub arms: Vec<ArmRow>,
    /// Percent right of the untuned base.
    pub untuned: f64,
    /// What parts the exam.
    pub part: &'static str,
    #[serde(skip)]
    plotted: Vec<&'static str>,
    /// The recipe's own tables.
    pub tables: Vec<Table>,
    /// Which claims are tested elsewhere.
    pub elsewhere: &'static str,
    /// Names of the arms whose answers are shown.
    pub shown: Vec<&'static str>,
    /// What is asked, the right answer, and theirs.
    pub samples: Vec<Sample>,
}

/// One instruction with its answers.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// How hard it is.
    pub level: usize,
    /// What is asked.
    pub asked: String,
    /// A right answer.
    pub expected: String,
    /// The answers of the arms that are shown.
    pub answers: [String; 2],
}

/// Runs a recipe for sums or programs, or one part of it.
pub fn reproduce(recipe: &Recipe, decide: Decide, arguments: &TuningArguments) -> anyhow::Result<Ending> {
    let experiment = arguments.experiment(recipe.name)?;
    arguments.refuse_judge("each question has a right answer, or tests")?;
    if arguments.dry_run {
        return arguments.print_plan(&experiment);
    }
    run(recipe, arguments, experiment, |study, design, measured| {
        let (evidence, own) = decide(study, measured)?;
        let exam = design.exams.iter().find(|exam| exam.domain == recipe.exam);
        let rows = exam.map_or_else(Vec::new, |exam| ArmRow::all(measured, exam));
        Ok((evidence, Details::of(study, measured, rows, own)))
    })
}

/// Runs any recipe that evolves at a made-up scale, or one part of it; `found` makes of what was measured evidence by
/// claim and what the report shows.
pub fn run<D: Shown>(
    recipe: &Recipe,
    arguments: &TuningArguments,
    experiment: Experiment,
    found: impl FnOnce(&Study, &Design, &Measured) -> anyhow::Result<(ByClaim, D)>,
) -> anyhow::Result<Ending> {
    let (started, scale) = (Instant::now(), arguments.scale);
    if !scale.is_made_up() {
        bail!(
            "tune it with `camelid train experiments/{}/{}.toml`; `--dry-run` shows what it takes",
            recipe.name,
            scale.name()
        );
    }
    let (options, design) = (arguments.options()?, (recipe.design)(scale));
    if let Some((part, seed)) = arguments.part() {
        return one_part(recipe, part, seed, experiment, &options, &design);
    }
    let (children, interrupted) = (Children::of_this_program()?, watch_for_interrupt()?);

    // 1. The base, pre-trained here, once.
    if !Common::make_base(&experiment, &options, &children, part)? {
        return arguments.interrupted();
    }

    // 2. The evolutions, and the exams from held-out instructions.
    let chosen = match scale {
        _ if arguments.all => recipe.arms,
        Scale::Check => recipe.checked,
        _ => recipe.default,
    };
    let (chosen, all) = (chosen(), (recipe.arms)().len());
    if chosen.len() < all && scale != Scale::Check {
        println!("{} of {all} arms; --all runs every one", chosen.len());
    }
    let study = Study::prepare(experiment, &options, &design, chosen)?;
    if options.fresh {
        study.comparison.forget(&["arms"])?;
    }
    let untuned = study.untuned(recipe.exam)?;

    // 3. Each arm, each seed, one on each core.
    let seeds = arguments.seeds.unwrap_or(if scale == Scale::Check { 1 } else { recipe.seeds });
    let Some(ran) = study.run(seeds, &children, part, &interrupted)? else {
        return arguments.interrupted();
    };

    // 4. Claim by claim.
    let (tuned, arms, lineages) = (&ran.outcomes, &study.arms, &study.lineages);
    let measured = Measured { lineages, untuned: &untuned, tuned, arms, development: false };
    let (evidence, details) = found(&study, &design, &measured)?;
    let page = arguments.report(Found {
        recipe: recipe.name,
        paper: recipe.name,
        started,
        reused: ran.reused,
        device: &study.device,
        evidence,
        inputs: study.opened.about.clone(),
        details,
        settings: study.comparison.experiment.to_toml()?,
        folder: &study.comparison.folder,
    })?;
    println!("\nreport: {}", page.display());
    Ok(Ending::Finished)
}

/// The base's pre-training, or one arm.
fn one_part(
    recipe: &Recipe,
    part: &str,
    seed: u64,
    experiment: Experiment,
    options: &RunOptions,
    design: &Design,
) -> anyhow::Result<Ending> {
    let finished = match part {
        PRETRAINING => Common::pretrain(&experiment, options)?,
        name => {
            let arm = (recipe.arms)().into_iter().find(|arm| arm.name == name);
            let arm = arm.with_context(|| format!("there is no arm named `{name}`"))?;
            // What only the report shows is not made again.
            let design = Design { measured: &[], ..design.clone() };
            let study = Study::prepare(experiment, options, &design, vec![arm])?;
            study.tune(&study.arms[0], seed)?
        }
    };
    Ok(if finished { Ending::Finished } else { Ending::Interrupted })
}

/// What became of an evolution's rows, round by round.
pub fn rounds_table(study: &Study, title: &str, lineage: &str, note: &str) -> Table {
    let report = EvolveReport::new(study.lineages.of(lineage));
    let row = |(round, passed): (&usize, &camelid_evolve::Passed)| {
        let ended: Vec<String> = passed.ended.iter().map(|(rule, count)| format!("{rule} {count}")).collect();
        let ended = if ended.is_empty() { "–".to_owned() } else { ended.join(", ") };
        vec![round.to_string(), passed.made.to_string(), passed.lives.to_string(), ended]
    };
    Table {
        title: title.to_owned(),
        header: ["round", "made", "alive", "ended by"].map(str::to_owned).to_vec(),
        rows: report.rounds.iter().map(row).collect(),
        note: note.to_owned(),
    }
}

impl Details {
    fn of(study: &Study, measured: &Measured, mut arms: Vec<ArmRow>, own: Own) -> Self {
        arms.extend(own.derived);
        let right = measured.untuned.iter().filter(|mark| mark.right).count();
        let pair = own.shown.as_ref().and_then(|(one, other)| {
            Some((one, measured.of(one).next()?, other, measured.of(other).next()?))
        });
        let samples = pair.map_or_else(Vec::new, |(arm, one, _, other)| {
            let answers = one.samples.iter().zip(&other.samples);
            let asked = study.answered(arm.exam).zip(answers);
            let every = one.samples.len().div_ceil(SHOWN).max(1);
            let sample =
                |(item, (one, other)): (&camelid_recipe::evolved::Item, (&String, &String))| Sample {
                    level: item.level,
                    asked: item.instruction.clone(),
                    expected: item.answer.clone(),
                    answers: [one.clone(), other.clone()],
                };
            asked.step_by(every).map(sample).collect()
        });
        Self {
            arms,
            untuned: 100.0 * right as f64 / measured.untuned.len().max(1) as f64,
            part: own.part,
            plotted: own.plotted,
            tables: own.tables,
            elsewhere: own.elsewhere,
            shown: pair.map_or_else(Vec::new, |(one, _, other, _)| vec![one.name, other.name]),
            samples,
        }
    }

    /// Percent right by part of the exam, a line an arm.
    fn by_part(&self) -> anyhow::Result<String> {
        let points = |row: &ArmRow| {
            row.parts.iter().filter_map(|(at, part)| Some((*at as f64, part.as_ref()?.0))).collect()
        };
        let is_plotted = |row: &&ArmRow| self.plotted.is_empty() || self.plotted.contains(&row.name.as_str());
        let rows = self.arms.iter().filter(is_plotted);
        let lines: Vec<Line> = rows.map(|row| Line { name: &row.name, points: points(row) }).collect();
        Ok(line_chart(&lines, self.part, "percent right")?)
    }
}

/// A text whose commands stand between backticks, for a page.
fn with_code(text: &str) -> minijinja::Value {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let part = |(at, part): (usize, &str)| match at % 2 {
        1 => format!("<code>{part}</code>"),
        _ => part.to_owned(),
    };
    minijinja::Value::from_safe_string(escaped.split('`').enumerate().map(part).collect())
}

/// Samples of a page at most.
const SHOWN: usize = 10;

impl Shown for Details {
    fn text(&self) -> String {
        let mut text = arms_text("percent right", &self.arms);
        for table in &self.tables {
            let header: Vec<&str> = table.header.iter().map(String::as_str).collect();
            text += &format!("\n{}\n{}", table.title, text_table(&header, &table.rows, &[0]));
        }
        format!("{text}\n{}\n", self.elsewhere)
    }

    fn body(&self) -> anyhow::Result<String> {
        let mut environment = environment();
        environment.add_filter("with_code", with_code);
        environment.add_template("body", include_str!("evolved.html.j2"))?;
        Ok(environment.get_template("body")?.render(minijinja::context! {
            report => minijinja::Value::from(minijinja::value::Serde(self)),
            arms => arms_html(&self.arms)?,
            plot => self.by_part()?,
        })?)
    }
}

#[cfg(test)]
pub mod tests {
    use std::ops::RangeInclusive;

    use camelid_recipe::claims::ClaimsFile;
    use camelid_recipe::evolved::{Item, Lineages, Mark, Tuned};

    use super::*;

    /// Items of each part, every fourth of them for development.
    pub const ITEMS: usize = 40;

    /// Three seeds of an arm with so many percent right in each part of its exam.
    pub fn tuned(arm: &Arm, right: &[usize]) -> Vec<Tuned> {
        let marks = |shift: usize| -> Vec<Mark> {
            let of = |right: usize| {
                (0..ITEMS).map(move |i| {
                    let right = (i * 7 + shift) % ITEMS < right * ITEMS / 100;
                    Mark { right, probability: if right { 0.9 } else { 0.01 }, drawn: None }
                })
            };
            right.iter().flat_map(|right| of(*right)).collect()
        };
        let one = |seed: u64| Tuned {
            arm: arm.name.to_owned(),
            seed,
            rows: 1,
            tokens: 1,
            marks: marks(seed as usize),
            samples: Vec::new(),
            step_losses: Vec::new(),
            seconds: 1.0,
        };
        (0..3).map(one).collect()
    }

    /// The verdicts of a paper's nano claims over an exam of so many parts, of a base that can do nothing.
    pub fn verdicts(
        paper: &str,
        exam: Domain,
        parts: RangeInclusive<usize>,
        tuned: &[Tuned],
        by_claim: impl Fn(&Measured) -> ByClaim,
    ) -> BTreeMap<String, &'static str> {
        let item = |steps: usize, at: usize| Item {
            round: 0,
            level: steps,
            steps,
            development: at.is_multiple_of(4),
            instruction: format!("{steps} {at}"),
            answer: String::new(),
        };
        let items: Vec<Item> = parts.flat_map(|steps| (0..ITEMS).map(move |at| item(steps, at))).collect();
        let untuned = vec![Mark { right: false, probability: 0.0, drawn: None }; items.len()];
        let lineages = Lineages::of_exams(vec![(exam, items)]);
        let evidence = by_claim(&Measured {
            lineages: &lineages,
            untuned: &untuned,
            tuned,
            arms: &[],
            development: false,
        });
        decided(paper, &evidence)
    }

    /// What the evidence decides of a paper's nano claims.
    pub fn decided(paper: &str, evidence: &ByClaim) -> BTreeMap<String, &'static str> {
        let path = crate::workspace::workspace().join(format!("papers/{paper}/claims.toml"));
        let claims = ClaimsFile::read(&path).unwrap().claims;
        let of_nano = claims.iter().filter(|claim| claim.scales.iter().any(|scale| scale == "nano"));
        let verdict = |claim: &camelid_recipe::claims::Claim| {
            claim.decide(evidence.get(claim.id.as_str()), "nano", false).verdict.words()
        };
        of_nano.map(|claim| (claim.id.clone(), verdict(claim))).collect()
    }
}
