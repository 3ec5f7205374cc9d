//! What a finished run leaves: an adapter or a model with its tokenizer, and the report.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, Result};
use camelid_chat::{Conversation, Message, Role};
use camelid_files::{program::print, write_whole};
use camelid_lora::{detach, save_peft};
use camelid_model::{GenerateOptions, Llama, LocalGenerator};
use camelid_recipe::{Experiment, Opened, hub_name};
use camelid_report::Report;
use camelid_train::Outcome;

use super::report::{Sample, TrainReport};
use crate::model_files::{remove_templates, write_tokenizer};
use crate::output_dir::OutputDir;

/// Questions of the test set that the report shows with their answers.
const SAMPLES: usize = 3;
/// Tokens of an answer at most.
const ANSWER_TOKENS: usize = 96;

/// The folders that hold the weights of a finished run: one of the two.
const WEIGHTS: [&str; 2] = ["adapter", "model"];

/// Gives the weights of a finished run that is now to go on, with `done` of `steps` steps, a name
/// that says how far it had come.
pub fn set_aside(run: &Path, done: usize, steps: usize) -> Result<()> {
    for name in WEIGHTS {
        let (from, to) = (run.join(name), run.join(format!("{name}-step-{done:06}")));
        if done < steps && from.is_dir() {
            fs::rename(&from, &to)
                .with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))?;
            camelid_files::say!("note: the weights after step {done} are kept in {}", to.display());
        }
    }
    Ok(())
}

/// Writes the weights, `report.html` and `report.json`, and prints the report.
pub fn write(experiment: &Experiment, opened: &Opened, outcome: &Outcome<Llama>, run: &Path) -> Result<()> {
    let [adapter, model] = WEIGHTS;
    let weights = run.join(if experiment.lora.is_some() { adapter } else { model });
    // A folder that is there is complete, and of this run: it appears under its name when it is.
    if !weights.exists() {
        save_weights(experiment, opened, &outcome.model, &weights)?;
    }
    let report = TrainReport::new(experiment, opened, &outcome.summary, samples(opened, &outcome.model)?)?;
    let json = serde_json::to_string_pretty(&report).context("cannot write the report as JSON")?;
    write_whole(&run.join("report.json"), (json + "\n").as_bytes())?;
    write_whole(&run.join("report.html"), report.page()?.as_bytes())?;
    print(report.text())?;
    print(format!("wrote {} and {}\n", weights.display(), run.join("report.html").display()))?;
    if let (Some(_), Some(scaling)) = (&experiment.lora, &experiment.model.rope_scaling) {
        let scaling = serde_json::to_string(scaling).context("cannot write the scaling as JSON")?;
        print(format!(
            "the adapter belongs to a base with \"rope_scaling\": {scaling} in its config.json\n"
        ))?;
    }
    let hint = super::template_hint(experiment);
    print(match experiment.lora {
        Some(_) => format!(
            "talk with it: camelid chat --model {} --adapter {}{hint}\n",
            experiment.model.base,
            weights.display()
        ),
        None => format!("talk with it: camelid chat --model {}{hint}\n", weights.display()),
    })?;
    Ok(())
}

fn save_weights(experiment: &Experiment, opened: &Opened, model: &Llama, folder: &Path) -> Result<()> {
    let out = OutputDir::create(folder)?;
    match &experiment.lora {
        Some(lora) => {
            let base = hub_name(&experiment.model.base);
            save_peft(model, lora, Some(base.as_ref().unwrap_or(&experiment.model.base)), out.path())?;
        }
        None => model.save_safetensors(out.path())?,
    }
    if !write_tokenizer(&opened.base, out.path())? {
        opened
            .tokenizer
            .save(out.path().join("tokenizer.json"), true)
            .map_err(|error| anyhow::anyhow!("cannot write the tokenizer: {error}"))?;
    }
    // The base's templates would ask the weights in a form that they were not tuned on.
    if experiment.data.template != "auto" {
        remove_templates(out.path())?;
    }
    out.finish()
}

/// Answers to questions of the test set before and after.
fn samples(opened: &Opened, model: &Llama) -> Result<Vec<Sample>> {
    let mut before = model.clone();
    let before = match detach(&mut before) {
        0 => None,
        _ => Some(LocalGenerator::new(&before, opened.tokenizer.clone(), opened.template.clone())?),
    };
    let after = LocalGenerator::new(model, opened.tokenizer.clone(), opened.template.clone())?;
    let options = GenerateOptions { max_new_tokens: ANSWER_TOKENS, ..GenerateOptions::default() };
    let mut samples = vec![];
    for conversation in &opened.test_conversations {
        if samples.len() == SAMPLES {
            break;
        }
        let Some((messages, reference)) = question(conversation) else { continue };
        let answer = |generator: &LocalGenerator| -> Result<String> {
            let answer = generator.answer(messages, &options, &mut |_| ControlFlow::Continue(()))?;
            Ok(answer.text.trim().to_owned())
        };
        samples.push(Sample {
            question: messages.last().map_or(String::new(), |message| message.content.clone()),
            reference: reference.to_owned(),
            before: before.as_ref().map(answer).transpose()?,
            after: answer(&after)?,
        });
    }
    Ok(samples)
}

/// The messages up to the first answer, and that answer.
fn question(conversation: &Conversation) -> Option<(&[Message], &str)> {
    let at = conversation.messages.iter().position(|message| message.role == Role::Assistant)?;
    (at > 0).then(|| (&conversation.messages[..at], conversation.messages[at].content.trim()))
}
