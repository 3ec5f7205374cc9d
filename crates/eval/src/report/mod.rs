//! Reports: what the recipes and the command line share of pages and plots.
//!
//! A page is a minijinja template rendered in [`environment()`], with [`PAGE_STYLE`] and its plots
//! inside, so that one file is all there is to keep. A plot is a function from figures to SVG text;
//! [`svg`], [`label`], [`bar`] and [`horizontal_bars`] are what such functions are made of.
//! [`RatingsReport`], [`AgreementReport`] and their like are whole reports: text, page, frame and, by serde, JSON.

mod agreement;
mod canvas;
#[cfg(feature = "judge")]
mod judge_page;
mod page;
mod radar;
mod rating_plots;
mod ratings;
mod ratings_text;
#[cfg(feature = "models")]
mod tasks;
mod text_table;

pub use agreement::{AgreementReport, AgreementRow, GroupMembers, JudgeGroup};
pub use canvas::{
    COLOURS, Canvas, DrawError, GREY, ToPixel, ToRow, bar, horizontal_bars, label, label_width, label_within,
    legend, room_for, svg,
};
#[cfg(feature = "judge")]
pub use judge_page::{JudgeReport, JudgeSample, judge_samples};
pub use page::{PAGE_STYLE, environment, position_context};
pub use radar::{Bar, Outcomes, RadarSeries, interval_bars, outcome_bars, radar};
pub use rating_plots::{RatingRow, position, rating_intervals, win_matrix};
pub use ratings::RatingsReport;
#[cfg(feature = "models")]
pub use tasks::TasksReport;
pub use text_table::text_table;

use polars::prelude::{DataFrame, PolarsResult};
use serde::Serialize;

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A plot cannot be drawn.
    #[error("cannot draw a plot: {0}")]
    Draw(#[from] DrawError),
    /// A page cannot be rendered.
    #[error("cannot render the page: {0:#}")]
    Page(#[from] minijinja::Error),
}

/// A whole report: as text, as a page, as a frame and, by serde, as JSON.
pub trait Report: Serialize {
    /// Tables for a terminal.
    fn text(&self) -> String;

    /// A page in HTML that needs no other file.
    ///
    /// # Errors
    /// When a plot cannot be drawn or the template not be rendered.
    fn page(&self) -> Result<String, ReportError>;

    /// Its main table as a frame; an interval is a pair of columns.
    ///
    /// # Errors
    /// Those of polars, which columns of one length do not give.
    fn frame(&self) -> PolarsResult<DataFrame>;
}
