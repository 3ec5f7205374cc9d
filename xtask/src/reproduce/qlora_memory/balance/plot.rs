//! Tokens per second against the length of the row: the disk's lines, the cores' curves, and what was measured.

use camelid_report::{COLOURS, GREY, svg};
use plotters::prelude::*;

use super::model::Balance;

/// The plot as SVG text, both axes logarithmic.
pub fn tokens_per_second(balance: &Balance) -> anyhow::Result<String> {
    let computed = |rank: usize| -> Vec<(f64, f64)> {
        balance
            .at_rank(rank)
            .map(|times| (times.tokens as f64, balance.tokens_per_second(times, None)))
            .collect()
    };
    let streamed: Vec<(f64, f64)> = balance
        .at_rank(balance.rank)
        .zip(&balance.measured.streamed)
        .map(|(times, streamed)| (times.tokens as f64, balance.streamed_tokens_per_second(times, streamed)))
        .collect();
    let ranks = balance.ranks();
    let shown = || ranks.iter().flat_map(|&rank| computed(rank)).chain(streamed.iter().copied());
    let (left, right) = shown().fold((f64::MAX, 0.0), |(low, high), (x, _)| (x.min(low), x.max(high)));
    let (low, high) = shown().fold((f64::MAX, 0f64), |(low, high), (_, y)| (y.min(low), y.max(high)));
    let (bottom, top) = (0.6 * low, 2.5 * high);
    svg((860, 420), |canvas| {
        let mut chart = ChartBuilder::on(canvas)
            .margin(12)
            .margin_right(24)
            .x_label_area_size(46)
            .y_label_area_size(64)
            .build_cartesian_2d((left..right).log_scale(), (bottom..top).log_scale())?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc("tokens of the row")
            .y_desc("tokens per second")
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| format!("{}", (y * 1e3).round() / 1e3))
            .label_style(("sans-serif", 14))
            .axis_desc_style(("sans-serif", 15))
            .draw()?;
        for (i, disk) in balance.disks.iter().enumerate() {
            // A line is drawn where it is inside the picture.
            let per_token = balance.reading_alone(disk, 1.0);
            let (from, to) = (left.max(bottom / per_token), right.min(top / per_token));
            if from >= to {
                continue;
            }
            let ends = [from, to].map(|tokens| (tokens, balance.reading_alone(disk, tokens)));
            let style = BLACK.mix([0.9, 0.55, 0.3][i.min(2)]).stroke_width(2);
            let name = format!("reading alone, {} ({:.1} GB/s)", disk.name, disk.reading / 1e9);
            chart
                .draw_series(DashedLineSeries::new(ends, 8, 5, style))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
        }
        for (i, &rank) in ranks.iter().enumerate() {
            let colour = COLOURS[i % COLOURS.len()];
            chart
                .draw_series(LineSeries::new(computed(rank), colour.stroke_width(2)))?
                .label(format!("computing alone, rank {rank}"))
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(3)));
            chart.draw_series(computed(rank).into_iter().map(|at| Circle::new(at, 3, colour.filled())))?;
        }
        let colour = COLOURS[ranks.len() % COLOURS.len()];
        chart
            .draw_series(streamed.iter().map(|&at| Cross::new(at, 6, colour.stroke_width(3))))?
            .label(format!("read from this disk, rank {}", balance.rank))
            .legend(move |(x, y)| Cross::new((x + 8, y), 5, colour.stroke_width(3)));
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.85))
            .border_style(GREY)
            .label_font(("sans-serif", 14))
            .draw()?;
        Ok(())
    })
}
