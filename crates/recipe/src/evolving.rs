//! What evolving instructions by a rented model takes: calls, tokens, dollars.

use camelid_chat::requests::Prices;
use serde::{Deserialize, Serialize};

use crate::RecipeError;

/// The table that comes with the crate (`prices.toml`).
const TABLE: &str = include_str!("../prices.toml");

/// A table of models' prices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelPrices {
    /// The day on which prices were looked up; each stood at the time its own source says.
    pub read_on: String,
    /// The models.
    #[serde(rename = "model")]
    pub models: Vec<ModelPrice>,
}

/// What a model's tokens cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelPrice {
    /// Its name.
    pub name: String,
    /// Dollars per million tokens of prompts.
    pub prompt: f64,
    /// Dollars per million new tokens.
    pub new: f64,
    /// Where and when the prices stood.
    pub price_of: String,
}

/// Tokens of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallTokens {
    /// Of the prompt.
    pub prompt: u64,
    /// New ones.
    pub new: u64,
}

/// How instructions are evolved: in every round, every instruction of the pool is rewritten, compared with its
/// parent and answered, each by a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvolutionPlan {
    /// Instructions of the pool.
    pub instructions: u64,
    /// Rounds over all of them.
    pub rounds: u64,
    /// A call that rewrites.
    pub evolve: CallTokens,
    /// A call that judges whether the rewritten instruction is still the same.
    pub judge: CallTokens,
    /// A call that answers.
    pub answer: CallTokens,
}

/// What a plan takes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvolutionBudget {
    /// Calls in all.
    pub calls: u64,
    /// Tokens of their prompts.
    pub prompt_tokens: u64,
    /// Tokens of their replies.
    pub new_tokens: u64,
    /// By each model of the table.
    pub charges: Vec<EvolutionCharge>,
}

/// What a model asks for it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvolutionCharge {
    /// The model.
    pub model: String,
    /// Dollars.
    pub dollars: f64,
    /// Where and when its prices stood.
    pub price_of: String,
}

impl ModelPrices {
    /// The table that comes with the crate.
    ///
    /// # Errors
    /// [`RecipeError::Experiment`] with what is wrong in it.
    pub fn builtin() -> Result<Self, RecipeError> {
        toml::from_str(TABLE).map_err(|error| RecipeError::Experiment {
            path: "prices.toml".into(),
            line: None,
            reason: error.to_string(),
        })
    }
}

impl EvolutionPlan {
    /// WizardLM's: 52,000 instructions of Alpaca, four rounds (arXiv 2304.12244, section 3).
    ///
    /// Tokens of a call were not published and are taken here: an in-depth frame is about 280 and an
    /// instruction 70, which grows to 110; answers are about 400 long; the judge sees its frame and both
    /// instructions and says a word or two.
    pub fn wizardlm() -> Self {
        Self {
            instructions: 52_000,
            rounds: 4,
            evolve: CallTokens { prompt: 350, new: 110 },
            judge: CallTokens { prompt: 320, new: 2 },
            answer: CallTokens { prompt: 120, new: 400 },
        }
    }

    /// Calls, tokens, and dollars by each model of a table.
    pub fn budget(&self, prices: &ModelPrices) -> EvolutionBudget {
        let attempts = self.instructions * self.rounds;
        let calls = [self.evolve, self.judge, self.answer];
        let prompt_tokens = attempts * calls.iter().map(|call| call.prompt).sum::<u64>();
        let new_tokens = attempts * calls.iter().map(|call| call.new).sum::<u64>();
        let charge = |model: &ModelPrice| EvolutionCharge {
            model: model.name.clone(),
            dollars: Prices { prompt: model.prompt, new: model.new }
                .cost(prompt_tokens as f64, new_tokens as f64),
            price_of: model.price_of.clone(),
        };
        EvolutionBudget {
            calls: attempts * calls.len() as u64,
            prompt_tokens,
            new_tokens,
            charges: prices.models.iter().map(charge).collect(),
        }
    }
}

impl EvolutionBudget {
    /// Lines for a terminal.
    pub fn text(&self) -> String {
        let millions = |tokens: u64| format!("{:.0}", tokens as f64 / 1e6);
        let mut text = format!(
            "evolution: {} calls, {} million tokens of prompts, {} million new ones (tokens of a call are assumed)\n",
            self.calls,
            millions(self.prompt_tokens),
            millions(self.new_tokens)
        );
        let rows: Vec<Vec<String>> = self
            .charges
            .iter()
            .map(|charge| {
                vec![charge.model.clone(), format!("{:.0}", charge.dollars), charge.price_of.clone()]
            })
            .collect();
        text += &camelid_report::text_table(&["model", "$", "price of"], &rows, &[0, 2]);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wizardlms_evolution_takes_624_000_calls() {
        let budget = EvolutionPlan::wizardlm().budget(&ModelPrices::builtin().unwrap());
        assert_eq!(budget.calls, 624_000);
        assert_eq!((budget.prompt_tokens, budget.new_tokens), (208_000 * 790, 208_000 * 512));
        // 164 and 106 million tokens at two dollars a million.
        assert!((budget.charges[0].dollars - 541.6).abs() < 0.1, "{:?}", budget.charges);
        assert!(budget.charges.iter().all(|charge| charge.price_of.contains("202")));
        let text = budget.text();
        assert!(text.starts_with("evolution: 624000 calls, 164 million") && text.contains(" 542 "), "{text}");
    }

    #[test]
    fn a_plan_scales_with_rows_and_rounds() {
        let prices = ModelPrices::builtin().unwrap();
        let half = EvolutionPlan { rounds: 2, ..EvolutionPlan::wizardlm() }.budget(&prices);
        assert_eq!(half.calls, 312_000);
        let none = EvolutionPlan { instructions: 0, ..EvolutionPlan::wizardlm() }.budget(&prices);
        assert_eq!((none.calls, none.charges[2].dollars), (0, 0.0));
    }
}
