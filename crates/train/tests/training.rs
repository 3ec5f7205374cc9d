//! What the trainer computes, measures and refuses.

mod tiny;

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use burn::tensor::{Tensor, TensorData};
use camelid_data::{Example, TokenizedSet};
use camelid_train::{
    EvalPoint, Interrupt, Memory, Observer, OptimSpill, Silent, StateBits, StepRecord, TrainError,
    TrainSettings, Trainer, evaluate, example_losses,
};
use tiny::{checkpoints, data, full_model, lora_model, settings, trained_bytes, trainer};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn activation_checkpointing_gives_the_same_bits() {
    type Make = fn() -> camelid_model::Llama;
    let models: [(&str, Make); 3] = [
        ("adapters with dropout", || lora_model(1)),
        ("full, tied embeddings", || full_model(2, true)),
        ("full, untied", || full_model(3, false)),
    ];
    for (name, model) in models {
        let run = |activation_checkpointing| {
            let dir = folder();
            let settings = TrainSettings { activation_checkpointing, max_steps: 4, ..settings() };
            let outcome = trainer(model(), settings, dir.path()).run().unwrap();
            (outcome.summary.losses, trained_bytes(dir.path(), 4))
        };
        let (with, without) = (run(true), run(false));
        assert_eq!(with.0, without.0, "{name}: losses");
        assert!(with.1 == without.1, "{name}: parameters or optimizer differ");
    }
}

#[test]
fn where_optimizer_state_is_kept_changes_nothing() {
    let run = |optim_budget_bytes, optim_spill| {
        let dir = folder();
        let settings = TrainSettings {
            optim: StateBits::Bits8,
            optim_budget_bytes,
            optim_spill,
            max_steps: 4,
            ..settings()
        };
        let outcome = trainer(full_model(5, false), settings, dir.path()).run().unwrap();
        (trained_bytes(dir.path(), 4), outcome.summary.pages_out)
    };
    let (resident, none) = run(None, OptimSpill::Host);
    let (paged, some) = run(Some(8192), OptimSpill::File);
    assert!(resident == paged);
    assert_eq!(none, 0);
    assert!(some > 0);
}

#[test]
fn accumulation_equals_one_large_batch() {
    // Micro-batches of different numbers of tokens: means of means would differ.
    let run = |micro_batch_size, grad_accum| {
        let dir = folder();
        let settings = TrainSettings { micro_batch_size, grad_accum, max_steps: 3, ..settings() };
        trainer(full_model(4, false), settings, dir.path()).run().unwrap()
    };
    let (large, small) = (run(4, 1), run(1, 4));
    for (a, b) in large.summary.losses.iter().zip(&small.summary.losses) {
        assert!((a - b).abs() < 1e-5, "{a} and {b}");
    }
    let (a, b) = (evaluate(&large.model, &data(4, 50), 4), evaluate(&small.model, &data(4, 50), 1));
    assert!((a.unwrap().loss - b.unwrap().loss).abs() < 1e-4);
}

/// Writes down what it is told.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Observer for Log {
    fn start(&mut self, step: usize, max_steps: usize) {
        self.0.borrow_mut().push(format!("start {step} {max_steps}"));
    }
    fn step(&mut self, record: &StepRecord) {
        self.0.borrow_mut().push(format!("step {}", record.step));
    }
    fn eval(&mut self, point: &EvalPoint) {
        self.0.borrow_mut().push(format!("eval {}", point.step));
    }
    fn saved(&mut self, path: &Path) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        self.0.borrow_mut().push(format!("saved {name}"));
    }
    fn end(&mut self, how_to_go_on: Option<&str>) {
        self.0.borrow_mut().push(format!("end {}", how_to_go_on.unwrap_or_default()));
    }
}

