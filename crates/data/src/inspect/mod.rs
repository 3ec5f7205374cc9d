//! Loss masks one can see, and that prove themselves.
//!
//! Labels are made as for training: the template writes the conversation and notes which bytes are the
//! assistant's, and each token belongs where the tokenizer says that its first byte lies. The proof does
//! not trust the tokenizer's places. It spells the ids, token by token, and finds each in the text by what
//! it spells; then every token of an answer, its end marker included, must carry loss, and no other.

mod fastchat;
mod page;
mod spelling;

use camelid_chat::{
    ChatError, Conversation, IGNORE_INDEX, LossOn, Rendered, Role, SpecialTokens, Template, labels,
};
use rayon::prelude::*;
use serde::Serialize;
use tokenizers::Tokenizer;

use crate::DataError;
use crate::report::{Named, Tally};

pub use fastchat::{Fastchat, FastchatSample};
pub use page::{PageSettings, page, visible};
use spelling::{Place, Spelling};

/// Makes labels and proves them.
pub struct Inspector {
    template: Template,
    tokenizer: Tokenizer,
    max_length: usize,
    spelling: Option<Spelling>,
    fastchat: bool,
}

/// A conversation as a model is trained on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspected {
    /// Its id.
    pub id: String,
    /// Its tokens, up to the limit.
    pub ids: Vec<u32>,
    /// A label for each, not shifted: the token's id where it carries loss, else [`IGNORE_INDEX`].
    pub labels: Vec<i64>,
    /// What else was found out.
    #[serde(skip)]
    pub about: About,
}

/// What is found out beside the labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Tokens before anything was cut.
    pub full_len: usize,
    /// Answers that are there as far as their end.
    pub answers: usize,
    /// The text, cut where loss begins and ends.
    pub runs: Vec<Run>,
    /// Whether the labels are what the text says.
    pub proof: Proof,
    /// What FastChat would have made of it, where that was asked.
    pub fastchat: Option<FastchatVerdict>,
}

/// Tokens one after the other that all carry loss, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    /// Whether they carry loss.
    pub loss: bool,
    /// Their texts, one each; a character of several tokens stands with its first.
    pub tokens: Vec<String>,
}

/// Whether the labels are what the text says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// Every token of an answer carries loss, and no other.
    Holds,
    /// Not so: the first token that differs, by its index.
    Differs {
        /// How many tokens differ.
        tokens: usize,
        /// The first of them.
        first: usize,
    },
    /// Every token carries loss where its first byte is an answer's, but some are an answer's only in part.
    Straddles {
        /// How many are.
        tokens: usize,
        /// The first of them.
        first: usize,
    },
    /// The tokens do not spell the text, as those of a tokenizer that changes it; nothing is known.
    Unknown,
}

/// What FastChat's trainer would have made of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FastchatVerdict {
    /// The same labels as ours.
    Same,
    /// Other labels, but some.
    Other,
    /// No token carries loss; what it prints, if anything.
    Silenced(Option<String>),
    /// It raises an exception, which ends its run.
    Raises,
}

