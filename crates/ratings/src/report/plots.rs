//! Plots of ratings: intervals, win matrix, position effect.

use camelid_report::{COLOURS, Canvas, DrawError, GREY, cut, label, label_within, legend, room_for, svg};
use plotters::prelude::*;

use crate::{Interval, ModelPosition};

const WIDTH: u32 = 860;
const ROW: i32 = 34;
const RIGHT: i32 = WIDTH as i32 - 30;

/// One model in the plot of ratings.
#[derive(Debug, Clone, PartialEq)]
pub struct RatingRow<'a> {
    /// Its name.
    pub name: &'a str,
    /// A value to compare with, e.g. a published one; drawn as a bar.
    pub reference: Option<f64>,
    /// Its rating by each series, with its interval; `None` where a series has none.
    pub series: Vec<Option<Interval>>,
    /// Whether the battles bound its rating. Where not, the axis does not stretch to it, and an
    /// arrow at the edge says that it lies beyond.
    pub bounded: bool,
}

/// Ratings with their intervals, one row a model, for one to three named series; `reference`
/// names the values that [`RatingRow::reference`] holds. Empty without a row.
///
/// # Errors
/// When it cannot be drawn.
pub fn rating_intervals(
    rows: &[RatingRow],
    series: &[&str],
    reference: Option<&str>,
) -> Result<String, DrawError> {
    let Some((low, high)) = ends(rows) else { return Ok(String::new()) };
    let step = tick_step(high - low);
    let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
    let names: Vec<&str> = rows.iter().map(|row| row.name).collect();
    let left = room_for(&names, 130);
    let axis = Axis { low, high, left };
    let bottom = 12 + ROW * rows.len() as i32;
    svg((WIDTH, bottom as u32 + 52), |canvas| {
        for number in 0..=((high - low) / step).round() as i32 {
            let tick = low + step * f64::from(number);
            canvas.draw(&PathElement::new([(axis.x(tick), 8), (axis.x(tick), bottom)], GREY.mix(0.6)))?;
            label(canvas, &tick_text(tick, step), axis.x(tick) - 12, bottom + 4)?;
        }
        for (i, row) in rows.iter().enumerate() {
            let top = 12 + ROW * i as i32;
            label_within(canvas, row.name, 8, top + 8, left - 14)?;
            // Rows of a series lie 12 pixels apart around the middle.
            let first = top + 15 - 6 * (row.series.len() as i32 - 1);
            for (k, (interval, colour)) in row.series.iter().zip(COLOURS).enumerate() {
                let Some(interval) = interval else { continue };
                axis.interval(canvas, *interval, first + 12 * k as i32, 4, colour)?;
            }
            if let Some(value) = row.reference {
                let at = axis.x(value);
                canvas.draw(&PathElement::new([(at, top + 2), (at, top + 28)], BLACK.stroke_width(2)))?;
            }
        }
        let named = series.iter().copied().zip(COLOURS);
        let entries: Vec<(&str, RGBColor)> =
            reference.map(|name| (name, BLACK)).into_iter().chain(named).collect();
        legend(canvas, &entries, (left, bottom + 29), 190)
    })
}

/// The finite ends of the axis: those of bounded ratings, or of all values where none is.
fn ends(rows: &[RatingRow]) -> Option<(f64, f64)> {
    let intervals = |row: &RatingRow| {
        row.series.iter().flatten().flat_map(|r| [r.low, r.high, r.value]).collect::<Vec<_>>()
    };
    let bounded = rows.iter().filter(|row| row.bounded).flat_map(intervals);
    let references = rows.iter().filter_map(|row| row.reference);
    let mut values: Vec<f64> = bounded.chain(references).filter(|value| value.is_finite()).collect();
    if values.is_empty() {
        let all = rows.iter().flat_map(|row| row.series.iter().flatten().map(|r| r.value));
        values = all.filter(|value| value.is_finite()).collect();
    }
    let (low, high) = (values.iter().copied().reduce(f64::min)?, values.iter().copied().reduce(f64::max)?);
    // A single value still needs an axis around it.
    Some(if high - low > 1e-9 { (low, high) } else { (low - 1.0, high + 1.0) })
}

