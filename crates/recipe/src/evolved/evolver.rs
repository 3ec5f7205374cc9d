//! The evolver: a model of the nano world itself behind the interface of any other. It reads which operator a
//! prompt asks for, changes the instruction so and answers it, and goes wrong as often as it is told to.

use std::error::Error;
use std::ops::ControlFlow;

use camelid_chat::{GenerateOptions, GeneratedText, Message, StopReason, TextGenerator};
use camelid_data::nano::{Change, Instruction, NanoWorld, Slip};
use camelid_evolve::{OperatorSet, Slot};
use camelid_files::digest;

/// A model of the world.
pub struct WorldModel<'a> {
    /// The world.
    pub world: &'a NanoWorld,
    /// The operators whose prompts it understands.
    pub operators: &'a OperatorSet,
    /// How many rows, of one, it spoils: each of the five slips a fifth of them.
    pub error: f64,
}

impl TextGenerator for WorldModel<'_> {
    fn generate(
        &self,
        messages: &[Message],
        options: &GenerateOptions,
        _: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<GeneratedText, Box<dyn Error + Send + Sync>> {
        let prompt = &messages.last().ok_or("there is no message")?.content;
        let text = self.reply(prompt, options.seed);
        Ok(GeneratedText {
            prompt_tokens: Some(prompt.split_whitespace().count()),
            new_tokens: Some(text.split_whitespace().count()),
            text,
            reason: StopReason::TurnEnd,
            model_version: None,
            own_temperature: false,
        })
    }
}

impl WorldModel<'_> {
    fn reply(&self, prompt: &str, seed: u64) -> String {
        if let Some((first, second)) = self.compared(prompt) {
            let equal = match (read(first), read(second)) {
                (Some((_, first)), Some((_, second))) => first.asks_the_same(&second),
                _ => first == second,
            };
            return if equal { "Equal" } else { "Not Equal" }.to_owned();
        }
        match self.operator_of(prompt) {
            Some((change, instruction)) => self.evolved(instruction, change, seed),
            None => self.answered(prompt, seed),
        }
    }

    /// The instruction of a prompt with the change that the prompt asks for.
    fn operator_of<'p>(&self, prompt: &'p str) -> Option<(Change, &'p str)> {
        let forms = self.operators.operators.iter().flat_map(|operator| {
            let none = operator.data_formats.is_empty().then_some(None);
            let formats = operator.data_formats.iter().map(|format| Some(format.as_str())).chain(none);
            formats.map(move |format| (operator, format))
        });
        forms
            .filter_map(|(operator, format)| Some((operator, format, Change::of(&operator.name, format)?)))
            .find_map(|(operator, format, change)| {
                let value = format.map(|format| (Slot::DataFormat, format));
                let form = operator.prompt.fill(&value.into_iter().collect::<Vec<_>>());
                let (before, after) = form.split_once("{instruction}")?;
                Some((change, prompt.strip_prefix(before)?.strip_suffix(after)?))
            })
    }

    /// The two instructions of a prompt that asks whether they are equal.
    fn compared<'p>(&self, prompt: &'p str) -> Option<(&'p str, &'p str)> {
        let form = self.operators.equality.fill(&[]);
        let (before, rest) = form.split_once("{first}")?;
        let (between, after) = rest.split_once("{second}")?;
        prompt.strip_prefix(before)?.strip_suffix(after)?.split_once(between)
    }

    fn evolved(&self, instruction: &str, change: Change, seed: u64) -> String {
        let Some((lead, read)) = read(instruction) else { return instruction.to_owned() };
        let slip = slip_of(seed, self.error, false);
        // What cannot be changed so is said again in other words.
        let changed = match slip {
            Some(Slip::NoGain) => None,
            _ => read.changed(change, self.world, seed),
        };
        let changed = changed.unwrap_or_else(|| read.in_other_words());
        match slip.and_then(|slip| slip.wording(seed)) {
            Some(leak) => format!("{leak} {lead}{changed}"),
            None => format!("{lead}{changed}"),
        }
    }

    fn answered(&self, instruction: &str, seed: u64) -> String {
        let Some((_, read)) = read(instruction) else { return "I do not know.".to_owned() };
        match slip_of(seed, self.error, true) {
            Some(Slip::Wrong) => read.mistaken(self.world, seed),
            Some(slip) => slip.wording(seed).map_or_else(|| read.answer(self.world), str::to_owned),
            None => read.answer(self.world),
        }
    }
}

/// An instruction with what stands before it, where it has come to speak of a prompt.
pub fn read(text: &str) -> Option<(&str, Instruction)> {
    let starts = std::iter::once(0).chain(text.match_indices(": ").map(|(at, found)| at + found.len()));
    starts.into_iter().find_map(|start| Some((&text[..start], Instruction::parse(&text[start..])?)))
}

/// How a request of this seed goes wrong under a share of errors: an evolution by two of the five slips, an answer
/// by the other three.
pub fn slip_of(seed: u64, error: f64, of_answers: bool) -> Option<Slip> {
    let hex = digest::of_bytes(format!("slip {seed}"));
    let drawn =
        f64::from(u32::from_str_radix(&hex[..8], 16).expect("a digest is hexadecimal")) / 2f64.powi(32);
    let slips = Slip::ALL.into_iter().filter(|slip| slip.is_of_answers() == of_answers);
    slips.enumerate().find(|(at, _)| drawn < (*at as f64 + 1.0) * error / 5.0).map(|(_, slip)| slip)
}

#[cfg(test)]
mod tests {
    use camelid_data::nano::{Domain, NanoConfig};

    use super::*;

    #[test]
    fn prompts_are_understood_and_slips_come_as_often_as_told() {
        let world = NanoWorld::new(&NanoConfig { instructions: true, ..NanoConfig::default() }).unwrap();
        for name in ["general", "math"] {
            let operators = OperatorSet::own(name).unwrap();
            let model = WorldModel { world: &world, operators: &operators, error: 0.0 };
            for (at, first) in world.first_instructions(Domain::Arithmetic, false, 40).iter().enumerate() {
                for operator in &operators.operators {
                    let format =
                        operator.data_formats.first().map(|format| (Slot::DataFormat, format.as_str()));
                    let values: Vec<_> = [(Slot::Instruction, first.to_string())].into_iter().collect();
                    let mut filled: Vec<_> =
                        values.iter().map(|(slot, text)| (*slot, text.as_str())).collect();
                    filled.extend(format);
                    let reply = model.reply(&operator.prompt.fill(&filled), at as u64);
                    let (lead, evolved) =
                        read(&reply).unwrap_or_else(|| panic!("{}: {reply}", operator.name));
                    assert_eq!(lead, "");
                    let both = [(Slot::First, first.to_string()), (Slot::Second, reply.clone())];
                    let both: Vec<_> = both.iter().map(|(slot, text)| (*slot, text.as_str())).collect();
                    let verdict = model.reply(&operators.equality.fill(&both), 0);
                    assert_eq!(verdict == "Equal", first.asks_the_same(&evolved), "{first} {reply}");
                    assert_eq!(model.reply(&reply, 0), evolved.answer(&world));
                }
            }
        }
        let count = |slip, of_answers| {
            (0..20_000).filter(|&seed| slip_of(seed, 0.5, of_answers) == Some(slip)).count()
        };
        for slip in Slip::ALL {
            let found = count(slip, slip.is_of_answers());
            assert!((1_850..2_150).contains(&found), "{slip:?}: {found}");
            assert_eq!(count(slip, !slip.is_of_answers()), 0);
        }
    }
}
