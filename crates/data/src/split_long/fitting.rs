//! Parts that fit as the template writes them, and lose nothing.

use camelid_chat::{ChatError, Conversation, Role, Template};
use tokenizers::Tokenizer;

use super::{Lost, Part, Pieces, ROLES, Turn, untokenised};
use crate::fields::Problem;

/// Reason for a round that cannot be cut to the limit: its question fills it.
const LONG_QUESTION: &str = "a question that fills the limit";

/// How far before a cut the end of a word is looked for, in bytes.
const WORD: usize = 40;

/// How far an estimate of a part's tokens may be off: what is written before its first question, and
/// tokens that would join over a border.
const SLACK: usize = 16;

/// What counts a conversation's tokens.
pub(super) trait Measure {
    /// How many tokens it has, and at which of them each question begins.
    fn measure(&self, conversation: &Conversation) -> Result<(usize, Vec<usize>), Problem>;
}

/// As a template writes it.
pub(super) struct Rendered<'a> {
    pub template: &'a Template,
    pub tokenizer: &'a Tokenizer,
}

impl Measure for Rendered<'_> {
    fn measure(&self, conversation: &Conversation) -> Result<(usize, Vec<usize>), Problem> {
        let encoded = self
            .template
            .encode(conversation, self.tokenizer, false)
            .map_err(|e: ChatError| untokenised(e))?;
        let questions = encoded.spans.iter().filter(|span| span.role == Role::User);
        Ok((encoded.ids.len(), questions.map(|span| span.start).collect()))
    }
}

/// The parts: as many whole rounds as fit, from the first on.
pub(super) fn pieces(
    turns: &[Turn<'_>],
    max_length: usize,
    cut_long: bool,
    measure: &impl Measure,
) -> Result<Pieces, Problem> {
    let mut pieces = Pieces::default();
    let role = |turn: &Turn<'_>| Role::from_name(turn.from);
    let is = |at: usize, wanted: Role| turns.get(at).is_some_and(|turn| role(turn) == Some(wanted));
    pieces.with_system = is(0, Role::System);
    let mut first = usize::from(pieces.with_system);
    if is(first, Role::Assistant) {
        first += 1;
        pieces.changes.push(("a first turn of the assistant, left out".into(), None));
    }
    let rounds = (turns.len() - first) / 2;
    let end = first + 2 * rounds;
    pieces.rounds_in = rounds;
    let in_turn = [Role::User, Role::Assistant].into_iter().cycle();
    if turns[first..].iter().zip(in_turn).any(|(turn, expected)| role(turn) != Some(expected)) {
        pieces.lost.extend((rounds > 0).then_some(Lost { turns: first..end, reason: ROLES }));
        pieces.nothing = Some(Problem::new(ROLES));
        return Ok(pieces);
    }
    if end < turns.len() {
        pieces.changes.push(("a last question without an answer, left out".into(), None));
    }
    if rounds == 0 {
        pieces.nothing = Some(Problem::new("no question with an answer"));
        return Ok(pieces);
    }

    let system = pieces.with_system.then(|| turns[0].value);
    let talk = Talk { system, turns: &turns[first..end], measure };
    let (whole, starts) = measure.measure(&talk.rounds(0, rounds))?;
    let mut begin = 0;
    while begin < rounds {
        let (end, tokens) = match (begin, whole <= max_length) {
            (0, true) => (rounds, whole),
            _ => talk.fill(begin, rounds, max_length, whole, &starts)?,
        };
        let of_turns = first + 2 * begin..first + 2 * end;
        if tokens <= max_length || !cut_long {
            pieces.parts.push(Part { turns: of_turns, tokens, cut: None });
        } else if let Some((text, tokens)) = talk.cut(begin, max_length)? {
            pieces.parts.push(Part { turns: of_turns, tokens, cut: Some(text) });
        } else {
            pieces.lost.push(Lost { turns: of_turns, reason: LONG_QUESTION });
        }
        begin = end;
    }
    Ok(pieces)
}

/// The rounds of a conversation and what counts them.
struct Talk<'a, M> {
    system: Option<&'a str>,
    turns: &'a [Turn<'a>],
    measure: &'a M,
}

