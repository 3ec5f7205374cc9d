//! The published files of MT-bench and Vicuna, read as they are.
#![cfg(feature = "judge")]

use std::path::PathBuf;

use camelid_eval::judge::{Answers, Case, OutputFormat, PromptSet, Protocol, QuestionSet};

fn fastchat() -> Option<PathBuf> {
    let folder = camelid_tests::oracles()?.join("fastchat");
    folder.is_dir().then_some(folder)
}

#[test]
fn the_published_questions_are_eighty_and_their_references_serve_three_categories() {
    let Some(folder) = fastchat() else { return };
    let set = QuestionSet::read(&folder.join("mt_bench_question.jsonl"), "MT-bench").unwrap();
    assert_eq!(
        set.categories(),
        ["writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities"]
    );
    assert!(set.questions.len() == 80 && set.questions.iter().all(|question| question.turns.len() == 2));
    let references = Answers::read(&folder.join("mt_bench_reference_gpt-4.jsonl")).unwrap();
    let protocol = Protocol::mt_bench().unwrap();
    let wanting: Vec<_> = set.questions.iter().filter(|q| protocol.needs_reference(&q.category)).collect();
    assert_eq!((references.model.as_str(), wanting.len(), references.all().len()), ("gpt-4", 30, 30));
    assert!(wanting.iter().all(|question| references.to(&question.id).unwrap().up_to(2).is_ok()));
    for name in ["vicuna_bench_question.jsonl", "vicuna_questions.jsonl"] {
        let set = QuestionSet::read(&folder.join(name), "Vicuna").unwrap();
        assert!(set.questions.len() == 80 && set.questions.iter().all(|question| question.turns.len() == 1));
    }
}

#[test]
fn the_published_prompts_serve_every_case_of_grades_and_pairs() {
    let Some(folder) = fastchat() else { return };
    let prompts = PromptSet::read(&folder.join("judge_prompts.jsonl")).unwrap();
    for (output, reference, second_turn, name) in [
        (OutputFormat::Rating, false, false, "single-v1"),
        (OutputFormat::Rating, true, false, "single-math-v1"),
        (OutputFormat::Rating, false, true, "single-v1-multi-turn"),
        (OutputFormat::Rating, true, true, "single-math-v1-multi-turn"),
        (OutputFormat::Winner, false, false, "pair-v2"),
        (OutputFormat::Winner, true, false, "pair-math-v1"),
        (OutputFormat::Winner, false, true, "pair-v2-multi-turn"),
        (OutputFormat::Winner, true, true, "pair-math-v1-multi-turn"),
    ] {
        assert_eq!(prompts.get(Case { output, reference, second_turn }).unwrap().name, name);
    }
    assert_eq!(prompts.prompts().len(), 8);
    let case = Case { output: OutputFormat::Rating, reference: true, second_turn: false };
    let filled = prompts.get(case).unwrap().template.fill(|name| match name {
        "question" => Some("1 + 1?"),
        "ref_answer_1" => Some("It is {2}."),
        "answer" => Some("3"),
        _ => None,
    });
    let expected = "[Question]\n1 + 1?\n\n[The Start of Reference Answer]\nIt is {2}.\n[The End of Reference \
                    Answer]\n\n[The Start of Assistant's Answer]\n3\n[The End of Assistant's Answer]";
    assert!(filled.unwrap().ends_with(expected));
}
