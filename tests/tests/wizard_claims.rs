//! What the claims of WizardLM, WizardCoder, WizardMath and Arena Learning say against what published files and
//! arithmetic give: the claims files of `papers`.

mod claims;

use std::collections::{BTreeMap, BTreeSet};

use camelid_eval::answers::{AnswerKind, Protocol};
use camelid_ratings::{EqualRanks, sign_test, spearman};
use camelid_recipe::claims::{Evidence, NamedDifference, Verdict};
use camelid_recipe::{EvolutionPlan, ModelPrices};
use camelid_tests::oracles;
use claims::{better, claims_of, decided, every_claim_is_computed, exact};

const FILES: &str = "published files";
const ARITHMETIC: &str = "arithmetic";

/// Wins less losses as a share of all, with its standard error.
fn preferred(name: &str, wins: u64, losses: u64, all: u64) -> NamedDifference {
    let [w, l] = [wins, losses].map(|count| count as f64 / all as f64);
    let error = ((w + l - (w - l).powi(2)) / all as f64).sqrt();
    better(name, w - l, error, all as usize)
}

/// The difference of two shares, in points, each of so many independent problems.
fn points(name: &str, left: f64, right: f64, problems: f64) -> NamedDifference {
    let variance = |share: f64| share * (100.0 - share) / problems;
    better(name, left - right, (variance(left) + variance(right)).sqrt(), problems as usize)
}

fn differences(differences: Vec<NamedDifference>) -> Evidence {
    Evidence { differences, ..Evidence::default() }
}

#[test]
fn humans_prefer_wizardlm_to_alpaca_and_cannot_tell_it_from_chatgpt_on_the_hard_part() {
    let claims = claims_of("wizardlm");
    let verdict = |id: &str, evidence: &Evidence| decided(&claims, id, ARITHMETIC, evidence);
    let shares = [("WizardLM-7B, %", 2700.0 / 63.0), ("ChatGPT, %", 2200.0 / 63.0)];
    assert_eq!(verdict("hard-shares", &exact(&claims, "hard-shares", &shares)), Verdict::Held);
    let hard = differences(vec![preferred("WizardLM-7B over ChatGPT", 27, 22, 63)]);
    assert_eq!(verdict("hard-preferred", &hard), Verdict::NotTestable);
    let small = vec![preferred("over Alpaca-7B", 90, 52, 218), preferred("over Vicuna-7B", 90, 63, 218)];
    assert_eq!(verdict("humans-7b", &differences(small)), Verdict::Held);
    let large = vec![preferred("over Alpaca-13B", 116, 50, 218), preferred("over Vicuna-13B", 90, 70, 218)];
    assert_eq!(verdict("humans-13b", &differences(large)), Verdict::NotTestable);

    // Counts of ties are what is left of 218 and 63.
    for (wins, losses, p) in [
        (90, 52, 0.0018),
        (90, 63, 0.035),
        (61, 89, 0.027),
        (27, 22, 0.57),
        (30, 21, 0.26),
        (41, 16, 0.0013),
        (116, 50, 3e-7),
        (90, 70, 0.13),
        (64, 88, 0.062),
    ] {
        let found = sign_test(wins, losses);
        assert!((found / p - 1.0).abs() < 0.08, "{wins}:{losses}: {found}, stated as {p}");
    }
    // How many hard instructions would decide, at these shares.
    let (w, l) = (27.0 / 63.0, 22.0 / 63.0);
    let needed = (1.96f64 / (w - l)).powi(2) * (w + l);
    assert!((400.0..500.0).contains(&needed), "{needed}");
}

/// ChatGPT's percentage by skill: labels of the bars of evol-testset_skills-13b.png and -30b.png, rounded down.
const SKILLS: [(&str, f64, f64); 29] = [
    ("Academic Writing", 106.0, 113.0),
    ("Art", 107.0, 92.0),
    ("Biology", 87.0, 101.0),
    ("Chemistry", 100.0, 108.0),
    ("Code Debug", 52.0, 83.0),
    ("Code Generation", 75.0, 89.0),
    ("Common-Sense", 112.0, 106.0),
    ("Complex Format", 76.0, 87.0),
    ("Computer Science", 93.0, 93.0),
    ("Counterfactual", 99.0, 101.0),
    ("Economy", 98.0, 104.0),
    ("Entertainment", 95.0, 100.0),
    ("Ethics", 100.0, 108.0),
    ("History", 97.0, 101.0),
    ("Law", 95.0, 98.0),
    ("Literature", 101.0, 105.0),
    ("Math", 72.0, 89.0),
    ("Medicine", 102.0, 97.0),
    ("Multilingual", 92.0, 87.0),
    ("Music", 90.0, 107.0),
    ("Philosophy", 128.0, 100.0),
    ("Physics", 87.0, 107.0),
    ("Reasoning", 77.0, 101.0),
    ("Roleplay", 96.0, 102.0),
    ("Sport", 97.0, 107.0),
    ("Technology", 101.0, 101.0),
    ("Toxicity", 90.0, 136.0),
    ("TruthfulQA", 102.0, 96.0),
    ("Writting", 96.0, 98.0),
];

