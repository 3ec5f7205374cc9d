//! Measured values against a size, each with its interval.

use plotters::prelude::*;

use crate::ReportError;
use crate::canvas::{COLOURS, GREY, svg};

const SIZE: (u32, u32) = (860, 380);

/// The measurements of one thing.
pub struct Measured<'a> {
    /// Its name in the legend.
    pub name: &'a str,
    /// Points from left to right: where, the value, the lower and upper end of its interval.
    pub points: Vec<(f64, f64, f64, f64)>,
}

/// Values against a size, joined by lines and with error bars, on an axis from `y_range.0` to
/// `y_range.1`, as SVG text; empty where there is no point to draw.
///
/// # Errors
/// When it cannot be drawn.
pub fn interval_chart(
    series: &[Measured],
    x_name: &str,
    y_name: &str,
    y_range: (f64, f64),
) -> Result<String, ReportError> {
    let places = || series.iter().flat_map(|one| one.points.iter().map(|point| point.0));
    let (Some(left), Some(right)) = (places().reduce(f64::min), places().reduce(f64::max)) else {
        return Ok(String::new());
    };
    // Room beside the outermost points, and around a single one.
    let room = if right > left { 0.04 * (right - left) } else { 0.5 * right.abs().max(1.0) };
    svg(SIZE, |canvas| {
        let mut chart = ChartBuilder::on(canvas)
            .margin(12)
            .x_label_area_size(38)
            .y_label_area_size(64)
            .build_cartesian_2d((left - room)..(right + room), y_range.0..y_range.1)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc(x_name)
            .y_desc(y_name)
            .x_label_formatter(&|value| format!("{}", value.round()))
            .y_label_formatter(&|value| format!("{}", (value * 1e6).round() / 1e6))
            .draw()?;
        for (i, one) in series.iter().enumerate() {
            let colour = COLOURS[i % COLOURS.len()];
            let line = one.points.iter().map(|point| (point.0, point.1));
            chart
                .draw_series(LineSeries::new(line.clone(), colour.stroke_width(2)))?
                .label(one.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(3)));
            chart.draw_series(line.map(|point| Circle::new(point, 3, colour.filled())))?;
            chart.draw_series(one.points.iter().map(|&(x, value, low, high)| {
                ErrorBar::new_vertical(x, low, value, high, colour.stroke_width(1), 8)
            }))?;
        }
        if series.len() > 1 {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::LowerLeft)
                .background_style(WHITE.mix(0.85))
                .border_style(GREY)
                .label_font(("sans-serif", 13))
                .draw()?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_its_point_and_its_interval() {
        let one =
            |name| Measured { name, points: vec![(200.0, 0.96, 0.87, 0.99), (300.0, 0.94, 0.84, 0.98)] };
        let plot = interval_chart(&[one("long"), one("short")], "lines", "accuracy", (0.0, 1.0)).unwrap();
        assert!(plot.contains("long") && plot.contains("accuracy") && plot.contains("200"), "{plot}");
        // A point each, and the bar's own in its middle.
        assert_eq!(plot.matches("<circle").count(), 8);
        assert_eq!(interval_chart(&[], "lines", "accuracy", (0.0, 1.0)).unwrap(), "");
    }
}
