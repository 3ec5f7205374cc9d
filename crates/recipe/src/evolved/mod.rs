//! Evolution in the nano world, where everything can be known: instructions with one right answer each are evolved
//! by a model of the world that goes wrong as often as it is told to, and one base is tuned on the rows in several
//! ways. What recipes of evolution share; each brings its plans, its arms and its claims.

mod arm;
mod evolver;
mod exam;
mod faults;
mod lineages;
mod measured;
mod programs;
mod rows;
mod study;

pub use arm::{Arm, Size};
pub use evolver::{WorldModel, read, slip_of};
pub use exam::{DRAWS, Mark, TEMPERATURE, sit};
pub use faults::{Count, Found, found};
pub use lineages::{Begins, Exam, Item, Lineages, Part, Plan, Sizes, checked};
pub use measured::{Measured, Score, in_words};
pub use programs::{PROGRAMS, Posed, write_and_run};
pub use rows::{ArmRow, Measure, arms_html, arms_text};
pub use study::{Design, Study, Tuned};