#[test]
fn the_average_of_the_skills_is_one_of_instructions() {
    let Some(folder) = oracles() else { return };
    #[derive(serde::Deserialize)]
    struct Row {
        #[serde(rename = "Skill")]
        skill: String,
        #[serde(rename = "Difficulty")]
        difficulty: f64,
    }
    let text = std::fs::read_to_string(folder.join("wizardlm/WizardLM_testset.jsonl")).unwrap();
    let rows: Vec<Row> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut counts: BTreeMap<&str, f64> = BTreeMap::new();
    for row in &rows {
        *counts.entry(&row.skill).or_default() += 1.0;
    }
    let claims = claims_of("wizardlm");
    let verdict =
        |id: &str, measured: &[(&str, f64)]| decided(&claims, id, FILES, &exact(&claims, id, measured));
    let hard = rows.iter().filter(|row| row.difficulty >= 8.0).count();
    let found = [
        ("instructions", rows.len() as f64),
        ("skills", counts.len() as f64),
        ("of difficulty 8 or more", hard as f64),
    ];
    assert_eq!(verdict("hard-rows", &found), Verdict::Held);

    assert_eq!(
        SKILLS.map(|skill| skill.0).into_iter().collect::<BTreeSet<_>>(),
        counts.keys().copied().collect()
    );
    let (small, large) = (SKILLS.map(|skill| skill.1), SKILLS.map(|skill| skill.2));
    let at_least = |bars: &[f64], least: f64| bars.iter().filter(|bar| **bar >= least).count() as f64;
    let found = [
        ("13B, 90 % or more", at_least(&small, 90.0)),
        ("13B, 100 % or more", at_least(&small, 100.0)),
        ("30B, 90 % or more", at_least(&large, 90.0)),
        ("30B, 100 % or more", at_least(&large, 100.0)),
    ];
    assert_eq!(verdict("skills", &found), Verdict::Held);
    let plain = |bars: &[f64]| bars.iter().sum::<f64>() / 29.0;
    let of_skills = [("13B, %", plain(&small)), ("30B, %", plain(&large))];
    assert_eq!(verdict("average-of-skills", &of_skills), Verdict::RefutedHere);
    let weighted = |bars: &[f64]| {
        SKILLS.iter().zip(bars).map(|(skill, bar)| counts[skill.0] * bar).sum::<f64>() / rows.len() as f64
    };
    let of_rows = [("13B, %", weighted(&small)), ("30B, %", weighted(&large))];
    assert_eq!(verdict("average-of-instructions", &of_rows), Verdict::Held);
    assert_eq!(of_rows.map(|(_, mean)| (mean * 100.0).round() / 100.0), [88.95, 97.54]);
}

#[test]
fn wizardlms_tables_add_up() {
    let claims = claims_of("wizardlm");
    let verdict =
        |id: &str, measured: &[(&str, f64)]| decided(&claims, id, ARITHMETIC, &exact(&claims, id, measured));
    // MMLU, ARC, HellaSwag, TruthfulQA, HumanEval, GSM8K, AlpacaEval, ten times MT-bench, WizardEval.
    let mean = |cells: [f64; 9]| cells.iter().sum::<f64>() / 9.0;
    let rows = [
        ("Alpaca-13B", mean([46.63, 51.20, 76.31, 41.62, 9.2, 8.35, 33.25, 47.8, 76.6])),
        ("ChatGPT", mean([70.0, 85.2, 85.5, 47.0, 48.1, 80.8, 89.37, 79.4, 100.0])),
    ];
    assert_eq!(verdict("table-averages", &rows), Verdict::Held);
    let grades = [3.00, 5.48, 6.35, 6.84, 7.08];
    let steps: Vec<f64> = grades.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(steps.is_sorted_by(|a, b| a > b) && steps.iter().all(|step| *step > 0.0));
    let named: Vec<(&str, f64)> =
        ["round 1", "round 2", "round 3", "round 4"].into_iter().zip(steps).collect();
    assert_eq!(verdict("shrinking-steps", &named), Verdict::Held);
    let budget = EvolutionPlan::wizardlm().budget(&ModelPrices::builtin().unwrap());
    assert_eq!(verdict("calls", &[("calls", budget.calls as f64)]), Verdict::Held);
}

