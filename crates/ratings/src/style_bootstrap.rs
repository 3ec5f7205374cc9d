//! Style-controlled ratings with battles, or questions, drawn anew.

use rand::RngExt;
use rayon::prelude::*;

use crate::battles::Battles;
use crate::bootstrap::{Bootstrap, Replicates};
use crate::bradley_terry::BradleyTerry;
use crate::error::RatingsError;
use crate::style::{StyleControlled, StyleRow};

impl Bootstrap {
    /// [`BradleyTerry::fit_with_style`] with `z` standard errors, and the ratings of every
    /// replicate: ratings and coefficients are fitted together each time.
    ///
    /// # Errors
    /// As [`BradleyTerry::fit_with_style`] and [`Bootstrap::bradley_terry`].
    pub fn style(
        &self,
        model: &BradleyTerry,
        battles: &Battles,
        z: f64,
    ) -> Result<(StyleControlled, Replicates), RatingsError> {
        self.check()?;
        let (fitted, fit) = model.style_fit(battles, z)?;
        let groups = self.groups(fit.rows.iter().map(|row| row.question));
        let drawn = |number: u64| {
            let mut rng = self.rng(number);
            let rows: Vec<StyleRow> = (0..groups.len())
                .flat_map(|_| &groups[rng.random_range(0..groups.len())])
                .map(|&row| fit.rows[row as usize])
                .collect();
            model.style_refit(&fit, &rows)
        };
        let rows = (0..self.replicates as u64).into_par_iter().map(drawn).collect();
        let replicates = self.collected(fitted.ratings.models.clone(), fitted.ratings.ratings.clone(), rows);
        Ok((fitted, replicates))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::battles::{NamedBattle, Outcome, Style};

    #[test]
    fn bootstrap_and_sandwich_agree_and_the_seed_decides() {
        let mut battles = Battles::new();
        for i in 0..900u32 {
            let outcome = if (i * 7 + i / 9) % 10 < 6 { Outcome::ModelA } else { Outcome::ModelB };
            let length = |n: u32| Style { length: (100 + (i * n) % 200) as f32, ..Style::default() };
            let (a, b) = [("x", "y"), ("y", "z"), ("x", "z")][i as usize % 3];
            let named = NamedBattle::new(a, b, outcome);
            battles.push(&NamedBattle { style: Some([length(37), length(53)]), ..named }).unwrap();
        }
        let bootstrap = Bootstrap { replicates: 200, ..Bootstrap::default() };
        let (fitted, replicates) = bootstrap.style(&BradleyTerry::default(), &battles, 1.96).unwrap();
        for (drawn, robust) in replicates.intervals().iter().zip(&fitted.intervals) {
            let ratio = (drawn.high - drawn.low) / (robust.high - robust.low);
            assert!((ratio - 1.0).abs() < 0.25, "{drawn:?} {robust:?}");
        }
        assert_eq!(replicates.unbounded, [0; 3]);
        let again = bootstrap.style(&BradleyTerry::default(), &battles, 1.96).unwrap().1;
        assert_eq!(again, replicates);
        let other = Bootstrap { seed: 1, ..bootstrap };
        assert_ne!(other.style(&BradleyTerry::default(), &battles, 1.96).unwrap().1, replicates);
    }
}
