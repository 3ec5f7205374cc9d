//! Steps, decoding and prefill of the 110-million-parameter LLaMA: rows of the comparison.

use std::time::Duration;

use camelid_benches::{Row, rows};
use criterion::Criterion;

use crate::peak::bench as bench_row;

pub fn bench(criterion: &mut Criterion) {
    let of_models = [Row::QloraStep, Row::QloraStepCheckpointed, Row::FullStep, Row::Decode, Row::Prefill];
    for row in of_models {
        for setting in row.settings() {
            // Made when criterion first asks: a filter may leave the row out.
            let mut prepared = None;
            bench_row(criterion, &format!("{row}/{setting}"), row.work(), || {
                let made = || rows::prepare(row, setting).unwrap_or_else(|error| panic!("{row}: {error}"));
                let seconds = prepared.get_or_insert_with(made).run();
                Duration::from_secs_f64(seconds.unwrap_or_else(|error| panic!("{row}: {error}")))
            });
        }
    }
}
