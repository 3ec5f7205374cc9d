//! Curves: values against steps.

use plotters::prelude::*;

use crate::ReportError;
use crate::canvas::{COLOURS, GREY, svg};

const SIZE: (u32, u32) = (860, 340);
/// Most ticks of the axis below.
const TICKS: usize = 11;

/// A curve.
pub struct Line<'a> {
    /// Its name in the legend.
    pub name: &'a str,
    /// Points, x and y, from left to right; what is not finite is left out.
    pub points: Vec<(f64, f64)>,
}

/// Curves over a common axis, as SVG text; empty where there is no point to draw.
///
/// # Errors
/// When it cannot be drawn.
pub fn line_chart(lines: &[Line], x_name: &str, y_name: &str) -> Result<String, ReportError> {
    let finite = |line: &Line| -> Vec<(f64, f64)> {
        line.points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
    };
    let drawn: Vec<(&str, Vec<(f64, f64)>)> = lines.iter().map(|line| (line.name, finite(line))).collect();
    let points = || drawn.iter().flat_map(|(_, points)| points.iter().copied());
    let range = |of: fn((f64, f64)) -> f64| {
        Some((points().map(of).reduce(f64::min)?, points().map(of).reduce(f64::max)?))
    };
    let (Some((left, right)), Some((low, high))) = (range(|p| p.0), range(|p| p.1)) else {
        return Ok(String::new());
    };
    let room = match high - low {
        0.0 if high == 0.0 => 1.0,
        0.0 => 0.05 * high.abs(),
        height => 0.05 * height,
    };
    let right = if right > left { right } else { left + 1.0 };
    // Whole numbers that are few, such as rounds, have a tick each and none between.
    let whole = points().all(|(x, _)| x.fract() == 0.0);
    let ticks = if whole { TICKS.min((right - left) as usize + 1) } else { TICKS };
    svg(SIZE, |canvas| {
        let mut chart = ChartBuilder::on(canvas)
            .margin(12)
            .margin_right(24)
            .x_label_area_size(46)
            .y_label_area_size(64)
            .build_cartesian_2d(left..right, (low - room)..(high + room))?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_labels(ticks)
            .x_desc(x_name)
            .y_desc(y_name)
            .x_label_formatter(&|v| format!("{}", (v * 1e6).round() / 1e6))
            .y_label_formatter(&tick)
            .label_style(("sans-serif", 14))
            .axis_desc_style(("sans-serif", 15))
            .draw()?;
        for (i, (name, points)) in drawn.iter().enumerate() {
            let colour = COLOURS[i % COLOURS.len()];
            chart
                .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?
                .label(*name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(3)));
            if points.len() == 1 {
                chart.draw_series(points.iter().map(|point| Circle::new(*point, 4, colour.filled())))?;
            }
        }
        if drawn.len() > 1 {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperRight)
                .background_style(WHITE.mix(0.85))
                .border_style(GREY)
                .label_font(("sans-serif", 16))
                .draw()?;
        }
        Ok(())
    })
}

/// A tick without what rounding leaves behind.
fn tick(value: &f64) -> String {
    if *value != 0.0 && value.abs() < 1e-3 {
        format!("{value:.1e}")
    } else {
        format!("{}", (value * 1e6).round() / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_have_names_and_round_ticks() {
        let line = |name, factor: f64| Line {
            name,
            points: (1..=100).map(|i| (f64::from(i), factor / f64::from(i))).collect(),
        };
        let drawn = line_chart(&[line("training", 3.0), line("test", 2.0)], "step", "loss").unwrap();
        assert!(drawn.contains("training") && drawn.contains("test") && drawn.contains("loss"), "{drawn}");
        assert!(drawn.contains("2.5") && drawn.contains("40"), "{drawn}");
        assert!(!drawn.contains("0000001") && !drawn.contains("999999"), "ticks are round");
    }

    #[test]
    fn few_whole_numbers_have_a_tick_each_and_none_between() {
        for last in [1, 2, 4, 8] {
            let points = (0..=last).map(|x| (f64::from(x), 10.0 * f64::from(x))).collect();
            let drawn = line_chart(&[Line { name: "a", points }], "round", "right").unwrap();
            let texts: Vec<&str> = drawn.lines().map(str::trim).collect();
            assert!(!texts.contains(&"0.5") && texts.contains(&last.to_string().as_str()), "{last}: {drawn}");
        }
    }

    #[test]
    fn a_point_is_drawn_and_none_is_nothing() {
        let one = |y| line_chart(&[Line { name: "a", points: vec![(5.0, y)] }], "step", "loss").unwrap();
        assert!(one(1.0).starts_with("<svg"));
        assert_eq!(one(f64::NAN), "");
        assert_eq!(line_chart(&[], "step", "loss").unwrap(), "");
    }
}
