//! `camelid eval ratings`: models ranked by pairwise verdicts.

use std::collections::BTreeMap;

use anyhow::Result;
use camelid_files::program::UsageError;
use camelid_ratings::report::RatingsReport;
use camelid_ratings::{
    Anchor, Bootstrap, Cleaning, LeaderboardOptions, Method, Needs, Orderings, RatingScale, RatingsError,
    Ties, Unit,
};
use clap::ValueEnum;

use super::battle_files::{BattleFiles, spinner};
use super::outputs::{Outputs, command_line};

pub const EXAMPLES: &str = "\
Examples:
  camelid eval ratings votes.csv
  camelid eval ratings clean_battle.json.gz --method elo --k 32 --html board.html
  camelid eval ratings counts.csv --method davidson --no-both-bad --json
  cat votes.jsonl | camelid eval ratings - --anchor mixtral-8x7b=1114";

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    battles: BattleFiles,
    /// How battles become ratings
    #[arg(long, value_enum, default_value = "bradley-terry")]
    method: MethodArg,
    /// The most points one battle can move (Elo) [default: 4; QLoRA took 32]
    #[arg(long, value_name = "POINTS", allow_negative_numbers = true)]
    k: Option<f64>,
    /// Rating that Elo starts from; mean of Bradley–Terry ratings [default: 1000]
    #[arg(long, value_name = "POINTS", allow_negative_numbers = true)]
    initial: Option<f64>,
    /// Points that make the odds BASE to one [default: 400]
    #[arg(long, value_name = "POINTS", allow_negative_numbers = true)]
    scale: Option<f64>,
    /// Those odds [default: 10]
    #[arg(long, allow_negative_numbers = true)]
    base: Option<f64>,
    /// Shift the ratings so that this model has this one (Bradley–Terry)
    #[arg(long, value_name = "MODEL=RATING", value_parser = anchor)]
    anchor: Option<Anchor>,
    /// Weight of the prior that keeps every rating finite (Bradley–Terry) [default: 0.000001]
    #[arg(long, allow_negative_numbers = true)]
    ridge: Option<f64>,
    /// What a tie says [default: half]
    #[arg(long, value_enum)]
    ties: Option<TiesArg>,
    /// Random orderings to average over (elo-averaged) [default: 1000]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    orderings: Option<u32>,
    /// Battles played in each ordering (elo-averaged) [default: all]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    matches: Option<u32>,
    /// Replicates of the bootstrap
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    bootstrap: u32,
    /// What the bootstrap draws anew: battles, or questions with all their battles
    #[arg(long, value_enum, default_value = "battles")]
    unit: UnitArg,
    /// Seed of orderings and bootstrap
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Leave out votes as an arena does: a user's beyond a hundred a day, prompts that come far more often than
    /// others, users unlike all others. Judges are the users
    #[arg(long)]
    clean: bool,
    /// Name every judge in the tables, however many there are
    #[arg(long)]
    all_judges: bool,
    #[command(flatten)]
    outputs: Outputs,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum MethodArg {
    /// Elo in one pass: by timestamp where every battle has one, else as read
    Elo,
    /// Elo averaged over random orderings
    EloAveraged,
    /// Bradley–Terry by maximum likelihood
    BradleyTerry,
    /// Davidson's model, in which a tie is an outcome of its own, by maximum likelihood
    Davidson,
    /// Rao and Kupper's model, likewise
    RaoKupper,
    /// Bradley–Terry at equal length, headers, lists and bold text
    Style,
    /// Mean of the win rates against each opponent
    WinRate,
}

#[derive(Clone, Copy, ValueEnum)]
enum TiesArg {
    /// Half a win for each
    Half,
    /// An outcome of its own, after Rao and Kupper (bradley-terry)
    RaoKupper,
    /// An outcome of its own, after Davidson (bradley-terry)
    Davidson,
    /// Nothing: ties are left out
    Skip,
}

#[derive(Clone, Copy, ValueEnum)]
enum UnitArg {
    Battles,
    Questions,
}

/// `MODEL=RATING`; the model's name may hold an equals sign.
fn anchor(text: &str) -> Result<Anchor, String> {
    let (model, rating) = text.rsplit_once('=').ok_or("expected MODEL=RATING")?;
    let rating = rating.trim().parse().map_err(|_| format!("`{rating}` is not a rating"))?;
    Ok(Anchor { model: model.to_owned(), rating })
}

