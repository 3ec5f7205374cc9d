//! What each built-in template writes, turn by turn.

use camelid_chat::{BUILTIN_TEMPLATES, ChatError, Conversation, Role, Template};

fn talk(messages: &[(Role, &str)]) -> Conversation {
    let mut talk = Conversation::new("t");
    for (role, content) in messages {
        talk.push(*role, *content);
    }
    talk
}

fn two_turns() -> Conversation {
    talk(&[
        (Role::User, "Hi"),
        (Role::Assistant, "Hello!"),
        (Role::User, "Bye"),
        (Role::Assistant, "See you."),
    ])
}

const V0: &str = "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers to the human's questions.";
const V1: &str = "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers to the user's questions.";
const ALPACA: &str = "Below is an instruction that describes a task. Write a response that appropriately completes the request.";

#[test]
fn two_turns_in_every_template() {
    let expected = [
        ("guanaco", "### Human: Hi### Assistant: Hello!### Human: Bye### Assistant: See you.</s>".to_string()),
        ("vicuna_v0", format!("{V0}\n\n### Human: Hi\n### Assistant: Hello!\n### Human: Bye\n### Assistant: See you.\n###")),
        ("vicuna_v1.1", format!("{V1} USER: Hi ASSISTANT: Hello!</s>USER: Bye ASSISTANT: See you.</s>")),
        ("alpaca", format!("{ALPACA}\n\n### Instruction:\nHi\n\n### Response:Hello!</s>### Instruction:\nBye\n\n### Response:See you.</s>")),
        ("wizardlm", "Hi\n\n### Response:Hello!</s>Bye\n\n### Response:See you.</s>".to_string()),
        ("chatml", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello!<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\nSee you.<|im_end|>\n".to_string()),
        ("llama-2", "<s>[INST] Hi [/INST] Hello! </s><s>[INST] Bye [/INST] See you. </s>".to_string()),
        ("zephyr", "<|user|>\nHi</s>\n<|assistant|>\nHello!</s>\n<|user|>\nBye</s>\n<|assistant|>\nSee you.</s>\n".to_string()),
    ];
    assert_eq!(expected.len(), BUILTIN_TEMPLATES.len());
    for (name, text) in expected {
        let template = Template::builtin(name).unwrap();
        let rendered = template.render(&two_turns(), false).unwrap();
        assert_eq!(rendered.text, text, "{name}");
    }
}

#[test]
fn a_system_message_replaces_the_default() {
    let talk = talk(&[(Role::System, "Be brief."), (Role::User, "Hi")]);
    let expected = [
        ("guanaco", "Be brief.\n### Human: Hi### Assistant:"),
        ("vicuna_v0", "Be brief.\n\n### Human: Hi\n### Assistant:"),
        ("vicuna_v1.1", "Be brief. USER: Hi ASSISTANT:"),
        ("alpaca", "Be brief.\n\n### Instruction:\nHi\n\n### Response:"),
        ("wizardlm", "Be brief.\n\nHi\n\n### Response:"),
        (
            "chatml",
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
        ),
        ("llama-2", "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST]"),
        ("zephyr", "<|system|>\nBe brief.</s>\n<|user|>\nHi</s>\n<|assistant|>\n"),
    ];
    for (name, text) in expected {
        let template = Template::builtin(name).unwrap();
        assert_eq!(template.render(&talk, true).unwrap().text, text, "{name}");
    }
}

#[test]
fn an_answer_begins_where_the_generation_prompt_ends() {
    let whole = two_turns();
    for name in BUILTIN_TEMPLATES {
        let template = Template::builtin(name).unwrap();
        let rendered = template.render(&whole, false).unwrap();
        for turn in [1, 3] {
            let mut before = whole.clone();
            before.messages.truncate(turn);
            let prompt = template.render(&before, true).unwrap().text;
            let span = rendered.spans[turn];
            assert_eq!(&rendered.text[..span.start], prompt, "{name}");
            let said = &rendered.text[span.start..span.end];
            assert!(said.contains(&whole.messages[turn].content), "{name}: {said:?}");
            assert!(said.trim_start().starts_with(&whole.messages[turn].content), "{name}");
        }
    }
}

#[test]
fn an_answer_ends_with_its_end_token() {
    let ends = [
        ("guanaco", ["###", "</s>"]),
        ("vicuna_v0", ["\n###", "\n###"]),
        ("vicuna_v1.1", ["</s>", "</s>"]),
        ("alpaca", ["</s>", "</s>"]),
        ("wizardlm", ["</s>", "</s>"]),
        ("chatml", ["<|im_end|>", "<|im_end|>"]),
        ("llama-2", [" </s>", " </s>"]),
        ("zephyr", ["</s>", "</s>"]),
    ];
    for (name, ends) in ends {
        let rendered = Template::builtin(name).unwrap().render(&two_turns(), false).unwrap();
        for (turn, end) in [1, 3].into_iter().zip(ends) {
            let span = rendered.spans[turn];
            let said = rendered.text[span.start..span.end].trim_start();
            assert_eq!(said, format!("{}{end}", two_turns().messages[turn].content), "{name}");
        }
    }
}

#[test]
fn two_users_in_a_row_are_refused_where_turns_alternate() {
    let talk = talk(&[(Role::User, "a"), (Role::User, "b"), (Role::Assistant, "c")]);
    for name in BUILTIN_TEMPLATES {
        let result = Template::builtin(name).unwrap().render(&talk, false);
        match name {
            "chatml" | "zephyr" => assert_eq!(result.unwrap().spans.len(), 3),
            _ => {
                let error = result.unwrap_err();
                assert!(matches!(error, ChatError::RoleOrder { message: 1, .. }), "{name}");
                assert!(error.to_string().contains("`t`"), "{error}");
            }
        }
    }
}

#[test]
fn misplaced_turns_are_refused() {
    let guanaco = Template::builtin("guanaco").unwrap();
    let late_system = talk(&[(Role::User, "a"), (Role::System, "b")]);
    assert!(matches!(
        guanaco.render(&late_system, false),
        Err(ChatError::RoleOrder { message: 1, found: Role::System, expected: Role::Assistant, .. })
    ));
    let assistant_first = talk(&[(Role::Assistant, "a")]);
    assert!(matches!(guanaco.render(&assistant_first, false), Err(ChatError::RoleOrder { message: 0, .. })));
    assert!(matches!(guanaco.render(&two_turns(), true), Err(ChatError::RoleOrder { message: 4, .. })));
    assert!(matches!(guanaco.render(&talk(&[]), false), Err(ChatError::Empty { .. })));
}

#[test]
fn an_unknown_name_lists_the_known_ones() {
    let error = Template::builtin("vicuna").unwrap_err().to_string();
    assert!(error.contains("`vicuna`") && error.contains("vicuna_v1.1"), "{error}");
}

#[test]
fn an_unknown_field_in_a_definition_is_refused() {
    let definition = Template::builtin("guanaco").unwrap().definition().replace("lead =", "led =");
    let error = Template::from_toml(&definition).unwrap_err().to_string();
    assert!(error.contains("led"), "{error}");
    let definition = Template::builtin("llama-2").unwrap().definition().replace("\"text\"", "\"tokenizer\"");
    assert!(matches!(Template::from_toml(&definition), Err(ChatError::BadTemplate { .. })));
}

#[test]
fn placeholders_in_messages_are_left_alone() {
    let talk = talk(&[(Role::User, "{eos}{bos}"), (Role::Assistant, "{eos}")]);
    let text = Template::builtin("vicuna_v1.1").unwrap().render(&talk, false).unwrap().text;
    assert!(text.ends_with("USER: {eos}{bos} ASSISTANT: {eos}</s>"), "{text}");
}