impl Inspector {
    /// The tokenizer's own truncation and padding are not used.
    ///
    /// # Errors
    /// A limit of 0; a tokenizer without the template's tokens.
    pub fn new(
        template: &Template,
        tokenizer: &Tokenizer,
        max_length: usize,
        fastchat: bool,
    ) -> Result<Self, DataError> {
        if max_length == 0 {
            return Err(DataError::Option("a limit of 0 tokens leaves nothing to look at".into()));
        }
        template.check_tokenizer(tokenizer)?;
        let mut tokenizer = tokenizer.clone();
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| DataError::Tokenizer(error.to_string()))?;
        // The text is rendered on its own: with the tokens that `Template::encode` would ask for.
        let template = match Template::builtin(template.name()) {
            Ok(known) if known.definition() == template.definition() => {
                template.clone().with_special_tokens(SpecialTokens::detect(&tokenizer))
            }
            _ => template.clone(),
        };
        let spelling = Spelling::of(&tokenizer);
        Ok(Self { template, tokenizer, max_length, spelling, fastchat })
    }

    /// Labels, proof and FastChat's verdict of many conversations, on all cores, in their order.
    ///
    /// # Errors
    /// For each: as [`Inspector::inspect`].
    pub fn inspect_all(&self, conversations: &[Conversation]) -> Vec<Result<Inspected, DataError>> {
        conversations.par_iter().map(|conversation| self.inspect(conversation)).collect()
    }

    /// Labels, proof and FastChat's verdict.
    ///
    /// # Errors
    /// A conversation that the template refuses, or a text that the tokenizer refuses.
    pub fn inspect(&self, conversation: &Conversation) -> Result<Inspected, DataError> {
        let rendered = self.template.render(conversation, false)?;
        let mut encoded = self.template.encode(conversation, &self.tokenizer, false)?;
        let full_len = encoded.full_len;
        encoded.truncate(self.max_length);
        let labels = match labels(&encoded, LossOn::Assistant) {
            Ok(labels) => labels,
            // Nothing to learn from: training drops it, here it is shown.
            Err(
                ChatError::TruncatedAway { .. } | ChatError::NoAssistantTurn { .. } | ChatError::Empty { .. },
            ) => {
                vec![IGNORE_INDEX; encoded.ids.len()]
            }
            Err(error) => return Err(error.into()),
        };
        let ids = encoded.ids;
        let whole = ids.len() == full_len;
        let places =
            self.spelling.as_ref().and_then(|spelling| spelling.places(&rendered.text, &ids, !whole));
        let proof = places.as_ref().map_or(Proof::Unknown, |places| prove(&rendered, &labels, places));
        let answers = encoded.spans.iter().filter(|span| span.role == Role::Assistant);
        let answers = answers.filter(|span| whole || span.end < ids.len()).count();
        let runs = runs(&rendered.text, &labels, &ids, places.as_deref(), &self.tokenizer);
        let fastchat = if self.fastchat { Some(self.fastchat(conversation, &labels)?) } else { None };
        let about = About { full_len, answers, runs, proof, fastchat };
        Ok(Inspected { id: conversation.id.clone(), ids, labels, about })
    }

    fn fastchat(&self, conversation: &Conversation, labels: &[i64]) -> Result<FastchatVerdict, DataError> {
        let legacy = self.spelling.as_ref().is_none_or(Spelling::legacy);
        let fastchat = Fastchat { tokenizer: &self.tokenizer, max_length: self.max_length, legacy };
        Ok(match fastchat.sample(&conversation.messages)? {
            None => FastchatVerdict::Raises,
            Some(sample) if sample.silenced() => FastchatVerdict::Silenced(sample.warning),
            Some(sample) if sample.labels.iter().take(labels.len()).eq(labels) => FastchatVerdict::Same,
            Some(_) => FastchatVerdict::Other,
        })
    }
}

/// Compares labels with the text's own spans.
fn prove(rendered: &Rendered, labels: &[i64], places: &[Place]) -> Proof {
    let mut inside = vec![false; rendered.text.len() + 1];
    for span in rendered.spans.iter().filter(|span| span.role == Role::Assistant) {
        inside[span.start..span.end].fill(true);
    }
    let (mut wrong, mut straddling) = (Vec::new(), Vec::new());
    for (at, (place, label)) in places.iter().zip(labels).enumerate() {
        if inside[place.start] != (*label != IGNORE_INDEX) {
            wrong.push(at);
        } else if inside[place.start] != inside[place.last] {
            straddling.push(at);
        }
    }
    match (wrong.first(), straddling.first()) {
        (Some(&first), _) => Proof::Differs { tokens: wrong.len(), first },
        (None, Some(&first)) => Proof::Straddles { tokens: straddling.len(), first },
        (None, None) => Proof::Holds,
    }
}

/// The tokens' texts, as runs with and without loss.
fn runs(
    text: &str,
    labels: &[i64],
    ids: &[u32],
    places: Option<&[Place]>,
    tokenizer: &Tokenizer,
) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (at, (id, label)) in ids.iter().zip(labels).enumerate() {
        let token = match places {
            // Up to where the next begins; the last token's text is the rest of its character.
            Some(places) if at > 0 || places[0] != (Place { start: 0, last: 0 }) => {
                let start = places[at].start;
                let end = match places.get(at + 1) {
                    Some(next) => next.start,
                    None => text.ceil_char_boundary(places[at].last + 1),
                };
                text.get(start..end.max(start)).unwrap_or_default().to_string()
            }
            _ => tokenizer.id_to_token(*id).unwrap_or_else(|| format!("<{id}>")),
        };
        let loss = *label != IGNORE_INDEX;
        match runs.last_mut().filter(|run| run.loss == loss) {
            Some(run) => run.tokens.push(token),
            None => runs.push(Run { loss, tokens: vec![token] }),
        }
    }
    runs
}

