//! Experiment files are read strictly and saved in full.

use std::path::Path;

use camelid_data::DataFormat;
use camelid_model::RopeScaling;
use camelid_recipe::{Experiment, Length, RecipeError, Storage, TestSet};
use camelid_train::{LrSchedule, StateBits};

const EXAMPLE: &str = r#"name = "guanaco-test"
seed = 3
length = { steps = 7 }

[model]
base = "nano"
storage = "quantized"

[quant]
format = "nf4"
block_size = 64
double_quant = true

[lora]
r = 16
lora_alpha = 32
target_modules = "all-linear"

[train]
learning_rate = 4e-3
lr_schedule = "cosine"
optim = "adamw8bit"

[data]
source = "nano"
format = "nano"
template = "guanaco"
max_length = 513
test = { count = 4 }
loss_on = "assistant"
"#;

fn parse(text: &str) -> Result<Experiment, RecipeError> {
    Experiment::parse(text, Path::new("test.toml"))
}

fn refused(from: &str, to: &str) -> String {
    assert!(EXAMPLE.contains(from), "{from}");
    match parse(&EXAMPLE.replace(from, to)) {
        Ok(_) => panic!("accepted with {to}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_file_is_read_with_defaults_and_saved_with_every_setting() {
    let experiment = parse(EXAMPLE).unwrap();
    assert_eq!(experiment.model.storage, Storage::Quantized);
    assert_eq!(experiment.train.lr_schedule, LrSchedule::Cosine);
    assert_eq!(experiment.train.optim, StateBits::Bits8);
    assert_eq!(experiment.train.grad_accum, 16);
    assert_eq!(experiment.data.format, DataFormat::Nano);
    assert_eq!(experiment.data.test, Some(TestSet::Count(4)));
    let settings = experiment.train_settings(1000);
    assert_eq!((settings.seed, settings.max_steps), (3, 7));

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("experiment.toml");
    experiment.save(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    for resolved in ["max_grad_norm = 0.3", "lora_dropout = 0.0", "max_length = 513"] {
        assert!(text.contains(resolved), "{resolved} is not in\n{text}");
    }
    assert_eq!(Experiment::read(&path).unwrap(), experiment);
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
    let cases = [
        (
            "learning_rate =",
            "learning_rat =",
            "test.toml:20: unknown key `learning_rat`; did you mean `learning_rate`?",
        ),
        ("seed = 3", "sead = 3", "test.toml:2: unknown key `sead`; did you mean `seed`?"),
        ("lora_alpha", "alpha", "test.toml:16: unknown key `alpha`; did you mean `lora_alpha`?"),
        ("block_size", "blocksize", "test.toml:11: unknown key `blocksize`; did you mean `block_size`?"),
        ("[lora]", "[loar]", "test.toml:14: unknown key `loar`; did you mean `lora`?"),
        ("\"cosine\"", "\"cosin\"", "test.toml:21: unknown value `cosin`; did you mean `cosine`?"),
        (
            "\"adamw8bit\"",
            "\"adam8bit\"",
            "test.toml:22: unknown value `adam8bit`; did you mean `adamw8bit`?",
        ),
    ];
    for (from, to, expected) in cases {
        let message = refused(from, to);
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn values_that_do_not_fit_are_refused() {
    assert!(refused("4e-3", "\"high\"").starts_with("test.toml:20: "));
    assert!(
        refused("4e-3", "-1.0")
            .contains("test.toml: setting `learning_rate` = -1: expected a finite number >= 0")
    );
    assert!(refused("base = \"nano\"\n", "").contains("missing field `base`"));
    assert!(refused("storage = \"quantized\"", "").contains("`[quant]` is given"));
    assert!(refused("guanaco-test", "../up").contains("`name` becomes a folder"));
    let full = EXAMPLE.replace("[lora]\nr = 16\nlora_alpha = 32\ntarget_modules = \"all-linear\"\n", "");
    assert!(parse(&full).unwrap_err().to_string().contains("full fine-tuning"));
    let absent = Experiment::read(Path::new("/nonexistent/x.toml")).unwrap_err().to_string();
    assert!(absent.contains("/nonexistent/x.toml: cannot open"), "{absent}");
}

#[test]
fn the_experiments_of_this_workspace_are_read() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments");
    for (paper, least) in
        [("guanaco", 6), ("vicuna", 21), ("wizardlm", 4), ("wizardcoder", 3), ("wizardmath", 4)]
    {
        let files: Vec<_> =
            std::fs::read_dir(dir.join(paper)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(files.len() >= least, "{paper}");
        for file in files {
            let experiment = Experiment::read(&file).unwrap_or_else(|error| panic!("{error}"));
            let name = file.file_stem().unwrap().to_str().unwrap();
            assert_eq!(experiment.name, format!("{paper}-{name}"));
        }
    }
}

#[test]
fn vicunas_experiments_say_what_was_published() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments/vicuna");
    let read = |name: &str| Experiment::read(&dir.join(format!("{name}.toml"))).unwrap();
    let batch = |name: &str| {
        let experiment = read(name);
        experiment.train.micro_batch_size * experiment.train.grad_accum
    };
    for size in ["7b", "13b"] {
        let rows = ["v0", "v1.1", "v1.3", "v1.5", "v1.5-16k", "longchat", "lora", "qlora", "alpaca"];
        let rows = rows.map(|version| batch(&format!("{version}-{size}")));
        assert_eq!(rows, [32, 128, 128, 128, 128, 8, 128, 128, 128]);
    }
    for size in ["7b", "13b", "33b"] {
        for version in ["v1.3", "lora", "qlora"] {
            let experiment = read(&format!("{version}-{size}"));
            assert_eq!(experiment.lora.is_some(), version != "v1.3");
            assert_eq!(experiment.model.storage == Storage::Quantized, version == "qlora");
        }
    }
    for (name, length, factor) in [("v1.5-16k-7b", 16_384, 4.0), ("longchat-13b", 16_384, 8.0)] {
        let experiment = read(name);
        assert_eq!(experiment.data.max_length, length);
        assert_eq!(experiment.model.rope_scaling, Some(RopeScaling::Linear { factor }));
        let shape = camelid_recipe::known_shape(&experiment.model.base).unwrap();
        assert_eq!(shape.max_position_embeddings as f64 * factor, length as f64, "{name}");
    }
    let v0 = read("v0-7b");
    assert_eq!((v0.data.template.as_str(), v0.train.warmup_ratio), ("vicuna_v0", 0.03));
    let alpaca = read("alpaca-13b");
    assert_eq!((alpaca.data.source.as_str(), alpaca.data.template.as_str()), ("alpaca", "alpaca"));
    assert_eq!((alpaca.train.learning_rate, alpaca.length), (1e-5, Length::Epochs(5.0)));
}

#[test]
fn the_wizards_experiments_say_what_was_published() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments");
    // Rows of a step, steps that rise and steps in all.
    for (file, batch, rising, steps) in [
        ("wizardlm/7b", 64, 2, 3282),
        ("wizardlm/13b", 384, 50, 549),
        ("wizardcoder/13b", 512, 30, 200),
        ("wizardmath/v1-13b", 128, 10, 2250),
        ("wizardmath/7b", 512, 25, 2451),
    ] {
        let experiment = Experiment::read(&dir.join(format!("{file}.toml"))).unwrap();
        let expected = experiment.data.expected.unwrap();
        let shape = camelid_recipe::known_shape(&experiment.model.base).unwrap();
        let budget = experiment.budget(&shape, expected.rows, expected.tokens).unwrap();
        assert_eq!((budget.batch, budget.steps), (batch, steps), "{file}");
        let warm = (experiment.train.warmup_ratio * steps as f64).round() as usize;
        assert_eq!(warm, rising, "{file}");
        assert_eq!((experiment.train.learning_rate, experiment.data.max_length), (2e-5, 2048), "{file}");
    }
}

#[test]
fn what_used_to_be_guessed_must_be_said() {
    for line in
        ["format = \"nano\"\n", "template = \"guanaco\"\n", "max_length = 513\n", "length = { steps = 7 }\n"]
    {
        let key = line.split(' ').next().unwrap();
        assert!(refused(line, "").contains(&format!("missing field `{key}`")), "{key}");
    }
    let unknown = refused("\"nano\"\ntemplate", "\"sharegtp\"\ntemplate");
    assert!(unknown.contains("sharegtp") && unknown.contains("sharegpt, alpaca"), "{unknown}");
    assert!(
        refused("learning_rate =", "max_steps = 9\nlearning_rate =").contains("`length = { steps = N }`")
    );
    assert!(refused("test = {", "held_out = 9\ntest = {").contains("`test = { count = N }`"));
    assert!(refused("count = 4", "count = 4, source = \"x\"").starts_with("test.toml:"));
    assert!(refused("count = 4", "count = 0").contains("at least 1"));
    assert!(refused("steps = 7", "steps = 0").contains("at least 1 step"));
    assert!(refused("steps = 7", "epochs = -1.0").contains("above 0"));
}

#[test]
fn epochs_and_rope_scaling_are_settings() {
    let text = EXAMPLE
        .replace("steps = 7", "epochs = 2")
        .replace("[quant]", "[model.rope_scaling]\ntype = \"linear\"\nfactor = 4.0\n\n[quant]");
    let experiment = parse(&text).unwrap();
    assert_eq!(experiment.length, Length::Epochs(2.0));
    assert_eq!(experiment.model.rope_scaling, Some(RopeScaling::Linear { factor: 4.0 }));
    // 33 examples in batches of 16 are three steps an epoch.
    assert_eq!(experiment.train_settings(33).max_steps, 6);
    let again = parse(&experiment.to_toml().unwrap()).unwrap();
    assert_eq!(again, experiment);
    let unknown = parse(&text.replace("\"linear\"", "\"yarn\"")).unwrap_err().to_string();
    assert!(unknown.contains("`yarn`") && unknown.contains("linear"), "{unknown}");
}

#[test]
fn settings_beside_the_file_are_as_strict_as_the_file() {
    let with = |set: &[&str]| {
        let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
        Experiment::parse_with(EXAMPLE, Path::new("test.toml"), &set)
    };
    let changed =
        with(&["train.learning_rate=1e-4", "data.template=vicuna", "length.epochs=1.5", "lora.r = 4"])
            .unwrap();
    assert_eq!(changed.train.learning_rate, 1e-4);
    assert_eq!(changed.data.template, "vicuna");
    assert_eq!(changed.length, Length::Epochs(1.5));
    assert_eq!(changed.lora.unwrap().r, 4);
    for (set, reason) in [
        ("train.learning_rat=1", "unknown key `learning_rat`; did you mean `learning_rate`?"),
        ("train.learning_rate=high", "setting `train.learning_rate=high`: "),
        ("train.grad_accum=1.5", "setting `train.grad_accum=1.5`: "),
        ("data.format=parquet", "\"parquet\""),
        ("name", "expected key.path=value"),
        ("seed.x=1", "`seed` holds a value"),
        ("train.learning_rate=-1", "expected a finite number >= 0"),
    ] {
        let error = with(&["lora.r=4", set]).unwrap_err().to_string();
        assert!(error.contains(reason), "{set}: {error}");
    }
}
