//! What Vicuna's claims say against what published files and arithmetic give: `papers/vicuna/claims.toml`.

mod claims;

use std::path::Path;

use camelid_eval::longeval::{AnswerFile, LengthScore};
use camelid_eval::score::{ReviewFile, reviews};
use camelid_ratings::{Anchor, Battles, BradleyTerry, NamedBattle, Outcome, PairCounts};
use camelid_recipe::claims::{ClaimsFile, Evidence, Verdict};
use camelid_recipe::compare::Z95;
use camelid_recipe::{Budget, Experiment, Machines, known_shape};
use camelid_tests::{oracles, workspace};
use claims::{better, decided, exact};

fn claims() -> ClaimsFile {
    claims::claims_of("vicuna")
}

fn review(folder: &Path, other: &str) -> ReviewFile {
    let file = folder.join(format!("vicuna-13b_20230322-clean-lang/review_{other}_vicuna-13b.jsonl"));
    let scores = reviews(&[file]).unwrap();
    assert!(scores.remarks.unreadable.is_empty());
    scores.files.into_iter().next().unwrap()
}

#[test]
fn the_blogs_table_follows_from_its_reviews_and_its_title_does_not() {
    let Some(folder) = oracles().map(|folder| folder.join("vicuna-blog")) else { return };
    let claims = claims();
    let verdict = |id: &str, evidence: &Evidence| decided(&claims, id, "published files", evidence);
    let [llama, alpaca, bard, chatgpt] =
        ["llama-13b", "alpaca-13b", "bard", "gpt35"].map(|other| review(&folder, other));
    let totals = exact(
        &claims,
        "blog-totals",
        &[
            ("LLaMA-13B", llama.total_first),
            ("Vicuna-13B beside LLaMA-13B", llama.total_second),
            ("Alpaca-13B", alpaca.total_first),
            ("Vicuna-13B beside Alpaca-13B", alpaca.total_second),
            ("Bard", bard.total_first),
            ("Vicuna-13B beside Bard", bard.total_second),
            ("ChatGPT", chatgpt.total_first),
            ("Vicuna-13B beside ChatGPT", chatgpt.total_second),
        ],
    );
    assert_eq!(verdict("blog-totals", &totals), Verdict::Held);
    assert_eq!((100.0 * chatgpt.ratio * 100.0).round() / 100.0, 92.06);
    let share = exact(&claims, "ninety-two", &[("% of ChatGPT", 100.0 * chatgpt.ratio)]);
    assert_eq!(verdict("ninety-two", &share), Verdict::Held);
    let equal = exact(&claims, "forty-five", &[("% of questions", 100.0 * chatgpt.second_at_least_equal)]);
    assert_eq!(verdict("forty-five", &equal), Verdict::Held);

    // Whether another 80 questions would give more than 90 %, these cannot tell.
    let (low, high) = (chatgpt.ratio_low.unwrap(), chatgpt.ratio_high.unwrap());
    let error = (high - low) / (2.0 * Z95);
    let differences = vec![better("Vicuna over ChatGPT − 0.9", chatgpt.ratio - 0.9, error, 80)];
    let quality = Evidence { differences, ..Evidence::default() };
    assert_eq!(verdict("ninety-percent-quality", &quality), Verdict::NotTestable);
    assert!(low < 0.9 && high > 0.95, "{low} to {high}");
    // About how many would: the interval shrinks with the root of their number.
    let needed = 80.0 * (Z95 * error / (chatgpt.ratio - 0.9)).powi(2);
    assert!((250.0..400.0).contains(&needed), "{needed}");

    let preferred = |name: &str, file: &ReviewFile| {
        let (n, p) = (file.reviews as f64, file.wins_second as f64 / file.reviews as f64);
        better(name, p - 0.9, (p * (1.0 - p) / n).sqrt(), file.reviews)
    };
    let differences = vec![preferred("over LLaMA − 0.9", &llama), preferred("over Alpaca − 0.9", &alpaca)];
    let open = Evidence { differences, ..Evidence::default() };
    assert_eq!(verdict("open-models", &open), Verdict::Held);
}

#[test]
fn longevals_published_accuracies_follow_from_its_predictions() {
    let Some(folder) = oracles().map(|folder| folder.join("longeval")) else { return };
    let claims = claims();
    let accuracy = |file: &str| {
        let file = folder.join(file.replace(':', "/predictions/") + "_response.txt");
        LengthScore::of(&AnswerFile::read(&file).unwrap()).accuracy
    };
    let lines = exact(
        &claims,
        "longeval-lines",
        &[
            ("LongChat-13B-16k, 200 lines", accuracy("lines:longchat-13b-16k/200")),
            ("LongChat-13B-16k, 300 lines", accuracy("lines:longchat-13b-16k/300")),
            ("ChatGLM2-6B, 200 lines", accuracy("lines:chatglm2-6b/200")),
            ("ChatGLM2-6B, 300 lines", accuracy("lines:chatglm2-6b/300")),
        ],
    );
    assert_eq!(decided(&claims, "longeval-lines", "published files", &lines), Verdict::Held);
    let topics = [("LongChat-13B-16k, 5 topics", accuracy("topics:longchat-13b-16k/5"))];
    let topics = exact(&claims, "longeval-topics", &topics);
    assert_eq!(decided(&claims, "longeval-topics", "published files", &topics), Verdict::Held);
}