/// What a look at many conversations comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct InspectReport {
    /// Conversations looked at.
    pub conversations: usize,
    /// Their tokens, up to the limit.
    pub tokens: usize,
    /// Tokens that carry loss.
    pub loss_tokens: usize,
    /// Answers that are there as far as their end marker.
    pub answers: usize,
    /// Conversations that were cut at the limit.
    pub cut: Tally,
    /// Conversations without a token that carries loss: training drops them, and says so.
    pub nothing_to_learn: Tally,
    /// Conversations whose labels are what their text says.
    pub proven: usize,
    /// Those whose labels are not.
    pub differing: Tally,
    /// Those with a token that is an answer's only in part; it counts where it begins.
    pub straddling: Tally,
    /// Those of which nothing is known, since their tokens do not spell their text.
    pub unknown: Tally,
    /// Conversations that cannot be written or tokenised.
    pub refused: Tally,
    /// What FastChat would have made of them, where that was asked.
    pub fastchat: Option<FastchatReport>,
}

/// What FastChat's trainer would have made of the conversations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FastchatReport {
    /// Those with the same labels as ours.
    pub same: usize,
    /// Those with other labels.
    pub other: Tally,
    /// Those without any loss.
    pub silenced: Tally,
    /// Of these, how many carry loss here.
    pub silenced_for_nothing: usize,
    /// The tokens that carry loss here and would not have carried any.
    pub silenced_tokens: usize,
    /// Those at which it would have stopped with an exception.
    pub raises: Tally,
}

impl InspectReport {
    /// For FastChat's verdicts too, where `fastchat` says so.
    pub fn new(fastchat: bool) -> Self {
        Self { fastchat: fastchat.then(FastchatReport::default), ..Self::default() }
    }

    /// Counts a conversation that cannot be looked at.
    pub fn refuse(&mut self, id: &str, error: &DataError) {
        self.refused.add(item(id, Some(error.to_string())));
    }

    /// Counts a conversation.
    pub fn add(&mut self, inspected: &Inspected) {
        let Inspected { id, ids, labels, about } = inspected;
        let loss = labels.iter().filter(|label| **label != IGNORE_INDEX).count();
        let at = |tokens: usize, first: usize| Some(format!("{tokens} tokens, the first at {first}"));
        self.conversations += 1;
        self.tokens += ids.len();
        self.loss_tokens += loss;
        self.answers += about.answers;
        if ids.len() < about.full_len {
            self.cut.add(item(id, Some(format!("{} of {} tokens", ids.len(), about.full_len))));
        }
        if loss == 0 {
            self.nothing_to_learn.add(item(id, None));
        }
        match about.proof {
            Proof::Holds => self.proven += 1,
            Proof::Unknown => self.unknown.add(item(id, None)),
            Proof::Straddles { tokens, first } => self.straddling.add(item(id, at(tokens, first))),
            Proof::Differs { tokens, first } => self.differing.add(item(id, at(tokens, first))),
        }
        let (Some(report), Some(verdict)) = (&mut self.fastchat, &about.fastchat) else { return };
        match verdict {
            FastchatVerdict::Same => report.same += 1,
            FastchatVerdict::Other => report.other.add(item(id, None)),
            FastchatVerdict::Raises => report.raises.add(item(id, None)),
            FastchatVerdict::Silenced(warning) => {
                report.silenced.add(item(id, warning.clone()));
                report.silenced_for_nothing += usize::from(loss > 0);
                report.silenced_tokens += loss;
            }
        }
    }

    /// Whether every conversation could be looked at, and its labels are what its text says.
    pub fn holds(&self) -> bool {
        self.proven == self.conversations && self.refused.count == 0
    }

