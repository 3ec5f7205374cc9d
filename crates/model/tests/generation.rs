//! Generation: determinism, stopping, streaming, cancelling.

use std::ops::ControlFlow;

use burn::tensor::Device;
use camelid_chat::{Message, Role, Template};
use camelid_model::generate::{StopReason, TextStream, generate_ids};
use camelid_model::{
    GenerateOptions, Llama, LlamaConfig, LocalGenerator, ModelError, TextGenerator, generate_text,
};
use tokenizers::Tokenizer;

const VOCAB: usize = 260;

/// Bytes, then `<s>` and `</s>`.
fn byte_tokenizer() -> Tokenizer {
    camelid_tests::byte_tokenizer(&["<s>", "</s>"])
}

fn model() -> Llama {
    let config = LlamaConfig {
        vocab_size: VOCAB,
        hidden_size: 32,
        intermediate_size: 64,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 8,
        tie_word_embeddings: false,
        eos_token_ids: vec![257],
        ..LlamaConfig::smollm2_135m()
    };
    Llama::random(&config, 21, &Device::flex())
}

fn sampled(seed: u64) -> GenerateOptions {
    GenerateOptions { temperature: 1.0, seed, max_new_tokens: 40, ..GenerateOptions::default() }
}

fn go(_: u32) -> Result<ControlFlow<()>, ModelError> {
    Ok(ControlFlow::Continue(()))
}

/// Text from a model that knows nothing, shown piece by piece.
fn text(options: &GenerateOptions) -> (String, Vec<String>, StopReason) {
    let tokenizer = byte_tokenizer();
    let mut pieces = Vec::new();
    let generated = generate_text(&model(), &tokenizer, &[0, 40, 41], options, &mut |piece| {
        pieces.push(piece.to_string());
        ControlFlow::Continue(())
    })
    .unwrap();
    (generated.text, pieces, generated.reason)
}

#[test]
fn the_same_seed_gives_the_same_tokens_and_another_gives_others() {
    let model = model();
    let run = |seed| generate_ids(&model, &[0, 5, 6], &sampled(seed), go).unwrap();
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).ids, run(2).ids);
    assert_eq!(run(1).reason, StopReason::Length);
    assert_eq!(run(1).ids.len(), 40);
}

#[test]
fn a_prompt_longer_than_a_prefill_chunk_gives_the_same_as_uncached() {
    let model = model();
    let prompt: Vec<u32> = (0..700).map(|i| (i * 17 + 3) % VOCAB as u32).collect();
    let options = GenerateOptions { max_new_tokens: 3, ..GenerateOptions::default() };
    let generated = generate_ids(&model, &prompt, &options, go).unwrap();
    let mut all: Vec<i64> = prompt.iter().map(|i| i64::from(*i)).collect();
    for id in generated.ids {
        let n = all.len();
        let data = burn::tensor::TensorData::new(all.clone(), [1, n]);
        let ids = burn::tensor::Tensor::from_data(data, &Device::flex());
        let logits = model.forward(ids, &Default::default());
        let last: Vec<f32> = logits.narrow(1, n - 1, 1).into_data().iter::<f32>().collect();
        assert_eq!(id, camelid_model::generate::argmax(&last));
        all.push(i64::from(id));
    }
}

#[test]
fn a_stop_id_ends_generation_and_is_left_out() {
    let model = model();
    let all = generate_ids(&model, &[0, 5], &sampled(3), go).unwrap().ids;
    let stop = all[10];
    let first = all.iter().position(|id| *id == stop).unwrap();
    let options = GenerateOptions { stop_ids: vec![stop], ..sampled(3) };
    let generated = generate_ids(&model, &[0, 5], &options, go).unwrap();
    assert_eq!(generated.ids, all[..first]);
    assert_eq!(generated.reason, StopReason::StopId(stop));
}

#[test]
fn a_stop_string_ends_the_text_before_it_and_no_piece_shows_its_start() {
    let (whole, _, _) = text(&sampled(4));
    // A stop string of several tokens, taken from what the model will write.
    let chars: Vec<char> = whole.chars().collect();
    let at = chars.len() / 2;
    let stop: String = chars[at..at + 3].iter().collect();
    let expected = &whole[..whole.find(&stop).unwrap()];
    let options = GenerateOptions { stop: vec![stop.clone(), "never to be seen".into()], ..sampled(4) };
    let (found, pieces, reason) = text(&options);
    assert_eq!(reason, StopReason::StopString);
    assert_eq!(found, expected);
    assert_eq!(pieces.concat(), expected);
}

#[test]
fn pieces_joined_are_the_text() {
    let (whole, pieces, reason) = text(&sampled(6));
    assert_eq!(pieces.concat(), whole);
    assert!(pieces.len() > 3 && pieces.iter().all(|p| !p.is_empty()));
    assert_eq!(reason, StopReason::Length);
}