/// The finest round step that divides a span into 16 parts at most.
fn tick_step(span: f64) -> f64 {
    let unit = 10f64.powf((span / 16.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|m| m * unit)
        .find(|step| span / step <= 16.0)
        .unwrap_or(10.0 * unit)
}

fn tick_text(tick: f64, step: f64) -> String {
    let decimals = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{tick:.decimals$}")
}

/// A horizontal axis from `left` to the right edge.
struct Axis {
    low: f64,
    high: f64,
    left: i32,
}

impl Axis {
    fn x(&self, value: f64) -> i32 {
        let share = (value - self.low) / (self.high - self.low);
        self.left + (share.clamp(-0.02, 1.02) * f64::from(RIGHT - self.left)).round() as i32
    }

    /// A dot with its interval as a line; what lies beyond the axis ends in an arrow at its edge.
    fn interval(
        &self,
        canvas: &Canvas,
        interval: Interval,
        at: i32,
        size: i32,
        colour: RGBColor,
    ) -> Result<(), DrawError> {
        let (from, to) = (self.x(interval.low), self.x(interval.high));
        canvas.draw(&PathElement::new([(from, at), (to, at)], colour.stroke_width(2)))?;
        for (beyond, edge, inward) in
            [(interval.low < self.low, from, 6), (interval.high > self.high, to, -6)]
        {
            if beyond {
                let tip = [(edge, at), (edge + inward, at - 4), (edge + inward, at + 4)];
                canvas.draw(&Polygon::new(tip, colour.filled()))?;
            }
        }
        if (self.low..=self.high).contains(&interval.value) {
            canvas.draw(&Circle::new((self.x(interval.value), at), size, colour.filled()))?;
        }
        Ok(())
    }
}

/// What the row's model scores against the column's (`rates[row][column]`, `None` where the two
/// never met), blue above one half, red below. With more than 24 models colours alone speak.
///
/// # Errors
/// When it cannot be drawn.
pub fn win_matrix(names: &[&str], rates: &[Vec<Option<f64>>]) -> Result<String, DrawError> {
    matrix(names, |i, j| {
        let rate = rates[i][j]?;
        let colour = if rate >= 0.5 { COLOURS[0] } else { COLOURS[1] };
        let percent = 100.0 * rate;
        Some(Cell {
            colour: colour.mix(0.08 + 0.9 * (rate - 0.5).abs()),
            wide: format!("{percent:.1} %"),
            narrow: format!("{percent:.0}"),
        })
    })
}

/// How many votes each pair has, the darker the more.
///
/// # Errors
/// When it cannot be drawn.
pub fn pair_votes(names: &[&str], votes: &[Vec<u64>]) -> Result<String, DrawError> {
    let most = votes.iter().flatten().copied().max().unwrap_or(0).max(1) as f64;
    matrix(names, |i, j| {
        let count = votes[i][j];
        (i != j).then(|| Cell {
            colour: COLOURS[2].mix(0.05 + 0.6 * count as f64 / most),
            wide: count.to_string(),
            narrow: if count < 10_000 { count.to_string() } else { format!("{}k", count / 1000) },
        })
    })
}

/// A cell of a matrix: its colour, and its words where there is room and where there is little.
struct Cell {
    colour: RGBAColor,
    wide: String,
    narrow: String,
}

/// A cell for each row and column that has one.
fn matrix(names: &[&str], cell: impl Fn(usize, usize) -> Option<Cell>) -> Result<String, DrawError> {
    let left = room_for(names, 130);
    let few = names.len() <= 8 && names.iter().all(|name| name.chars().count() <= 12);
    let (width, height) = match names.len() {
        _ if few => (84, 30),
        n if n <= 24 => (((WIDTH as i32 - left) / n as i32).clamp(34, 84), 30),
        _ => (18, 18),
    };
    // Names stand above their columns, upright where they fit.
    let above = if few { 26 } else { left };
    let size = (left + width * names.len() as i32 + 10, above + 8 + height * names.len() as i32);
    svg((size.0 as u32, size.1 as u32), |canvas| {
        for (i, name) in names.iter().enumerate() {
            let top = above + height * i as i32;
            label_within(canvas, name, 8, top + height / 2 - 8, left - 14)?;
            let column = left + width * i as i32;
            if few {
                label(canvas, name, column + 2, 6)?;
            } else {
                let style = ("sans-serif", 14).into_font().transform(FontTransform::Rotate270);
                canvas.draw(&Text::new(cut(name, above - 14), (column + width / 2 - 7, above - 6), style))?;
            }
            for j in 0..names.len() {
                let Some(Cell { colour, wide, narrow }) = cell(i, j) else { continue };
                let at = left + width * j as i32;
                let corners = [(at, top), (at + width - 2, top + height - 2)];
                canvas.draw(&Rectangle::new(corners, colour.filled()))?;
                if few {
                    label(canvas, &wide, at + 18, top + 7)?;
                } else if height == 30 {
                    label(canvas, &narrow, at + width / 2 - 9, top + 7)?;
                }
            }
        }
        Ok(())
    })
}

/// What each model scores more when its answer is shown first, with its interval; empty where no
/// model was shown in both places.
///
/// # Errors
/// When it cannot be drawn.
pub fn position(models: &[ModelPosition]) -> Result<String, DrawError> {
    let rows: Vec<(&str, Interval)> =
        models.iter().filter_map(|m| Some((m.model.as_str(), m.advantage?))).collect();
    if rows.is_empty() {
        return Ok(String::new());
    }
    let names: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
    let axis = Axis {
        low: rows.iter().map(|(_, a)| a.low).fold(0.0, f64::min),
        high: rows.iter().map(|(_, a)| a.high).fold(0.1, f64::max),
        left: room_for(&names, 130),
    };
    let bottom = 12 + ROW * rows.len() as i32;
    svg((WIDTH, bottom as u32 + 26), |canvas| {
        let zero = axis.x(0.0);
        canvas.draw(&PathElement::new([(zero, 8), (zero, bottom)], BLACK.stroke_width(1)))?;
        label(canvas, "0", zero - 4, bottom + 4)?;
        for (i, (name, advantage)) in rows.iter().enumerate() {
            let top = 12 + ROW * i as i32;
            label_within(canvas, name, 8, top + 6, axis.left - 14)?;
            axis.interval(canvas, *advantage, top + 13, 5, COLOURS[2])?;
            let right = axis.x(advantage.value) + 8;
            label(canvas, &format!("{:+.1} %", 100.0 * advantage.value), right, top - 2)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(value: f64, half: f64) -> Interval {
        Interval::normal(value, half, 1.0)
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(tick_step(650.0), 50.0);
        assert_eq!(tick_step(1.0), 0.1);
        assert_eq!(tick_step(16_000.0), 1000.0);
        assert_eq!((tick_text(0.25, 0.05), tick_text(1050.0, 50.0)), ("0.25".to_owned(), "1050".to_owned()));
    }

    #[test]
    fn an_unbounded_rating_does_not_stretch_the_axis() {
        let row = |name, value, half, bounded| RatingRow {
            name,
            reference: None,
            series: vec![Some(at(value, half))],
            bounded,
        };
        let rows =
            [row("x", 1000.0, 20.0, true), row("y", 1100.0, 30.0, true), row("z", 4e3, f64::INFINITY, false)];
        assert_eq!(ends(&rows), Some((980.0, 1130.0)));
        let drawn = rating_intervals(&rows, &["bootstrap"], None).unwrap();
        assert_eq!(drawn.matches("<polygon").count(), 2, "an arrow at either edge");
        assert_eq!(drawn.matches("<circle").count(), 2, "the third lies beyond");
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
        // Nothing bounded, one value only, no row at all.
        assert!(rating_intervals(&rows[2..], &["bootstrap"], None).unwrap().contains("\nz\n</text>"));
        assert_eq!(rating_intervals(&[], &["bootstrap"], None).unwrap(), "");
    }

    #[test]
    fn names_are_escaped_and_long_ones_cut() {
        let long = "a<b>&".repeat(20);
        let rows = [RatingRow {
            name: &long,
            reference: Some(990.0),
            series: vec![Some(at(1000.0, 5.0)), None],
            bounded: true,
        }];
        let drawn = rating_intervals(&rows, &["bootstrap", "sandwich"], Some("published")).unwrap();
        assert!(drawn.contains("a&lt;b&gt;&amp;") && drawn.contains('…') && !drawn.contains(&long));
    }

    #[test]
    fn a_matrix_of_many_models_has_a_cell_for_every_pair_that_met() {
        let names: Vec<String> = (0..30).map(|i| format!("model-{i}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let rates: Vec<Vec<Option<f64>>> =
            (0..30).map(|i| (0..30).map(|j| (i != j).then_some(0.25)).collect()).collect();
        let drawn = win_matrix(&names, &rates).unwrap();
        // One rectangle is the canvas.
        assert_eq!(drawn.matches("<rect").count(), 30 * 29 + 1);
        let votes = pair_votes(&["x", "y"], &[vec![0, 12], vec![12, 0]]).unwrap();
        assert_eq!((votes.matches("\n12\n").count(), votes.matches("<rect").count()), (2, 3));
    }
}
