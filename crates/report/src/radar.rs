//! Figures by category: the radar of MT-bench, and bars with intervals.

use std::f64::consts::TAU;

use plotters::prelude::*;

use crate::ReportError;
use crate::canvas::{COLOURS, GREY, bar, horizontal_bars, label, label_width, legend, svg};

const SIZE: (u32, u32) = (860, 560);
const CENTRE: (i32, i32) = (430, 270);
const RADIUS: f64 = 220.0;

/// A model in the radar.
pub struct RadarSeries<'a> {
    /// Its name.
    pub name: &'a str,
    /// A value for each axis; an axis without one is left out of its outline.
    pub values: Vec<Option<f64>>,
}

/// A radar chart: one axis a category, from 0 at the centre to `most`; empty with fewer than three
/// axes, which span no area.
///
/// # Errors
/// When it cannot be drawn.
pub fn radar(axes: &[&str], series: &[RadarSeries], most: f64) -> Result<String, ReportError> {
    if axes.len() < 3 || series.is_empty() {
        return Ok(String::new());
    }
    let at = |axis: usize, value: f64| {
        // The first axis points up, the others follow clockwise.
        let angle = TAU * axis as f64 / axes.len() as f64;
        let length = RADIUS * (value / most).clamp(0.0, 1.0);
        let x = f64::from(CENTRE.0) + length * angle.sin();
        let y = f64::from(CENTRE.1) - length * angle.cos();
        (x.round() as i32, y.round() as i32)
    };
    svg(SIZE, |canvas| {
        for ring in 1..=5 {
            let value = most * f64::from(ring) / 5.0;
            let outline: Vec<(i32, i32)> =
                (0..=axes.len()).map(|axis| at(axis % axes.len(), value)).collect();
            canvas.draw(&PathElement::new(outline, GREY.mix(0.7)))?;
            let (x, y) = at(0, value);
            label(canvas, &value.to_string(), x + 4, y + 2)?;
        }
        for (axis, name) in axes.iter().enumerate() {
            let end = at(axis, most);
            canvas.draw(&PathElement::new([CENTRE, end], GREY.mix(0.7)))?;
            let width = label_width(name);
            // Beside the axis' end, on the side away from the centre.
            let aside = end.0 - CENTRE.0;
            let x = match aside {
                _ if aside.abs() <= 5 => end.0 - width / 2,
                ..0 => end.0 - width - 8,
                _ => end.0 + 8,
            };
            let lift = match end.1 - CENTRE.1 {
                ..-200 => -20,
                201.. => 4,
                _ => -8,
            };
            label(canvas, name, x, end.1 + lift)?;
        }
        for (number, one) in series.iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            let points: Vec<(i32, i32)> =
                one.values.iter().enumerate().filter_map(|(axis, value)| Some(at(axis, (*value)?))).collect();
            if points.is_empty() {
                continue;
            }
            canvas.draw(&Polygon::new(points.clone(), colour.mix(0.08)))?;
            let outline: Vec<(i32, i32)> = points.iter().chain(points.first()).copied().collect();
            canvas.draw(&PathElement::new(outline, colour.stroke_width(2)))?;
            for point in points {
                canvas.draw(&Circle::new(point, 3, colour.filled()))?;
            }
        }
        let entries: Vec<(&str, RGBColor)> = series
            .iter()
            .enumerate()
            .map(|(number, one)| (one.name, COLOURS[number % COLOURS.len()]))
            .collect();
        let step = entries.iter().map(|(name, _)| label_width(name) + 40).max().unwrap_or(120);
        // As many names a line as fit.
        let a_line = (SIZE.0 as i32 / step).max(1) as usize;
        for (line, entries) in entries.chunks(a_line).enumerate() {
            legend(canvas, entries, (12, SIZE.1 as i32 - 40 + 18 * line as i32), step)?;
        }
        Ok(())
    })
}

/// A figure in a chart of bars.
pub struct Bar<'a> {
    /// Whose it is.
    pub name: &'a str,
    /// The figure.
    pub value: f64,
    /// Its interval.
    pub interval: Option<(f64, f64)>,
}

