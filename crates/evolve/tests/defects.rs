//! What other implementations of Evol-Instruct got wrong, as tests. Where the test stands elsewhere:
//!
//! | who | what | test |
//! |---|---|---|
//! | released code | five templates, breadth drawn one time in five | `operators::operators_are_drawn_by_the_law` |
//! | released code | one round, no pool, no lineage | `evolution::a_lineage_says_how_each_row_came_about` |
//! | released code | no seed; writes once, at the end | `evolution::a_seed_changes_the_data_and_fixes_them`, `evolution::two_hundred_kills_end_in_the_same_bytes` |
//! | released code | a stray quote, two spellings of a tag | `operators::published_prompts_are_the_bytes_of_their_file` |
//! | released code | a time-out counts as an answer, an empty one after 15 | `a_request_that_failed_is_no_row` |
//! | released code | a refused request counts as success | `a_refused_request_ends_its_row_and_no_answer_is_asked_for` |
//! | released code | answers for ever where there are too many requests | `evolve_faults::a_server_that_errs_…` of the command line |
//! | released code | instruction and input joined by `\r\n` | `an_input_joined_by_carriage_returns_is_the_text_that_line_breaks_make` |
//! | a script | "Not Equal" holds "equal"; the pool grows while it is walked | `a_judge_who_says_not_equal_ends_nothing_and_the_pool_keeps_its_size` |
//! | h2o-wizardlm | an apology by characters, and in one spelling | `an_apology_is_short_by_words_in_any_case` |
//! | distilabel 0 | an apology looked for in the instruction | `an_apology_is_looked_for_in_the_answer` |
//! | distilabel 1.5.3 | a seed without effect; operators not recorded; rows lost | `evolution::a_seed_changes_…`, `every_row_names_its_operator_and_none_is_lost` |
//! | evol-teacher | "20." cuts "2020." | `a_year_cuts_no_answer` |
//! | evol-teacher | rows in the order in which replies came | `rows_stand_in_the_order_of_their_seeds` |
//! | WizardLM #8 | the answer inside of the instruction; duplicates | `an_instruction_with_its_answer_ends`, `equal_instructions_of_two_seeds_live_once` |
//! | WizardLM #4 | an assistant's boilerplate in instruction and answer | `an_assistants_boilerplate_ends_the_row` |
//! | h2o-wizardlm | the comparison with the parent is there and never made | `every_evolution_is_compared_with_its_parent` |
//! | UltraFeedback #12 | a "given prompt" that is not there, in any case | `a_prompt_that_is_spoken_of_ends_the_row` |
//! | parsers | text lost where the model repeats the tag | `a_repeated_tag_loses_no_text` |
//! | a fork | tags told by their capitals | `a_prompt_that_is_spoken_of_ends_the_row` |
//! | WizardLM #220 | nobody knows how many rows pass | `report::a_report_counts_by_round_operator_and_rule` |

use std::error::Error;
use std::ops::ControlFlow;
use std::time::Duration;

use camelid_chat::requests::{RequestStore, RunSettings};
use camelid_chat::{GenerateFailure, GenerateOptions, GeneratedText, Message, StopReason, TextGenerator};
use camelid_evolve::{
    Desk, Evolution, EvolutionSettings, EvolveError, Law, Model, Models, OperatorSet, Row, Rule,
    RuleSettings, Seed, Task,
};
use camelid_tests::oracles;

