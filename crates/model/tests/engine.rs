//! Many sequences at once: the same bits as alone, and what a sequence can ask for.

use std::collections::BTreeMap;

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use camelid_chat::StopReason;
use camelid_lora::{AdapterHost, LoraAdapter, LoraConfig, LoraError, attach};
use camelid_model::{
    Constraint, Engine, EngineEvent, EngineOptions, EngineRequest, Finished, GenerateOptions,
    GeneratedWeights, Llama, LlamaConfig, LoadOptions, ModelError, PromptCache, SequenceId, TokenLogprobs,
    WeightStorage, generate_text,
};
use camelid_quant::QuantConfig;
use proptest::prelude::*;

const VOCAB: usize = 260;
const END: u32 = 257;

fn config() -> LlamaConfig {
    LlamaConfig {
        vocab_size: VOCAB,
        hidden_size: 64,
        intermediate_size: 96,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 16,
        max_position_embeddings: 512,
        tie_word_embeddings: false,
        eos_token_ids: vec![END],
        ..LlamaConfig::smollm2_135m()
    }
}

fn dense() -> Llama {
    Llama::random_with_std(&config(), 0.2, 21, &Device::flex())
}

fn packed() -> Llama {
    let storage = WeightStorage::Quantized(QuantConfig::default());
    Llama::load(&GeneratedWeights::new(config(), 5), &storage, &Device::flex()).unwrap()
}

fn int8() -> Llama {
    Llama::random_with(&config(), &LoadOptions::new(WeightStorage::Int8), 21, &Device::flex()).unwrap()
}

/// An adapter that changes something, on two kinds of layers.
fn adapted(base: Llama, seed: u64, dora: bool) -> Result<Llama, LoraError> {
    let config = LoraConfig { use_dora: dora, ..on(&["q_proj", "down_proj"]) };
    let mut model = attach(base, &config, seed, &Device::flex())?;
    for (i, (_, linear)) in model.linears_mut().into_iter().enumerate() {
        if let Some(adapter) = &mut linear.adapter {
            fill(adapter, i * 13 + seed as usize);
        }
    }
    Ok(model)
}

fn on(modules: &[&str]) -> LoraConfig {
    let names = modules.iter().map(|name| name.to_string()).collect();
    LoraConfig { r: 4, target_modules: camelid_lora::Targets::Names(names), ..LoraConfig::default() }
}

/// Gives an update values that look random.
fn fill(adapter: &mut LoraAdapter, salt: usize) {
    let [out, r] = adapter.lora_b.dims();
    let value = |j: usize| ((j * 7 + salt) % 11) as f32 * 0.02 - 0.1;
    let values: Vec<f32> = (0..out * r).map(value).collect();
    let values = Tensor::from_data(TensorData::new(values, [out, r]), &Device::flex());
    adapter.lora_b = Param::from_tensor(values);
}

fn engine(model: &Llama, options: EngineOptions) -> Engine {
    let tokenizer = camelid_tests::byte_tokenizer(&["<s>", "</s>"]);
    let mut engine = Engine::new(model, tokenizer, options).unwrap();
    engine.add_adapter("a", |base| adapted(base, 1, false)).unwrap();
    engine.add_adapter("b", |base| adapted(base, 2, true)).unwrap();
    engine
}

/// Everything that a sequence gave out.
#[derive(Clone, Debug, Default, PartialEq)]
struct Answer {
    text: String,
    ids: Vec<u32>,
    /// The bits of every logarithm.
    logprobs: Vec<Vec<u32>>,
    prompt_logprobs: Option<Vec<Vec<u32>>>,
    done: Option<Finished>,
}

fn bits(logprobs: &[TokenLogprobs]) -> Vec<Vec<u32>> {
    let of = |token: &TokenLogprobs| {
        let top = token.top.iter().flat_map(|(id, logprob)| [*id, logprob.to_bits()]);
        [token.id, token.logprob.to_bits()].into_iter().chain(top).collect()
    };
    logprobs.iter().map(of).collect()
}

