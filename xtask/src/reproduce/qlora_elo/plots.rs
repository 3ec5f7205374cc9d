//! The Elo report's plots, as SVG text to put inline.

use camelid_eval::ratings::{Interval, ModelPosition};
use plotters::prelude::*;

use crate::report::plots::{COLOURS, GREY, label, svg};

/// One model in the plot of ratings.
pub struct RatingRow<'a> {
    /// Its name.
    pub name: &'a str,
    /// As published.
    pub published: f64,
    /// By every match, with its interval.
    pub full: Interval,
    /// By the inferred number of matches, with its interval.
    pub inferred: Interval,
}

const WIDTH: u32 = 860;
const ROW: i32 = 34;
const LEFT: i32 = 130;
const RIGHT: i32 = WIDTH as i32 - 30;

/// Ratings with their intervals, one row a model: both readings, and the published value as a bar.
pub fn ratings(rows: &[RatingRow]) -> anyhow::Result<String> {
    let ends =
        || rows.iter().flat_map(|r| [r.published, r.full.low, r.full.high, r.inferred.low, r.inferred.high]);
    let (low, high) = (ends().fold(f64::MAX, f64::min), ends().fold(f64::MIN, f64::max));
    let (low, high) = ((low / 50.0).floor() * 50.0, (high / 50.0).ceil() * 50.0);
    let x = |value: f64| LEFT + ((value - low) / (high - low) * f64::from(RIGHT - LEFT)).round() as i32;
    let bottom = 12 + ROW * rows.len() as i32;
    svg((WIDTH, bottom as u32 + 52), |canvas| {
        let mut tick = low;
        while tick <= high {
            canvas.draw(&PathElement::new([(x(tick), 8), (x(tick), bottom)], GREY.mix(0.6)))?;
            label(canvas, &format!("{tick:.0}"), x(tick) - 12, bottom + 4)?;
            tick += 50.0;
        }
        for (i, row) in rows.iter().enumerate() {
            let top = 12 + ROW * i as i32;
            label(canvas, row.name, 8, top + 8)?;
            for (at, interval, colour) in
                [(top + 9, row.inferred, COLOURS[0]), (top + 21, row.full, COLOURS[1])]
            {
                let line = [(x(interval.low), at), (x(interval.high), at)];
                canvas.draw(&PathElement::new(line, colour.stroke_width(2)))?;
                canvas.draw(&Circle::new((x(interval.value), at), 4, colour.filled()))?;
            }
            let published = x(row.published);
            canvas.draw(&PathElement::new(
                [(published, top + 2), (published, top + 28)],
                BLACK.stroke_width(2),
            ))?;
        }
        let legend = [("published", BLACK), ("inferred matches", COLOURS[0]), ("all matches", COLOURS[1])];
        for (i, (text, colour)) in legend.into_iter().enumerate() {
            let left = LEFT + 190 * i as i32;
            canvas.draw(&Rectangle::new([(left, bottom + 30), (left + 12, bottom + 42)], colour.filled()))?;
            label(canvas, text, left + 18, bottom + 29)?;
        }
        Ok(())
    })
}

/// The largest gap to the published table against the number of matches an ordering has.
pub fn profile(points: &[(usize, f64)]) -> anyhow::Result<String> {
    let most = points.iter().map(|p| p.0).max().unwrap_or(1) as f64;
    let high = points.iter().map(|p| p.1).fold(1.0, f64::max);
    svg((WIDTH, 300), |canvas| {
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

/// What the row's model scores against the column's, blue above one half, red below.
pub fn win_matrix(names: &[&str], rates: &[Vec<Option<f64>>]) -> anyhow::Result<String> {
    let cell = 84;
    let left = LEFT;
    svg((left as u32 + cell as u32 * names.len() as u32 + 10, 34 + 30 * names.len() as u32), |canvas| {
        for (i, (name, row)) in names.iter().zip(rates).enumerate() {
            let top = 26 + 30 * i as i32;
            label(canvas, name, 8, top + 7)?;
            label(canvas, name, left + cell * i as i32 + 2, 6)?;
            for (j, rate) in row.iter().enumerate() {
                let Some(rate) = rate else { continue };
                let at = left + cell * j as i32;
                let colour = if *rate >= 0.5 { COLOURS[0] } else { COLOURS[1] };
                let strength = 0.08 + 0.9 * (rate - 0.5).abs();
                canvas.draw(&Rectangle::new(
                    [(at, top), (at + cell - 2, top + 28)],
                    colour.mix(strength).filled(),
                ))?;
                label(canvas, &format!("{:.1} %", 100.0 * rate), at + 18, top + 7)?;
            }
        }
        Ok(())
    })
}

/// What each model scores more when its answer is shown first, with its interval.
pub fn position(models: &[ModelPosition]) -> anyhow::Result<String> {
    let rows: Vec<(&str, Interval)> =
        models.iter().filter_map(|m| Some((m.model.as_str(), m.advantage?))).collect();
    let high = rows.iter().map(|(_, a)| a.high).fold(0.1, f64::max);
    let low = rows.iter().map(|(_, a)| a.low).fold(0.0, f64::min);
    let x = |value: f64| LEFT + ((value - low) / (high - low) * f64::from(RIGHT - LEFT)).round() as i32;
    let bottom = 12 + ROW * rows.len() as i32;
    svg((WIDTH, bottom as u32 + 26), |canvas| {
        canvas.draw(&PathElement::new([(x(0.0), 8), (x(0.0), bottom)], BLACK.stroke_width(1)))?;
        label(canvas, "0", x(0.0) - 4, bottom + 4)?;
        for (i, (name, advantage)) in rows.iter().enumerate() {
            let top = 12 + ROW * i as i32;
            label(canvas, name, 8, top + 6)?;
            let line = [(x(advantage.low), top + 13), (x(advantage.high), top + 13)];
            canvas.draw(&PathElement::new(line, COLOURS[2].stroke_width(2)))?;
            canvas.draw(&Circle::new((x(advantage.value), top + 13), 5, COLOURS[2].filled()))?;
            label(canvas, &format!("{:+.1} %", 100.0 * advantage.value), x(advantage.value) + 8, top - 2)?;
        }
        Ok(())
    })
}
