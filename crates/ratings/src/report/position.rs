//! The part of a page that shows the position effect.

use camelid_report::ReportError;
use minijinja::value::Serde;
use minijinja::{Environment, Value, context};

use super::plots;
use crate::PositionEffect;

/// Judges that a report names unless all are asked for.
pub(super) const NAMED_JUDGES: usize = 10;

/// Adds the part `position` to the templates of a page: what it shows is a variable `position`
/// made by [`position_context`].
///
/// # Errors
/// [`ReportError::Page`] when the template does not parse.
pub fn add_position(environment: &mut Environment<'static>) -> Result<(), ReportError> {
    Ok(environment.add_template("position", include_str!("position.html.j2"))?)
}

/// What the part `position` shows: the effect, its rates with their intervals, and its plot.
///
/// # Errors
/// [`ReportError::Draw`] when the plot cannot be drawn.
pub fn position_context(effect: &PositionEffect) -> Result<Value, ReportError> {
    let mut most: Vec<_> = effect.judges.iter().collect();
    if most.len() > NAMED_JUDGES {
        most.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.battles()));
        most.truncate(NAMED_JUDGES);
    }
    let judges: Vec<Value> = most
        .into_iter()
        .map(|(judge, counts)| context! { judge => judge.as_str(), counts => Value::from(Serde(counts)), rate => Value::from(Serde(counts.rate())) })
        .collect();
    Ok(context! {
        effect => Value::from(Serde(effect)),
        judges_left_out => effect.judges.len() - judges.len(),
        judges,
        overall => Value::from(Serde(effect.overall.rate())),
        decided => Value::from(Serde(effect.overall.decided_rate())),
        consistent => Value::from(Serde(effect.consistency.rate())),
        plot => plots::position(&effect.models)?,
    })
}
