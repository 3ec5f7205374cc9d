//! The results: JSON as they come, Markdown, and the table of benches/README.md.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use camelid_benches::{Machine, Row, Unit};
use camelid_files::write_whole;
use serde::{Deserialize, Serialize};

use super::compare::{Outcome, Side, Tried};
use super::table::{Comparison, Target};

/// Between these lines the README's table stands.
const MARKERS: [&str; 2] = ["<!-- bench --peers: begin -->", "<!-- bench --peers: end -->"];

/// All rows measured so far on this machine.
#[derive(Serialize, Deserialize)]
pub struct Report {
    machine: Machine,
    rows: Vec<RowReport>,
    #[serde(skip)]
    folder: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct RowReport {
    row: String,
    title: String,
    verdicts: Vec<Verdict>,
    /// Why something is missing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    problem: Option<String>,
    ours: Option<Side>,
    theirs: Vec<Side>,
    tried: Vec<Tried>,
}

/// A line of the table.
#[derive(Serialize, Deserialize)]
struct Verdict {
    work: String,
    ours: String,
    theirs: String,
    ratio: Option<f64>,
    target: String,
    met: Option<bool>,
}

impl Report {
    /// The report in `folder`; rows measured there earlier on the same machine stay until they
    /// are measured again.
    pub fn open(folder: &Path, machine: Machine) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        // A file of another version or machine is begun anew.
        let earlier = std::fs::read(folder.join("peers.json")).ok();
        let earlier = earlier.and_then(|bytes| serde_json::from_slice::<Report>(&bytes).ok());
        let folder = folder.to_owned();
        Ok(match earlier.filter(|earlier| earlier.machine.is_same(&machine)) {
            Some(earlier) => Self { machine: machine.at_best(&earlier.machine), rows: earlier.rows, folder },
            None => Self { machine, rows: vec![], folder },
        })
    }

    /// Where it is written.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Adds a row, and writes everything so far.
    pub fn put(&mut self, comparison: &Comparison, outcome: Outcome) -> Result<()> {
        let name = comparison.row.name();
        self.rows.retain(|row| row.row != name);
        self.rows.push(RowReport {
            row: name.to_owned(),
            title: comparison.title.to_owned(),
            verdicts: comparison.targets.iter().map(|t| self.verdict(comparison, t, &outcome)).collect(),
            problem: outcome.problem,
            ours: outcome.ours,
            theirs: outcome.theirs,
            tried: outcome.tried,
        });
        let place = |row: &RowReport| Row::ALL.iter().position(|known| known.name() == row.row);
        self.rows.sort_by_key(place);
        write_whole(&self.folder.join("peers.json"), &serde_json::to_vec_pretty(&self)?)?;
        Ok(write_whole(&self.folder.join("peers.md"), self.markdown().as_bytes())?)
    }

    fn verdict(&self, comparison: &Comparison, target: &Target, outcome: &Outcome) -> Verdict {
        let (ours, best) = (outcome.ours.as_ref(), outcome.theirs.first());
        let row = comparison.row;
        match *target {
            Target::Speed(at_least) => {
                let ratio = ours.zip(best).map(|(ours, theirs)| theirs.median / ours.median);
                Verdict {
                    work: comparison.title.to_owned(),
                    ours: cell(ours, |side| self.speed(row, side, true)),
                    theirs: cell(best, |side| {
                        format!("{}, {}", self.speed(row, side, false), setting(&side.setting))
                    }),
                    ratio,
                    target: format!("≥ {at_least}×"),
                    met: ratio.map(|ratio| ratio >= at_least),
                }
            }
            Target::Memory(at_most) => memory(ours, best, &outcome.tried, at_most),
            Target::StepEfficiency(at_least) => {
                let best = self.best_product_rate();
                let rate = ours.zip(row.product_operations()).map(|(side, count)| count / side.median);
                let share = rate.zip(best).map(|(rate, best)| rate / best);
                let shown = |rate: Option<f64>| {
                    rate.map_or("not measured".to_owned(), |rate| format!("{:.0} GFLOP/s", rate * 1e-9))
                };
                Verdict {
                    work: "… its products, as a share of the best rate of a product".to_owned(),
                    ours: shown(rate),
                    theirs: format!("{} (either side)", shown(best)),
                    ratio: share,
                    target: format!("≥ {at_least}"),
                    met: share.map(|share| share >= at_least),
                }
            }
            Target::ReadBandwidth(at_least) => {
                let read = self.machine.read_gb_per_second;
                let share = ours.map(|side| row.work().amount / side.median * 1e-9 / read);
                Verdict {
                    work: "… as a share of the bandwidth at which memory is read".to_owned(),
                    ours: cell(ours, |side| format!("{:.1} GB/s", row.work().amount / side.median * 1e-9)),
                    theirs: format!("{read:.1} GB/s measured"),
                    ratio: share,
                    target: format!("≥ {at_least}"),
                    met: share.map(|share| share >= at_least),
                }
            }
        }
    }

