//! What plots are drawn on and with, in pixels.

use plotters::coord::Shift;
use plotters::drawing::DrawingAreaErrorKind;
use plotters::prelude::*;

/// What a plot is drawn on.
pub type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// Why something could not be drawn.
pub type DrawError = DrawingAreaErrorKind<std::io::Error>;

/// Colours of series, told apart in print too.
pub const COLOURS: [RGBColor; 8] = [
    RGBColor(38, 98, 168),
    RGBColor(199, 89, 33),
    RGBColor(46, 133, 78),
    RGBColor(141, 68, 173),
    RGBColor(176, 137, 0),
    RGBColor(20, 140, 150),
    RGBColor(178, 38, 75),
    RGBColor(90, 96, 106),
];
/// Grid lines and what is less important.
pub const GREY: RGBColor = RGBColor(190, 196, 203);

/// The SVG text of what `draw` draws on a white canvas of `size` (width, height).
///
/// # Errors
/// Those of `draw`, and when the canvas cannot be finished.
pub fn svg<E: From<DrawError>>(
    size: (u32, u32),
    draw: impl FnOnce(&Canvas) -> Result<(), E>,
) -> Result<String, E> {
    let mut text = String::new();
    {
        let canvas = SVGBackend::with_string(&mut text, size).into_drawing_area();
        canvas.fill(&WHITE)?;
        draw(&canvas)?;
        canvas.present()?;
    }
    Ok(text)
}

/// Writes a text with its upper left corner at (`x`, `y`).
///
/// # Errors
/// When it cannot be drawn.
pub fn label(canvas: &Canvas, text: &str, x: i32, y: i32) -> Result<(), DrawError> {
    canvas.draw(&Text::new(text.to_owned(), (x, y), ("sans-serif", 14)))
}

/// About how wide [`label`] writes a text; the reader's font decides.
pub fn label_width(text: &str) -> i32 {
    7 * text.chars().count() as i32
}

/// Writes a text that ends before `width` pixels, cut short where it has to be.
///
/// # Errors
/// When it cannot be drawn.
pub fn label_within(canvas: &Canvas, text: &str, x: i32, y: i32, width: i32) -> Result<(), DrawError> {
    label(canvas, &cut(text, width), x, y)
}

/// A text of `width` pixels at most, with an ellipsis where something is missing.
pub fn cut(text: &str, width: i32) -> String {
    if label_width(text) <= width {
        return text.to_owned();
    }
    let fits = (width / label_width("x")).max(2) as usize - 1;
    text.chars().take(fits).chain(['…']).collect()
}

/// A filled bar, one pixel long at least.
///
/// # Errors
/// When it cannot be drawn.
pub fn bar(
    canvas: &Canvas,
    from: i32,
    to: i32,
    top: i32,
    height: i32,
    colour: RGBColor,
) -> Result<(), DrawError> {
    canvas.draw(&Rectangle::new([(from, top), (to.max(from + 1), top + height)], colour.filled()))
}

/// A line of named colours with its upper left corner at (`left`, `top`), an entry every `step` pixels.
///
/// # Errors
/// When it cannot be drawn.
pub fn legend(
    canvas: &Canvas,
    entries: &[(&str, RGBColor)],
    (left, top): (i32, i32),
    step: i32,
) -> Result<(), DrawError> {
    for (i, (text, colour)) in entries.iter().enumerate() {
        let left = left + step * i as i32;
        canvas.draw(&Rectangle::new([(left, top + 1), (left + 12, top + 13)], colour.filled()))?;
        label(canvas, text, left + 18, top)?;
    }
    Ok(())
}

/// Where a chart begins that has these names at its left: at `least`, further right for longer
/// names, up to 340.
pub fn room_for(names: &[&str], least: i32) -> i32 {
    let widest = names.iter().map(|name| label_width(name)).max().unwrap_or(0);
    (widest + 16).clamp(least, 340)
}

/// The distance of ticks on an axis from 0 to `axis`, so that they are round numbers (1, 2 or 5 and
/// zeros) and three to six in all; and the decimals that they need.
pub fn tick_step(axis: f64) -> (f64, usize) {
    if !(axis.is_finite() && axis > 0.0) {
        return (1.0, 0);
    }
    let magnitude = 10f64.powf((axis / 5.0).log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|f| axis / (f * magnitude) <= 5.0 + 1e-9);
    let step = factor.unwrap_or(10.0) * magnitude;
    (step, (-(step * 1.000_001).log10().floor()).max(0.0) as usize)
}

/// From a value to its pixel along the axis.
pub type ToPixel<'a> = &'a dyn Fn(f64) -> i32;
/// From a row's number to its upper edge.
pub type ToRow<'a> = &'a dyn Fn(usize) -> i32;

/// A chart of one row per name, with the names at the left and a scale from 0 to `axis` below;
/// `fill` draws into it with the two coordinate maps it is given.
///
/// # Errors
/// Those of `fill`, and when something cannot be drawn.
pub fn horizontal_bars<E: From<DrawError>>(
    names: &[&str],
    axis: f64,
    description: &str,
    fill: impl FnOnce(&Canvas, ToPixel, ToRow) -> Result<(), E>,
) -> Result<String, E> {
    const WIDTH: u32 = 860;
    let height = 34 * names.len() as u32 + 76;
    let (left, right) = (room_for(names, 150), WIDTH as i32 - 110);
    svg((WIDTH, height), |canvas| {
        let (step, decimals) = tick_step(axis);
        // The axis ends at a tick.
        let axis = (axis / step - 1e-9).ceil().max(1.0) * step;
        let x = |value: f64| left + (value / axis.max(1e-12) * f64::from(right - left)).round() as i32;
        let y = |row: usize| 12 + 34 * row as i32;
        let bottom = y(names.len());
        for tick in 0..=(axis / step).round() as i32 {
            let value = step * f64::from(tick);
            let (at, text) = (x(value), format!("{value:.decimals$}"));
            canvas.draw(&PathElement::new([(at, 8), (at, bottom)], GREY.mix(0.6)))?;
            label(canvas, &text, at - label_width(&text) / 2, bottom + 4)?;
        }
        label(canvas, description, (left + right) / 2 - 50, bottom + 22)?;
        for (i, name) in names.iter().enumerate() {
            label_within(canvas, name, 8, y(i) + 3, left - 14)?;
        }
        fill(canvas, &x, &y)
    })
}

#[cfg(test)]
mod tests {
    use super::tick_step;

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(tick_step(0.8), (0.2, 1));
        assert_eq!(tick_step(7.3), (2.0, 0));
        assert_eq!(tick_step(5.0), (1.0, 0));
        assert_eq!(tick_step(1431.0), (500.0, 0));
        assert_eq!(tick_step(0.0), (1.0, 0));
        let (step, decimals) = tick_step(0.12);
        assert!((step - 0.05).abs() < 1e-12 && decimals == 2);
    }
}