impl Answer {
    fn take(&mut self, event: EngineEvent) {
        assert!(self.done.is_none(), "nothing comes after the end");
        match event {
            EngineEvent::Prompt { logprobs, .. } => self.prompt_logprobs = logprobs.map(|l| bits(&l)),
            EngineEvent::Text { text, ids, logprobs } => {
                self.text += &text;
                self.ids.extend(ids);
                self.logprobs.extend(bits(&logprobs));
            }
            EngineEvent::Done(done) => self.done = Some(done),
            EngineEvent::Failed(error) => panic!("{error}"),
        }
    }

    fn reason(&self) -> StopReason {
        self.done.unwrap().reason
    }
}

fn run(engine: &mut Engine, answers: &mut BTreeMap<SequenceId, Answer>) {
    for _ in 0..10_000 {
        if engine.is_idle() {
            return;
        }
        for (id, event) in engine.step() {
            answers.entry(id).or_default().take(event);
        }
    }
    panic!("the engine does not come to an end: {:?}", engine.load());
}

fn alone(engine: &mut Engine, request: EngineRequest) -> Answer {
    let id = engine.submit(request).unwrap();
    let mut answers = BTreeMap::new();
    run(engine, &mut answers);
    answers.remove(&id).unwrap()
}

fn greedy(prompt: &[u32], max_new_tokens: usize) -> EngineRequest {
    EngineRequest::new(prompt.to_vec(), GenerateOptions { max_new_tokens, ..GenerateOptions::default() })
}

fn prompt(len: usize, seed: usize) -> Vec<u32> {
    (0..len).map(|i| ((i * i + 31 * i * seed + seed) % 256) as u32).collect()
}

/// A request, when it arrives and when it is cancelled.
#[derive(Clone, Debug)]
struct Arrival {
    request: EngineRequest,
    step: usize,
    cancel: Option<usize>,
}

fn arrival() -> impl Strategy<Value = Arrival> {
    let text = (1..4usize, 0..70usize, 0..20usize, 0..3usize);
    let options = (0..24usize, prop::bool::ANY, 0..100u64);
    let asked = (prop::option::of(0..4usize), prop::bool::weighted(0.3), 0..3usize);
    (text, options, asked, 0..12usize, prop::option::weighted(0.2, 0..30usize)).prop_map(
        |(
            (stem, shared, own, salt),
            (max_new_tokens, sampled, seed),
            (logprobs, echo, adapter),
            step,
            cancel,
        )| {
            let mut ids = prompt(70, stem)[..shared].to_vec();
            ids.extend(prompt(own + 1, stem + 10 * salt));
            let options = GenerateOptions {
                max_new_tokens,
                temperature: if sampled { 1.0 } else { 0.0 },
                repetition_penalty: if sampled { 1.1 } else { 1.0 },
                seed,
                stop: vec!["ab".into(), "é".into()],
                ..GenerateOptions::default()
            };
            let request = EngineRequest {
                logprobs,
                prompt_logprobs: echo.then_some(2),
                adapter: [None, Some("a".to_owned()), Some("b".to_owned())][adapter].clone(),
                presence_penalty: if seed % 2 == 0 { 0.3 } else { 0.0 },
                ..EngineRequest::new(ids, options)
            };
            Arrival { request, step, cancel }
        },
    )
}

