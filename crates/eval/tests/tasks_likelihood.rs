//! Log-likelihoods of a small model against a direct computation over all logits.

use std::ops::ControlFlow;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use camelid_eval::{
    Completion, GenerateRequest, LanguageModel, LocalModel, LoglikelihoodRequest, MessagesOnly,
    RollingRequest,
};
use camelid_model::{GenerateOptions, Llama, LlamaConfig, LocalGenerator, TokenizerFile, generate_text};
use tokenizers::Tokenizer;

const CONTEXT: usize = 700;

/// Bytes as tokens, in the byte-level alphabet's order, after `<s>` and `</s>`; `ab` is a token.
fn tokenizer() -> TokenizerFile {
    let mut alphabet: Vec<char> =
        tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet().into_iter().collect();
    alphabet.sort();
    let mut vocab = serde_json::Map::new();
    for (i, c) in alphabet.iter().enumerate() {
        vocab.insert(c.to_string(), (i + 2).into());
    }
    let special = |id: u32, content: &str| {
        serde_json::json!({"id": id, "content": content, "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true})
    };
    vocab.insert("<s>".into(), 0.into());
    vocab.insert("</s>".into(), 1.into());
    vocab.insert("ab".into(), 258.into());
    let byte_level = serde_json::json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    let json = serde_json::json!({
        "version": "1.0",
        "added_tokens": [special(0, "<s>"), special(1, "</s>")],
        "pre_tokenizer": byte_level,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocab, "merges": ["a b"]},
    });
    let tokenizer: Tokenizer = json.to_string().parse().unwrap();
    TokenizerFile {
        tokenizer,
        chat_template: None,
        bos_token: None,
        eos_token: Some("</s>".into()),
        other_tokens: Default::default(),
        templates: Default::default(),
        notes: Vec::new(),
    }
}

fn model() -> Llama {
    let config = LlamaConfig {
        vocab_size: 260,
        hidden_size: 32,
        intermediate_size: 64,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 8,
        max_position_embeddings: CONTEXT,
        tie_word_embeddings: false,
        eos_token_ids: vec![1],
        ..LlamaConfig::smollm2_135m()
    };
    Llama::random_with_std(&config, 0.3, 21, &Device::flex()).valid()
}

/// Sum of log-probabilities of `ids[from..]` and whether all are the likeliest, from one plain
/// forward pass over `ids`.
fn direct(model: &Llama, ids: &[u32], from: usize) -> (f64, bool) {
    let row: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
    let ids_tensor: Tensor<2, Int> = Tensor::from_data(TensorData::new(row, [1, ids.len()]), &Device::flex());
    let logits = model.forward(ids_tensor, &camelid_lora::ForwardContext::evaluation());
    let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
    let mut sum = 0.0;
    let mut greedy = true;
    for position in from..ids.len() {
        let row = &logits[(position - 1) * 260..position * 260];
        let exp: f64 = row.iter().map(|l| f64::from(*l).exp()).sum();
        let own = f64::from(row[ids[position] as usize]);
        sum += own - exp.ln();
        greedy &= row.iter().all(|l| f64::from(*l) <= own);
    }
    (sum, greedy)
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-4 * expected.abs().max(1.0), "{found}, expected {expected}");
}

fn some_ids(n: usize, step: usize) -> Vec<u32> {
    (0..n).map(|i| (2 + (i * step + i * i / 7) % 256) as u32).collect()
}

#[test]
fn continuations_after_a_context() {
    let (model, tokenizer) = (model(), tokenizer());
    let mut local = LocalModel::new(&model, &tokenizer, None).unwrap();
    // Below a chunk of the prompt, and above it.
    for context in [some_ids(9, 11), some_ids(600, 13)] {
        let continuations = [vec![5], vec![5, 7, 9], vec![200], some_ids(40, 3)];
        let found = local.log_likelihoods_of_ids(&context, &continuations).unwrap();
        for (found, continuation) in found.iter().zip(&continuations) {
            let (sum, greedy) = direct(&model, &[&context[..], continuation].concat(), context.len());
            close(found.sum, sum);
            assert_eq!((found.tokens, found.is_greedy), (continuation.len(), greedy));
        }
    }
}

