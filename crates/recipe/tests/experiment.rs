//! Experiment files are read strictly and saved in full.

use std::path::Path;

use camelid_train::{Experiment, LrSchedule, StateBits, Storage, TrainError};

const EXAMPLE: &str = r#"name = "guanaco-test"
seed = 3

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
loss_on = "assistant"
"#;

fn parse(text: &str) -> Result<Experiment, TrainError> {
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
    assert_eq!(experiment.data.template, "guanaco");
    assert_eq!(experiment.train_settings().seed, 3);

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
            "test.toml:19: unknown key `learning_rat`; did you mean `learning_rate`?",
        ),
        ("seed = 3", "sead = 3", "test.toml:2: unknown key `sead`; did you mean `seed`?"),
        ("lora_alpha", "alpha", "test.toml:15: unknown key `alpha`; did you mean `lora_alpha`?"),
        ("block_size", "blocksize", "test.toml:10: unknown key `blocksize`; did you mean `block_size`?"),
        ("[lora]", "[loar]", "test.toml:13: unknown key `loar`; did you mean `lora`?"),
        ("\"cosine\"", "\"cosin\"", "test.toml:20: unknown value `cosin`; did you mean `cosine`?"),
        (
            "\"adamw8bit\"",
            "\"adam8bit\"",
            "test.toml:21: unknown value `adam8bit`; did you mean `adamw8bit`?",
        ),
    ];
    for (from, to, expected) in cases {
        let message = refused(from, to);
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn values_that_do_not_fit_are_refused() {
    assert!(refused("4e-3", "\"high\"").starts_with("test.toml:19: "));
    assert!(refused("4e-3", "-1.0").contains("`learning_rate` = -1: expected a finite number >= 0"));
    assert!(refused("base = \"nano\"\n", "").contains("missing field `base`"));
    assert!(refused("storage = \"quantized\"", "").contains("`[quant]` is given"));
    assert!(refused("guanaco-test", "../up").contains("`name` becomes a folder"));
    let full = EXAMPLE.replace("[lora]\nr = 16\nlora_alpha = 32\ntarget_modules = \"all-linear\"\n", "");
    assert!(parse(&full).unwrap_err().to_string().contains("full fine-tuning"));
    let absent = Experiment::read(Path::new("/nonexistent/x.toml")).unwrap_err().to_string();
    assert!(absent.contains("/nonexistent/x.toml: cannot read"), "{absent}");
}

#[test]
fn the_experiments_of_this_workspace_are_read() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments/guanaco");
    let files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(files.len() >= 6);
    for file in files {
        Experiment::read(&file).unwrap_or_else(|error| panic!("{error}"));
    }
}