impl<M: Measure> Talk<'_, M> {
    /// The conversation of some of the rounds.
    fn rounds(&self, begin: usize, end: usize) -> Conversation {
        let mut conversation = Conversation::new("part");
        if let Some(system) = self.system {
            conversation.push(Role::System, system);
        }
        for round in self.turns[2 * begin..2 * end].chunks_exact(2) {
            conversation.push(Role::User, round[0].value);
            conversation.push(Role::Assistant, round[1].value);
        }
        conversation
    }

    fn tokens(&self, begin: usize, end: usize) -> Result<usize, Problem> {
        Ok(self.measure.measure(&self.rounds(begin, end))?.0)
    }

    /// The end of the longest part that begins here and fits, at least one round, and its tokens.
    ///
    /// Where rounds begin in the whole conversation tells about how many fit; the part itself is
    /// counted, so that each text is tokenised a few times whatever the number of rounds.
    fn fill(
        &self,
        begin: usize,
        rounds: usize,
        max_length: usize,
        whole: usize,
        starts: &[usize],
    ) -> Result<(usize, usize), Problem> {
        let start = |round: usize| starts.get(round).copied().unwrap_or(whole);
        let estimate = |end: usize| start(0) + start(end) - start(begin);
        let mut end = begin + 1;
        while end < rounds && estimate(end + 1) <= max_length {
            end += 1;
        }
        let mut tokens = self.tokens(begin, end)?;
        while tokens > max_length && end > begin + 1 {
            end -= 1;
            tokens = self.tokens(begin, end)?;
        }
        while tokens <= max_length && end < rounds && estimate(end + 1) <= max_length + SLACK {
            let longer = self.tokens(begin, end + 1)?;
            if longer > max_length {
                break;
            }
            (end, tokens) = (end + 1, longer);
        }
        Ok((end, tokens))
    }

    /// The answer of a round cut so that the round fits, where possible at the end of a word, and the
    /// round's tokens then. `None` where the question leaves no room for an answer.
    fn cut(&self, round: usize, max_length: usize) -> Result<Option<(String, usize)>, Problem> {
        let answer = self.turns[2 * round + 1].value;
        let mut shorter = self.rounds(round, round + 1);
        let mut tokens_of = |text: &str| {
            if let Some(last) = shorter.messages.last_mut() {
                text.clone_into(&mut last.content);
            }
            self.measure.measure(&shorter).map(|(tokens, _)| tokens)
        };
        let mut fits_at = |bytes: usize| {
            tokens_of(&answer[..answer.floor_char_boundary(bytes)]).map(|tokens| tokens <= max_length)
        };
        // Doubling, then halving: an answer of megabytes is never tokenised whole again.
        let (mut fits, mut too_long) = (0, max_length);
        while too_long < answer.len() && fits_at(too_long)? {
            (fits, too_long) = (too_long, 2 * too_long);
        }
        too_long = too_long.min(answer.len());
        while too_long - fits > 1 {
            let middle = fits.midpoint(too_long);
            match fits_at(middle)? {
                true => fits = middle,
                false => too_long = middle,
            }
        }
        let text = &answer[..answer.floor_char_boundary(fits)];
        let from = text.floor_char_boundary(text.len().saturating_sub(WORD));
        let word = text[from..].rfind(char::is_whitespace).map_or(text, |space| &text[..from + space]);
        for text in [word.trim_end(), text.trim_end()] {
            let tokens = tokens_of(text)?;
            if !text.is_empty() && tokens <= max_length {
                return Ok(Some((text.to_string(), tokens)));
            }
        }
        Ok(None)
    }
}