    /// The best rate of a product in the run, on either side, in operations a second.
    fn best_product_rate(&self) -> Option<f64> {
        let sides = Row::ALL.into_iter().filter(|row| row.work().unit == Unit::Operations).flat_map(|row| {
            let measured = self.rows.iter().filter(move |known| known.row == row.name());
            let sides = measured.flat_map(|known| known.ours.iter().chain(&known.theirs));
            sides.map(move |side| row.work().amount / side.median)
        });
        sides.reduce(f64::max)
    }

    /// Time and rate, with spread, and for ours the share of the machine's peak.
    fn speed(&self, row: Row, side: &Side, ours: bool) -> String {
        let work = row.work();
        let rate = |seconds: f64| work.amount / seconds;
        let mark = if side.disturbed { " †" } else { "" };
        let milliseconds = |seconds: f64| significant(seconds * 1e3);
        match work.unit {
            Unit::Tokens => format!(
                "{} tok/s ({}–{}){mark}",
                significant(rate(side.median)),
                significant(rate(side.max)),
                significant(rate(side.min)),
            ),
            unit => {
                let peak = match unit {
                    Unit::Operations if side.setting.contains("bf16") => {
                        self.machine.bf16_dot_gflops.unwrap_or(self.machine.f32_fma_gflops)
                    }
                    Unit::Operations => self.machine.f32_fma_gflops,
                    _ => self.machine.copy_gb_per_second.max(self.machine.read_gb_per_second),
                };
                let name = if unit == Unit::Operations { "GFLOP/s" } else { "GB/s" };
                let giga = rate(side.median) * 1e-9;
                let share = if ours {
                    format!(", {:.0} % of the machine", 100.0 * giga / peak)
                } else {
                    String::new()
                };
                format!(
                    "{} ms ({}–{}), {} {name}{share}{mark}",
                    milliseconds(side.median),
                    milliseconds(side.min),
                    milliseconds(side.max),
                    significant(giga),
                )
            }
        }
    }

