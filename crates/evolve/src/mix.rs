//! Which rows of a lineage become training data.

use std::collections::BTreeMap;

use camelid_files::digest;
use serde::{Deserialize, Serialize};

use crate::EvolveError;
use crate::lineage::Row;

/// Which rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mix {
    /// The seeds and every round, as the paper mixes them.
    #[default]
    All,
    /// For each seed what lives of it in the end.
    Last,
    /// The rows of one round; 0 are the seeds.
    Round(usize),
}

impl std::str::FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            "last" => Ok(Self::Last),
            number => number
                .parse()
                .map(Self::Round)
                .map_err(|_| format!("`{text}` is no mix; expected all, last or the number of a round")),
        }
    }
}

/// The rows that live in a mix, in an order that the seed shuffles; the first `most` of them.
///
/// A longer selection by the same seed begins with a shorter one.
///
/// # Errors
/// When nothing lives in the mix.
pub fn mix(rows: &[Row], mix: Mix, seed: u64, most: Option<usize>) -> Result<Vec<&Row>, EvolveError> {
    let living = rows.iter().filter(|row| row.lives());
    let mut chosen: Vec<&Row> = match mix {
        Mix::All => living.collect(),
        Mix::Round(round) => living.filter(|row| row.round == round).collect(),
        Mix::Last => {
            // Rounds follow each other, so that a later row of a seed takes the place of an earlier.
            let last: BTreeMap<usize, &Row> = living.map(|row| (row.seed, row)).collect();
            last.into_values().collect()
        }
    };
    if chosen.is_empty() {
        return Err(EvolveError::NothingLives);
    }
    chosen.sort_by_cached_key(|row| digest::of_bytes(format!("{seed}\n{}", row.id)));
    chosen.truncate(most.unwrap_or(usize::MAX));
    Ok(chosen)
}