#[test]
fn a_shared_beginning_changes_nothing() {
    let (model, tokenizer) = (model(), tokenizer());
    let mut shared = LocalModel::new(&model, &tokenizer, None).unwrap();
    let start = some_ids(520, 17);
    // Longer, shorter, the same, and one that differs early.
    let mut contexts: Vec<Vec<u32>> = [30, 3, 3, 90].map(|n| [&start[..], &some_ids(n, 5)].concat()).into();
    contexts.push(start[..200].to_vec());
    contexts.push([&start[..100], &some_ids(50, 29)].concat());
    contexts.push(start.clone());
    for context in &contexts {
        let continuations = [vec![8, 9], vec![17]];
        let mut alone = LocalModel::new(&model, &tokenizer, None).unwrap();
        let with = shared.log_likelihoods_of_ids(context, &continuations).unwrap();
        let without = alone.log_likelihoods_of_ids(context, &continuations).unwrap();
        for (with, without) in with.iter().zip(&without) {
            close(with.sum, without.sum);
            assert_eq!(with.tokens, without.tokens);
        }
    }
}

#[test]
fn the_likeliest_continuation_is_greedy() {
    let (model, tokenizer) = (model(), tokenizer());
    let mut local = LocalModel::new(&model, &tokenizer, None).unwrap();
    let context = some_ids(12, 7);
    let options = GenerateOptions { max_new_tokens: 4, ..GenerateOptions::default() };
    let go_on = |_| Ok(ControlFlow::Continue(()));
    let generated = camelid_model::generate::generate_ids(&model, &context, &options, go_on).unwrap().ids;
    let mut other = generated.clone();
    other[2] = (other[2] + 1) % 256;
    let found = local.log_likelihoods_of_ids(&context, &[generated, other]).unwrap();
    assert_eq!(found.iter().map(|l| l.is_greedy).collect::<Vec<_>>(), [true, false]);
}

