//! The report's plots, as SVG text to put inline.

use camelid_report::{COLOURS, GREY, Line, ReportError, bar, horizontal_bars, label, line_chart, svg};
use plotters::prelude::*;

use super::{ArmRow, Curve, FormatRow, PlanRow};

const SIZE: (u32, u32) = (860, 380);

/// Training loss by step, one line an arm: the mean over its seeds; empty without runs.
pub fn loss_curves(curves: &[Curve]) -> Result<String, ReportError> {
    let mut arms: Vec<&str> = curves.iter().map(|curve| curve.arm.as_str()).collect();
    arms.dedup();
    let line = |name| {
        let seeds: Vec<&Curve> = curves.iter().filter(|curve| curve.arm == name).collect();
        let steps = seeds.iter().map(|curve| curve.losses.len()).min().unwrap_or(0);
        let mean = |step| seeds.iter().map(|curve| curve.losses[step]).sum::<f64>() / seeds.len() as f64;
        let losses = smoothed(&(0..steps).map(mean).collect::<Vec<_>>());
        let points = losses.into_iter().enumerate().map(|(i, loss)| (i as f64 + 1.0, loss)).collect();
        Line { name, points }
    };
    line_chart(&arms.into_iter().map(line).collect::<Vec<_>>(), "step", "loss, nats per token")
}

/// Each step's mean with the steps before it, ten at most.
fn smoothed(losses: &[f64]) -> Vec<f64> {
    (0..losses.len())
        .map(|i| &losses[i.saturating_sub(9)..=i])
        .map(|window| window.iter().sum::<f64>() / window.len() as f64)
        .collect()
}

/// Relative quantisation error against stored bits, one labelled point a format.
pub fn error_against_bits(formats: &[FormatRow]) -> Result<String, ReportError> {
    let points: Vec<&FormatRow> = formats.iter().filter(|f| f.relative_error > 0.0).collect();
    let Some(high) = points.iter().map(|f| f.relative_error).reduce(f64::max) else {
        return Ok(String::new());
    };
    let low = points.iter().map(|f| f.relative_error).fold(high, f64::min);
    svg(SIZE, |canvas| {
        let mut chart = ChartBuilder::on(canvas)
            .margin(12)
            .margin_right(24)
            .x_label_area_size(46)
            .y_label_area_size(64)
            .build_cartesian_2d(4.0..4.7, (low * 0.9)..(high * 1.1))?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc("bits per parameter, constants included")
            .y_desc("relative error")
            .x_label_formatter(&|v| format!("{v:.1}"))
            .y_label_formatter(&|v| format!("{v:.3}"))
            .label_style(("sans-serif", 14))
            .axis_desc_style(("sans-serif", 15))
            .draw()?;
        for (i, format) in points.iter().enumerate() {
            let colour = COLOURS[i % COLOURS.len()];
            let at = (format.bits, format.relative_error);
            chart.draw_series(std::iter::once(Circle::new(at, 6, colour.filled())))?;
            let style = ("sans-serif", 15).into_font().color(&colour);
            let name = format.name.clone();
            chart.draw_series(std::iter::once(EmptyElement::at(at) + Text::new(name, (10, -8), style)))?;
        }
        Ok(())
    })
}

/// Exact match before (grey) and after (colour) tuning; empty at scales without.
pub fn matches(arms: &[ArmRow]) -> Result<String, ReportError> {
    let rows: Vec<_> = arms
        .iter()
        .filter_map(|a| Some((a.name.as_str(), a.match_before?, a.match_after?, a.match_error?)))
        .collect();
    if rows.is_empty() {
        return Ok(String::new());
    }
    // The axis ends on a full fifth.
    let axis = ((rows.iter().map(|r| r.2 + r.3).fold(0.2, f64::max) * 5.0).ceil() / 5.0).min(1.0);
    let names: Vec<&str> = rows.iter().map(|row| row.0).collect();
    horizontal_bars(&names, axis, "share of exact matches", |canvas, x, y| {
        for (i, (_, before, after, error)) in rows.iter().enumerate() {
            let top = y(i);
            bar(canvas, x(0.0), x(*after), top, 16, COLOURS[i % COLOURS.len()])?;
            bar(canvas, x(0.0), x(*before), top + 18, 7, GREY)?;
            let (low, high) = (x((after - error).max(0.0)), x((after + error).min(1.0)));
            canvas.draw(&PathElement::new([(low, top + 8), (high, top + 8)], BLACK.stroke_width(2)))?;
            label(canvas, &format!("{:.1} %", after * 100.0), high + 6, top + 2)?;
        }
        Ok(())
    })
}

/// Bytes of each arm's weights.
pub fn weight_bytes(arms: &[ArmRow]) -> Result<String, ReportError> {
    let mib = |a: &ArmRow| a.weight_bytes as f64 / f64::from(1 << 20);
    let Some(axis) = arms.iter().map(mib).reduce(f64::max) else {
        return Ok(String::new());
    };
    let names: Vec<&str> = arms.iter().map(|arm| arm.name.as_str()).collect();
    horizontal_bars(&names, axis, "MiB of weights", |canvas, x, y| {
        for (i, size) in arms.iter().map(mib).enumerate() {
            bar(canvas, x(0.0), x(size), y(i), 18, COLOURS[i % COLOURS.len()])?;
            label(canvas, &format!("{size:.1} MiB"), x(size) + 6, y(i) + 3)?;
        }
        Ok(())
    })
}

/// Planned memory by part, stacked, one bar a scale.
pub fn plans(plans: &[PlanRow]) -> Result<String, ReportError> {
    let Some(axis) = plans.iter().map(|p| p.total).reduce(f64::max) else {
        return Ok(String::new());
    };
    let names: Vec<&str> = plans.iter().map(|plan| plan.name.as_str()).collect();
    horizontal_bars(&names, axis, "GiB planned", |canvas, x, y| {
        for (row, plan) in plans.iter().enumerate() {
            let mut from = 0.0;
            for (part, (_, gib)) in plan.parts.iter().enumerate() {
                bar(canvas, x(from), x(from + gib), y(row), 18, part_colour(part))?;
                from += gib;
            }
            label(canvas, &format!("{:.1} GiB", plan.total), x(from) + 6, y(row) + 3)?;
        }
        Ok(())
    })
}

/// The colour of each part of [`plans`], for its key; none for a part that no plan has.
pub fn part_colours(plans: &[PlanRow]) -> Vec<Option<String>> {
    let parts = plans.first().map_or(0, |plan| plan.parts.len());
    let colour = |part: usize| {
        let RGBColor(r, g, b) = part_colour(part);
        plans.iter().any(|plan| plan.parts[part].1 > 0.0).then(|| format!("rgb({r},{g},{b})"))
    };
    (0..parts).map(colour).collect()
}

fn part_colour(part: usize) -> RGBColor {
    COLOURS.get(part).copied().unwrap_or(GREY)
}
