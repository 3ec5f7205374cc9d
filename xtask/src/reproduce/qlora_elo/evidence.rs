//! What the judgments say about the paper's claims.

use std::collections::BTreeMap;

use camelid_recipe::claims::{Evidence, ExactFigure, Figure, NamedDifference};
use camelid_recipe::compare::Difference;

use super::{Measured, PUBLISHED, Reading, gaps, largest};

/// The model whose rank the paper claims, by its place in the table.
const CLAIMED: usize = 1;

/// Evidence by claim.
pub fn evidence(measured: &Measured) -> BTreeMap<&'static str, Evidence> {
    BTreeMap::from([("elo", order(measured)), ("elo-table", table(measured))])
}

/// Guanaco 65B less every model the table puts below it, by the full reading, which infers nothing;
/// the error is over questions drawn anew.
fn order(measured: &Measured) -> Evidence {
    let reading = &measured.full;
    let differences = PUBLISHED[CLAIMED + 1..]
        .iter()
        .filter_map(|(paper, model, _)| {
            let difference = difference(measured, reading, PUBLISHED[CLAIMED].1, model)?;
            Some(NamedDifference { name: format!("{} − {paper}", PUBLISHED[CLAIMED].0), difference })
        })
        .collect();
    Evidence {
        differences,
        figures: figures(measured, reading),
        note:
            "Points of a full pass over all matches, averaged over the orderings; each error is over the 80 \
               questions drawn anew."
                .to_owned(),
        ..Evidence::default()
    }
}

fn difference(measured: &Measured, reading: &Reading, left: &str, right: &str) -> Option<Difference> {
    let (i, j) = (measured.battles.model(left).ok()? as usize, measured.battles.model(right).ok()? as usize);
    let models = reading.rated.models.len();
    Some(Difference {
        mean: reading.rated.ratings[i] - reading.rated.ratings[j],
        standard_error: reading.errors.difference_error[i * models + j],
        examples: measured.battles.questions().all().len(),
        seeds: 1,
    })
}

/// The eight ratings of the inferred reading against the published ones.
fn table(measured: &Measured) -> Evidence {
    let found = gaps(&measured.battles, &measured.inferred.rated.ratings);
    let exact = PUBLISHED
        .iter()
        .zip(found)
        .map(|((paper, _, published), gap)| ExactFigure {
            name: (*paper).to_owned(),
            measured: published + gap,
            expected: *published,
        })
        .collect();
    let full = gaps(&measured.battles, &measured.full.rated.ratings);
    Evidence {
        exact,
        figures: figures(measured, &measured.inferred),
        note: format!(
            "The paper does not say how many matches an ordering has. {} of {} is inferred: one number, chosen here \
             because it fits all eight. Every match in each ordering puts GPT-4 {:+.0} from the table and the rest \
             within {:.0}.",
            measured.inferred.rated.matches,
            measured.full.rated.matches,
            full[0],
            largest(&full[1..]).ceil()
        ),
        ..Evidence::default()
    }
}

fn figures(measured: &Measured, reading: &Reading) -> Vec<Figure> {
    PUBLISHED
        .iter()
        .filter_map(|(paper, model, _)| {
            let index = measured.battles.model(model).ok()? as usize;
            Some(Figure {
                name: (*paper).to_owned(),
                value: reading.rated.ratings[index],
                unit: "points".to_owned(),
            })
        })
        .collect()
}
