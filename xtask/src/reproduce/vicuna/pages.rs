//! From the nano world's raw pages to the files that the arms are tuned on: written, cleaned and split by
//! the library that users' files go through.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use camelid_chat::{Conversation, Template};
use camelid_data::clean::{CleanOptions, Rule, Summary, clean};
use camelid_data::nano::Page;
use camelid_data::split_long::{SplitOptions, SplitReport, split_long};
use camelid_data::{
    DataFormat, Mode, PassOptions, ReadOptions, TestSplit, read_conversations, split, write_conversations,
};
use camelid_files::{remove_whole, write_whole};
use camelid_recipe::nano::Nano;

use super::arms::{ALL_ROUNDS, ALPACA, CHOSEN, FIRST_ROUNDS, UNCLEANED};

/// Chosen conversations, and the fewest rounds they have: the paper's 3,000 of 257,000 rows had three.
const CHOSEN_COUNT: usize = 24;
const CHOSEN_ROUNDS: usize = 3;
/// Single exercises.
const EXERCISES: usize = 1500;

/// The file that says what became of the pages.
const FUNNEL: &str = "funnel.json";

/// What became of the pages: a step or a rule, and how many conversations it left or dropped.
pub type Funnel = Vec<(String, u64)>;

/// Makes the files of a world in `folder`: parts of `max_length` tokens at most, about `tested`
/// conversations kept apart in `test.json`.
pub fn make(
    nano: &Nano,
    folder: &Path,
    template: &Template,
    max_length: usize,
    tested: usize,
) -> anyhow::Result<Funnel> {
    std::fs::create_dir_all(folder)?;
    let at = |name: &str| folder.join(name);
    remove_whole(&at(FUNNEL))?;
    let stop = AtomicBool::new(false);

    // 1. Raw pages, as ShareGPT's file held them.
    let pages = nano.world.pages();
    write_whole(&at("pages.json"), &serde_json::to_vec(&pages)?)?;

    // 2. Cleaned, and long ones split.
    let cleaning = CleanOptions { skip_languages: vec!["ko".to_owned()], ..CleanOptions::new(Mode::Correct) };
    let cleaned = clean(&at("pages.json"), &at("cleaned.json"), &cleaning, &stop)?;
    let (mode, tokenizer, cut_long) = (Mode::Correct, &nano.tokenizer, false);
    let splitting = SplitOptions { mode, tokenizer, max_length, template, cut_long };
    let pass = PassOptions { strict: true, lineage: None, stop: &stop };
    let parts = split_long(&at("cleaned.json"), &at("split.json"), &splitting, pass)?;

    // 3. Some kept apart to test on; what each arm is tuned on.
    let TestSplit { train, test, .. } = split(read(at("split.json"))?, tested)?;
    let first: Vec<Conversation> = train.iter().map(first_round).collect();
    let raw: Vec<Conversation> =
        read(at("pages.json"))?.into_iter().filter(|page| !test.iter().any(|t| is_of(t, &page.id))).collect();
    for (name, conversations) in [
        ("test.json", &test),
        (FIRST_ROUNDS.file, &first),
        (CHOSEN.file, &chosen(&train, &pages)),
        (UNCLEANED.file, &raw),
        (ALL_ROUNDS.file, &train),
    ] {
        write_conversations(DataFormat::Sharegpt, conversations, &at(name))?;
    }
    write_whole(&at(ALPACA.file), &serde_json::to_vec(&nano.world.exercises(EXERCISES))?)?;
    // The last one: with it the files are whole.
    let funnel = funnel(&cleaned, &parts);
    write_whole(&at(FUNNEL), &serde_json::to_vec(&funnel)?)?;
    Ok(funnel)
}

/// What [`make`] told of the files that are in `folder`; `None` where they are not whole.
pub fn made(folder: &Path) -> anyhow::Result<Option<Funnel>> {
    let path = folder.join(FUNNEL);
    Ok(if path.exists() { Some(serde_json::from_slice(&std::fs::read(&path)?)?) } else { None })
}

/// Some of the long conversations of the better model, evenly over the file.
fn chosen(train: &[Conversation], pages: &[Page]) -> Vec<Conversation> {
    let better = |c: &Conversation| pages.iter().any(|page| page.model.is_some() && is_of(c, &page.id));
    let candidates: Vec<&Conversation> =
        train.iter().filter(|c| c.messages.len() >= 2 * CHOSEN_ROUNDS && better(c)).collect();
    let every = (candidates.len() / CHOSEN_COUNT).max(1);
    candidates.into_iter().step_by(every).take(CHOSEN_COUNT).cloned().collect()
}

/// Whether a conversation, or part of one, came from the page of this id.
fn is_of(conversation: &Conversation, page: &str) -> bool {
    conversation.id.strip_prefix(page).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

fn first_round(conversation: &Conversation) -> Conversation {
    let mut first = conversation.clone();
    first.messages.truncate(2);
    first
}

/// Conversations of a ShareGPT file.
fn read(path: PathBuf) -> anyhow::Result<Vec<Conversation>> {
    Ok(read_conversations(DataFormat::Sharegpt, &[path], &ReadOptions::default())?.conversations)
}

fn funnel(cleaned: &Summary, parts: &SplitReport) -> Funnel {
    let dropped =
        Rule::ALL.into_iter().map(|rule| (format!("dropped: {}", rule.words()), cleaned.dropped_by(rule)));
    std::iter::once(("raw pages".to_owned(), cleaned.total))
        .chain(dropped.filter(|(_, count)| *count > 0))
        .chain([
            ("kept, as Markdown".to_owned(), cleaned.kept),
            (format!("parts of {} tokens at most", parts.max_length), parts.parts),
        ])
        .collect()
}
