//! The published prompts, read from a file that Camelid does not ship: they are their authors'.

use std::path::Path;

use camelid_files::Input;
use serde::{Deserialize, Serialize};
use toml::Value;

use crate::EvolveError;
use crate::operators::{Kind, Operator, OperatorSet};
use crate::template::{Slot, Template};

/// Which of the published wordings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edition {
    /// As the paper prints them (WizardLM, arXiv 2304.12244): six operators.
    Paper,
    /// As the code has them that was released with it, byte for byte: five operators.
    Released,
    /// WizardCoder's five (arXiv 2306.08568).
    Code,
}

/// What the published prompts call the instruction before and after.
const NAMES: [&str; 4] = ["given prompt", "the given prompt", "rewritten prompt", "created prompt"];

/// Reads an edition from `evol_prompts.toml`: tables `paper`, `released` and `code`, with frames and
/// methods by name. The judges are the paper's in every edition, for no other were published.
///
/// # Errors
/// A file that cannot be read; a table, frame or method that is missing, by name.
pub fn read(path: &Path, edition: Edition) -> Result<OperatorSet, EvolveError> {
    let bad = |problem: String| EvolveError::Prompts { path: path.to_owned(), problem };
    let text = Input::open(path)?.text()?;
    let file: toml::Table = toml::from_str(&text).map_err(|error| bad(error.to_string()))?;
    let file = Tree { value: &Value::Table(file), name: String::new() };
    let operators = match edition {
        Edition::Paper => {
            let paper = file.at("paper").map_err(bad)?;
            let mut operators = depth(&paper).map_err(bad)?;
            operators.push(complicate_input(&paper).map_err(bad)?);
            operators.push(breadth(&paper).map_err(bad)?);
            operators
        }
        Edition::Released => {
            let released = file.at("released").map_err(bad)?;
            let mut operators = depth(&released).map_err(bad)?;
            operators.push(breadth(&released).map_err(bad)?);
            operators
        }
        Edition::Code => code(&file).map_err(bad)?,
    };
    let judge = |name: &str| -> Result<Template, String> {
        Ok(file.at("paper")?.at(name)?.at("frame")?.text()?.into())
    };
    let set = OperatorSet {
        name: format!("{edition:?}").to_lowercase(),
        operators,
        equality: judge("equality_judge").map_err(bad)?,
        difficulty: judge("difficulty_judge").map_err(bad)?,
        names: NAMES.map(str::to_owned).to_vec(),
    };
    set.check().map_err(bad)?;
    Ok(set)
}

fn operator(name: &str, kind: Kind, prompt: Template) -> Operator {
    Operator { name: name.to_owned(), kind, prompt, data_formats: Vec::new(), weight: 1.0 }
}

/// The in-depth operators that share one frame.
fn depth(edition: &Tree) -> Result<Vec<Operator>, String> {
    let depth = edition.at("depth")?;
    let frame = Template::from(depth.at("frame")?.text()?);
    let methods = depth.at("methods")?;
    ["constraints", "deepening", "concretizing", "reasoning"]
        .into_iter()
        .map(|name| {
            let method = methods.at(name)?.text()?;
            Ok(operator(name, Kind::Depth, frame.with(Slot::Method, method)))
        })
        .collect()
}

fn breadth(edition: &Tree) -> Result<Operator, String> {
    Ok(operator("breadth", Kind::Breadth, edition.at("breadth")?.at("frame")?.text()?.into()))
}

/// The frame, its worked examples, and the instruction in their form.
fn complicate_input(paper: &Tree) -> Result<Operator, String> {
    let table = paper.at("complicate_input")?;
    let part = |name: &str| Ok::<_, String>(Template::from(table.at(name)?.text()?));
    let (head, tail, end) = (part("example_head")?, part("example_tail")?, part("example_end")?);
    let mut prompt = part("frame")?;
    for example in table.at("examples")?.items()? {
        let text = |name: &str| example.at(name)?.text();
        prompt = prompt
            .then(head.with(Slot::Instruction, text("given")?))
            .then(tail.with(Slot::DataFormat, text("data_format")?))
            .then(Template::literal(text("rewritten")?))
            .then(end.clone());
    }
    let data_formats = table.at("data_formats")?.items()?;
    Ok(Operator {
        data_formats: data_formats
            .iter()
            .map(|item| Ok(item.text()?.to_owned()))
            .collect::<Result<_, String>>()?,
        ..operator("complicate_input", Kind::Depth, prompt.then(head).then(tail))
    })
}

fn code(file: &Tree) -> Result<Vec<Operator>, String> {
    const NAMES: [&str; 5] = ["constraints", "rarer", "reasoning", "misdirection", "complexity"];
    let code = file.at("code")?;
    let frame = Template::from(code.at("frame")?.text()?);
    let methods = code.at("methods")?.items()?;
    if methods.len() != NAMES.len() {
        return Err(format!("`code.methods` has {} entries; expected {}", methods.len(), NAMES.len()));
    }
    NAMES
        .into_iter()
        .zip(&methods)
        .map(|(name, method)| Ok(operator(name, Kind::Depth, frame.with(Slot::Method, method.text()?))))
        .collect()
}

/// A place in the file, with its name for what is said of it.
struct Tree<'a> {
    value: &'a Value,
    name: String,
}

impl<'a> Tree<'a> {
    fn at(&self, key: &str) -> Result<Tree<'a>, String> {
        let name = if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) };
        let value = self.value.get(key).ok_or_else(|| format!("there is no `{name}`"))?;
        Ok(Tree { value, name })
    }

    fn text(&self) -> Result<&'a str, String> {
        self.value.as_str().ok_or_else(|| format!("`{}` is no string", self.name))
    }

    fn items(&self) -> Result<Vec<Tree<'a>>, String> {
        let items = self.value.as_array().ok_or_else(|| format!("`{}` is no list", self.name))?;
        let item = |(at, value)| Tree { value, name: format!("{}[{at}]", self.name) };
        Ok(items.iter().enumerate().map(item).collect())
    }
}
