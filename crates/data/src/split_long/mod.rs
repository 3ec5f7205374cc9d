//! Long conversations in parts that fit a model's context, after FastChat's
//! `data/split_long_conversation.py`.
//!
//! A round is a question with its answer; parts hold whole rounds, as many as fit. A part's id is its
//! conversation's, `_`, and the number of its first turn there, from 0.
//!
//! | | `fastchat-exact` | `correct` |
//! |---|---|---|
//! | what counts | each turn's tokens, beginning token included, and 6 | the tokens of the part as the template writes it |
//! | the last round, where it overflows | is lost | begins the last part |
//! | a round longer than the limit | stands alone, or is lost | stands alone and is reported, or is cut |
//! | a last question without an answer | is left out | the same, and is counted |
//! | a first turn of the assistant | loses the whole conversation | is left out, and counted |
//! | a system message | loses the conversation | stays with every part |
//! | other fields of the row | are lost but for `model` | stay |

mod exact;
mod fitting;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use camelid_chat::Template;
use serde::Serialize;
use serde_json::{Value, json};
use tokenizers::Tokenizer;

use crate::dialogue::Change;
use crate::fields::{Fields, Problem};
use crate::mode::Mode;
use crate::pass::{Done, Name, PassOptions, pass};
use crate::report::{Tally, named};
use crate::{DataError, LoadReport, turns};

/// How conversations are split.
#[derive(Clone, Copy, Debug)]
pub struct SplitOptions<'a> {
    /// Whose rules.
    pub mode: Mode,
    /// What counts tokens.
    pub tokenizer: &'a Tokenizer,
    /// Tokens of a part at most.
    pub max_length: usize,
    /// How parts will be written for the model; [`Mode::FastchatExact`] does not ask.
    pub template: &'a Template,
    /// [`Mode::Correct`]: cut the answer of a round that is longer than the limit, so that it fits.
    pub cut_long: bool,
}

/// What a split did. `rounds_in` is `rounds_out` and all `rounds_lost`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SplitReport {
    /// Whose rules.
    pub mode: Mode,
    /// Tokens of a part at most.
    pub max_length: usize,
    /// Conversations read; kept are those of which something was written.
    pub conversations: LoadReport,
    /// Conversations written: the parts.
    pub parts: u64,
    /// Conversations that are in more than one part.
    pub divided: u64,
    /// Questions with their answers in all rows that could be read.
    pub rounds_in: u64,
    /// Those that were written.
    pub rounds_out: u64,
    /// Those that were not, by reason.
    pub rounds_lost: BTreeMap<String, LostRounds>,
    /// Parts of one round that are longer than the limit.
    pub longer: Tally,
    /// Parts of one round whose answer was cut at the limit.
    pub cut: Tally,
}

/// Rounds that were lost for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LostRounds {
    /// How many.
    pub rounds: u64,
    /// Of which conversations, a tally entry for each run of rounds.
    pub of: Tally,
}

/// A turn as the splitters see it.
#[derive(Clone, Copy, Debug)]
struct Turn<'a> {
    from: &'a str,
    value: &'a str,
}

/// What becomes of a conversation's turns.
#[derive(Debug, Default)]
struct Pieces {
    parts: Vec<Part>,
    lost: Vec<Lost>,
    changes: Vec<Change>,
    /// A first turn that goes before every part.
    with_system: bool,
    rounds_in: usize,
    /// Why there are no parts, where no rounds were lost.
    nothing: Option<Problem>,
}

#[derive(Debug)]
struct Part {
    turns: Range<usize>,
    /// As the mode counts them.
    tokens: usize,
    /// The last turn's text, where it was cut.
    cut: Option<String>,
}

#[derive(Debug, PartialEq)]
struct Lost {
    turns: Range<usize>,
    reason: &'static str,
}

/// Reason for rounds that FastChat's check of the roles drops.
const ROLES: &str = "roles do not alternate";

/// Splits the conversations of `input`, ShareGPT's rows in any form that can be read, into `out`: a
/// JSON array, JSON lines, packed or not, or Parquet, by its ending; `-` is standard output.
///
/// # Errors
/// A limit of 0; a tokenizer without the template's tokens ([`Mode::Correct`]); files that cannot be
/// read or written; a bad row, where they are fatal; [`DataError::Stopped`].
pub fn split_long(
    input: &Path,
    out: &Path,
    options: &SplitOptions<'_>,
    pass_options: PassOptions<'_>,
) -> Result<SplitReport, DataError> {
    if options.max_length == 0 {
        return Err(DataError::Option("a limit of 0 tokens leaves no conversation".into()));
    }
    if options.mode == Mode::Correct {
        options.template.check_tokenizer(options.tokenizer)?;
    }
    let mut tokenizer = options.tokenizer.clone();
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(|error| DataError::Tokenizer(error.to_string()))?;

    let mut report = SplitReport {
        mode: options.mode,
        max_length: options.max_length,
        conversations: LoadReport::default(),
        parts: 0,
        divided: 0,
        rounds_in: 0,
        rounds_out: 0,
        rounds_lost: BTreeMap::new(),
        longer: Tally::default(),
        cut: Tally::default(),
    };
    let work = |name: &Name, row: Fields| {
        let turns = turns(&row, options.mode)?;
        let pieces = match options.mode {
            Mode::FastchatExact => exact::pieces(&turns, options.max_length, |text| {
                tokenizer.encode_fast(text, true).map(|encoding| encoding.len()).map_err(untokenised)
            }),
            Mode::Correct => {
                let measure = fitting::Rendered { template: options.template, tokenizer: &tokenizer };
                fitting::pieces(&turns, options.max_length, options.cut_long, &measure)
            }
        }?;
        let rows =
            pieces.parts.iter().map(|part| write(&row, &name.id, part, &pieces, options.mode)).collect();
        let dropped = match &pieces.lost[..] {
            _ if !pieces.parts.is_empty() => None,
            [] => pieces.nothing.clone(),
            [lost, ..] => Some(Problem::new(lost.reason)),
        };
        Ok(Done { rows, dropped, account: pieces })
    };
    let conversations = pass(input, out, pass_options, work, |name, pieces, conversations| {
        report.count(name, pieces, conversations)
    })?;
    Ok(SplitReport { conversations, ..report })
}

