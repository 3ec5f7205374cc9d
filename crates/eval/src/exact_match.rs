//! Questions with one right answer, answered greedily.

use std::collections::HashMap;
use std::ops::ControlFlow;

use camelid_chat::{GenerateOptions, Message, Role, TextGenerator};
use serde::{Deserialize, Serialize};

use crate::judge::{Judgment, Question, Verdict};
use camelid_ratings::Outcome;

/// A model's answer to a question with one right answer, marked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marked {
    /// The question's id.
    pub question: String,
    /// The question's category; scores are also given per category.
    pub category: String,
    /// The text, as generated.
    pub text: String,
    /// Whether it is the right answer.
    pub correct: bool,
}

/// Why questions could not be answered or marked.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The model failed.
    #[error("question `{id}` could not be answered: {source}")]
    Model {
        /// The question.
        id: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The question is no such question.
    #[error("question `{id}` has {turns} turns and {references} right answers; expected one of each")]
    Question {
        /// The question.
        id: String,
        /// How many turns it has.
        turns: usize,
        /// How many right answers.
        references: usize,
    },
}

/// Puts every question to `model`, at temperature 0 and at most `max_new_tokens` tokens, and marks the
/// answers with `is_right(answer, reference)`. `after_each` is told how many are done.
///
/// # Errors
/// [`AnswerError`] with the id of the question at fault; every question needs one turn and one reference.
pub fn answer_all(
    model: &dyn TextGenerator,
    questions: &[Question],
    max_new_tokens: usize,
    is_right: impl Fn(&str, &str) -> bool,
    mut after_each: impl FnMut(usize),
) -> Result<Vec<Marked>, AnswerError> {
    let options = GenerateOptions { max_new_tokens, ..GenerateOptions::default() };
    let mut answers = Vec::with_capacity(questions.len());
    for question in questions {
        let ([turn], [reference]) = (question.turns.as_slice(), question.reference.as_slice()) else {
            return Err(AnswerError::Question {
                id: question.id.clone(),
                turns: question.turns.len(),
                references: question.reference.len(),
            });
        };
        let generated = model
            .generate(&[Message::new(Role::User, turn)], &options, &mut |_| ControlFlow::Continue(()))
            .map_err(|source| AnswerError::Model { id: question.id.clone(), source })?;
        answers.push(Marked {
            question: question.id.clone(),
            category: question.category.clone(),
            correct: is_right(&generated.text, reference),
            text: generated.text,
        });
        after_each(answers.len());
    }
    Ok(answers)
}

/// Who judges where one answer is right.
const MARKS: &str = "exact match";

/// Judgments of two models' marked answers to the same questions, in both orders: the right answer
/// beats the wrong one, two of a kind are a tie. Questions that one of them did not answer are left
/// out.
pub fn compare_marked(one: (&str, &[Marked]), other: (&str, &[Marked])) -> Vec<Judgment> {
    let others: HashMap<&str, &Marked> =
        other.1.iter().map(|answer| (answer.question.as_str(), answer)).collect();
    let judgment = |answer: &Marked, shown: [(&str, bool); 2]| Judgment {
        question: answer.question.clone(),
        category: answer.category.clone(),
        turn: 1,
        model: shown[0].0.to_owned(),
        opponent: Some(shown[1].0.to_owned()),
        verdict: Some(Verdict::Winner(match (shown[0].1, shown[1].1) {
            (true, false) => Outcome::ModelA,
            (false, true) => Outcome::ModelB,
            _ => Outcome::Tie,
        })),
        judge: MARKS.to_owned(),
        prompt: MARKS.to_owned(),
        ..Judgment::default()
    };
    let both = one.1.iter().filter_map(|answer| Some((answer, *others.get(answer.question.as_str())?)));
    both.flat_map(|(answer, against)| {
        let (mine, theirs) = ((one.0, answer.correct), (other.0, against.correct));
        [judgment(answer, [mine, theirs]), judgment(answer, [theirs, mine])]
    })
    .collect()
}

/// Share of right answers with its standard error, √(p(1 − p)/n); `None` without answers.
pub fn accuracy(answers: &[Marked]) -> Option<(f64, f64)> {
    let n = answers.len() as f64;
    let share = answers.iter().filter(|a| a.correct).count() as f64 / n;
    (!answers.is_empty()).then(|| (share, (share * (1.0 - share) / n).sqrt()))
}

#[cfg(test)]
mod tests {
    use camelid_chat::{GeneratedText, StopReason};

    use super::*;

    /// Answers with the last word of the question, or fails on an empty one.
    struct LastWord;

    impl TextGenerator for LastWord {
        fn generate(
            &self,
            messages: &[Message],
            _: &GenerateOptions,
            _: &mut dyn FnMut(&str) -> ControlFlow<()>,
        ) -> Result<GeneratedText, Box<dyn std::error::Error + Send + Sync>> {
            let text = messages.last().map_or("", |m| m.content.as_str());
            let word = text.split_whitespace().last().ok_or("nothing was asked")?;
            Ok(GeneratedText {
                text: word.to_owned(),
                prompt_tokens: Some(1),
                new_tokens: Some(1),
                reason: StopReason::Length,
                model_version: None,
                own_temperature: false,
            })
        }
    }

    fn question(id: &str, text: &str, expected: &str) -> Question {
        Question {
            id: id.to_owned(),
            category: "f".to_owned(),
            turns: vec![text.to_owned()],
            reference: vec![expected.to_owned()],
            temperature: None,
        }
    }

    #[test]
    fn right_and_wrong_answers_are_told_apart() {
        let questions = [question("a", "say yes", "yes"), question("b", "say no", "yes")];
        let answers = answer_all(&LastWord, &questions, 4, |a, b| a == b, |_| {}).unwrap();
        assert_eq!(answers.iter().map(|a| a.correct).collect::<Vec<_>>(), [true, false]);
        let (share, error) = accuracy(&answers).unwrap();
        assert_eq!(share, 0.5);
        assert!((error - 0.125f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn a_failed_answer_names_its_question() {
        let error = answer_all(&LastWord, &[question("lost", "", "")], 4, |_, _| true, |_| {}).unwrap_err();
        assert!(error.to_string().contains("`lost`"), "{error}");
        let open = Question { reference: Vec::new(), ..question("open", "say no", "") };
        let error = answer_all(&LastWord, &[open], 4, |_, _| true, |_| {}).unwrap_err();
        assert!(error.to_string().contains("`open` has 1 turns and 0 right answers"), "{error}");
        assert_eq!(accuracy(&[]), None);
    }

    #[test]
    fn the_right_answer_beats_the_wrong_one_in_both_orders() {
        let answer = |id: &str, correct: bool| Marked {
            question: id.to_owned(),
            category: "f".to_owned(),
            text: String::new(),
            correct,
        };
        let tuned = [answer("a", true), answer("b", true), answer("c", false), answer("only here", true)];
        let base = [answer("c", true), answer("b", true), answer("a", false)];
        let rows = compare_marked(("tuned", &tuned), ("base", &base));
        assert_eq!(rows.len(), 6);
        let score = crate::judge::pair_scores(&rows, &crate::judge::Resampling::default());
        let tuned = score.iter().find(|score| score.model == "tuned").unwrap();
        assert_eq!((tuned.wins, tuned.ties, tuned.losses, tuned.inconsistent), (1, 1, 1, 0));
    }
}
