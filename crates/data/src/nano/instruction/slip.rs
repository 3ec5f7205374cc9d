//! The ways in which a model that evolves and answers goes wrong, put in on purpose so that they are known.

/// A way to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slip {
    /// The evolved instruction speaks of the prompt that asked for it.
    Leak,
    /// It asks for what the given one does, in other words.
    NoGain,
    /// The answer is an apology.
    Sorry,
    /// The answer says nothing.
    EmptyWords,
    /// The answer is wrong.
    Wrong,
}

/// A slip as the rules of elimination describe it, or one that means the same in words they do not name.
struct Wordings {
    named: &'static [&'static str],
    unnamed: &'static [&'static str],
}

const LEAKS: Wordings = Wordings {
    named: &["As the given task says:", "Here is the #Harder Task#, better than the given task:"],
    unnamed: &["Here it is, rewritten and harder:"],
};
const APOLOGIES: Wordings = Wordings {
    named: &["I am sorry, I do not know.", "Sorry, I can not say."],
    unnamed: &["I do not know."],
};
const NOTHINGS: Wordings = Wordings { named: &["It is what it is.", "..."], unnamed: &["Yes."] };

impl Slip {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Leak, Self::NoGain, Self::Sorry, Self::EmptyWords, Self::Wrong];

    /// Its name in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Leak => "prompt leak",
            Self::NoGain => "no gain",
            Self::Sorry => "\"sorry\"",
            Self::EmptyWords => "stop words",
            Self::Wrong => "wrong answer",
        }
    }

    /// Whether an answer goes wrong so; else an evolved instruction does.
    pub fn is_of_answers(self) -> bool {
        matches!(self, Self::Sorry | Self::EmptyWords | Self::Wrong)
    }

    /// One of its wordings by a number; a quarter of the numbers give one that no rule names. `None` for
    /// slips that are no fixed words.
    pub fn wording(self, number: u64) -> Option<&'static str> {
        let wordings = match self {
            Self::Leak => LEAKS,
            Self::Sorry => APOLOGIES,
            Self::EmptyWords => NOTHINGS,
            Self::NoGain | Self::Wrong => return None,
        };
        let of = if number.is_multiple_of(4) { wordings.unnamed } else { wordings.named };
        Some(of[(number / 4) as usize % of.len()])
    }

    /// Whether the rules of elimination name the wording.
    pub fn is_named(self, number: u64) -> bool {
        !number.is_multiple_of(4)
    }
}

/// Every wording there is.
pub fn texts() -> impl Iterator<Item = String> {
    let all = [LEAKS, APOLOGIES, NOTHINGS].into_iter().flat_map(|of| of.named.iter().chain(of.unnamed));
    all.flat_map(|text| [(*text).to_owned(), format!(" {text}")])
}
