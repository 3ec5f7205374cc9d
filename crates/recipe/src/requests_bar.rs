//! The bar over the requests of a stage.

use camelid_chat::requests::Progress;
use camelid_eval::judge::Stage;
use indicatif::{ProgressBar, ProgressStyle};

/// A bar over requests, whose message says what they are for.
pub fn requests_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Moves it to where a stage of asking and judging stands.
pub fn show_requests(bar: &ProgressBar, stage: &Stage, progress: &Progress) {
    bar.set_length(progress.total as u64);
    bar.set_position(progress.done() as u64);
    bar.set_message(stage.progressed(progress));
}

/// Moves it to where an evolution stands.
pub fn show_evolving(bar: &ProgressBar, stage: &camelid_evolve::Stage) {
    let requests = stage.requests;
    bar.set_length(requests.total as u64);
    bar.set_position(requests.done() as u64);
    let spent = if requests.spent > 0.0 { format!(", spent {:.4}", requests.spent) } else { String::new() };
    let failed = if requests.failed > 0 { format!(", {} failed", requests.failed) } else { String::new() };
    bar.set_message(format!("round {}: {}{failed}{spent}", stage.round, stage.task));
}
