//! A conversation about one topic after the other, and the question for the first of them.

use std::fmt::Write as _;

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngExt};

use super::cases::LongEvalCase;
use super::words::{ASPECTS, SUBJECTS};

/// The most topics that differ.
pub(super) const MOST: usize = ASPECTS.len() * SUBJECTS.len();

/// What the user goes on with. `{}` is one of the words that belong to the subject.
const QUESTIONS: [&str; 6] = [
    "Which part do {} play in it?",
    "How did people learn about {} in the first place?",
    "Would a beginner have to care about {}?",
    "What goes wrong most often where {} are concerned?",
    "Has the view of {} changed over the years?",
    "Is there a simple way to explain {} to a child?",
];

/// How the assistant replies. `{}` as above.
const REPLIES: [&str; 6] = [
    "Much depends on {}. Whoever looks closely sees three stages: first they are hardly noticed, then \
     everybody talks about them, and in the end they are taken for granted. Most accounts dwell on the \
     second stage, although the first one decides what becomes of it all.",
    "Opinions differ, but most agree on the main point: {} matter more in practice than in books. It helps \
     to watch someone who has years of experience, to take notes, and to try it on a small scale before \
     spending money on it.",
    "There are good reasons to begin with {}. They are cheap to come by, they show quickly whether an idea \
     works, and mistakes with them are easily mended. What takes longer is to get a feeling for the right \
     moment, which no manual can give.",
    "People have argued about {} for a long time. One side points to tradition and to what can be seen with \
     one's own eyes, the other to measurements. A careful reader will find that both describe the same thing \
     from two ends.",
    "A short answer would be that {} are the price one pays for everything else. A longer one would mention \
     the places where they hardly occur, the people who do without them, and how much effort that takes \
     every single day.",
    "It is a fair question. Take {} away and the rest still stands, only less steadily. Put too much weight \
     on them, and the whole becomes slow and dear. Between the two lies a middle course, which looks \
     different in every country.",
];

/// A conversation of `size` topics, each opened with `I would like to discuss the topic of …` and
/// discussed over three questions, and the question for the first.
pub(super) fn case(size: usize, id: usize, rng: &mut impl Rng) -> LongEvalCase {
    let mut order: Vec<usize> = (0..MOST).collect();
    let (order, _) = order.partial_shuffle(rng, size);
    let mut record = String::new();
    let mut topics = Vec::with_capacity(size);
    for topic in order.iter() {
        let (subject, words) = SUBJECTS[topic % SUBJECTS.len()];
        let name = format!("{} {subject}", ASPECTS[topic / SUBJECTS.len()]);
        discuss(&mut record, &name, words, rng);
        topics.push(name);
    }
    let prompt = format!(
        "Here is the record of a conversation about {size} topics, one after the other, between a USER and an \
         ASSISTANT. The USER opens each topic with the words 'I would like to discuss the topic of <TOPIC>'. \
         Keep the topics in mind: after the record you will be asked for the first one. The record starts \
         here. {record}The record ends here. Which topic was discussed first? Answer with the topic's name \
         alone. "
    );
    LongEvalCase::Topics { id, topics, prompt }
}

fn discuss(record: &mut String, topic: &str, words: [&str; 2], rng: &mut impl Rng) {
    let lower = topic.replacen("The ", "the ", 1);
    let _ = write!(
        record,
        "USER: I would like to discuss the topic of {lower}. \n ASSISTANT: With pleasure. Where shall we \
         begin? \n "
    );
    // A sample without repeats: a discussion does not ask the same thing twice.
    let questions: Vec<&str> = QUESTIONS.sample(rng, 3).copied().collect();
    let replies: Vec<&str> = REPLIES.sample(rng, 3).copied().collect();
    for (question, reply) in questions.iter().zip(&replies) {
        let word = words[rng.random_range(0..words.len())];
        let (question, reply) = (question.replace("{}", word), reply.replace("{}", word));
        let _ = write!(record, "USER: {question} \n ASSISTANT: {reply} \n ");
    }
    let _ = write!(record, "USER: Thank you, that is all I wanted to know about {lower}. \n ");
}