#[test]
fn wizardcoders_comparisons_with_gpt_4_and_of_rounds() {
    let claims = claims_of("wizardcoder");
    let verdict = |id: &str, evidence: &Evidence| decided(&claims, id, ARITHMETIC, evidence);
    let best = exact(&claims, "best-open", &[("points over InstructCodeT5+", 57.3 - 35.0)]);
    assert_eq!(verdict("best-open", &best), Verdict::Held);
    let march = differences(vec![points("34B − GPT-4 of March 2023", 73.2, 67.0, 164.0)]);
    assert_eq!(verdict("surpasses-gpt4", &march), Verdict::NotTestable);
    let figures = [("WizardCoder-34B, %", 73.2), ("GPT-4 of August 2023, %", 73.2)];
    let august = exact(&claims, "surpasses-gpt4-now", &figures);
    assert_eq!(verdict("surpasses-gpt4-now", &august), Verdict::RefutedHere);
    let equal = differences(vec![points("one round − seeds", 56.1, 45.7, 164.0)]);
    assert_eq!(verdict("evolved-at-equal-rows", &equal), Verdict::NotTestable);
    let rounds = [56.1f64, 53.0, 54.3, 51.2];
    let names = ["round 2 less round 1", "round 3 less round 2", "round 4 less round 3"];
    let lost: Vec<(&str, f64)> =
        names.into_iter().zip(rounds.windows(2).map(|pair| (pair[1] - pair[0]).min(0.0))).collect();
    let further = exact(&claims, "more-rounds", &lost);
    assert_eq!(verdict("more-rounds", &further), Verdict::RefutedHere);
}

#[test]
fn evol_teachers_verdicts_are_those_of_its_file() {
    // The programs themselves run in the command line's suite (`eval_score`); here the file's own verdicts are counted.
    let Some(folder) = oracles() else { return };
    let text = std::fs::read_to_string(folder.join("wizardlm/evol-teacher/HumanEval_results.jsonl")).unwrap();
    let rows: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let passed = rows.iter().filter(|row| row["passed"] == true).count() as f64;
    let claims = claims_of("wizardcoder");
    let share = 100.0 * passed / rows.len() as f64;
    let found = exact(&claims, "evol-teacher", &[("passed of 164", passed), ("pass@1, %", share)]);
    assert_eq!(decided(&claims, "evol-teacher", FILES, &found), Verdict::Held);
}

#[test]
fn wizardmaths_topics_and_its_ways_of_evolving() {
    let claims = claims_of("wizardmath");
    let topics = [
        (7.1, 903.0),
        (12.6, 546.0),
        (15.7, 479.0),
        (16.3, 540.0),
        (17.3, 474.0),
        (41.7, 871.0),
        (33.3, 1187.0),
    ];
    let all: f64 = topics.iter().map(|topic| topic.1).sum();
    let mean = topics.iter().map(|topic| topic.0 * topic.1).sum::<f64>() / all;
    assert_eq!((all, (mean * 100.0).round() / 100.0), (5000.0, 22.73));
    let found = exact(&claims, "topics", &[("MATH, %", mean)]);
    assert_eq!(decided(&claims, "topics", ARITHMETIC, &found), Verdict::Held);
    let both = differences(vec![
        points("both − up, GSM8K", 81.2, 78.6, 1319.0),
        points("both − up, MATH", 46.2, 42.5, 5000.0),
    ]);
    assert_eq!(decided(&claims, "down-and-up", ARITHMETIC, &both), Verdict::NotTestable);
    // The mistake of its `is_equiv`.
    let grading = |protocol: Protocol| protocol.grading(AnswerKind::Expression);
    assert!(grading(Protocol::WizardMath).equal("x/2", "19"));
    assert!(!grading(Protocol::Camelid).equal("x/2", "19"));
}

