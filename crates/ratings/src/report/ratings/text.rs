//! The report of a set of battles as text.

use std::fmt::Write;

use camelid_report::text_table;

use super::{RatingsReport, percent};
use crate::report::position::NAMED_JUDGES;
use crate::{
    FileOrder, FirstPosition, Interval, Leaderboard, LeaderboardRow, Method, Order, RejectedRow, Standing,
    Ties, Unit, Z95,
};

/// Rows without a verdict that the terminal names; the rest are in the files.
const NAMED_ROWS: usize = 10;

/// All tables, the leaderboard first.
pub(super) fn text(report: &RatingsReport) -> String {
    let board = &report.leaderboard;
    let mut text = format!(
        "{}: {} battles ({} ties) of {} models",
        board.options.words(),
        board.battles,
        report.ties,
        report.models.len()
    );
    if report.questions > 0 {
        let _ = write!(text, ", {} questions", report.questions);
    }
    let _ = writeln!(text, "\n{}\n", settings(report).replace(". ", ".\n"));
    text += &leaderboard(report);
    if board.parts > 1 {
        let _ = writeln!(
            text,
            "\nThe models fall into {} parts that share no battle; ratings of different parts cannot be compared.",
            board.parts
        );
    }
    if !board.unrated.is_empty() {
        let _ = writeln!(text, "\nWithout a battle that counts: {}.", board.unrated.join(", "));
    }
    if let Some(likelihood) = tie_model(board) {
        let _ = writeln!(text, "\n{likelihood}");
    }
    if !board.style.is_empty() {
        text += "\nWhat one standard deviation of style is worth, in points:\n";
        for worth in &board.style {
            let Interval { value, low, high } = worth.points;
            let _ = writeln!(text, "  {:<8} {value:+.1} [{low:+.1}, {high:+.1}]", worth.feature);
        }
    }
    text += &position(report);
    if !report.notices.is_empty() {
        text += "\nNotices\n";
        for notice in &report.notices {
            let _ = writeln!(text, "  {notice}");
        }
    }
    if !report.orders.is_empty() {
        let _ = writeln!(text, "\n{}", orders(&report.orders));
    }
    text += &dropped(&report.dropped, report.read);
    text
}

/// ν of a model of ties, with the likelihood by which models of ties are compared.
pub(super) fn tie_model(board: &Leaderboard) -> Option<String> {
    let nu = board.tie_parameter?;
    let whose = if board.options.ties == Ties::Davidson { "Davidson's" } else { "Rao and Kupper's" };
    let likelihood = board
        .negative_log_likelihood
        .map_or_else(String::new, |value| format!("; mean negative log-likelihood of a vote {value:.5}"));
    Some(format!("{whose} ν = {nu:.4}{likelihood}."))
}

/// Scale, ties, orderings and intervals, in one sentence.
pub(super) fn settings(report: &RatingsReport) -> String {
    let board = &report.leaderboard;
    let options = &board.options;
    let scale = &options.scale;
    let ties = match options.ties {
        Ties::Half => "ties as halves",
        Ties::Skip => "ties left out",
        Ties::RaoKupper => "ties as an outcome of their own (Rao and Kupper)",
        Ties::Davidson => "ties as an outcome of their own (Davidson)",
    };
    let points = format!("{} points for odds of {} to one", scale.scale, scale.base);
    let order = if board.by_time { "by timestamp" } else { "as read" };
    let method = match (options.method, &options.anchor) {
        (Method::Elo, _) => format!("K {}, from {}, {points}; one pass {order}", options.k, scale.initial),
        (Method::EloAveraged, _) => {
            let orderings = &options.orderings;
            let matches = orderings
                .matches
                .map_or_else(|| "all battles".to_owned(), |matches| format!("{matches} battles"));
            format!(
                "K {}, from {}, {points}; {} random orderings of {matches}, seed {} (± is what shuffling leaves)",
                options.k, scale.initial, orderings.orderings, orderings.seed
            )
        }
        (Method::BradleyTerry | Method::Style, Some(anchor)) => {
            format!("{} held at {}, {points}", anchor.model, anchor.rating)
        }
        (Method::BradleyTerry | Method::Style, None) => format!("Mean {}, {points}", scale.initial),
        (Method::WinRate, _) => "Every opponent counts the same".to_owned(),
    };
    let unit = match options.bootstrap.unit {
        Unit::Battles => "battles",
        Unit::Questions => "questions with all their battles",
    };
    format!(
        "{method}; {ties}. Intervals are 95 %: {} bootstrap draws of {unit} (seed {}){}. Rank: one more than the \
         models whose bootstrap interval lies wholly above.",
        options.bootstrap.replicates,
        options.bootstrap.seed,
        report.second_interval().map_or(String::new(), |name| match name {
            "sandwich" => ", and the sandwich estimator".to_owned(),
            other => format!(", and {other}"),
        })
    )
}

