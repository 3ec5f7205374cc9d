//! Pages: the look they share, and the parts of templates that more than one of them has.

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Value, context};

use super::{ReportError, rating_plots};
use crate::claims::short;
use crate::ratings::PositionEffect;

/// How every report's page looks.
pub const PAGE_STYLE: &str = include_str!("page.css");

/// An environment for pages: everything is escaped as HTML unless a template says `safe`.
///
/// Filters: `fig` (four significant digits), `points` (one decimal), `signed` (the same with its
/// sign), `percent` (of a share). Parts to include: `position` (the position effect, from a
/// variable `position` made by [`position_context`]).
///
/// # Errors
/// [`ReportError::Page`] when a part of a template does not parse.
pub fn environment() -> Result<Environment<'static>, ReportError> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_filter("fig", |value: f64| short(value));
    environment.add_filter("points", |value: f64| format!("{value:.1}"));
    environment.add_filter("signed", |value: f64| format!("{value:+.1}"));
    environment.add_filter("percent", |value: f64| format!("{:.1} %", value * 100.0));
    environment.add_template("position", include_str!("position.html.j2"))?;
    Ok(environment)
}

/// What the part `position` shows: the effect, its rates with their intervals, and its plot.
///
/// # Errors
/// [`ReportError::Draw`] when the plot cannot be drawn.
pub fn position_context(effect: &PositionEffect) -> Result<Value, ReportError> {
    let judges: Vec<Value> = effect
        .judges
        .iter()
        .map(|(judge, counts)| context! { judge => judge.as_str(), counts => Value::from(Serde(counts)), rate => Value::from(Serde(counts.rate())) })
        .collect();
    Ok(context! {
        effect => Value::from(Serde(effect)),
        judges,
        overall => Value::from(Serde(effect.overall.rate())),
        decided => Value::from(Serde(effect.overall.decided_rate())),
        consistent => Value::from(Serde(effect.consistency.rate())),
        plot => rating_plots::position(&effect.models)?,
    })
}
