//! One row of the input by itself: everything that needs no other row, so that all cores can do it.

use camelid_files::{Place, RawRecord, Record};
use camelid_text::duplicates::fingerprint;
use camelid_text::language;
use camelid_text::minhash::Sketch;
use serde_json::{Map, Value, json};

use super::correct;
use super::exact;
use super::judged::{Cleaned, Judged};
use super::options::CleanOptions;
use super::personal::Masked;
use super::rule::{Cut, Finding, Rule};
use super::summary::Lengths;
use crate::Mode;
use crate::fields::{self, Problem};
use crate::format::DataFormat;
use crate::output::Form;
use crate::read::format_of;
use crate::turns::{LISTS, TEXTS, turns};

/// Characters of a text that lineage and report show.
const EXCERPT: usize = 240;

/// A row after all that can be said of it alone.
pub(super) struct Processed {
    /// Its number in the file, from 1.
    pub place: Place,
    /// Its id, as messages name it.
    pub id: Option<String>,
    /// What of it goes on, or why it is dropped.
    pub outcome: Result<Candidate, Finding>,
    pub cuts: Vec<Cut>,
    pub rounds_in: usize,
    pub rounds_out: usize,
    /// How long it was, where it can be read.
    pub before: Option<Lengths>,
    /// The beginning of its first turn, or of the turn that drops it.
    pub excerpt: String,
    /// What a row that cannot be read looks like.
    pub looks_like: Option<DataFormat>,
}

/// A row that is kept unless another row stands against it.
pub(super) struct Candidate {
    /// What the output holds of it; empty where another shard writes it.
    pub row: Vec<u8>,
    pub id: Option<u64>,
    pub sketch: Option<Sketch>,
    pub masked: Masked,
    pub text: u64,
    pub plugin: bool,
    /// What the options drop it for, after the search for duplicates.
    pub unwanted: Option<Finding>,
    pub after: Lengths,
}

/// Cleans one row. `written` says whether the output may hold it.
pub(super) fn process(raw: RawRecord, form: Form, written: bool, options: &CleanOptions) -> Processed {
    let place = raw.place();
    match raw.parse() {
        Ok(record) => {
            let id = fields::id(&record.fields, "id");
            match judged(&record, options) {
                Ok(checked) => finish(record, id, checked, form, written, options),
                Err(problem) => unreadable(place, id, problem.to_string(), format_of(&record.fields)),
            }
        }
        Err(bad) => unreadable(place, None, bad.message, None),
    }
}

/// The checks of the mode.
fn judged(record: &Record, options: &CleanOptions) -> Result<Checked, Problem> {
    let mode = options.mode;
    let fields = &record.fields;
    if mode == Mode::FastchatExact
        && !matches!(fields.get("id"), Some(id) if !id.is_object() && !id.is_array())
    {
        return Err(Problem::field("id", fields.get("id"), "there"));
    }
    let names: &[&str] = if mode == Mode::FastchatExact { &["conversations"] } else { &LISTS };
    let Some((name, list)) = fields::first(fields, names) else {
        return Err(Problem::field("conversations", fields.get("conversations"), "a list of turns"));
    };
    let turns = turns(name, list)?;
    let (judged, masked) = match mode {
        Mode::FastchatExact => (exact::conversation::judge(&turns)?, Masked::new()),
        Mode::Correct => correct::conversation::judge(&turns, options)?,
    };
    let at = judged.outcome.as_ref().err().and_then(|finding| finding.turn).map_or(0, |turn| turn - 1);
    let text = turns.get(at).and_then(|turn| said(turn)).unwrap_or("");
    let from = match judged.outcome.as_ref().err().and_then(|finding| finding.span) {
        Some([begin, _]) => begin.saturating_sub(EXCERPT / 2),
        None => 0,
    };
    let excerpt = text.chars().skip(from).take(EXCERPT).collect();
    let values = turns.iter().filter_map(|turn| said(turn));
    Ok(Checked { list: name.to_owned(), judged, masked, before: lengths(values, options), excerpt })
}

