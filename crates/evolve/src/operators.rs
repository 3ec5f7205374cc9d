//! What an evolver is asked to do with an instruction: prompts as data, and the law by which one
//! of them is drawn.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use camelid_files::Input;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::EvolveError;
use crate::template::{Slot, Template};

/// Where an evolution leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The same task, harder (WizardLM, section 3.2: in-depth evolving).
    Depth,
    /// Another task of the same domain (in-breadth evolving).
    Breadth,
    /// The same task, easier (WizardMath, section 3.2: downward evolution).
    Downward,
}

/// One way to evolve an instruction.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Operator {
    /// Its name in lineage and settings.
    pub name: String,
    /// Where it leads.
    pub kind: Kind,
    /// The prompt, with `{instruction}`, and `{data_format}` where there are several.
    pub prompt: Template,
    /// Forms of data, of which one is drawn for the prompt.
    pub data_formats: Vec<String>,
    /// How likely it is drawn, relative to the others.
    pub weight: f64,
}

/// The operators of one domain with the prompts that judge their work.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OperatorSet {
    /// `general`, `code`, `math`, or the name of a file's edition.
    pub name: String,
    /// The operators, in the order in which they are drawn from.
    pub operators: Vec<Operator>,
    /// Asks whether `{first}` and `{second}` ask for the same; the answer is `Equal` or `Not Equal`.
    pub equality: Template,
    /// Asks for the difficulty of `{instruction}` from 1 to 10.
    pub difficulty: Template,
    /// Names that the prompts have for the instruction before and after. A reply that begins with
    /// one of them as a heading loses the heading; an instruction that speaks of one of them,
    /// though its parent does not, has copied the prompt.
    pub names: Vec<String>,
}

/// By which law operators are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Law {
    /// Each with the same probability: a sixth (WizardLM, section 3.2).
    #[default]
    Equal,
    /// As the released code drew: without `complicate_input`, a fifth each
    /// (`Evol_Instruct/main.py`).
    AsReleased,
}

impl OperatorSet {
    /// Camelid's own prompts for a domain: `general`, `code` or `math`.
    ///
    /// # Errors
    /// A name that is none of the three.
    pub fn own(domain: &str) -> Result<Self, EvolveError> {
        let text = match domain {
            "general" => include_str!("operators/general.toml"),
            "code" => include_str!("operators/code.toml"),
            "math" => include_str!("operators/math.toml"),
            _ => {
                return Err(EvolveError::Setting {
                    setting: "domain".into(),
                    found: domain.to_owned(),
                    expected: "general, code or math".into(),
                });
            }
        };
        Self::parse(text, Path::new(&format!("the prompts of `{domain}`")))
    }

    /// One operator, `method`, that rewrites by a method in words, with the frame and the judges of
    /// `general`.
    pub fn by_method(method: &str) -> Self {
        let text = include_str!("operators/general.toml");
        let file: File = toml::from_str(text).expect("the file is part of the program");
        let operator = Operator {
            name: "method".to_owned(),
            kind: Kind::Depth,
            prompt: file.frames["depth"].with(Slot::Method, method.trim()),
            data_formats: Vec::new(),
            weight: 1.0,
        };
        Self {
            name: "method".to_owned(),
            operators: vec![operator],
            equality: file.equality,
            difficulty: file.difficulty,
            names: file.names,
        }
    }

    /// The text of a file that [`OperatorSet::read`] reads as these operators, their weights aside.
    pub fn to_toml(&self) -> String {
        let frames = self.operators.iter().map(|operator| (operator.name.clone(), operator.prompt.clone()));
        let entry = |operator: &Operator| Entry {
            name: operator.name.clone(),
            kind: operator.kind,
            frame: operator.name.clone(),
            method: String::new(),
            data_formats: operator.data_formats.clone(),
        };
        let file = File {
            name: self.name.clone(),
            names: self.names.clone(),
            equality: self.equality.clone(),
            difficulty: self.difficulty.clone(),
            frames: frames.collect(),
            operators: self.operators.iter().map(entry).collect(),
        };
        toml::to_string(&file).expect("prompts are plain data")
    }