    /// The report in lines for people.
    pub fn lines(&self) -> Vec<String> {
        let Self { conversations, tokens, loss_tokens, answers, proven, .. } = self;
        let mut lines = vec![
            format!(
                "{conversations} conversations, {tokens} tokens, {loss_tokens} of them carry loss: {answers} answers as \
                 far as their end marker"
            ),
            format!(
                "{proven} of {conversations} proven: spelt out, the tokens that carry loss are the answers with their \
                 end markers, and nothing else"
            ),
        ];
        for (tally, what) in [
            (&self.differing, "where loss lies elsewhere"),
            (&self.straddling, "with a token that is an answer's only in part, and counts where it begins"),
            (&self.unknown, "whose tokens do not spell their text, of which nothing is known"),
            (&self.refused, "that cannot be written or tokenised"),
            (&self.cut, "cut at the limit"),
            (&self.nothing_to_learn, "with nothing to learn, which training drops"),
        ] {
            if tally.count > 0 {
                lines.push(format!("  {} {what}: {tally}", tally.count));
            }
        }
        if let Some(fastchat) = &self.fastchat {
            lines.push(format!(
                "FastChat: {} with the same labels, {} silenced (no loss at all), {} of them with something to learn: \
                 {} tokens",
                fastchat.same,
                fastchat.silenced.count,
                fastchat.silenced_for_nothing,
                fastchat.silenced_tokens
            ));
            for (tally, what) in [
                (&fastchat.silenced, "silenced"),
                (&fastchat.other, "with other labels"),
                (&fastchat.raises, "at which it stops with an exception"),
            ] {
                if tally.count > 0 {
                    lines.push(format!("  {} {what}: {tally}", tally.count));
                }
            }
        }
        lines
    }
}

fn item(id: &str, detail: Option<String>) -> Named {
    Named { id: id.to_string(), place: None, detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nano::{NanoConfig, NanoWorld};

    /// A conversation with its labels and places, over the nano world's tokenizer.
    fn looked_at(turns: &[(Role, &str)]) -> (Rendered, Inspected, Vec<Place>) {
        let tokenizer = NanoWorld::new(&NanoConfig::default()).unwrap().tokenizer().unwrap();
        let template = Template::builtin("vicuna_v1.1").unwrap();
        let inspector = Inspector::new(&template, &tokenizer, 2048, false).unwrap();
        let mut talk = Conversation::new("t");
        turns.iter().for_each(|(role, text)| talk.push(*role, *text));
        let rendered = template.render(&talk, false).unwrap();
        let inspected = inspector.inspect(&talk).unwrap();
        let places = Spelling::of(&tokenizer).unwrap().places(&rendered.text, &inspected.ids, false).unwrap();
        (rendered, inspected, places)
    }

    #[test]
    fn loss_one_token_too_early_too_late_or_without_the_end_marker_is_found() {
        let (rendered, inspected, places) = looked_at(&[
            (Role::User, "a</s>"),
            (Role::Assistant, " b"),
            (Role::User, "c"),
            (Role::Assistant, "d"),
        ]);
        assert_eq!(inspected.about.proof, Proof::Holds);
        assert_eq!(inspected.about.answers, 2);
        let loss: Vec<usize> =
            (0..inspected.ids.len()).filter(|at| inspected.labels[*at] != IGNORE_INDEX).collect();
        let (first, last) = (loss[0], loss[loss.len() - 1]);
        assert_eq!(last, inspected.ids.len() - 1);
        let proof = |at: usize, label: i64| {
            let mut labels = inspected.labels.clone();
            labels[at] = label;
            prove(&rendered, &labels, &places)
        };
        assert_eq!(proof(first - 1, 7), Proof::Differs { tokens: 1, first: first - 1 });
        assert_eq!(proof(first, IGNORE_INDEX), Proof::Differs { tokens: 1, first });
        assert_eq!(proof(last, IGNORE_INDEX), Proof::Differs { tokens: 1, first: last });
        // A token that reaches over the border.
        let mut wide = places.clone();
        wide[first - 1].last = wide[first].start;
        assert_eq!(
            prove(&rendered, &inspected.labels, &wide),
            Proof::Straddles { tokens: 1, first: first - 1 }
        );
    }

    #[test]
    fn runs_hold_the_whole_text() {
        let (rendered, inspected, _) = looked_at(&[(Role::User, "né\n"), (Role::Assistant, "▁日本 x")]);
        let text: String = inspected.about.runs.iter().flat_map(|run| &run.tokens).skip(1).cloned().collect();
        assert_eq!(text, rendered.text);
        let loss: Vec<bool> = inspected.about.runs.iter().map(|run| run.loss).collect();
        assert_eq!(loss, [false, true]);
        assert_eq!(inspected.about.runs[1].tokens.concat(), " ▁日本 x</s>");
    }
}
