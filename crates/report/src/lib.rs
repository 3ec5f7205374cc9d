#![doc = include_str!("../README.md")]

mod canvas;
mod intervals;
mod lines;
mod page;
#[cfg(feature = "parquet")]
mod parquet;
mod radar;
mod text_table;

pub use canvas::{
    COLOURS, Canvas, DrawError, GREY, ToPixel, ToRow, bar, cut, horizontal_bars, label, label_width,
    label_within, legend, room_for, svg, tick_step,
};
pub use intervals::{Measured, interval_chart};
pub use lines::{Line, line_chart};
pub use page::{PAGE_STYLE, environment, short};
#[cfg(feature = "parquet")]
pub use parquet::{Tabular, write_parquet};
pub use radar::{Bar, Outcomes, RadarSeries, interval_bars, outcome_bars, radar};
pub use text_table::text_table;

use serde::Serialize;

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A plot cannot be drawn.
    #[error("cannot draw a plot: {0}")]
    Draw(DrawError),
    /// A page cannot be rendered.
    #[error("cannot render the page: {0:#}")]
    Page(minijinja::Error),
}

// By hand, so that the cause that the message holds is not printed a second time as its source.
impl From<DrawError> for ReportError {
    fn from(error: DrawError) -> Self {
        Self::Draw(error)
    }
}

impl From<minijinja::Error> for ReportError {
    fn from(error: minijinja::Error) -> Self {
        Self::Page(error)
    }
}

/// A whole report: as text, as a page and, by serde, as JSON.
pub trait Report: Serialize {
    /// Tables for a terminal.
    fn text(&self) -> String;

    /// A page in HTML that needs no other file.
    ///
    /// # Errors
    /// When a plot cannot be drawn or the template not be rendered.
    fn page(&self) -> Result<String, ReportError>;
}