#[test]
fn a_run_learns_measures_evaluates_and_keeps_the_last_checkpoints() {
    let dir = folder();
    let log = Log::default();
    let settings = TrainSettings { eval_every: 6, save_every: 2, ..settings() };
    let before = evaluate(&lora_model(1), &data(4, 100), 2).unwrap();
    let trainer = Trainer::new(
        lora_model(1),
        settings.clone(),
        data(11, 0),
        Some(data(4, 100)),
        dir.path(),
        Box::new(log.clone()),
    );
    let outcome = trainer.unwrap().run().unwrap();
    assert!(outcome.finished);
    assert_eq!(checkpoints(dir.path()), ["step-000010", "step-000012"]);
    assert_eq!(outcome.checkpoint.file_name().unwrap(), "step-000012");

    let summary = outcome.summary;
    assert_eq!((summary.steps, summary.losses.len()), (12, 12));
    let at: Vec<usize> = summary.evals.iter().map(|e| e.step).collect();
    assert_eq!(at, [6, 12]);
    assert!(summary.evals[1].loss.loss < before.loss, "{} {}", summary.evals[1].loss.loss, before.loss);
    assert!((summary.evals[1].loss.perplexity.ln() - summary.evals[1].loss.loss).abs() < 1e-12);
    let after = evaluate(&outcome.model, &data(4, 100), 2).unwrap();
    assert_eq!(after, summary.evals[1].loss, "the model handed back is the one evaluated");

    let text = std::fs::read_to_string(dir.path().join("metrics.jsonl")).unwrap();
    let records: Vec<StepRecord> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 12);
    for (i, record) in records.iter().enumerate() {
        assert_eq!(record.step, i + 1);
        assert!((record.lr - settings.lr_at(i)).abs() < 1e-15);
        assert!((record.loss - summary.losses[i]).abs() < 1e-12);
        assert!(record.grad_norm > 0.0 && record.tokens > record.supervised_tokens);
        assert!(record.peak_mib >= record.resident_mib);
    }
    assert_eq!(records[0].lr, 0.0, "a warm-up rises from 0");
    let mut files = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name());
    assert!(files.any(|name| name.to_string_lossy().starts_with("events.out.tfevents.")));
    let log = log.0.borrow();
    assert_eq!(log[..4], ["start 0 12", "step 1", "step 2", "saved step-000002"]);
    assert!(log.windows(2).any(|w| w[0] == "eval 6" && w[1] == "saved step-000006"), "{log:?}");
    assert_eq!(log.last().unwrap(), "end ");
    assert!(Memory::now().peak_mib > 0.0 || !cfg!(target_os = "linux"));
}

#[test]
fn losses_by_example_add_up_to_the_loss_of_the_set() {
    let (model, set) = (lora_model(1), data(7, 0));
    let whole = evaluate(&model, &set, 3).unwrap();
    let each = example_losses(&model, &set).unwrap();
    assert_eq!(each.len(), 7);
    assert_eq!(each[2].id, "example-2");
    assert_eq!(each.iter().map(|e| e.tokens).sum::<usize>(), whole.tokens);
    let sum: f64 = each.iter().map(|e| e.nll).sum();
    assert!((sum / whole.nll_sum - 1.0).abs() < 1e-6, "{sum} and {}", whole.nll_sum);
}

#[test]
fn frozen_parameters_stay_as_they_are() {
    let dir = folder();
    let model = lora_model(1);
    let weight = |model: &camelid_model::Llama| {
        let linear = &model.layers[1].mlp.up_proj;
        let adapter = linear.adapter.as_ref().unwrap();
        let data = |t: Tensor<2>| t.into_data().try_into_vec::<f32>().unwrap();
        (data(linear.base.dense_weight()), data(adapter.lora_a.val()))
    };
    let (base, adapter) = weight(&model);
    let outcome = trainer(model, settings(), dir.path()).run().unwrap();
    let (base_after, adapter_after) = weight(&outcome.model);
    assert_eq!(base, base_after);
    assert_ne!(adapter, adapter_after);
}