    /// Reads a file of the form that the own prompts have.
    ///
    /// # Errors
    /// A file that cannot be read, an unknown field or frame, a prompt without `{instruction}`.
    pub fn read(path: &Path) -> Result<Self, EvolveError> {
        Self::parse(&Input::open(path)?.text()?, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, EvolveError> {
        let bad = |problem: String| EvolveError::Prompts { path: path.to_owned(), problem };
        let file: File = toml::from_str(text).map_err(|error| bad(error.to_string()))?;
        let operator = |entry: Entry| {
            let frame = file.frames.get(&entry.frame).ok_or_else(|| {
                bad(format!("operator `{}`: there is no frame `{}`", entry.name, entry.frame))
            })?;
            Ok::<_, EvolveError>(Operator {
                prompt: frame.with(Slot::Method, entry.method.trim_end()),
                name: entry.name,
                kind: entry.kind,
                data_formats: entry.data_formats,
                weight: 1.0,
            })
        };
        let set = Self {
            operators: file.operators.into_iter().map(operator).collect::<Result<_, _>>()?,
            name: file.name,
            equality: file.equality,
            difficulty: file.difficulty,
            names: file.names,
        };
        set.check().map_err(bad)?;
        Ok(set)
    }

    /// Says what is wrong with the set, where something is.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.operators.is_empty() {
            return Err("there is no operator".into());
        }
        let mut seen = HashSet::new();
        for operator in &self.operators {
            let name = &operator.name;
            if !seen.insert(name) {
                return Err(format!("operator `{name}` stands there twice"));
            }
            if !operator.prompt.has(Slot::Instruction) {
                return Err(format!("operator `{name}`: the prompt has no {{instruction}}"));
            }
            if operator.prompt.has(Slot::DataFormat) == operator.data_formats.is_empty() {
                return Err(format!("operator `{name}`: {{data_format}} and `data_formats` go together"));
            }
        }
        let slots = [(&self.equality, Slot::First, "first"), (&self.equality, Slot::Second, "second")];
        for (prompt, slot, name) in
            slots.into_iter().chain([(&self.difficulty, Slot::Instruction, "instruction")])
        {
            if !prompt.has(slot) {
                return Err(format!("a judge's prompt has no {{{name}}}"));
            }
        }
        Ok(())
    }

    /// The set under a law, with the weights of some operators changed: 0 takes one out.
    ///
    /// # Errors
    /// A weight for an operator that is not there, or that is no number from 0; nothing to draw.
    pub fn under(mut self, law: Law, weights: &BTreeMap<String, f64>) -> Result<Self, EvolveError> {
        if law == Law::AsReleased {
            self.operators.retain(|operator| operator.name != "complicate_input");
        }
        let refuse = |setting: String, found: String, expected: String| {
            Err(EvolveError::Setting { setting, found, expected })
        };
        for (name, &weight) in weights {
            let setting = format!("weights.{name}");
            let names = || self.operators.iter().map(|o| o.name.as_str()).collect::<Vec<_>>().join(", ");
            if !(weight >= 0.0 && weight.is_finite()) {
                return refuse(setting, weight.to_string(), "a number from 0".into());
            }
            match self.operators.iter().position(|operator| operator.name == *name) {
                Some(at) => self.operators[at].weight = weight,
                None => return refuse(setting, weight.to_string(), format!("one of {}", names())),
            }
        }
        self.operators.retain(|operator| operator.weight > 0.0);
        if self.operators.is_empty() {
            return refuse("weights".into(), "0 for every operator".into(), "one that can be drawn".into());
        }
        Ok(self)
    }

    /// Draws an operator, and a data format where it has some.
    pub fn draw(&self, rng: &mut ChaCha8Rng) -> (&Operator, Option<&str>) {
        let total: f64 = self.operators.iter().map(|operator| operator.weight).sum();
        let mut left = rng.random::<f64>() * total;
        let drawn = self.operators.iter().find(|operator| {
            left -= operator.weight;
            left < 0.0
        });
        // Rounding may leave a hair of the total, which is the last one's.
        let operator = drawn.unwrap_or_else(|| &self.operators[self.operators.len() - 1]);
        let format = match operator.data_formats.len() {
            0 => None,
            many => Some(operator.data_formats[rng.random_range(0..many)].as_str()),
        };
        (operator, format)
    }
}

/// A file of prompts.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    names: Vec<String>,
    equality: Template,
    difficulty: Template,
    frames: BTreeMap<String, Template>,
    operators: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    kind: Kind,
    frame: String,
    #[serde(default)]
    method: String,
    #[serde(default)]
    data_formats: Vec<String>,
}
