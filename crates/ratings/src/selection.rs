//! Which battles count.

use serde::{Deserialize, Serialize};

use crate::battles::{Battles, NamedBattle, Names};
use crate::error::RatingsError;

/// Conditions a battle has to meet; an empty list asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Selection {
    /// Languages of the conversation.
    pub languages: Vec<String>,
    /// Judges.
    pub judges: Vec<String>,
    /// Turns.
    pub turns: Vec<u32>,
    /// Models with fewer battles are left out with all their battles, until every model has as many.
    pub min_battles: u64,
    /// Leaves out ties that say that both answers are bad.
    pub without_both_bad: bool,
}

impl Selection {
    /// The battles that meet the conditions; rejected rows stay noted.
    ///
    /// # Errors
    /// [`RatingsError::UnknownName`] for a language, judge or turn that no battle has;
    /// [`RatingsError::Empty`] when no battle meets all conditions.
    pub fn apply(&self, battles: &Battles) -> Result<Battles, RatingsError> {
        known("language", &self.languages, battles.languages())?;
        known("judge", &self.judges, battles.judges())?;
        for turn in &self.turns {
            if battles.rows().iter().all(|row| row.turn != Some(*turn)) {
                let mut turns: Vec<u32> = battles.rows().iter().filter_map(|row| row.turn).collect();
                turns.sort_unstable();
                turns.dedup();
                let turns: Vec<String> = turns.iter().map(u32::to_string).collect();
                return Err(unknown("turn", &turn.to_string(), &turns));
            }
        }
        let one_of = |wanted: &[String], name: Option<&str>| {
            wanted.is_empty() || name.is_some_and(|name| wanted.iter().any(|w| w == name))
        };
        let meets = |battle: &NamedBattle| {
            one_of(&self.languages, battle.language)
                && one_of(&self.judges, battle.judge)
                && !(self.without_both_bad && battle.both_bad)
                && (self.turns.is_empty() || battle.turn.is_some_and(|turn| self.turns.contains(&turn)))
        };
        let mut kept = battles.filter(meets);
        self.not_empty(&kept, "of the chosen languages, judges and turns")?;
        loop {
            let played = kept.battles_by_model();
            if played.iter().all(|n| *n >= self.min_battles) {
                return Ok(kept);
            }
            let enough =
                |model: &str| kept.model(model).is_ok_and(|m| played[m as usize] >= self.min_battles);
            kept = kept.filter(|battle| enough(battle.model_a) && enough(battle.model_b));
            self.not_empty(&kept, &format!("between models with {} battles or more", self.min_battles))?;
        }
    }

    fn not_empty(&self, battles: &Battles, what: &str) -> Result<(), RatingsError> {
        if battles.rows().is_empty() {
            let reason = format!("there is none {what}");
            return Err(RatingsError::Empty { origin: "selection".to_owned(), reason });
        }
        Ok(())
    }
}

fn known(what: &'static str, wanted: &[String], names: &Names) -> Result<(), RatingsError> {
    match wanted.iter().find(|name| names.index(name).is_none()) {
        Some(name) => Err(unknown(what, name, names.all())),
        None => Ok(()),
    }
}

fn unknown(what: &'static str, name: &str, present: &[String]) -> RatingsError {
    let present = match present {
        [] => format!("the battles name no {what}"),
        names => format!("{what}s: {}", names.join(", ")),
    };
    RatingsError::UnknownName { what, name: name.to_owned(), present }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::battles::Outcome;

    fn battles() -> Battles {
        let mut battles = Battles::new();
        for (language, turn, a, b) in [
            ("German", 1, "x", "y"),
            ("German", 2, "y", "x"),
            ("English", 1, "x", "z"),
            ("English", 1, "y", "z"),
            ("English", 1, "z", "u"),
        ] {
            let named = NamedBattle::new(a, b, Outcome::ModelA);
            battles.push(&NamedBattle { language: Some(language), turn: Some(turn), ..named }).unwrap();
        }
        battles
    }

    #[test]
    fn conditions_are_met_together() {
        let all = battles();
        assert_eq!(Selection::default().apply(&all).unwrap().rows(), all.rows());
        let german = Selection { languages: vec!["German".into()], ..Selection::default() };
        assert_eq!(german.apply(&all).unwrap().rows().len(), 2);
        let second = Selection { turns: vec![2], ..german.clone() };
        assert_eq!(second.apply(&all).unwrap().rows().len(), 1);
        let neither = Selection { turns: vec![2], languages: vec!["English".into()], ..Selection::default() };
        let error = neither.apply(&all).unwrap_err().to_string();
        assert!(error.contains("no battles: there is none of the chosen languages"), "{error}");
    }

    #[test]
    fn models_with_few_battles_go_until_every_model_has_enough() {
        // u goes first; then z has two battles, x and y three.
        let three = Selection { min_battles: 3, ..Selection::default() };
        let error = three.apply(&battles()).unwrap_err().to_string();
        assert!(error.contains("models with 3 battles or more"), "{error}");
        let two = Selection { min_battles: 2, ..Selection::default() };
        assert_eq!(two.apply(&battles()).unwrap().models(), ["x", "y", "z"]);
    }

    #[test]
    fn names_that_no_battle_has_are_told_with_those_there_are() {
        let french = Selection { languages: vec!["French".into()], ..Selection::default() };
        let error = french.apply(&battles()).unwrap_err().to_string();
        assert_eq!(error, "no battle has the language `French`; languages: German, English");
        let judge = Selection { judges: vec!["gpt-4".into()], ..Selection::default() };
        let error = judge.apply(&battles()).unwrap_err().to_string();
        assert!(error.ends_with("the battles name no judge"), "{error}");
        let turn = Selection { turns: vec![3], ..Selection::default() };
        assert!(turn.apply(&battles()).unwrap_err().to_string().ends_with("turns: 1, 2"));
    }
}