#[test]
fn an_interrupted_run_saves_says_how_to_go_on_and_ends_the_same() {
    let (whole, broken) = (folder(), folder());
    trainer(lora_model(1), settings(), whole.path()).run().unwrap();

    /// Asks to stop while step 4 is reported.
    struct StopAt4(Interrupt, Log);
    impl Observer for StopAt4 {
        fn step(&mut self, record: &StepRecord) {
            if record.step == 4 {
                self.0.request();
            }
        }
        fn end(&mut self, how_to_go_on: Option<&str>) {
            self.1.end(how_to_go_on);
        }
    }
    let (interrupt, log) = (Interrupt::new(), Log::default());
    let observer = Box::new(StopAt4(interrupt.clone(), log.clone()));
    let eval = Some(data(4, 100));
    let trainer_4 = Trainer::new(lora_model(1), settings(), data(11, 0), eval, broken.path(), observer);
    let outcome = trainer_4.unwrap().with_interrupt(interrupt).run().unwrap();
    assert!(!outcome.finished);
    assert_eq!(outcome.summary.steps, 4);
    let advice = log.0.borrow()[0].clone();
    assert!(advice.contains("stopped after step 4 of 12; run the same command again"), "{advice}");
    assert!(advice.contains("step-000004"), "{advice}");

    let outcome = trainer(lora_model(1), settings(), broken.path()).run().unwrap();
    assert!(outcome.finished);
    assert_eq!(outcome.summary.losses.len(), 12, "steps before the break are in the summary");
    assert!(trained_bytes(whole.path(), 12) == trained_bytes(broken.path(), 12));

    // A finished run that is started again has nothing to do.
    let again = trainer(lora_model(1), settings(), broken.path()).run().unwrap();
    assert!(again.finished);
    assert_eq!(again.summary.steps, 12);
    assert_eq!(again.summary.evals.len(), 1);
    let seconds = (again.summary.seconds, outcome.summary.seconds);
    assert!((seconds.0 - seconds.1).abs() < 1e-9, "no step was done: {seconds:?}");
}