/// One context with several continuations.
fn after<'a>(context: &'a str, continuations: &[&'a str]) -> Vec<LoglikelihoodRequest<'a>> {
    continuations.iter().map(|continuation| LoglikelihoodRequest { context, continuation }).collect()
}

#[test]
fn text_is_split_where_the_tokenizer_splits_the_whole() {
    let (model, tokenizer) = (model(), tokenizer());
    let mut local = LocalModel::new(&model, &tokenizer, None).unwrap();
    let ids = |text: &str| tokenizer.tokenizer.encode(text, true).unwrap().get_ids().to_vec();
    let found = local.loglikelihood(&after("Question: x\nAnswer:", &[" ab", " b"])).unwrap();
    let context = ids("Question: x\nAnswer:");
    for (found, text) in found.iter().zip([" ab", " b"]) {
        let whole = ids(&format!("Question: x\nAnswer:{text}"));
        assert_eq!((found.likelihood.tokens, found.context_tokens), (2, context.len()), "{text}");
        close(found.likelihood.sum, direct(&model, &whole, context.len()).0);
    }
    // Spaces at the end of the context count to the continuation.
    let moved = local.loglikelihood(&after("Question: x\nAnswer: ", &["ab"])).unwrap();
    close(moved[0].likelihood.sum, found[0].likelihood.sum);
}

#[test]
fn requests_of_several_contexts_keep_their_order() {
    let (model, tokenizer) = (model(), tokenizer());
    let mut local = LocalModel::new(&model, &tokenizer, None).unwrap();
    let requests =
        [after("one two", &[" three", " four"]), after("one", &[" three"]), after("one two", &["!"])];
    let together = local.loglikelihood(&requests.concat()).unwrap();
    for (request, together) in requests.concat().iter().zip(together) {
        let alone = local.loglikelihood(std::slice::from_ref(request)).unwrap()[0];
        close(together.likelihood.sum, alone.likelihood.sum);
        assert_eq!(together.context_tokens, request.context.len());
    }
}

#[test]
fn a_context_that_is_too_long_loses_its_beginning_and_says_so() {
    let (model, tokenizer) = (model(), tokenizer());
    let mut local = LocalModel::new(&model, &tokenizer, None).unwrap();
    let long: String = some_ids(CONTEXT + 20, 19).iter().map(|i| char::from(b'c' + (i % 20) as u8)).collect();
    // The last of three tokens is scored but not read.
    let found = local.loglikelihood(&after(&long, &["xyz"])).unwrap()[0];
    assert_eq!(found.cut_tokens, 22);
    let kept = local.loglikelihood(&after(&long[22..], &["xyz"])).unwrap()[0];
    assert_eq!(kept.cut_tokens, 0);
    close(found.likelihood.sum, kept.likelihood.sum);
    // Each continuation cuts only what it needs.
    let found = local.loglikelihood(&after(&long, &["xyz", "x"])).unwrap();
    assert_eq!(found.iter().map(|score| score.cut_tokens).collect::<Vec<_>>(), [22, 20]);
    assert!(local.loglikelihood(&after("x", &[""])).is_err());
    assert!(local.loglikelihood(&after("x", &[&long])).is_err());
}

#[test]
fn an_empty_context_is_the_token_that_begins_a_text() {
    let (model, mut tokenizer) = (model(), tokenizer());
    let ids = tokenizer.tokenizer.encode("xyz", false).unwrap().get_ids().to_vec();
    let first = |tokenizer: &TokenizerFile| {
        LocalModel::new(&model, tokenizer, None).unwrap().loglikelihood(&after("", &["xyz"]))
    };
    for (bos, eos, begin) in [(Some("<s>"), Some("</s>"), 0), (None, Some("</s>"), 1)] {
        tokenizer.bos_token = bos.map(str::to_owned);
        tokenizer.eos_token = eos.map(str::to_owned);
        let found = first(&tokenizer).unwrap()[0];
        assert_eq!((found.likelihood.tokens, found.context_tokens), (3, 1));
        close(found.likelihood.sum, direct(&model, &[&[begin][..], &ids].concat(), 1).0);
    }
    tokenizer.eos_token = None;
    assert!(first(&tokenizer).unwrap_err().to_string().contains("no token begins a text"));
}

/// A text of the tokenizer's plain bytes.
fn text(len: usize) -> String {
    some_ids(len, 23).iter().map(|i| char::from(b'c' + (i % 20) as u8)).collect()
}

#[test]
fn windows_score_every_token_once() {
    let (model, tokenizer) = (model(), tokenizer());
    let mut local = LocalModel::new(&model, &tokenizer, None).unwrap();
    let text = text(100);
    // `</s>` is the only token that could begin a text.
    let ids = [&[1][..], tokenizer.tokenizer.encode(text.as_str(), false).unwrap().get_ids()].concat();
    let mut windows = |window, stride| {
        let request = RollingRequest { text: &text, window, stride };
        local.loglikelihood_rolling(&[request]).unwrap().remove(0)
    };
    // One window that holds all: the plain sum.
    let whole = windows(None, None);
    assert_eq!((whole.windows.len(), whole.total().tokens), (1, 100));
    close(whole.total().sum, direct(&model, &ids, 1).0);
    for (window, stride) in [(32, 8), (32, 32), (40, 39), (2, 1), (7, 3)] {
        let found = windows(Some(window), Some(stride));
        assert_eq!(found.total().tokens, 100, "{window} {stride}");
        let mut scored = 1;
        for likelihood in &found.windows {
            let end = (scored + if scored == 1 { window } else { stride }).min(101);
            let start = (end - 1).saturating_sub(window);
            close(likelihood.sum, direct(&model, &ids[start..end], scored - start).0);
            scored = end;
        }
    }
}

#[test]
fn a_text_longer_than_the_context_is_read_in_windows_of_it() {
    let (model, tokenizer) = (model(), tokenizer());
    let mut local = LocalModel::new(&model, &tokenizer, None).unwrap();
    let text = text(CONTEXT + 50);
    let found = local.loglikelihood_rolling(&[RollingRequest::new(&text), RollingRequest::new("")]).unwrap();
    let tokens: Vec<usize> = found[0].windows.iter().map(|w| w.tokens).collect();
    assert_eq!(tokens, [CONTEXT, 50]);
    assert!(found[1].windows.is_empty());
}

#[test]
fn without_a_token_that_begins_a_text_its_first_is_not_scored() {
    let (model, mut tokenizer) = (model(), tokenizer());
    tokenizer.eos_token = None;
    let mut local = LocalModel::new(&model, &tokenizer, None).unwrap();
    let ids = tokenizer.tokenizer.encode("cdefg", false).unwrap().get_ids().to_vec();
    let found =
        local.loglikelihood_rolling(&[RollingRequest::new("cdefg"), RollingRequest::new("c")]).unwrap();
    assert_eq!(found[0].total().tokens, 4);
    close(found[0].total().sum, direct(&model, &ids, 1).0);
    assert!(found[1].windows.is_empty());
}

/// The one completion of a context.
fn completed(model: &mut dyn LanguageModel, context: &str, options: &GenerateOptions) -> Completion {
    model.generate_until(&[GenerateRequest { context, options }]).unwrap().remove(0)
}

#[test]
fn completions_are_those_of_plain_generation() {
    let (model, tokenizer) = (model(), tokenizer());
    let mut local = LocalModel::new(&model, &tokenizer, None).unwrap();
    let options = GenerateOptions { max_new_tokens: 20, ..GenerateOptions::default() };
    let prompts = ["one two three", "one two four", "one", "one two three"];
    let requests = prompts.map(|context| GenerateRequest { context, options: &options });
    for (prompt, found) in prompts.into_iter().zip(local.generate_until(&requests).unwrap()) {
        let ids = tokenizer.tokenizer.encode(prompt, true).unwrap().get_ids().to_vec();
        let with_stops = GenerateOptions { stop_ids: vec![1], ..options.clone() };
        let go_on = &mut |_: &str| ControlFlow::Continue(());
        let plain = generate_text(&model, &tokenizer.tokenizer, &ids, &with_stops, go_on);
        assert_eq!(found.text, plain.unwrap());
    }
}

#[test]
fn what_ends_a_text_is_not_put_behind_a_context() {
    let (model, mut tokenizer) = (model(), tokenizer());
    let plain = completed(&mut LocalModel::new(&model, &tokenizer, None).unwrap(), "<s>one", &few());
    let frame = tokenizers::processors::template::TemplateProcessing::builder()
        .try_single("<s> $A </s>")
        .unwrap()
        .special_tokens(vec![("<s>", 0), ("</s>", 1)])
        .build()
        .unwrap();
    tokenizer.tokenizer.with_post_processor(Some(frame));
    let framed = completed(&mut LocalModel::new(&model, &tokenizer, None).unwrap(), "one", &few());
    assert_eq!(framed, plain);
}

fn few() -> GenerateOptions {
    GenerateOptions { max_new_tokens: 6, ..GenerateOptions::default() }
}

#[test]
fn a_generator_of_messages_completes_and_scores_nothing() {
    let (model, tokenizer) = (model(), tokenizer());
    let template = camelid_chat::Template::builtin("guanaco").unwrap();
    let mut local = LocalModel::new(&model, &tokenizer, Some(template.clone())).unwrap();
    let generator = LocalGenerator::new(&model, tokenizer.tokenizer.clone(), template).unwrap();
    let mut answers = MessagesOnly(generator);
    let expected = completed(&mut local, "What is a camelid?", &few());
    assert_eq!(completed(&mut answers, "What is a camelid?", &few()), expected);
    let error = answers.loglikelihood(&after("x", &["y"])).unwrap_err().to_string();
    assert!(error.contains("no log-likelihoods"), "{error}");
}