/// Name, LMSYS's rating, WizardArena's (Diverse, Hard, Mix), MT-bench's score (arXiv 2407.10627 v1, Table 2).
const ARENA: [(&str, [f64; 4], Option<f64>); 22] = [
    ("Claude 3.5 Sonnet", [1246.0, 1389.0, 1378.0, 1384.0], Some(9.20)),
    ("Gemini 1.5 Pro", [1235.0, 1383.0, 1373.0, 1377.0], None),
    ("GPT-4-1106", [1232.0, 1369.0, 1376.0, 1374.0], Some(9.32)),
    ("Llama 3 70B", [1227.0, 1366.0, 1354.0, 1357.0], Some(8.94)),
    ("Command R+", [1163.0, 1351.0, 1327.0, 1337.0], Some(8.20)),
    ("Claude 3 Haiku", [1158.0, 1340.0, 1345.0, 1342.0], Some(9.10)),
    ("Qwen1.5 72B", [1135.0, 1332.0, 1312.0, 1321.0], Some(8.61)),
    ("Qwen1.5 32B", [1109.0, 1298.0, 1276.0, 1283.0], Some(8.30)),
    ("Starling", [1108.0, 1275.0, 1270.0, 1272.0], Some(8.12)),
    ("WizardLM 70B", [1098.0, 1184.0, 1163.0, 1169.0], Some(7.71)),
    ("Llama 2 70B", [1097.0, 1100.0, 1100.0, 1100.0], Some(6.86)),
    ("Tülu 2 70B", [1091.0, 1147.0, 1181.0, 1157.0], Some(7.89)),
    ("Vicuna 33B", [1086.0, 1113.0, 1076.0, 1091.0], Some(7.12)),
    ("Nous Mixtral", [1078.0, 1107.0, 1121.0, 1114.0], Some(8.33)),
    ("OpenChat", [1065.0, 1042.0, 1050.0, 1045.0], Some(7.80)),
    ("DeepSeek 67B", [1065.0, 991.0, 1008.0, 1000.0], Some(8.70)),
    ("Llama 2 13B", [1061.0, 1052.0, 1041.0, 1042.0], Some(6.65)),
    ("GPT-3.5-1106", [1052.0, 955.0, 1004.0, 981.0], Some(8.32)),
    ("Zephyr", [1040.0, 905.0, 967.0, 939.0], Some(6.88)),
    ("Vicuna 13B", [1029.0, 934.0, 923.0, 927.0], Some(6.57)),
    ("Qwen1.5 14B", [1017.0, 916.0, 932.0, 924.0], Some(6.96)),
    ("Mistral 7B", [1009.0, 883.0, 904.0, 894.0], Some(6.84)),
];

#[test]
fn arena_learnings_correlations_follow_but_for_mt_benchs() {
    let claims = claims_of("arena-learning");
    let verdict =
        |id: &str, measured: &[(&str, f64)]| decided(&claims, id, ARITHMETIC, &exact(&claims, id, measured));
    let ratings = |column: usize| ARENA.map(|row| row.1[column]);
    let with = |column: usize, equal| 100.0 * spearman(&ratings(0), &ratings(column), equal).unwrap();
    let found = [("Mix", 3), ("Hard", 2), ("Diverse", 1)]
        .map(|(name, column)| (name, with(column, EqualRanks::InOrder)));
    assert_eq!(verdict("spearman-arena", &found), Verdict::Held);
    assert_eq!(found.map(|(_, value)| (value * 100.0).round() / 100.0), [99.21, 98.76, 98.64]);
    let shared = [3, 2, 1].map(|column| (with(column, EqualRanks::Mean) * 100.0).round() / 100.0);
    assert_eq!(shared, [99.12, 98.67, 98.62]);

    let scored: Vec<(f64, f64)> =
        ARENA.iter().filter_map(|row| row.2.map(|score| (row.1[0], score))).collect();
    let (arena, bench): (Vec<f64>, Vec<f64>) = scored.into_iter().unzip();
    assert_eq!(arena.len(), 21);
    let bench = 100.0 * spearman(&arena, &bench, EqualRanks::Mean).unwrap();
    assert!((bench - 73.66).abs() < 0.01, "{bench}");
    assert_eq!(verdict("spearman-mt-bench", &[("MT-bench", bench)]), Verdict::RefutedHere);

    assert_eq!(verdict("consistency", &[("Mix", (99.11 + 98.02 + 99.23) / 3.0)]), Verdict::Held);
    let gains = [("over Arena-Hard", 98.79 - 87.88), ("over MT-bench", 98.79 - 42.95)];
    assert_eq!(verdict("gains", &gains), Verdict::RefutedHere);
}

#[test]
fn every_claim_of_these_scales_is_computed_here() {
    for paper in ["wizardlm", "wizardcoder", "arena-learning"] {
        every_claim_is_computed(&claims_of(paper), "wizard_claims.rs");
    }
    let mut math = claims_of("wizardmath");
    let (answers, rest) = math.claims.drain(..).partition(|claim| claim.id.starts_with("tora-"));
    math.claims = answers;
    every_claim_is_computed(&math, "wizard_answers.rs");
    math.claims = rest;
    every_claim_is_computed(&math, "wizard_claims.rs");
}
