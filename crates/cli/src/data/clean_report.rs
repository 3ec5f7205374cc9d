//! What a cleaning did, as a table and as a page.

use camelid_data::clean::{Histogram, Rule, Summary};
use camelid_report::{
    COLOURS, GREY, PAGE_STYLE, ReportError, bar, environment, horizontal_bars, label, legend, text_table,
};
use minijinja::value::Serde;
use serde::Serialize;

/// A step of the funnel.
#[derive(Serialize)]
struct Step {
    words: String,
    name: &'static str,
    conversations: u64,
    rounds: u64,
    /// Conversations left after it.
    left: u64,
}

/// The rules that dropped something, in the order of the checks.
fn funnel(summary: &Summary) -> Vec<Step> {
    let mut left = summary.total;
    let dropped = Rule::ALL.into_iter().filter_map(|rule| Some((rule, summary.dropped.get(&rule)?)));
    dropped
        .map(|(rule, dropped)| {
            left -= dropped.conversations;
            Step {
                words: rule.words().to_owned(),
                name: rule.as_str(),
                conversations: dropped.conversations,
                rounds: dropped.rounds,
                left,
            }
        })
        .collect()
}

/// The funnel as a table.
pub fn text(summary: &Summary) -> String {
    let share = |count: u64| format!("{:.1} %", 100.0 * count as f64 / summary.total.max(1) as f64);
    let row = |words: &str, count: String, share: String, rounds: String| {
        vec![words.to_owned(), count, share, rounds]
    };
    let mut rows = vec![row("read", summary.total.to_string(), String::new(), summary.rounds_in.to_string())];
    for step in funnel(summary) {
        let (count, rounds) = (format!("−{}", step.conversations), format!("−{}", step.rounds));
        rows.push(row(&step.words, count, share(step.conversations), rounds));
    }
    for (rule, left_out) in &summary.left_out {
        let words = format!("{}, left out of {} kept", rule.as_str(), left_out.conversations);
        rows.push(row(&words, String::new(), String::new(), format!("−{}", left_out.rounds)));
    }
    let kept = summary.kept;
    rows.push(row("kept", kept.to_string(), share(kept), summary.rounds_out.to_string()));
    let mut text = text_table(&["", "conversations", "share", "rounds"], &rows, &[0]);
    if !summary.masked.is_empty() {
        let masked = summary.masked.iter().map(|(kind, count)| format!("{count} × [{kind}]"));
        text += &format!("masked: {}\n", masked.collect::<Vec<_>>().join(", "));
    }
    text
}

/// A page with the funnel, examples of each rule, and lengths before and after.
///
/// # Errors
/// When a plot cannot be drawn or the template not be rendered.
pub fn page(summary: &Summary, input: &str, output: &str) -> Result<String, ReportError> {
    let steps = funnel(summary);
    let plots = [
        ("Tokens", histograms(&summary.before.tokens, &summary.after.tokens)?),
        ("Characters", histograms(&summary.before.characters, &summary.after.characters)?),
        ("Turns", histograms(&summary.before.turns, &summary.after.turns)?),
    ];
    let plots: Vec<_> = plots.into_iter().filter(|(_, plot)| !plot.is_empty()).collect();
    let mut environment = environment();
    environment.add_template("clean", include_str!("clean_report.html.j2"))?;
    Ok(environment.get_template("clean")?.render(minijinja::context! {
        summary => minijinja::Value::from(Serde(summary)),
        funnel => funnel_plot(summary, &steps)?,
        steps => minijinja::Value::from(Serde(&steps)),
        plots => minijinja::Value::from(Serde(&plots)),
        input => input,
        output => output,
        style => PAGE_STYLE,
    })?)
}

/// How many conversations are left after each step.
fn funnel_plot(summary: &Summary, steps: &[Step]) -> Result<String, ReportError> {
    let mut names = vec!["read"];
    names.extend(steps.iter().map(|step| step.name));
    names.push("kept");
    horizontal_bars(&names, summary.total.max(1) as f64, "conversations", |canvas, x, y| {
        let whole = |row: usize, count: u64, colour| -> Result<(), ReportError> {
            bar(canvas, x(0.0), x(count as f64), y(row), 20, colour)?;
            Ok(label(canvas, &count.to_string(), x(count as f64) + 6, y(row) + 3)?)
        };
        whole(0, summary.total, GREY)?;
        for (row, step) in (1..).zip(steps) {
            let end = (step.left + step.conversations) as f64;
            bar(canvas, x(0.0), x(step.left as f64), y(row), 20, GREY)?;
            bar(canvas, x(step.left as f64), x(end), y(row), 20, COLOURS[1])?;
            label(canvas, &format!("−{}", step.conversations), x(end) + 6, y(row) + 3)?;
        }
        whole(steps.len() + 1, summary.kept, COLOURS[0])
    })
}

/// A pair of bars for each power of two.
fn histograms(before: &Histogram, after: &Histogram) -> Result<String, ReportError> {
    let bins = before.counts.len().max(after.counts.len());
    let first = (0..bins).find(|bin| count(before, *bin) + count(after, *bin) > 0);
    let Some(first) = first else { return Ok(String::new()) };
    let names: Vec<String> = (first..bins)
        .map(|bin| match bin {
            0 => "0 to 1".to_owned(),
            bin => format!("{} to {}", 1u64 << bin, (1u64 << (bin + 1)) - 1),
        })
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let most = before.counts.iter().chain(&after.counts).max().copied().unwrap_or(1);
    horizontal_bars(&names, most.max(1) as f64, "conversations", |canvas, x, y| {
        for (row, bin) in (first..bins).enumerate() {
            for (histogram, colour, down) in [(before, GREY, 0), (after, COLOURS[0], 12)] {
                let value = count(histogram, bin);
                if value > 0 {
                    bar(canvas, x(0.0), x(value as f64), y(row) + down, 11, colour)?;
                    label(canvas, &value.to_string(), x(value as f64) + 6, y(row) + down - 2)?;
                }
            }
        }
        legend(canvas, &[("before", GREY), ("after", COLOURS[0])], (8, y(names.len()) + 22), 90)?;
        Ok(())
    })
}

fn count(histogram: &Histogram, bin: usize) -> u64 {
    histogram.counts.get(bin).copied().unwrap_or(0)
}