fn leaderboard(report: &RatingsReport) -> String {
    let board = &report.leaderboard;
    let rating = if board.options.method == Method::WinRate { "win rate, %" } else { "rating" };
    let second = report.second_interval();
    let mut header = vec!["rank", "model", rating, "bootstrap"];
    header.extend(second);
    header.extend(["battles", "won", "lost", "tied", "average win rate"]);
    let parts = board.parts > 1;
    if parts {
        header.push("part");
    }
    header.push("");
    let range = |i: &Interval| format!("[{:.1}, {:.1}]", i.low, i.high);
    let row = |row: &LeaderboardRow| {
        let mut cells = vec![
            row.rank.to_string(),
            row.model.clone(),
            match row.ordering_error {
                Some(error) => format!("{:.1} ± {:.1}", row.rating, Z95 * error),
                None => format!("{:.1}", row.rating),
            },
            range(&row.bootstrap),
        ];
        if second.is_some() {
            cells.push(row.sandwich.as_ref().map_or_else(String::new, range));
        }
        cells.extend([row.battles, row.wins, row.losses, row.ties].map(|n| n.to_string()));
        cells.push(row.win_rate.as_ref().map_or_else(String::new, percent));
        if parts {
            cells.push(row.part.to_string());
        }
        if row.standing != Standing::Bounded {
            cells.push(row.standing.words().to_owned());
        }
        cells
    };
    let rows: Vec<Vec<String>> = board.rows.iter().map(row).collect();
    text_table(&header, &rows, &[1, header.len() - 1])
}

fn position(report: &RatingsReport) -> String {
    let effect = &report.position;
    let mut text = "\nPosition effect\n".to_owned();
    if report.counted {
        return text + "(a table of counts does not tell whose answer was shown first)\n";
    }
    if report.places_shuffled {
        text += "(AlpacaEval's annotator shuffles the answers: of its battles the places say nothing)\n";
    }
    if let Some(rate) = effect.overall.rate() {
        let _ = write!(text, "The answer shown first scores {}", percent(&rate));
        match effect.overall.decided_rate() {
            Some(decided) => {
                let _ = writeln!(text, "; of decided battles it wins {}.", percent(&decided));
            }
            None => text += "; every battle is a tie.\n",
        }
    }
    if let Some(same) = effect.consistency.rate() {
        let _ = writeln!(text, "Both orders give the same verdict in {} of the pairs.", percent(&same));
    }
    let share = |i: Option<Interval>| i.as_ref().map_or_else(|| "–".to_owned(), percent);
    if effect.judges.len() > 1 {
        let (judges, left_out) = judges(report);
        let rows: Vec<Vec<String>> = judges
            .into_iter()
            .map(|(judge, counts)| {
                vec![
                    judge.clone(),
                    counts.battles().to_string(),
                    share(counts.rate()),
                    share(counts.decided_rate()),
                ]
            })
            .collect();
        text += "\n";
        text += &text_table(&["judge", "battles", "first scores", "first wins of decided"], &rows, &[0]);
        if left_out > 0 {
            let _ = writeln!(text, "… and {left_out} more judges; --all-judges and --json name all");
        }
    }
    let rows: Vec<Vec<String>> = effect
        .models
        .iter()
        .map(|m| {
            let advantage = m.advantage.map_or_else(
                || "–".to_owned(),
                |a| format!("{:+.1} % [{:+.1}, {:+.1}]", 100.0 * a.value, 100.0 * a.low, 100.0 * a.high),
            );
            vec![m.model.clone(), share(m.shown_first), share(m.shown_second), advantage]
        })
        .collect();
    text += "\n";
    text + &text_table(&["model", "shown first", "shown second", "first − second"], &rows, &[0])
}

/// The judges to show, those with most battles first where not all are asked for; and how many are
/// left out.
fn judges(report: &RatingsReport) -> (Vec<(&String, &FirstPosition)>, usize) {
    let mut judges: Vec<_> = report.position.judges.iter().collect();
    if report.all_judges || judges.len() <= NAMED_JUDGES {
        return (judges, 0);
    }
    let left_out = judges.len() - NAMED_JUDGES;
    judges.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.battles()));
    judges.truncate(NAMED_JUDGES);
    (judges, left_out)
}

/// How many rows were no battles, and which.
pub(in crate::report) fn dropped(rows: &[RejectedRow], read: u64) -> String {
    if rows.is_empty() {
        return format!("\nNo row was dropped: all {read} are battles.\n");
    }
    let mut text =
        format!("\nDropped: {} of {} rows are no battles.\n", rows.len(), read + rows.len() as u64);
    for row in rows.iter().take(NAMED_ROWS) {
        let _ = writeln!(text, "  {row}");
    }
    if rows.len() > NAMED_ROWS {
        let _ = writeln!(text, "  … and {} more; --json and --html name all", rows.len() - NAMED_ROWS);
    }
    text
}

/// How the order of the answers in review files was found; empty without such files.
pub(super) fn orders(files: &[FileOrder]) -> String {
    if files.is_empty() {
        return String::new();
    }
    let of = |order: Order| files.iter().filter(move |file| file.order == order);
    let mut text = format!(
        "Whose answer stood first, by the answers' ids: {} files as their names say, {} the other way round, {} by the \
         name alone.",
        of(Order::AsNamed).count(),
        of(Order::Reversed).count(),
        of(Order::Assumed).count()
    );
    let reversed: Vec<&str> = of(Order::Reversed).map(|file| file.file.as_str()).collect();
    if !reversed.is_empty() {
        let _ = write!(text, " The other way round: {}.", reversed.join(", "));
    }
    text
}