pub fn run(args: &Args) -> Result<()> {
    let options = args.options()?;
    args.outputs.check(&args.battles.files)?;
    let mut sources = args.battles.read(args.needs())?;
    if args.clean {
        let (kept, dropped) = Cleaning::default().battles(&sources.battles)?;
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, reason) in &dropped {
            *kinds.entry(reason.kind()).or_default() += 1;
        }
        let kinds: Vec<String> = kinds.iter().map(|(kind, votes)| format!("{votes} {kind}")).collect();
        let kinds = if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") };
        camelid_files::say!("votes left out: {kinds}");
        sources.battles = kept;
    }
    let spinner = spinner();
    let step = |what: &str| spinner.set_message(what.to_owned());
    let report = RatingsReport::new(&sources, &args.battles.selection(), &options, command_line(), step);
    spinner.finish_and_clear();
    let report = report.map_err(|error| match error {
        RatingsError::Setting { .. } => UsageError::of(error).into(),
        error => anyhow::Error::from(error),
    })?;
    let report = RatingsReport { all_judges: args.all_judges, ..report };
    args.outputs.give(&report)
}

fn usage<T>(words: String) -> Result<T> {
    Err(UsageError(words).into())
}

impl Args {
    /// The fields that the method and the bootstrap cannot do without.
    fn needs(&self) -> Needs {
        Needs {
            timestamps: self.method == MethodArg::Elo,
            styles: self.method == MethodArg::Style,
            questions: matches!(self.unit, UnitArg::Questions),
            judges: self.clean,
            ..Needs::default()
        }
    }

    /// The settings; one that the method would ignore is refused.
    fn options(&self) -> Result<LeaderboardOptions> {
        use MethodArg::{BradleyTerry, Davidson, Elo, EloAveraged, RaoKupper, Style};
        for (option, given, methods) in [
            ("--k", self.k.is_some(), &[Elo, EloAveraged][..]),
            (
                "--initial",
                self.initial.is_some(),
                &[Elo, EloAveraged, BradleyTerry, Davidson, RaoKupper, Style][..],
            ),
            (
                "--scale",
                self.scale.is_some(),
                &[Elo, EloAveraged, BradleyTerry, Davidson, RaoKupper, Style][..],
            ),
            (
                "--base",
                self.base.is_some(),
                &[Elo, EloAveraged, BradleyTerry, Davidson, RaoKupper, Style][..],
            ),
            ("--anchor", self.anchor.is_some(), &[BradleyTerry, Davidson, RaoKupper, Style][..]),
            ("--ridge", self.ridge.is_some(), &[BradleyTerry, Davidson, RaoKupper, Style][..]),
            ("--orderings", self.orderings.is_some(), &[EloAveraged][..]),
            ("--matches", self.matches.is_some(), &[EloAveraged][..]),
        ] {
            if given && !methods.contains(&self.method) {
                let names: Vec<String> = methods.iter().map(|m| m.name()).collect();
                return usage(format!(
                    "{option} means nothing to --method {}; it is for {}",
                    self.method.name(),
                    names.join(", ")
                ));
            }
        }
        if self.ties.is_some() && matches!(self.method, Davidson | RaoKupper) {
            let method = self.method.name();
            return usage(format!("--ties means nothing to --method {method}, which has ties of its own"));
        }
        if self.initial.is_some() && self.anchor.is_some() {
            return usage(
                "--initial and --anchor both say where the ratings lie; give one of them".to_owned(),
            );
        }
        let default = LeaderboardOptions::default();
        let scale = RatingScale {
            initial: self.initial.unwrap_or(default.scale.initial),
            scale: self.scale.unwrap_or(default.scale.scale),
            base: self.base.unwrap_or(default.scale.base),
        };
        let orderings = Orderings {
            orderings: self.orderings.map_or(default.orderings.orderings, |n| n as usize),
            matches: self.matches.map(|n| n as usize),
            seed: self.seed,
        };
        let bootstrap = Bootstrap {
            replicates: self.bootstrap as usize,
            seed: self.seed,
            unit: match self.unit {
                UnitArg::Battles => Unit::Battles,
                UnitArg::Questions => Unit::Questions,
            },
            ..default.bootstrap
        };
        Ok(LeaderboardOptions {
            method: self.method.into(),
            scale,
            ties: match self.ties.unwrap_or(match self.method {
                MethodArg::Davidson => TiesArg::Davidson,
                MethodArg::RaoKupper => TiesArg::RaoKupper,
                _ => TiesArg::Half,
            }) {
                TiesArg::Half => Ties::Half,
                TiesArg::RaoKupper => Ties::RaoKupper,
                TiesArg::Davidson => Ties::Davidson,
                TiesArg::Skip => Ties::Skip,
            },
            k: self.k.unwrap_or(default.k),
            orderings,
            ridge: self.ridge.unwrap_or(default.ridge),
            anchor: self.anchor.clone(),
            bootstrap,
        })
    }
}

impl MethodArg {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl From<MethodArg> for Method {
    fn from(method: MethodArg) -> Self {
        match method {
            MethodArg::Elo => Method::Elo,
            MethodArg::EloAveraged => Method::EloAveraged,
            MethodArg::BradleyTerry | MethodArg::Davidson | MethodArg::RaoKupper => Method::BradleyTerry,
            MethodArg::Style => Method::Style,
            MethodArg::WinRate => Method::WinRate,
        }
    }
}
