//! An engine that runs by itself: events to their listeners, cancelling, ending.

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, channel};

use burn::tensor::Device;
use camelid_chat::StopReason;
use camelid_model::{
    Constraint, Engine, EngineEvent, EngineOptions, EngineRequest, EngineThread, Finished, GenerateOptions,
    Llama, LlamaConfig, ModelError,
};

fn engine() -> Engine {
    let config = LlamaConfig {
        vocab_size: 260,
        hidden_size: 32,
        intermediate_size: 64,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 8,
        max_position_embeddings: 4096,
        ..LlamaConfig::smollm2_135m()
    };
    let model = Llama::random_with_std(&config, 0.2, 21, &Device::flex());
    let tokenizer = camelid_tests::byte_tokenizer(&["<s>", "</s>"]);
    Engine::new(&model, tokenizer, EngineOptions::default()).unwrap()
}

fn request(seed: u32, max_new_tokens: usize) -> EngineRequest {
    let options = GenerateOptions { max_new_tokens, temperature: 1.0, ..GenerateOptions::default() };
    EngineRequest::new(vec![seed, 5, 6], options)
}

/// The text and end of a request.
fn ask(engine: &EngineThread, request: EngineRequest) -> Receiver<EngineEvent> {
    let (events, received) = channel();
    let send = move |event| match events.send(event) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    };
    engine.submit(request, send).unwrap();
    received
}

fn collect(events: &Receiver<EngineEvent>) -> (String, Finished) {
    let mut all = String::new();
    for event in events.iter() {
        match event {
            EngineEvent::Text { text, .. } => all += &text,
            EngineEvent::Done(done) => return (all, done),
            EngineEvent::Failed(error) => panic!("{error}"),
            EngineEvent::Prompt { .. } => {}
        }
    }
    panic!("the last event is missing");
}

#[test]
fn several_threads_ask_one_engine_and_each_gets_its_own_answer() {
    let thread = EngineThread::start(engine());
    let answers: Vec<_> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..6)
            .map(|i| {
                let thread = thread.clone();
                scope.spawn(move || collect(&ask(&thread, request(i, 40))))
            })
            .collect();
        asking.into_iter().map(|asking| asking.join().unwrap()).collect()
    });
    for (i, (text, done)) in answers.iter().enumerate() {
        assert_eq!(done.reason, StopReason::Length);
        assert_eq!(*text, collect(&ask(&EngineThread::start(engine()), request(i as u32, 40))).0);
    }
    assert_eq!(thread.load().finished, 6);
    thread.finish();
}

#[test]
fn a_listener_that_left_ends_its_sequence_alone() {
    let thread = EngineThread::start(engine());
    let gone = ask(&thread, request(1, 4000));
    let stays = ask(&thread, request(2, 200));
    assert!(matches!(gone.recv(), Ok(EngineEvent::Prompt { .. })));
    drop(gone);
    assert_eq!(collect(&stays).1.reason, StopReason::Length);
    thread.finish();
    let load = thread.load();
    assert_eq!((load.finished, load.running, load.blocks_used), (2, 0, 0));
    assert!(load.new_tokens < 4000, "{load:?}");
}

#[test]
fn a_cancelled_sequence_is_told_so() {
    let thread = EngineThread::start(engine());
    let (events, received) = channel();
    let listener = move |event| {
        events.send(event).unwrap();
        ControlFlow::Continue(())
    };
    let id = thread.submit(request(1, 4000), listener).unwrap();
    thread.cancel(id);
    assert_eq!(collect(&received).1.reason, StopReason::Cancelled);
}

#[test]
fn an_engine_finishes_what_it_has_or_stops_at_once_and_takes_nothing_after() {
    let thread = EngineThread::start(engine());
    let answer = ask(&thread, request(3, 100));
    thread.finish();
    assert_eq!(collect(&answer).1.new_tokens, 100);
    let refused = thread.submit(request(1, 1), |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(refused, ModelError::EngineEnded));
    assert!(matches!(thread.embed(&[1]), Err(ModelError::EngineEnded)));

    let thread = EngineThread::start(engine());
    let answer = ask(&thread, request(3, 4000));
    thread.stop();
    assert_eq!(collect(&answer).1.reason, StopReason::Cancelled);
}

#[test]
fn a_request_that_cannot_run_is_refused_where_it_is_made() {
    let thread = EngineThread::start(engine());
    let refused = thread.submit(request(999, 1), |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(refused, ModelError::TokenOutOfRange { id: 999, .. }));
    assert_eq!(thread.embed(&[1, 2]).unwrap().len(), 32);
    assert_eq!(thread.context(), 4096);
}

#[test]
fn a_constraint_is_checked_without_a_sequence() {
    let thread = EngineThread::start(engine());
    thread.check_constraint(&Constraint::Regex("[a-z]+".into())).unwrap();
    for wrong in [Constraint::Regex("(".into()), Constraint::Lark("start: nothing".into())] {
        let refused = thread.check_constraint(&wrong).unwrap_err();
        assert!(matches!(refused, ModelError::Constraint { .. }), "{refused}");
    }
    thread.finish();
    let load = thread.load();
    assert_eq!((load.finished, load.steps), (0, 0), "{load:?}");
}