    /// The table of the machine and that of the rows.
    pub fn markdown(&self) -> String {
        let machine = &self.machine;
        let mut text = format!(
            "{} cores of {} (kernels on {}; last-level cache {} MiB), measured in the same run: f32 multiply-adds \
             {:.0} GFLOP/s, bf16 products {}, reading {:.1} GB/s, copying {:.1} GB/s (both ways counted).",
            machine.cores,
            machine.cpu,
            machine.isa,
            machine.last_level_cache >> 20,
            machine.f32_fma_gflops,
            machine.bf16_dot_gflops.map_or("no instruction".to_owned(), |peak| format!("{peak:.0} GFLOP/s")),
            machine.read_gb_per_second,
            machine.copy_gb_per_second,
        );
        let versions = self.rows.iter().flat_map(|row| &row.theirs).max_by_key(|side| side.versions.len());
        if let Some(side) = versions {
            let names = side.versions.iter().map(|(name, version)| {
                format!("{name} {}", version.as_str().map_or_else(|| version.to_string(), str::to_owned))
            });
            text += &format!(" Beside: {}.", names.collect::<Vec<_>>().join(", "));
        }
        text +=
            "\n\n| work | Camelid | peers, fastest setting | ratio | target | |\n|---|---|---|---|---|---|\n";
        for verdict in self.rows.iter().flat_map(|row| &row.verdicts) {
            text += &format!(
                "| {} | {} | {} | {} | {} | {} |\n",
                verdict.work,
                verdict.ours,
                verdict.theirs,
                verdict.ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}")),
                verdict.target,
                match verdict.met {
                    Some(true) => "met",
                    Some(false) => "missed",
                    None => "not measured",
                }
            );
        }
        if self.rows.iter().flat_map(|row| row.ours.iter().chain(&row.theirs)).any(|side| side.disturbed) {
            text += "\n† Other processes used the cores during these samples.\n";
        }
        for row in self.rows.iter() {
            if let Some(problem) = &row.problem {
                text += &format!("\n`{}`: {problem}\n", row.row);
            }
        }
        let missing: Vec<&str> = Row::ALL
            .map(Row::name)
            .into_iter()
            .filter(|name| self.rows.iter().all(|r| r.row != *name))
            .collect();
        if !missing.is_empty() {
            text += &format!("\nNot asked for yet: {}.\n", missing.join(", "));
        }
        text
    }

    /// A row's verdicts, for someone who waits.
    pub fn print_row(&self, row: Row) {
        for row in self.rows.iter().filter(|known| known.row == row.name()) {
            for verdict in &row.verdicts {
                let ratio = verdict.ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}"));
                camelid_files::say!(
                    "  ours {} | theirs {} | {ratio} for {}",
                    verdict.ours,
                    verdict.theirs,
                    verdict.target
                );
            }
            if let Some(problem) = &row.problem {
                camelid_files::say!("  {problem}");
            }
        }
    }

    /// Replaces what stands between the markers of a Markdown file.
    pub fn write_into(&self, readme: &Path) -> Result<()> {
        let text =
            std::fs::read_to_string(readme).with_context(|| format!("reading {}", readme.display()))?;
        let [begin, end] = MARKERS;
        let (Some(from), Some(to)) = (text.find(begin), text.find(end)) else {
            bail!("{}: expected the lines `{begin}` and `{end}`", readme.display());
        };
        let from = from + begin.len();
        if to < from {
            bail!("{}: `{end}` stands before `{begin}`", readme.display());
        }
        let text = format!("{}\n{}{}", &text[..from], self.markdown(), &text[to..]);
        Ok(write_whole(readme, text.as_bytes())?)
    }
}

fn memory(ours: Option<&Side>, best: Option<&Side>, tried: &[Tried], at_most: f64) -> Verdict {
    let ratio = ours.zip(best).map(|(ours, theirs)| ours.peak_mib / theirs.peak_mib);
    let without_imports = |side: &Side| (side.peak_mib - side.imports_mib).max(0.0);
    let mut work = "… peak memory".to_owned();
    if let Some((ours, theirs)) = ours.zip(best) {
        let share = without_imports(ours) / without_imports(theirs);
        work += &format!(" (without either side's imports: {share:.2})");
    }
    let theirs = cell(best, |side| {
        let of_theirs = |tried: &&Tried| !tried.setting.starts_with("ours: ");
        let least = tried
            .iter()
            .filter(of_theirs)
            .filter_map(|t| Some((t.peak_mib?, &t.setting)))
            .filter(|(mib, _)| *mib < side.peak_mib)
            .min_by(|a, b| a.0.total_cmp(&b.0));
        let least =
            least.map_or(String::new(), |(mib, name)| format!("; least {mib:.0} MiB, {}", setting(name)));
        let imports = side.imports_mib;
        format!("{:.0} MiB ({imports:.0} of imports), {}{least}", side.peak_mib, setting(&side.setting))
    });
    Verdict {
        work,
        ours: cell(ours, |side| format!("{:.0} MiB", side.peak_mib)),
        theirs,
        ratio,
        target: format!("≤ {at_most}×"),
        met: ratio.map(|ratio| ratio <= at_most),
    }
}

fn cell(side: Option<&Side>, text: impl Fn(&Side) -> String) -> String {
    side.map_or("not measured".to_owned(), text)
}

fn setting(name: &str) -> String {
    format!("`{name}`")
}