#[test]
fn characters_of_several_tokens_are_shown_whole() {
    let tokenizer = byte_tokenizer();
    let expected = "añ 🦙 é";
    let ids = tokenizer.encode(expected, false).unwrap().get_ids().to_vec();
    assert_eq!(ids.len(), expected.len(), "one token per byte");
    let mut stream = TextStream::new(&tokenizer, &[0]);
    let pieces: Vec<String> = ids.iter().map(|id| stream.push(*id).unwrap()).collect();
    assert!(pieces.iter().all(|p| !p.contains('\u{FFFD}') && p.chars().count() <= 1));
    assert_eq!(pieces.concat(), expected);
    assert_eq!(stream.finish().unwrap(), "");

    let mut cut = TextStream::new(&tokenizer, &[0]);
    for id in &ids[..ids.len() - 1] {
        cut.push(*id).unwrap();
    }
    assert_eq!(cut.finish().unwrap(), "\u{FFFD}");
}

#[test]
fn the_callback_can_cancel() {
    let tokenizer = byte_tokenizer();
    let mut shown = 0;
    let generated = generate_text(&model(), &tokenizer, &[0], &sampled(7), &mut |_| {
        shown += 1;
        if shown == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .unwrap();
    assert_eq!((generated.reason, shown), (StopReason::Cancelled, 3));
    assert!(generated.new_tokens.unwrap() < 40);
}

#[test]
fn bad_prompts_and_options_are_refused() {
    let model = model();
    let empty = generate_ids(&model, &[], &sampled(1), go);
    assert!(matches!(empty, Err(ModelError::EmptyPrompt)));
    let message = generate_ids(&model, &[0, 999], &sampled(1), go).unwrap_err().to_string();
    assert_eq!(message, "token id 999 at position 1 is outside the vocabulary of 260");
    let options = GenerateOptions { top_p: 2.0, ..sampled(1) };
    assert!(generate_ids(&model, &[0], &options, go).is_err());
}

#[test]
fn logits_that_are_not_numbers_are_an_error_not_a_token() {
    let mut model = model();
    let broken = model.norm.weight.val() * f32::NAN;
    model.norm.weight = burn::module::Param::from_tensor(broken);
    let error = generate_ids(&model, &[0, 5], &sampled(1), go).unwrap_err();
    assert!(matches!(error, ModelError::NotANumber { position: 2 }));
}

#[test]
fn a_repetition_penalty_changes_what_is_repeated() {
    let model = model();
    let run = |repetition_penalty| {
        let options =
            GenerateOptions { max_new_tokens: 30, repetition_penalty, ..GenerateOptions::default() };
        generate_ids(&model, &[0, 5, 6], &options, go).unwrap().ids
    };
    let distinct = |ids: Vec<u32>| ids.into_iter().collect::<std::collections::BTreeSet<_>>().len();
    assert!(distinct(run(5.0)) > distinct(run(1.0)));
}

#[test]
fn a_local_generator_answers_messages_until_the_template_ends_the_turn() {
    let template = Template::builtin("guanaco").unwrap();
    let generator = LocalGenerator::new(&model(), byte_tokenizer(), template).unwrap();
    let messages = [Message::new(Role::User, "Hello?")];
    let mut streamed = String::new();
    let answer = generator
        .generate(&messages, &sampled(9), &mut |piece| {
            streamed.push_str(piece);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(answer.text, streamed);
    assert!(answer.prompt_tokens.unwrap() > "### Human: Hello?".len());
    // The stop string of another turn ends the answer wherever it comes.
    let first = streamed.chars().next().unwrap().to_string();
    let options = GenerateOptions { stop: vec![first], ..sampled(9) };
    let answer = generator.answer(&messages, &options, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!((answer.text.as_str(), answer.reason), ("", StopReason::StopString));
}

#[test]
fn many_threads_ask_one_generator_and_get_what_each_gets_alone() {
    let template = Template::builtin("guanaco").unwrap();
    let generator = LocalGenerator::new(&model(), byte_tokenizer(), template.clone()).unwrap();
    let ask = |generator: &LocalGenerator, i: u64| {
        let messages = [Message::new(Role::User, format!("Question {i}?"))];
        generator.answer(&messages, &sampled(i), &mut |_| ControlFlow::Continue(())).unwrap()
    };
    let together: Vec<_> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..8)
            .map(|i| {
                scope.spawn({
                    let ask = &ask;
                    let generator = &generator;
                    move || ask(generator, i)
                })
            })
            .collect();
        asking.into_iter().map(|asking| asking.join().unwrap()).collect()
    });
    for (i, answer) in together.iter().enumerate() {
        let alone = LocalGenerator::new(&model(), byte_tokenizer(), template.clone()).unwrap();
        assert_eq!(*answer, ask(&alone, i as u64));
    }
}

#[test]
fn a_generator_ends_where_its_listener_wants_and_goes_on_beyond_the_context() {
    let template = Template::builtin("guanaco").unwrap();
    let generator = LocalGenerator::new(&model(), byte_tokenizer(), template).unwrap();
    let messages = [Message::new(Role::User, "Hello?")];
    let mut pieces = 0;
    let answer = generator.answer(&messages, &sampled(9), &mut |_| {
        pieces += 1;
        if pieces == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let answer = answer.unwrap();
    assert_eq!((answer.reason, pieces), (StopReason::Cancelled, 3));
    assert!(answer.new_tokens.unwrap() < 40);
    // No limit but what is asked for: far more than there are blocks for is generated alone.
    let far = GenerateOptions { max_new_tokens: usize::MAX, stop: vec!["a".into()], ..sampled(9) };
    let answer = generator.answer(&messages, &far, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(matches!(answer.reason, StopReason::StopString | StopReason::StopId(_)));
}