impl SplitReport {
    /// Counts a conversation, and says for the lineage what became of it.
    fn count(&mut self, name: &Name, pieces: Pieces, conversations: &mut LoadReport) -> Value {
        let item = |detail: String| named(&name.id, name.place, Some(detail));
        self.parts += pieces.parts.len() as u64;
        self.divided += u64::from(pieces.parts.len() > 1);
        self.rounds_in += pieces.rounds_in as u64;
        for part in &pieces.parts {
            self.rounds_out += part.turns.len() as u64 / 2;
            if part.cut.is_some() {
                self.cut.add(item(format!("turn {}", part.turns.end)));
            } else if part.turns.len() == 2 && part.tokens > self.max_length {
                self.longer.add(item(format!("{} tokens from turn {}", part.tokens, part.turns.start + 1)));
            }
        }
        for lost in &pieces.lost {
            let entry = self.rounds_lost.entry(lost.reason.to_string()).or_default();
            entry.rounds += lost.turns.len() as u64 / 2;
            entry.of.add(item(format!("turns {} to {}", lost.turns.start + 1, lost.turns.end)));
        }
        for (what, detail) in &pieces.changes {
            conversations.change(what, named(&name.id, name.place, detail.clone()));
        }
        let parts: Vec<Value> = pieces
            .parts
            .iter()
            .map(|part| {
                let Range { start, end } = part.turns;
                let id = part_id(&name.id, start);
                json!({"id": id, "turns": [start, end], "tokens": part.tokens, "cut": part.cut.is_some()})
            })
            .collect();
        let lost: Vec<Value> = pieces
            .lost
            .iter()
            .map(|lost| json!({"turns": [lost.turns.start, lost.turns.end], "reason": lost.reason}))
            .collect();
        let changes: Vec<&str> = pieces.changes.iter().map(|(what, _)| what.as_ref()).collect();
        json!({"rounds": pieces.rounds_in, "parts": parts, "lost": lost, "changes": changes})
    }
}

/// A conversation's turns: texts `from` and `value` each; [`Mode::Correct`] takes other names too.
fn turns(row: &Fields, mode: Mode) -> Result<Vec<Turn<'_>>, Problem> {
    let (list, speakers, texts) = match mode {
        Mode::Correct => (turns::list(row)?.1, &turns::SPEAKERS[..], &turns::TEXTS[..]),
        Mode::FastchatExact => match row.get("conversations") {
            Some(Value::Array(list)) => (list, &turns::SPEAKERS[..1], &turns::TEXTS[..1]),
            other => return Err(Problem::field("conversations", other, "a list of turns")),
        },
    };
    let turn = |(number, turn)| {
        let (_, from) = turns::text_of(turn, number, speakers)?;
        let (_, value) = turns::text_of(turn, number, texts)?;
        Ok(Turn { from, value })
    };
    (1..).zip(list).map(turn).collect()
}

/// The row of a part.
fn write(row: &Fields, id: &str, part: &Part, pieces: &Pieces, mode: Mode) -> Fields {
    let (name, all) =
        turns::list(row).map_or(("conversations", &[][..]), |(name, all)| (name, all.as_slice()));
    let mut turns = Vec::with_capacity(part.turns.len() + 1);
    if pieces.with_system {
        turns.extend(all.first().cloned());
    }
    turns.extend_from_slice(all.get(part.turns.clone()).unwrap_or_default());
    if let (Some(text), Some(last)) = (&part.cut, turns.last_mut()) {
        let key = turns::text_of(last, 0, &turns::TEXTS).map_or(turns::TEXTS[0], |(key, _)| key);
        last[key] = text.as_str().into();
    }
    // FastChat takes an id that is blank, too.
    let own = row.get("id").and_then(Value::as_str).filter(|_| mode == Mode::FastchatExact);
    let id = Value::from(part_id(own.unwrap_or(id), part.turns.start));
    let turns = Value::Array(turns);
    if mode == Mode::FastchatExact {
        let model = row.get("model").cloned().unwrap_or_else(|| "".into());
        return Fields::from_iter([
            ("id".into(), id),
            ("model".into(), model),
            ("conversations".into(), turns),
        ]);
    }
    // A row without an id gets one, in front.
    let mut written = Fields::from_iter([("id".to_string(), id)]);
    for (key, value) in row.iter().filter(|(key, _)| *key != "id") {
        let value = if key == name { turns.clone() } else { value.clone() };
        written.insert(key.clone(), value);
    }
    written
}

fn part_id(id: &str, first_turn: usize) -> String {
    format!("{id}_{first_turn}")
}

fn untokenised(error: impl std::fmt::Display) -> Problem {
    Problem::with("cannot be tokenised", error.to_string())
}