/// Three significant digits, or all those before the point.
fn significant(value: f64) -> String {
    let digits = (2.0 - value.abs().log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::table::COMPARISONS;

    fn machine() -> Machine {
        Machine {
            cpu: "Test".to_owned(),
            cores: 2,
            isa: "avx2".to_owned(),
            last_level_cache: 32 << 20,
            f32_fma_gflops: 200.0,
            bf16_dot_gflops: None,
            copy_gb_per_second: 40.0,
            read_gb_per_second: 30.0,
        }
    }

    fn side(setting: &str, median: f64, peak_mib: f64) -> Side {
        Side {
            setting: setting.to_owned(),
            median,
            min: 0.9 * median,
            max: 1.1 * median,
            disturbed: false,
            peak_mib,
            imports_mib: 800.0,
            samples: vec![],
            versions: serde_json::Map::new(),
        }
    }

    fn comparison(row: Row) -> &'static Comparison {
        COMPARISONS.iter().find(|comparison| comparison.row == row).unwrap()
    }

    #[test]
    fn verdicts_follow_the_targets() {
        let folder = tempfile::tempdir().unwrap();
        let mut report = Report::open(folder.path(), machine()).unwrap();
        let outcome = Outcome {
            ours: Some(side("f32", 1.0, 900.0)),
            theirs: vec![side("f32 highest", 2.0, 4000.0)],
            ..Outcome::default()
        };
        report.put(comparison(Row::QloraStep), outcome).unwrap();
        let verdicts = &report.rows[0].verdicts;
        assert_eq!(verdicts.iter().map(|v| v.met).collect::<Vec<_>>(), [Some(true), Some(true), None]);
        assert_eq!(verdicts[0].ratio, Some(2.0));
        assert_eq!(verdicts[1].ratio, Some(0.225));

        let slow = Outcome {
            ours: Some(side("f32", 1.0, 900.0)),
            theirs: vec![side("train f32", 1.2, 900.0)],
            ..Outcome::default()
        };
        report.put(comparison(Row::Prefill), slow).unwrap();
        assert_eq!(report.rows[1].verdicts[0].met, Some(false));
        assert!(report.markdown().contains("| 1.20 | ≥ 1.3× | missed |"), "{}", report.markdown());
    }

    #[test]
    fn rows_that_failed_or_are_missing_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut report = Report::open(folder.path(), machine()).unwrap();
        let failed = Outcome { problem: Some("theirs: no such kernel".to_owned()), ..Outcome::default() };
        report.put(comparison(Row::Decode), failed).unwrap();
        let text = report.markdown();
        assert!(text.contains("`decode`: theirs: no such kernel"), "{text}");
        assert!(text.contains("not measured"), "{text}");
        assert!(text.contains("Not asked for yet: linear_f32, "), "{text}");
    }

    #[test]
    fn rows_stay_until_measured_again_but_on_the_same_machine_only() {
        let folder = tempfile::tempdir().unwrap();
        let outcome = || Outcome { ours: Some(side("f32", 1.0, 1.0)), ..Outcome::default() };
        Report::open(folder.path(), machine()).unwrap().put(comparison(Row::Decode), outcome()).unwrap();
        assert_eq!(Report::open(folder.path(), machine()).unwrap().rows.len(), 1);
        let other = Machine { isa: "scalar".to_owned(), ..machine() };
        assert_eq!(Report::open(folder.path(), other).unwrap().rows.len(), 0);
    }

    #[test]
    fn the_readme_changes_between_its_markers_alone() {
        let folder = tempfile::tempdir().unwrap();
        let readme = folder.path().join("README.md");
        let report = Report::open(folder.path(), machine()).unwrap();
        std::fs::write(&readme, "above\n").unwrap();
        assert!(report.write_into(&readme).unwrap_err().to_string().contains("bench --peers: begin"));
        let [begin, end] = MARKERS;
        std::fs::write(&readme, format!("above\n{begin}\nold\n{end}\nbelow\n")).unwrap();
        report.write_into(&readme).unwrap();
        let text = std::fs::read_to_string(&readme).unwrap();
        assert!(text.starts_with("above\n") && text.ends_with(&format!("{end}\nbelow\n")), "{text}");
        assert!(text.contains("| work | Camelid |") && !text.contains("old"), "{text}");
    }

    #[test]
    fn three_digits_are_significant() {
        assert_eq!(significant(0.012345), "0.0123");
        assert_eq!(significant(1.2345), "1.23");
        assert_eq!(significant(1234.5), "1234");
    }
}