/// What is said in a turn.
fn said(turn: &Map<String, Value>) -> Option<&str> {
    fields::first(turn, &TEXTS)?.1.as_str()
}

fn finish(
    record: Record,
    id: Option<String>,
    checked: Checked,
    form: Form,
    written: bool,
    options: &CleanOptions,
) -> Processed {
    let Record { place, mut fields, .. } = record;
    let Checked { list, judged, masked, before, excerpt } = checked;
    let Judged { outcome, cuts, rounds_in, rounds_out } = judged;
    let outcome = outcome.map(|turns| {
        let texts: Vec<&str> = turns.iter().map(|turn| turn.text.as_str()).collect();
        let after = lengths(texts.iter().copied(), options);
        // To FastChat the first round is the whole conversation.
        let exact = options.mode == Mode::FastchatExact;
        let text = fingerprint(&&texts[..if exact { 2 } else { texts.len() }]);
        let sketched = !exact && options.near_duplicates <= 1.0;
        let sketch = sketched.then(|| Sketch::of(&texts)).flatten();
        let unwanted = unwanted(&texts, options);
        let id = fields::get(&fields, "id").map(|id| fingerprint(&id.to_string()));
        let plugin = fields::get(&fields, "plugins").is_some();
        let row = if written { form.row(&row(&mut fields, &list, turns)) } else { Vec::new() };
        Candidate { row, id, sketch, masked, text, plugin, unwanted, after }
    });
    Processed {
        place,
        id,
        outcome,
        cuts,
        rounds_in,
        rounds_out,
        before: Some(before),
        excerpt,
        looks_like: None,
    }
}

/// What a mode's checks gave.
struct Checked {
    /// The name of the list of turns.
    list: String,
    judged: Judged,
    masked: Masked,
    before: Lengths,
    /// The beginning of the first turn, or a piece of the one that the checks stopped at.
    excerpt: String,
}

/// What FastChat's `optional_clean.py` drops.
fn unwanted(texts: &[&str], options: &CleanOptions) -> Option<Finding> {
    if options.asks_language() {
        let found = language(texts);
        let wanted = options.keep_language.as_deref().is_none_or(|wanted| wanted == found);
        if !wanted || options.skip_languages.iter().any(|skipped| skipped == found) {
            return Some(Finding::whole(Rule::Language).with(found));
        }
    }
    let repeated = texts.iter().enumerate().filter(|_| options.reduce_repetition);
    repeated.into_iter().find_map(|(index, text)| {
        let span = exact::conversation::repeated_digits(text)?;
        Some(Finding { span: Some(span), ..Finding::at(Rule::RepeatedDigits, index) })
    })
}

/// Turns, characters and, where there is a tokenizer, tokens.
fn lengths<'t>(texts: impl Iterator<Item = &'t str>, options: &CleanOptions) -> Lengths {
    let mut lengths = Lengths::default();
    for text in texts {
        lengths.turns += 1;
        lengths.characters += text.chars().count();
        if let Some(tokenizer) = &options.tokenizer {
            // A text that a tokenizer refuses has no length in tokens.
            let tokens = tokenizer.encode_fast(text, false).map_or(0, |encoding| encoding.len());
            *lengths.tokens.get_or_insert(0) += tokens;
        }
    }
    lengths
}

/// The row as it came, with the turns as they are now.
fn row(fields: &mut Map<String, Value>, list: &str, turns: Vec<Cleaned>) -> Value {
    let turns = turns.into_iter().map(|turn| json!({"from": turn.speaker, "value": turn.text})).collect();
    if list != "conversations" {
        fields.shift_remove(list);
    }
    fields.insert("conversations".to_owned(), Value::Array(turns));
    Value::Object(std::mem::take(fields))
}

fn unreadable(
    place: Place,
    id: Option<String>,
    message: String,
    looks_like: Option<DataFormat>,
) -> Processed {
    Processed {
        place,
        id,
        outcome: Err(Finding::whole(Rule::Unreadable).with(message)),
        cuts: Vec::new(),
        rounds_in: 0,
        rounds_out: 0,
        before: None,
        excerpt: String::new(),
        looks_like,
    }
}
