//! Pages: the look and the filters that they share.

use minijinja::{AutoEscape, Environment};

/// How every report's page looks.
pub const PAGE_STYLE: &str = include_str!("page.css");

/// An environment for pages: everything is escaped as HTML unless a template says `safe`.
///
/// Filters: `fig` (four significant digits), `points` (one decimal), `signed` (the same with its
/// sign), `percent` (of a share).
pub fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_filter("fig", |value: f64| short(value));
    environment.add_filter("points", |value: f64| format!("{value:.1}"));
    environment.add_filter("signed", |value: f64| format!("{value:+.1}"));
    environment.add_filter("percent", |value: f64| format!("{:.1} %", value * 100.0));
    environment
}

/// Four significant digits; nothing else of a figure is worth reading.
pub fn short(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if !value.is_finite() {
        return format!("{value}");
    }
    let digits = (3 - value.abs().log10().floor() as i32).clamp(0, 9) as usize;
    format!("{value:.digits$}")
}