/// What is asked for, and of what.
enum Question<'a> {
    Evolve(&'a str),
    Compare,
    Answer(&'a str),
}

type Said = Result<String, Box<dyn Error + Send + Sync>>;

/// A model that says what a function says.
struct Saying<F>(F);

impl<F: Fn(Question) -> Said + Send + Sync> TextGenerator for Saying<F> {
    fn generate(
        &self,
        messages: &[Message],
        _options: &GenerateOptions,
        _on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<GeneratedText, Box<dyn Error + Send + Sync>> {
        let prompt = &messages[0].content;
        let question = match prompt.split_once("Given task:\n") {
            Some((_, task)) => Question::Evolve(task.lines().next().unwrap()),
            None if prompt.starts_with("Compare") => Question::Compare,
            None => Question::Answer(prompt),
        };
        Ok(GeneratedText {
            text: (self.0)(question)?,
            prompt_tokens: None,
            new_tokens: None,
            reason: StopReason::TurnEnd,
            model_version: None,
            own_temperature: false,
        })
    }
}

/// Two rounds over four seeds.
fn evolve(model: impl Fn(Question) -> Said + Send + Sync) -> Result<Vec<Row>, EvolveError> {
    let seed = |at| Seed { instruction: format!("Name {at} rivers."), response: Some("Rhine".into()) };
    evolve_seeds(&(0..4).map(seed).collect::<Vec<_>>(), model)
}

fn evolve_seeds(
    seeds: &[Seed],
    model: impl Fn(Question) -> Said + Send + Sync,
) -> Result<Vec<Row>, EvolveError> {
    let folder = tempfile::tempdir().unwrap();
    let store = RequestStore::open(&folder.path().join("replies.jsonl")).unwrap();
    let generator = Saying(model);
    let model = Model {
        generator: &generator,
        name: "saying".into(),
        options: GenerateOptions::default(),
        settings: RunSettings { concurrency: 4, ..RunSettings::default() },
    };
    let evolution = Evolution {
        settings: &EvolutionSettings { rounds: 2, ..EvolutionSettings::default() },
        operators: &OperatorSet::own("general").unwrap().under(Law::Equal, &Default::default()).unwrap(),
        models: Models { evolver: model.clone(), answerer: model.clone(), judge: Some(model) },
        desk: Desk { store: &store, stop: None, spending_limit: None },
        against: None,
    };
    evolution.run(seeds, &mut |_| (), &mut |_| Ok(()))
}

/// A sound model, but for what a function changes.
fn but(change: impl Fn(&Question) -> Option<Said> + Send + Sync) -> Result<Vec<Row>, EvolveError> {
    evolve(move |question| match (change(&question), question) {
        (Some(said), _) => said,
        (None, Question::Evolve(task)) => Ok(format!("{task} Say why.")),
        (None, Question::Compare) => Ok("Not Equal".into()),
        (None, Question::Answer(_)) => Ok("The Rhine, for it is long.".into()),
    })
}

fn rules(rows: &[Row]) -> Vec<Option<Rule>> {
    rows.iter().filter(|row| row.round > 0).map(|row| row.ended.as_ref().map(|ended| ended.rule)).collect()
}

fn failure(is_of_this_request: bool) -> Said {
    let reason = "no reply in time".into();
    let failure =
        GenerateFailure { reason, text: None, charged_attempts: 0, is_lasting: false, is_of_this_request };
    Err(Box::new(failure))
}

#[test]
fn a_request_that_failed_is_no_row() {
    let error =
        but(|question| matches!(question, Question::Evolve("Name 2 rivers.")).then(|| failure(false)));
    let error = error.unwrap_err();
    assert!(
        matches!(error, EvolveError::Unanswered { round: 1, task: "evolve", failed: 1, total: 4, .. }),
        "{error}"
    );
}

#[test]
fn a_refused_request_ends_its_row_and_no_answer_is_asked_for() {
    let rows = but(|question| matches!(question, Question::Evolve("Name 2 rivers.")).then(|| failure(true)))
        .unwrap();
    let row = rows.iter().find(|row| row.id == "2.1.1").unwrap();
    assert_eq!((row.ended.as_ref().unwrap().rule, row.calls.len()), (Rule::Refused, 1));
    assert_eq!((row.instruction.as_str(), row.response.as_deref()), ("", None));
    // The parent waits for the next round.
    assert_eq!(rows.iter().find(|row| row.id == "2.2.1").unwrap().parent.as_deref(), Some("2"));
}

#[test]
fn a_judge_who_says_not_equal_ends_nothing_and_the_pool_keeps_its_size() {
    for said in ["Not Equal", "not equal.", "NOT EQUAL"] {
        let rows = but(|question| matches!(question, Question::Compare).then(|| Ok(said.into()))).unwrap();
        assert_eq!((rules(&rows), rows.len()), (vec![None; 8], 12), "{said}");
    }
    for said in ["Equal", "equal", "EQUAL."] {
        let rows = but(|question| matches!(question, Question::Compare).then(|| Ok(said.into()))).unwrap();
        assert_eq!((rules(&rows), rows.len()), (vec![Some(Rule::NoGain); 8], 12), "{said}");
    }
}

#[test]
fn every_row_names_its_operator_and_none_is_lost() {
    let rows = but(|_| None).unwrap();
    let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(
        ids,
        ["0", "1", "2", "3", "0.1.1", "1.1.1", "2.1.1", "3.1.1", "0.2.1", "1.2.1", "2.2.1", "3.2.1"]
    );
    let operators = OperatorSet::own("general").unwrap().operators;
    for row in rows.iter().filter(|row| row.round > 0) {
        assert!(operators.iter().any(|operator| Some(&operator.name) == row.operator.as_ref()));
    }
}

#[test]
fn rows_stand_in_the_order_of_their_seeds() {
    // The first seed's replies come last.
    let rows = but(|question| {
        let slow = matches!(question, Question::Evolve(task) if task.starts_with("Name 0"));
        std::thread::sleep(Duration::from_millis(if slow { 60 } else { 0 }));
        None
    });
    let seeds: Vec<usize> = rows.unwrap().iter().map(|row| row.seed).collect();
    assert_eq!(seeds, [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]);
}

#[test]
fn an_apology_is_short_by_words_in_any_case() {
    // 79 words of three letters are under 400 characters, 80 are too, and only one is short.
    let settings = RuleSettings::default();
    for (count, said, ended) in [(79, "SORRY,", true), (79, "Sorry", true), (80, "I'm sorry", false)] {
        let response = format!("{said}{}", " yes".repeat(count - said.split(' ').count()));
        let found = settings.of_response(&response, "Name a river.", false);
        assert_eq!(found.map(|ended| ended.rule), ended.then_some(Rule::Sorry), "{count} {said}");
    }
}

#[test]
fn an_apology_is_looked_for_in_the_answer() {
    let rows = but(|question| match question {
        Question::Evolve(task) => Some(Ok(format!("{task} Say sorry for it."))),
        Question::Answer(asked) if asked.contains("Name 3") => Some(Ok("I am sorry.".into())),
        _ => None,
    });
    let (none, sorry) = (None, Some(Rule::Sorry));
    assert_eq!(rules(&rows.unwrap()), [none, none, none, sorry, none, none, none, sorry]);
}

#[test]
fn a_year_cuts_no_answer() {
    let said = "It was built in 2020. It still stands.\n20. That is all.";
    let rows = but(|question| matches!(question, Question::Answer(_)).then(|| Ok(said.into()))).unwrap();
    assert!(rows.iter().filter(|row| row.round > 0).all(|row| row.response.as_deref() == Some(said)));
}

#[test]
fn an_instruction_with_its_answer_ends() {
    let rows = but(|question| match question {
        Question::Evolve(task) => {
            Some(Ok(format!("{task} Say why.\n\n**Answer:** The Rhine, as it is long.")))
        }
        _ => None,
    });
    assert_eq!(rules(&rows.unwrap()), [Some(Rule::AnswerInside); 8]);
}

#[test]
fn an_assistants_boilerplate_ends_the_row() {
    let rows = but(|question| match question {
        Question::Evolve(task) if task.starts_with("Name 1") => {
            Some(Ok(format!("Sure! Here is a harder one:\n{task} Say why.")))
        }
        Question::Answer(asked) if asked.contains("Name 2") => {
            Some(Ok("As an AI language model, I like the Rhine best of all.".into()))
        }
        _ => None,
    });
    let ended = Some(Rule::Boilerplate);
    assert_eq!(rules(&rows.unwrap()), [None, ended, ended, None, None, ended, ended, None]);
}

#[test]
fn every_evolution_is_compared_with_its_parent() {
    let rows = but(|_| None).unwrap();
    for row in rows.iter().filter(|row| row.round > 0) {
        let tasks: Vec<Task> = row.calls.iter().map(|call| call.task).collect();
        assert_eq!(tasks, [Task::Evolve, Task::Compare, Task::Answer], "{}", row.id);
    }
}

#[test]
fn equal_instructions_of_two_seeds_live_once() {
    let rows = but(|question| {
        matches!(question, Question::Evolve(_)).then(|| Ok("Name every river of Europe.".into()))
    });
    let rows = rows.unwrap();
    assert_eq!(
        rules(&rows)[..4],
        [None, Some(Rule::Duplicate), Some(Rule::Duplicate), Some(Rule::Duplicate)]
    );
    let duplicate = rows.iter().find(|row| row.id == "3.1.1").unwrap();
    assert_eq!(duplicate.ended.as_ref().unwrap().found, "0.1.1");
    assert_eq!(rows.iter().filter(|row| row.lives() && row.round > 0).count(), 1);
}

#[test]
fn a_prompt_that_is_spoken_of_ends_the_row() {
    for said in ["As the Given Task asks, go on.", "Answer the #GIVEN TASK# at length.", "Do the given_task."]
    {
        let rows = but(|question| matches!(question, Question::Evolve(_)).then(|| Ok(said.into()))).unwrap();
        assert_eq!(rules(&rows)[0], Some(Rule::CopiedPrompt), "{said}");
    }
}

#[test]
fn a_repeated_tag_loses_no_text() {
    let rows = but(|question| match question {
        Question::Evolve(task) => Some(Ok(format!("#Harder Task#:\n{task} Say why.\n#Harder Task#:"))),
        _ => None,
    });
    assert_eq!(rows.unwrap()[4].instruction, "Name 0 rivers. Say why.");
}

/// The released code joins instruction and input by `\r\n`: such a break is a line break like any other.
#[test]
fn an_input_joined_by_carriage_returns_is_the_text_that_line_breaks_make() {
    let joined = "Sort the numbers.\r\n3 1 2";
    let seed = |text: &str| Seed { instruction: text.to_owned(), response: Some("1 2 3".into()) };
    // An evolver that gives its task back, with the breaks of its own system: nothing is evolved.
    for given_back in [joined.to_owned(), joined.replace('\r', "")] {
        let rows = evolve_seeds(&[seed(joined)], |question| match question {
            Question::Evolve(task) => {
                assert_eq!(task, "Sort the numbers.");
                Ok(format!("#Harder Task#:\r\n{given_back}\r\n"))
            }
            Question::Compare => Ok("Not Equal".into()),
            Question::Answer(asked) => panic!("{asked}"),
        });
        assert_eq!(rules(&rows.unwrap()), [Some(Rule::Unchanged); 2]);
    }
    // The seed itself stays as it was given; of two that differ in their breaks alone one lives.
    let rows = evolve_seeds(&[seed(joined), seed(&joined.replace('\r', ""))], |question| match question {
        Question::Evolve(_) => Ok("Sort the numbers, the largest first.\r\n3 1 2\r\n".into()),
        Question::Compare => Ok("Not Equal".into()),
        Question::Answer(_) => Ok("3, 2 and then 1.".into()),
    });
    let rows = rows.unwrap();
    assert_eq!(rows[0].instruction, joined);
    assert_eq!(rows[1].ended.as_ref().unwrap().rule, Rule::Duplicate);
    let evolved = rows.iter().find(|row| row.round == 1).unwrap();
    assert_eq!(evolved.instruction, "Sort the numbers, the largest first.\n3 1 2");
    assert!(evolved.lives(), "{evolved:?}");
}

/// Rows that h2o-wizardlm made, with their faults: the rules judge each, and leave most.
#[test]
fn rows_that_others_made_are_judged() {
    let Some(folder) = oracles().map(|oracles| oracles.join("wizardlm/h2o-wizardlm")) else { return };
    let (settings, names) = (RuleSettings::default(), OperatorSet::own("general").unwrap().names);
    let (mut rows, mut lives) = (0, 0);
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for row in serde_json::from_str::<Vec<serde_json::Value>>(&text).unwrap() {
            let field = |name: &str| row[name].as_str().unwrap().to_owned();
            let (instruction, response) = (field("input"), field("output"));
            let ended = settings.of_instruction(&instruction, "Name a river.", &names, false);
            let ended = ended.or_else(|| settings.of_response(&response, &instruction, false));
            rows += 1;
            lives += usize::from(ended.is_none());
        }
    }
    assert!(rows == 61 && (40..=61).contains(&lives), "{lives} of {rows}");
}