/// One bar a row with its interval, on an axis from 0 to `axis`; `written` turns a value into words.
///
/// # Errors
/// When it cannot be drawn.
pub fn interval_bars(
    rows: &[Bar],
    axis: f64,
    description: &str,
    written: impl Fn(f64) -> String,
) -> Result<String, ReportError> {
    if rows.is_empty() {
        return Ok(String::new());
    }
    let names: Vec<&str> = rows.iter().map(|row| row.name).collect();
    horizontal_bars(&names, axis, description, |canvas, x, y| {
        for (i, row) in rows.iter().enumerate() {
            let top = y(i);
            bar(canvas, x(0.0), x(row.value), top, 20, COLOURS[i % COLOURS.len()])?;
            let mut end = x(row.value);
            if let Some((low, high)) = row.interval {
                let ends = [(x(low), top + 10), (x(high), top + 10)];
                canvas.draw(&PathElement::new(ends, BLACK.stroke_width(2)))?;
                end = end.max(x(high));
            }
            label(canvas, &written(row.value), end + 6, top + 3)?;
        }
        Ok(())
    })
}

/// Wins, ties and losses of a model, as shares of its games.
pub struct Outcomes<'a> {
    /// The model.
    pub name: &'a str,
    /// Wins, ties and losses.
    pub counts: [usize; 3],
}

/// One bar a row, of wins, ties and losses.
///
/// # Errors
/// When it cannot be drawn.
pub fn outcome_bars(rows: &[Outcomes]) -> Result<String, ReportError> {
    if rows.is_empty() {
        return Ok(String::new());
    }
    const PARTS: [(&str, RGBColor); 3] = [("wins", COLOURS[0]), ("ties", GREY), ("losses", COLOURS[1])];
    let names: Vec<&str> = rows.iter().map(|row| row.name).collect();
    horizontal_bars(&names, 1.0, "share of games", |canvas, x, y| {
        for (i, row) in rows.iter().enumerate() {
            let games: usize = row.counts.iter().sum();
            let mut from = 0.0;
            for ((_, colour), count) in PARTS.iter().zip(row.counts) {
                let share = count as f64 / games.max(1) as f64;
                if count > 0 {
                    bar(canvas, x(from), x(from + share), y(i), 20, *colour)?;
                    label(canvas, &count.to_string(), x(from) + 4, y(i) + 3)?;
                }
                from += share;
            }
        }
        legend(canvas, &PARTS, (150, y(rows.len()) + 44), 90)?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_radar_has_an_outline_a_model_and_a_label_an_axis() {
        let axes = ["writing", "math", "coding"];
        let series = [
            RadarSeries { name: "one", values: vec![Some(8.0), Some(2.0), Some(4.0)] },
            RadarSeries { name: "two", values: vec![Some(5.0), None, Some(9.0)] },
        ];
        let plot = radar(&axes, &series, 10.0).unwrap();
        for name in ["writing", "math", "coding", "one", "two"] {
            assert!(plot.contains(name), "{name}");
        }
        assert_eq!(plot.matches("<circle").count(), 5);
        assert_eq!(plot.matches("<polygon").count(), 2);
        assert!(radar(&axes[..2], &series, 10.0).unwrap().is_empty());
    }

    #[test]
    fn bars_say_their_values() {
        let rows = [
            Bar { name: "one", value: 7.25, interval: Some((7.0, 7.5)) },
            Bar { name: "two", value: 3.0, interval: None },
        ];
        let plot = interval_bars(&rows, 10.0, "mean grade", |v| format!("{v:.2}")).unwrap();
        assert!(plot.contains("7.25") && plot.contains("mean grade"));
        let plot = outcome_bars(&[Outcomes { name: "one", counts: [3, 1, 0] }]).unwrap();
        assert!(plot.contains("wins") && plot.contains("losses"));
        assert!(outcome_bars(&[]).unwrap().is_empty());
    }
}