/// The error of resuming the run in `dir` otherwise than it began.
fn resume_error(
    model: camelid_model::Llama,
    settings: TrainSettings,
    train: TokenizedSet,
    dir: &Path,
) -> String {
    let trainer = Trainer::new(model, settings, train, None, dir, Box::new(Silent)).unwrap();
    match trainer.run() {
        Ok(_) => panic!("the checkpoint was accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_checkpoint_of_something_else_is_refused_with_the_reason() {
    let dir = folder();
    // A rate of 17 digits: the settings must come back to the last bit.
    let learning_rate = 0.009_755_282_581_475_767;
    let short = TrainSettings { max_steps: 2, learning_rate, ..settings() };
    trainer(lora_model(1), short.clone(), dir.path()).run().unwrap();

    let other_model = resume_error(lora_model(2), short.clone(), data(11, 0), dir.path());
    assert!(other_model.contains("step-000002: it belongs to another base model"), "{other_model}");
    let other_data = resume_error(lora_model(1), short.clone(), data(11, 1), dir.path());
    assert!(other_data.contains("another training set"), "{other_data}");
    let hotter = TrainSettings { learning_rate: 1.0, ..short.clone() };
    let other_settings = resume_error(lora_model(1), hotter, data(11, 0), dir.path());
    let rates = "a learning rate of 1e0 at step 2 (was 9.755282581475767e-3";
    assert!(other_settings.contains(rates), "{other_settings}");
    let reseeded = TrainSettings { seed: 8, ..short.clone() };
    assert!(resume_error(lora_model(1), reseeded, data(11, 0), dir.path()).contains("seed = 8"));

    let others = Trainer::new(lora_model(1), short.clone(), data(11, 0), None, dir.path(), Box::new(Silent));
    let error = others.unwrap().belonging_to("lora_alpha = 32").run().err().unwrap().to_string();
    assert!(error.contains("it belongs to other settings of the experiment"), "{error}");

    let state = dir.path().join("checkpoints/step-000002/state.json");
    let json = std::fs::read_to_string(&state).unwrap();
    std::fs::write(&state, r#"{"format": 1, "step": 2}"#).unwrap();
    let old = resume_error(lora_model(1), short.clone(), data(11, 0), dir.path());
    assert!(old.contains("format 1 is not known, expected 3"), "{old}");
    std::fs::write(&state, json).unwrap();

    let file = dir.path().join("checkpoints/step-000002/trainable.safetensors");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 4]).unwrap();
    let damaged = resume_error(lora_model(1), short.clone(), data(11, 0), dir.path());
    assert!(damaged.contains("trainable.safetensors"), "{damaged}");

    // What does not change the numbers may change.
    std::fs::write(&file, &bytes).unwrap();
    let elsewhere = TrainSettings { optim_budget_bytes: Some(0), keep_last: 5, ..short };
    assert!(trainer(lora_model(1), elsewhere, dir.path()).run().unwrap().finished);
}

#[test]
fn a_run_goes_on_where_its_checkpoints_belong() {
    let dir = folder();
    let run = || {
        let settings = TrainSettings { max_steps: 2, ..settings() };
        let trainer =
            Trainer::new(lora_model(1), settings, data(11, 0), None, dir.path(), Box::new(Silent)).unwrap();
        trainer.belonging_to("digest of an experiment").run().unwrap()
    };
    let first = run().checkpoint;
    let again = run();
    assert_eq!((again.finished, again.summary.steps, again.checkpoint), (true, 2, first));
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_and_leaves_the_batch() {
    let dir = folder();
    let mut model = full_model(1, false);
    model.norm.weight = model.norm.weight.map(|weight| {
        let poison = TensorData::new(vec![f32::NAN; 32], [32]);
        Tensor::from_data(poison, &weight.device()).require_grad()
    });
    let error = match trainer(model, settings(), dir.path()).run() {
        Ok(_) => panic!("it went on"),
        Err(error) => error,
    };
    let TrainError::NonFinite { step: 1, what: "loss", value, batch } = &error else {
        panic!("{error}");
    };
    assert!(value.is_nan());
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(batch).unwrap()).unwrap();
    assert_eq!(report["value"], "NaN");
    let row = report["batches"][0]["ids"][0].as_array().unwrap();
    assert!(row.len() >= 6);
    let name = report["batches"][0]["examples"][0].as_str().unwrap();
    assert!(name.starts_with("example-"), "{name}");
    assert!(checkpoints(dir.path()).is_empty());
}

#[test]
fn nothing_to_train_or_to_learn_is_an_error() {
    use burn::module::Module;
    let dir = folder();
    let new = |model, settings, train| {
        Trainer::new(model, settings, train, None, dir.path(), Box::new(Silent)).err().unwrap()
    };
    let frozen = new(full_model(1, false).no_grad(), settings(), data(3, 0));
    assert!(matches!(frozen, TrainError::NothingToTrain));
    assert!(matches!(new(lora_model(1), settings(), data(0, 0)), TrainError::EmptyData));
    let zero = new(lora_model(1), TrainSettings { max_steps: 0, ..settings() }, data(3, 0));
    assert_eq!(zero.to_string(), "setting `max_steps` = 0: expected at least 1");

    let silent = Example { id: "mute".into(), ids: vec![1, 2, 3], labels: vec![1, -100, -100] };
    let mute = TokenizedSet { examples: vec![silent], report: Default::default() };
    let trainer = Trainer::new(lora_model(1), settings(), mute.clone(), None, dir.path(), Box::new(Silent));
    let error = trainer.unwrap().run().err().unwrap().to_string();
    assert!(error.contains("no token of the batch carries loss (examples mute)"), "{error}");
    assert!(matches!(evaluate(&lora_model(1), &mute, 1), Err(TrainError::EmptyData)));
}