#[test]
fn the_boards_scores_are_means_of_their_turns() {
    let claims = claims();
    let turns: [(&str, f64, f64); 5] = [
        ("Vicuna-33B", 7.46, 6.79),
        ("Vicuna-13B", 6.81, 5.96),
        ("Vicuna-7B", 6.69, 5.30),
        ("GPT-4", 8.96, 9.03),
        ("Claude-v1", 8.15, 7.65),
    ];
    let means = turns.map(|(model, first, second)| (model, 0.5 * (first + second)));
    let evidence = exact(&claims, "board-means", &means);
    assert_eq!(decided(&claims, "board-means", "published files", &evidence), Verdict::Held);
}

#[test]
fn the_arenas_ratings_of_vicuna_follow_from_its_votes() {
    let Some(folder) = oracles().map(|folder| folder.join("arena")) else { return };
    #[derive(serde::Deserialize)]
    struct Counts {
        models: Vec<String>,
        #[serde(rename = "X")]
        pairs: Vec<[usize; 2]>,
        #[serde(rename = "Y")]
        votes: Vec<[u64; 4]>,
    }
    let text = std::fs::read_to_string(folder.join("chatbotarena_20240814.json")).unwrap();
    let counts: Counts = serde_json::from_str(&text).unwrap();
    let mut battles = Battles::new();
    for (pair, votes) in counts.pairs.iter().zip(&counts.votes) {
        let [a, b] = pair.map(|model| counts.models[model].as_str());
        let outcomes = [Outcome::ModelA, Outcome::ModelB, Outcome::Tie, Outcome::Tie];
        for (outcome, &votes) in outcomes.into_iter().zip(votes).filter(|(_, votes)| **votes > 0) {
            battles.push(&NamedBattle { votes, ..NamedBattle::new(a, b, outcome) }).unwrap();
        }
    }
    let fitted = BradleyTerry {
        anchor: Some(Anchor { model: "mixtral-8x7b-instruct-v0.1".into(), rating: 1114.0 }),
        ..BradleyTerry::default()
    }
    .fit(&PairCounts::new(&battles).unwrap())
    .unwrap();
    let rating = |name: &'static str| {
        (name, fitted.ratings[fitted.models.iter().position(|model| model == name).unwrap()])
    };
    let claims = claims();
    let models = ["vicuna-33b", "vicuna-13b", "vicuna-7b", "alpaca-13b", "llama-13b"].map(rating);
    let evidence = exact(&claims, "arena-board", &models);
    assert_eq!(decided(&claims, "arena-board", "published files", &evidence), Verdict::Held);
    assert!(models.is_sorted_by(|a, b| a.1 > b.1));
}

/// What an experiment is said to take, by its file's name.
fn budget(name: &str) -> Budget {
    let path = workspace().join(format!("experiments/vicuna/{name}.toml"));
    let experiment = Experiment::read(&path).unwrap();
    let model = known_shape(&experiment.model.base).unwrap();
    let expected = experiment.data.expected.unwrap();
    experiment.budget(&model, expected.rows, expected.tokens).unwrap()
}

#[test]
fn the_published_costs_are_those_of_rows_padded_at_two_fifths_of_the_peak() {
    let claims = claims();
    let verdict = |id: &str, evidence: &Evidence| decided(&claims, id, "arithmetic", evidence);
    let of = |budget: &Budget| budget.charges.iter().find(|c| c.machine == "A100-80GB").unwrap().clone();
    let (small, large) = (budget("v0-7b"), budget("v0-13b"));
    assert_eq!((small.batch, small.steps), (32, 13_500), "32 rows a step, and not 128");
    assert_eq!(budget("v1.3-7b").steps, 3 * 257_000_usize.div_ceil(128));
    let (small, large) = (of(&small), of(&large));
    let spot = exact(&claims, "cost-spot", &[("7B, $", small.spot), ("13B, $", large.spot)]);
    assert_eq!(verdict("cost-spot", &spot), Verdict::Held);
    let demand = exact(&claims, "cost-on-demand", &[("7B, $", small.on_demand), ("13B, $", large.on_demand)]);
    assert_eq!(verdict("cost-on-demand", &demand), Verdict::Held);
    assert_eq!(verdict("one-day", &exact(&claims, "one-day", &[("13B, hours", large.hours)])), Verdict::Held);
    let longest = of(&budget("v1.3-13b"));
    let longest = exact(&claims, "two-days", &[("13B, hours", longest.hours)]);
    assert_eq!(verdict("two-days", &longest), Verdict::Held);
    // The accumulated batch costs the same.
    assert!((of(&budget("v1.1-7b")).hours - small.hours).abs() < 0.01 * small.hours);
}

#[test]
fn longchats_two_costs_do_not_fit_one_reading() {
    let claims = claims();
    let dollars = |name: &str| {
        let table = Machines::builtin().unwrap();
        let machine = table.get("A100-80GB").unwrap();
        machine.hours(budget(name).padded_flops, table.efficiency) * machine.devices as f64 * 3.0
    };
    let (small, large) = (dollars("longchat-7b"), dollars("longchat-13b"));
    let evidence = exact(
        &claims,
        "longchat-cost",
        &[("7B, 80,000 conversations, $", small), ("13B, 18,000 conversations, $", large)],
    );
    assert_eq!(decided(&claims, "longchat-cost", "arithmetic", &evidence), Verdict::RefutedHere);
    assert!((large - 700.0).abs() < 100.0, "{large}: the 13B alone fits rows that are full");
}

#[test]
fn every_claim_of_these_scales_is_computed_here() {
    claims::every_claim_is_computed(&claims(), "vicuna_claims.rs");
}
