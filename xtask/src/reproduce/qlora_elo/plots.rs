//! The plot that only the Elo report has, as SVG text to put inline.

use camelid_report::{COLOURS, svg};
use plotters::prelude::*;

/// The largest gap to the published table against the number of matches an ordering has.
pub fn profile(points: &[(usize, f64)]) -> anyhow::Result<String> {
    let most = points.iter().map(|p| p.0).max().unwrap_or(1) as f64;
    let high = points.iter().map(|p| p.1).fold(1.0, f64::max);
    svg((860, 300), |canvas| {
        let mut chart = ChartBuilder::on(canvas)
            .margin(12)
            .x_label_area_size(38)
            .y_label_area_size(56)
            .build_cartesian_2d((60f64..most * 1.1).log_scale(), 0.0..high * 1.05)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc("matches per ordering")
            .y_desc("largest gap, points")
            .x_label_formatter(&|v| format!("{v:.0}"))
            .draw()?;
        let line: Vec<(f64, f64)> = points.iter().map(|&(matches, gap)| (matches as f64, gap)).collect();
        chart.draw_series(LineSeries::new(line.iter().copied(), COLOURS[0].stroke_width(2)))?;
        chart.draw_series(line.into_iter().map(|at| Circle::new(at, 4, COLOURS[0].filled())))?;
        Ok(())
    })
}