/// Runs all in one engine.
fn together(engine: &mut Engine, arrivals: &[Arrival]) -> Vec<Answer> {
    let mut ids = vec![None; arrivals.len()];
    let mut answers = BTreeMap::new();
    for step in 0..40 {
        for (arrival, id) in arrivals.iter().zip(&mut ids) {
            if arrival.step == step {
                *id = Some(engine.submit(arrival.request.clone()).unwrap());
            }
            if let (Some(id), Some(cancel)) = (*id, arrival.cancel)
                && arrival.step + cancel == step
            {
                engine.cancel(id);
            }
        }
        for (id, event) in engine.step() {
            answers.entry(id).or_insert_with(Answer::default).take(event);
        }
    }
    run(engine, &mut answers);
    ids.into_iter().map(|id| answers.remove(&id.unwrap()).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn a_sequence_gets_the_same_bits_alone_and_in_any_company(
        arrivals in prop::collection::vec(arrival(), 1..9),
        prefill_tokens in 1..80usize,
        max_running in 1..7usize,
        blocks in 8..40usize,
        storage in 0..3usize,
    ) {
        let model = [dense, packed, int8][storage]();
        let block_bytes = 2 * 2 * 32 * 16 * 4;
        let options = EngineOptions {
            cache_bytes: blocks * block_bytes, prefill_tokens, max_running, ..EngineOptions::default()
        };
        let mut busy = engine(&model, options);
        let found = together(&mut busy, &arrivals);
        let load = busy.load();
        prop_assert_eq!((load.running, load.waiting, load.blocks_used), (0, 0, 0), "nothing is held back");
        prop_assert_eq!(load.finished, arrivals.len() as u64);
        for (arrival, found) in arrivals.iter().zip(found) {
            let want = alone(&mut engine(&model, EngineOptions::default()), arrival.request.clone());
            let (got, all) = (found.done.unwrap(), want.done.unwrap());
            if got.reason == StopReason::Cancelled {
                prop_assert!(want.text.starts_with(&found.text));
                prop_assert!(want.ids.starts_with(&found.ids));
                prop_assert!(want.logprobs.starts_with(&found.logprobs));
                continue;
            }
            prop_assert_eq!(&found.text, &want.text);
            prop_assert_eq!(&found.ids, &want.ids);
            prop_assert_eq!(&found.logprobs, &want.logprobs);
            prop_assert_eq!(&found.prompt_logprobs, &want.prompt_logprobs);
            prop_assert_eq!((got.reason, got.new_tokens, got.prompt_tokens),
                (all.reason, all.new_tokens, all.prompt_tokens));
        }
    }
}

/// Adapters of the final norm and the head beside the base, whose head they share or not.
#[test]
fn one_head_for_all_changes_no_bit() {
    for tie_word_embeddings in [false, true] {
        let config = LlamaConfig { tie_word_embeddings, ..config() };
        let model = Llama::random_with_std(&config, 0.2, 21, &Device::flex());
        let engine = || {
            let mut engine = engine(&model, EngineOptions::default());
            let saved = |name: &str| LoraConfig { modules_to_save: vec![name.into()], ..on(&["q_proj"]) };
            let normed = |base: Llama| {
                let mut model = attach(base, &saved("norm"), 3, &Device::flex())?;
                model.norm.weight = model.norm.weight.map(|weight| weight * 1.5);
                Ok::<_, LoraError>(model)
            };
            engine.add_adapter("norm", normed).unwrap();
            engine.add_adapter("copy", |base| attach(base, &saved("lm_head"), 4, &Device::flex())).unwrap();
            if !tie_word_embeddings {
                let low = |base: Llama| {
                    let mut model = attach(base, &on(&["lm_head"]), 5, &Device::flex())?;
                    fill(model.lm_head.as_mut().unwrap().adapter.as_mut().unwrap(), 1);
                    Ok::<_, LoraError>(model)
                };
                engine.add_adapter("low", low).unwrap();
            }
            engine
        };
        let mut busy = engine();
        let names = ["", "a", "norm", "low", "b", "copy"];
        for company in [&names[..], &names[..2], &names[..4]] {
            let known = company.iter().filter(|name| !tie_word_embeddings || **name != "low");
            let requests: Vec<EngineRequest> = known
                .enumerate()
                .map(|(i, name)| EngineRequest {
                    adapter: (!name.is_empty()).then(|| name.to_string()),
                    logprobs: Some(3),
                    prompt_logprobs: (i % 2 == 0).then_some(1),
                    ..greedy(&prompt(12 + i, i + 1), 9)
                })
                .collect();
            let ids: Vec<_> = requests.iter().map(|request| busy.submit(request.clone()).unwrap()).collect();
            let mut answers = BTreeMap::new();
            run(&mut busy, &mut answers);
            for (id, request) in ids.iter().zip(requests) {
                let adapter = request.adapter.clone();
                let (got, want) = (&answers[id], alone(&mut engine(), request));
                assert_eq!((&got.text, &got.ids, &got.logprobs), (&want.text, &want.ids, &want.logprobs));
                assert_eq!(got.prompt_logprobs, want.prompt_logprobs, "{adapter:?}");
            }
        }
        let mut of = |adapter: &str| {
            let adapter = (!adapter.is_empty()).then(|| adapter.to_string());
            alone(&mut busy, EngineRequest { adapter, logprobs: Some(0), ..greedy(&prompt(9, 1), 4) })
                .logprobs
        };
        assert_eq!(of("copy"), of(""), "a copy that was not trained is the head itself");
        assert_ne!(of("norm"), of(""));
        assert!(tie_word_embeddings || of("low") != of(""));
    }
}

#[test]
fn a_greedy_text_is_that_of_a_model_alone() {
    let model = dense();
    let tokenizer = camelid_tests::byte_tokenizer(&["<s>", "</s>"]);
    let ids = prompt(40, 3);
    let options = GenerateOptions { max_new_tokens: 30, stop_ids: vec![END], ..GenerateOptions::default() };
    let expected =
        generate_text(&model, &tokenizer, &ids, &options, &mut |_| std::ops::ControlFlow::Continue(()))
            .unwrap();
    let answer = alone(&mut engine(&model, EngineOptions::default()), EngineRequest::new(ids, options));
    assert_eq!(answer.text, expected.text);
    assert_eq!(answer.reason(), expected.reason);
    assert_eq!(answer.done.unwrap().new_tokens, expected.new_tokens.unwrap());
}

#[test]
fn logprobs_are_those_of_the_logits() {
    let model = dense();
    let ids = prompt(30, 2);
    let request = EngineRequest { prompt_logprobs: Some(3), logprobs: Some(2), ..greedy(&ids, 4) };
    let mut engine = engine(&model, EngineOptions::default());
    let id = engine.submit(request).unwrap();
    let (mut of_prompt, mut of_text) = (Vec::new(), Vec::new());
    while !engine.is_idle() {
        for (_, event) in engine.step().into_iter().filter(|(of, _)| *of == id) {
            match event {
                EngineEvent::Prompt { logprobs, .. } => of_prompt = logprobs.unwrap(),
                EngineEvent::Text { logprobs, .. } => of_text.extend(logprobs),
                _ => {}
            }
        }
    }
    assert_eq!((of_prompt.len(), of_text.len()), (29, 4));
    let all: Vec<u32> = ids.iter().copied().chain(of_text.iter().map(|token| token.id)).collect();
    let mut cache = PromptCache::new(&model);
    for (i, token) in of_prompt.iter().chain(&of_text).enumerate() {
        let logits = cache.logits_after(&all[..=i]).unwrap();
        let sum: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
        let of = |id: u32| f64::from(logits[id as usize]) - sum.ln();
        assert_eq!(token.id, all[i + 1]);
        assert!((f64::from(token.logprob) - of(token.id)).abs() < 1e-4);
        assert!(token.top.windows(2).all(|pair| pair[0].1 >= pair[1].1));
        assert!(token.top.iter().all(|(id, logprob)| (f64::from(*logprob) - of(*id)).abs() < 1e-4));
        assert!(token.top[0].1 >= token.logprob);
    }
}

#[test]
fn what_was_read_before_is_not_read_again() {
    let model = dense();
    let mut engine = engine(&model, EngineOptions::default());
    let long = prompt(100, 4);
    let first = alone(&mut engine, greedy(&long, 5));
    assert_eq!(first.done.unwrap().cached_tokens, 0);
    let again = alone(&mut engine, greedy(&long, 5));
    assert_eq!(again.done.unwrap().cached_tokens, 96, "whole blocks of 16");
    assert_eq!(again.text, first.text);
    assert_eq!(engine.load().prompt_tokens, 104);
    let other = EngineRequest { adapter: Some("a".into()), ..greedy(&long, 5) };
    assert_eq!(alone(&mut engine, other).done.unwrap().cached_tokens, 0, "an adapter's values are its own");
    let echo = EngineRequest { prompt_logprobs: Some(0), ..greedy(&long, 0) };
    let echo = alone(&mut engine, echo);
    assert_eq!(echo.done.unwrap().cached_tokens, 0, "whose logits are asked for has to be read");
    assert_eq!(echo.prompt_logprobs.as_ref().map(Vec::len), Some(99));
    assert_eq!((echo.ids.len(), echo.reason()), (0, StopReason::Length));
}

#[test]
fn a_full_cache_takes_blocks_back_and_nothing_is_lost() {
    let model = dense();
    let tight = EngineOptions { cache_bytes: 12 * 2 * 2 * 32 * 16 * 4, ..EngineOptions::default() };
    let mut engine = engine(&model, tight);
    let ids: Vec<SequenceId> =
        (0..4).map(|i| engine.submit(greedy(&prompt(30, i + 1), 120)).unwrap()).collect();
    let mut answers = BTreeMap::new();
    run(&mut engine, &mut answers);
    assert!(engine.load().preempted > 0, "{:?}", engine.load());
    for (i, id) in ids.iter().enumerate() {
        let mut roomy = self::engine(&model, EngineOptions::default());
        assert_eq!(answers[id].text, alone(&mut roomy, greedy(&prompt(30, i + 1), 120)).text);
    }
}

#[test]
fn a_cancelled_sequence_ends_with_the_next_step() {
    let model = dense();
    let mut engine = engine(&model, EngineOptions::default());
    let [stays, goes] = [1, 2].map(|i| engine.submit(greedy(&prompt(20, i), 50)).unwrap());
    engine.step();
    engine.cancel(goes);
    assert_eq!(engine.load().running, 1);
    let events = engine.step();
    assert!(events.iter().any(|(id, event)| *id == goes
        && matches!(event, EngineEvent::Done(Finished { reason: StopReason::Cancelled, .. }))));
    let events = engine.step();
    assert!(events.iter().all(|(id, _)| *id == stays));
    engine.cancel(goes);
    engine.cancel(stays);
    engine.step();
    assert!(engine.is_idle());
    assert_eq!(engine.load().blocks_used, 0);
}

#[test]
fn what_cannot_run_is_refused_with_its_numbers() {
    let model = dense();
    let tight = EngineOptions { cache_bytes: 4 * 2 * 2 * 32 * 16 * 4, ..EngineOptions::default() };
    let mut engine = engine(&model, tight);
    let mut error = |request: EngineRequest| engine.submit(request).unwrap_err();
    assert!(matches!(error(greedy(&[], 1)), ModelError::EmptyPrompt));
    assert!(matches!(error(greedy(&[0, 260], 1)), ModelError::TokenOutOfRange { id: 260, position: 1, .. }));
    assert_eq!(
        error(greedy(&prompt(500, 1), 20)).to_string(),
        "the prompt has 500 tokens and up to 20 are to follow: 520 in all, more than the 512 of the context"
    );
    assert!(error(greedy(&prompt(60, 1), 5)).to_string().contains("65 tokens; the key-value cache holds 64"));
    let unknown = EngineRequest { adapter: Some("c".into()), ..greedy(&[1], 1) };
    assert_eq!(error(unknown).to_string(), "there is no adapter `c`; there are `a`, `b`");
    let bias = EngineRequest { logit_bias: vec![(1000, 1.0)], ..greedy(&[1], 1) };
    assert!(error(bias).to_string().contains("`logit_bias` is for token 1000"));
    let penalty = EngineRequest { presence_penalty: f32::NAN, ..greedy(&[1], 1) };
    assert!(error(penalty).to_string().contains("`presence_penalty`"));
    let regex = EngineRequest { constraint: Some(Constraint::Regex("(".into())), ..greedy(&[1], 1) };
    assert!(error(regex).to_string().starts_with("the constraint on the text: "));
    let options = EngineOptions { block_positions: 20, ..EngineOptions::default() };
    let tokenizer = camelid_tests::byte_tokenizer(&[]);
    assert!(Engine::new(&model, tokenizer, options).err().unwrap().to_string().contains("multiples of 16"));
}

#[test]
fn a_bias_forbids_and_forces_tokens() {
    let model = dense();
    let mut engine = engine(&model, EngineOptions::default());
    let ids = prompt(10, 1);
    let plain = alone(&mut engine, greedy(&ids, 1)).ids[0];
    let forbidden = EngineRequest { logit_bias: vec![(plain, f32::NEG_INFINITY)], ..greedy(&ids, 1) };
    assert_ne!(alone(&mut engine, forbidden).ids[0], plain);
    let forced = EngineRequest { logit_bias: vec![(65, 1e4)], ..greedy(&ids, 3) };
    assert_eq!(alone(&mut engine, forced).ids, [65, 65, 65]);
    let once = EngineRequest { presence_penalty: 2e4, logit_bias: vec![(65, 1e4)], ..greedy(&ids, 3) };
    let once = alone(&mut engine, once).ids;
    assert_eq!((once[0], once[1..].contains(&65)), (65, false));
}

#[test]
fn a_stop_string_over_tokens_is_not_shown_and_neither_are_its_tokens() {
    let model = dense();
    let mut engine = engine(&model, EngineOptions::default());
    let ids = prompt(10, 1);
    // Bytes of the alphabet in order: the model is made to say x y z over and over.
    let tokenizer = camelid_tests::byte_tokenizer(&[]);
    let xyz = tokenizer.encode("xyz", false).unwrap().get_ids().to_vec();
    let constraint = Some(Constraint::Regex("xyxyz.*".into()));
    let stop = GenerateOptions { stop: vec!["yz".into()], max_new_tokens: 9, ..GenerateOptions::default() };
    let request = EngineRequest { constraint, logprobs: Some(0), ..EngineRequest::new(ids, stop) };
    let answer = alone(&mut engine, request);
    assert_eq!((answer.text.as_str(), answer.reason()), ("xyx", StopReason::StopString));
    assert_eq!(answer.ids, [xyz[0], xyz[1], xyz[0]]);
    assert_eq!(answer.logprobs.len(), 3);
    assert_eq!(answer.done.unwrap().new_tokens, 5);
}

#[test]
fn a_constrained_text_of_a_model_that_knows_nothing_is_of_its_schema() {
    let model = dense();
    let mut engine = engine(&model, EngineOptions::default());
    let schema = serde_json::json!({
        "type": "object", "additionalProperties": false, "required": ["name", "tags", "age"],
        "properties": {
            "name": {"type": "string", "maxLength": 8},
            "tags": {"type": "array", "items": {"enum": ["red", "blé"]}, "minItems": 1, "maxItems": 3},
            "age": {"type": "integer", "minimum": 0, "maximum": 150},
        },
    });
    for seed in 0..20 {
        let options =
            GenerateOptions { max_new_tokens: 400, temperature: 1.0, seed, ..GenerateOptions::default() };
        let constraint = Some(Constraint::JsonSchema(schema.clone()));
        let request = EngineRequest { constraint, ..EngineRequest::new(prompt(12, 5), options) };
        let answer = alone(&mut engine, request);
        assert!(!matches!(answer.reason(), StopReason::Length), "{}", answer.text);
        let value: serde_json::Value = serde_json::from_str(&answer.text).expect(&answer.text);
        let object = value.as_object().unwrap();
        assert_eq!(object.len(), 3);
        assert!(value["name"].as_str().unwrap().chars().count() <= 8);
        let tags = value["tags"].as_array().unwrap();
        assert!((1..=3).contains(&tags.len()) && tags.iter().all(|tag| tag == "red" || tag == "blé"));
        assert!(value["age"].as_i64().is_some_and(|age| (0..=150).contains(&age)));
    }
    let regex =
        EngineRequest { constraint: Some(Constraint::Regex("[a-c]{3}-[0-9]{2}".into())), ..greedy(&[1], 50) };
    let text = alone(&mut engine, regex).text;
    assert_eq!((text.len(), text.as_bytes()[3]), (6, b'-'));
    let lark = "start: \"yes\" | \"no\"".to_owned();
    let lark = EngineRequest { constraint: Some(Constraint::Lark(lark)), ..greedy(&[1], 50) };
    assert!(["yes", "no"].contains(&alone(&mut engine, lark).text.as_str()));
    let object = EngineRequest { constraint: Some(Constraint::JsonObject), ..greedy(&[1], 20) };
    assert!(alone(&mut engine, object).text.trim_start().starts_with('{'));
}

#[test]
fn an_embedding_has_length_one_and_differs_between_texts() {
    let model = dense();
    let engine = engine(&model, EngineOptions::default());
    let (a, b) = (engine.embed(&prompt(20, 1)).unwrap(), engine.embed(&prompt(20, 2)).unwrap());
    assert_eq!(a.len(), 64);
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    assert!((dot(&a, &a) - 1.0).abs() < 1e-5);
    assert!(dot(&a, &b) < 0.999);
    assert!(matches!(engine.embed(&[]), Err(ModelError::EmptyPrompt)));
    assert!(matches!(engine.embed(&prompt(513, 1)), Err(ModelError::ContextOverflow { .. })));
}
