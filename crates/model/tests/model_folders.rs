//! Hugging Face folders as they are met: what their files say only together.

use std::fs;
use std::path::Path;

use burn::tensor::{Device, Int, Tensor};
use camelid_lora::ForwardContext;
use camelid_model::{
    Llama, LlamaConfig, LoadNote, LoadedTensor, TokenizerFile, WeightSource, WeightStorage, load_notes,
    open_weights,
};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

/// From a tensor's name to the one that it is stored under.
type Rename<'a> = &'a dyn Fn(&str) -> String;
/// A tensor for a file.
type Part = (String, Vec<usize>, Vec<f32>);

fn config() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 24, "hidden_size": 8,
        "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
        "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 1
    })
}

/// The tensors of a random model of this configuration.
fn parts(config: &Value, seed: u64) -> Vec<Part> {
    let config = LlamaConfig::from_value(config, "the test").unwrap();
    let dir = tempfile::tempdir().unwrap();
    Llama::random_with_std(&config, 0.3, seed, &Device::flex()).save_safetensors(dir.path()).unwrap();
    let source = open_weights(dir.path()).unwrap();
    let part = |name: String| match source.read(&name).unwrap() {
        LoadedTensor::Dense { shape, values, .. } => (name, shape, values),
        LoadedTensor::Quantized(_) => panic!("{name} is packed"),
    };
    source.names().into_iter().map(part).collect()
}

fn save(path: &Path, parts: &[Part]) {
    let bytes: Vec<Vec<u8>> =
        parts.iter().map(|(_, _, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let views = parts.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn folder(config: &Value, parts: &[Part]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    save(&dir.path().join("model.safetensors"), parts);
    dir
}

fn logits(source: &dyn WeightSource) -> Vec<f32> {
    let model = Llama::load(source, &WeightStorage::F32, &Device::flex()).unwrap();
    let ids = Tensor::<2, Int>::from_ints([[3, 1, 4, 1, 5]], &Device::flex());
    model.forward(ids, &ForwardContext::evaluation()).into_data().iter::<f32>().collect()
}

/// Logits and notes of a folder.
fn opened(dir: &Path) -> (Vec<f32>, Vec<LoadNote>) {
    let source = open_weights(dir).unwrap();
    (logits(source.as_ref()), load_notes(source.as_ref()).unwrap())
}

fn renamed(parts: &[Part], name: impl Fn(&str) -> String) -> Vec<Part> {
    parts.iter().map(|(old, shape, values)| (name(old), shape.clone(), values.clone())).collect()
}

fn tied() -> Value {
    let mut config = config();
    config["tie_word_embeddings"] = true.into();
    config
}

#[test]
fn a_head_of_its_own_is_used_whatever_the_flag_says() {
    let parts = parts(&config(), 1);
    let (untied, notes) = opened(folder(&config(), &parts).path());
    assert_eq!(notes, []);
    let flagged = folder(&tied(), &parts);
    let (found, notes) = opened(flagged.path());
    assert_eq!(found, untied);
    assert!(matches!(notes[..], [LoadNote::HeadOfItsOwn { .. }]), "{notes:?}");
    assert!(!open_weights(flagged.path()).unwrap().config().unwrap().tie_word_embeddings);

    // In shards, and where the two differ in the last value only.
    let mut nearly = parts.clone();
    let embedding = nearly.iter().find(|(name, ..)| name.contains("embed")).unwrap().2.clone();
    let head = nearly.iter_mut().find(|(name, ..)| name == "lm_head.weight").unwrap();
    head.2 = embedding;
    *head.2.last_mut().unwrap() += 1.0;
    let dir = folder(&tied(), &nearly);
    fs::remove_file(dir.path().join("model.safetensors")).unwrap();
    let shards: Vec<&[Part]> = nearly.chunks(nearly.len() / 2 + 1).collect();
    let mut map = serde_json::Map::new();
    for (i, shard) in shards.iter().enumerate() {
        let name = format!("model-{i}.safetensors");
        save(&dir.path().join(&name), shard);
        map.extend(shard.iter().map(|(tensor, ..)| (tensor.clone(), json!(name))));
    }
    fs::write(dir.path().join("model.safetensors.index.json"), json!({"weight_map": map}).to_string())
        .unwrap();
    assert!(!open_weights(dir.path()).unwrap().config().unwrap().tie_word_embeddings);
}

#[test]
fn of_a_tied_model_either_copy_will_do() {
    let parts = parts(&tied(), 2);
    let (right, _) = opened(folder(&tied(), &parts).path());
    let only_head = renamed(&parts, |name| name.replace("model.embed_tokens.weight", "lm_head.weight"));
    let (found, notes) = opened(folder(&tied(), &only_head).path());
    assert_eq!(found, right);
    assert!(matches!(notes[..], [LoadNote::EmbeddingFromHead { .. }]), "{notes:?}");
    let mut both = parts.clone();
    both.extend(only_head.into_iter().filter(|(name, ..)| name == "lm_head.weight"));
    assert_eq!(opened(folder(&tied(), &both).path()), (right, vec![]), "an equal copy is no news");
}

#[test]
fn names_with_another_prefix_are_understood() {
    let parts = parts(&config(), 3);
    let (right, _) = opened(folder(&config(), &parts).path());
    let bare = |name: &str| name.trim_start_matches("model.").to_owned();
    let rules: [(&str, Rename); 4] = [
        ("none", &bare),
        ("compiled", &|name| format!("_orig_mod.{name}")),
        ("parallel and compiled", &|name| format!("module._orig_mod.{name}")),
        ("another", &|name| format!("policy.{name}")),
    ];
    for (what, rule) in rules {
        let (found, notes) = opened(folder(&config(), &renamed(&parts, rule)).path());
        assert_eq!(found, right, "{what}");
        assert!(matches!(notes[..], [LoadNote::NamesMended { .. }]), "{what}: {notes:?}");
    }
}

#[test]
fn biases_of_q_k_and_v_alone_load() {
    let mut biased = config();
    biased["attention_bias"] = true.into();
    let mut parts = parts(&biased, 4);
    for (name, _, values) in &mut parts {
        if name.ends_with("o_proj.bias") {
            values.fill(0.0);
        } else if name.ends_with(".bias") {
            values.iter_mut().enumerate().for_each(|(i, value)| *value = i as f32 / 7.0);
        }
    }
    let (right, _) = opened(folder(&biased, &parts).path());
    parts.retain(|(name, ..)| !name.ends_with("o_proj.bias"));
    let (found, notes) = opened(folder(&biased, &parts).path());
    assert_eq!(found, right);
    assert!(matches!(notes[..], [LoadNote::NoOutputBias { .. }]), "{notes:?}");
}

#[test]
fn a_whole_file_goes_before_an_index_unless_it_lacks_tensors() {
    let (new, old) = (parts(&config(), 5), parts(&config(), 6));
    let (right, _) = opened(folder(&config(), &new).path());
    let map: serde_json::Map<String, Value> =
        old.iter().map(|(name, ..)| (name.clone(), json!("old.safetensors"))).collect();
    let index = json!({ "weight_map": map }).to_string();
    let dir = folder(&config(), &new);
    fs::write(dir.path().join("model.safetensors.index.json"), &index).unwrap();
    for shards_there in [false, true] {
        if shards_there {
            save(&dir.path().join("old.safetensors"), &old);
        }
        let (found, notes) = opened(dir.path());
        assert_eq!(found, right);
        assert!(matches!(notes[..], [LoadNote::OneOfTwo { .. }]), "{notes:?}");
    }
    save(&dir.path().join("model.safetensors"), &new[..3]);
    let (found, notes) = opened(dir.path());
    assert_eq!(found, opened(folder(&config(), &old).path()).0);
    assert!(notes[0].to_string().contains("lacks tensors"), "{notes:?}");
}

#[test]
fn end_tokens_of_generation_config_replace_the_others() {
    let parts = parts(&config(), 7);
    let dir = folder(&config(), &parts);
    let ends = |content: &str| {
        fs::write(dir.path().join("generation_config.json"), content).unwrap();
        open_weights(dir.path()).unwrap().config().map(|config| config.eos_token_ids)
    };
    assert_eq!(ends(r#"{"eos_token_id": 7}"#).unwrap(), [7]);
    assert_eq!(ends(r#"{"eos_token_id": [5, 7], "temperature": 0.6}"#).unwrap(), [5, 7]);
    assert_eq!(ends(r#"{"eos_token_id": null}"#).unwrap(), [1]);
    assert_eq!(ends(r#"{"temperature": NaN}"#).unwrap(), [1]);
    let said = ends(r#"{"eos_token_id": "x"}"#).unwrap_err().to_string();
    assert!(said.contains("generation_config.json") && said.contains("eos_token_id"), "{said}");
}

#[test]
fn numbers_that_json_lacks_are_noted_or_refused_by_key() {
    let parts = parts(&config(), 8);
    let dir = folder(&config(), &parts);
    let with = |key: &str, value: &str| {
        let text = config().to_string();
        fs::write(dir.path().join("config.json"), format!("{{\"{key}\": {value}, {}", &text[1..])).unwrap();
        open_weights(dir.path())
            .unwrap()
            .config()
            .map(|_| load_notes(open_weights(dir.path()).unwrap().as_ref()))
    };
    let notes = with("extra", "NaN").unwrap().unwrap();
    assert!(notes[0].to_string().contains("config.json: NaN"), "{notes:?}");
    for (key, value) in [("rms_norm_eps", "NaN"), ("rope_theta", "Infinity")] {
        let said = with(key, value).unwrap_err().to_string();
        assert!(said.contains(&format!("`{key}` is NaN, Infinity")), "{said}");
    }
}

#[test]
fn what_is_no_model_says_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let said = |name: &str, content: &str| {
        fs::write(dir.path().join(name), content).unwrap();
        let said = open_weights(dir.path()).unwrap_err().to_string();
        fs::remove_file(dir.path().join(name)).unwrap();
        said
    };
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 269060552\n";
    for name in ["model.safetensors", "model.gguf"] {
        let said = said(name, pointer);
        assert!(said.contains(name) && said.contains("git lfs pull"), "{said}");
    }
    for name in ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "consolidated.00.pth"] {
        let said = said(name, "a pickle");
        assert!(said.contains(name) && said.contains("convert it"), "{said}");
    }
    let said = said("adapter_config.json", r#"{"base_model_name_or_path": "org/base"}"#);
    assert!(
        said.contains("PEFT adapter for the base model `org/base`") && said.contains("--adapter"),
        "{said}"
    );

    fs::write(dir.path().join("tokenizer.json"), pointer).unwrap();
    let said = TokenizerFile::open(dir.path()).unwrap_err().to_string();
    assert!(said.contains("tokenizer.json") && said.contains("git lfs pull"), "{said}");
    fs::remove_file(dir.path().join("tokenizer.json")).unwrap();
    fs::write(dir.path().join("tokenizer.model"), "pieces").unwrap();
    let said = TokenizerFile::open(dir.path()).unwrap_err().to_string();
    assert!(said.contains("tokenizer.model") && said.contains("save_pretrained"), "{said}");
}

/// A byte-level vocabulary of three letters and an end token.
fn tokenizer_folder(files: &[(&str, Value)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let byte_level =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    let tokenizer = json!({
        "version": "1.0", "normalizer": null, "pre_tokenizer": byte_level, "decoder": byte_level,
        "added_tokens": [{"id": 3, "content": "</s>", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true}],
        "model": {"type": "BPE", "vocab": {"a": 0, "<": 1, ">": 2, "</s>": 3}, "merges": []},
    });
    fs::write(dir.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    for (name, content) in files {
        fs::write(dir.path().join(name), content.to_string()).unwrap();
    }
    dir
}

#[test]
fn tokens_of_the_files_beside_it_are_whole_and_have_their_ids() {
    let decoder = |special: bool| {
        json!({"added_tokens_decoder": {
            "3": {"content": "</s>", "special": true}, "9": {"content": "<a>", "special": special}}})
    };
    for (files, special) in [
        (vec![("added_tokens.json", json!({"<a>": 9}))], false),
        (
            vec![
                ("added_tokens.json", json!({"<a>": 9})),
                ("special_tokens_map.json", json!({"additional_special_tokens": ["<a>"]})),
            ],
            true,
        ),
        (vec![("tokenizer_config.json", decoder(true))], true),
        (vec![("tokenizer_config.json", decoder(false)), ("added_tokens.json", json!({"<a>": 9}))], false),
    ] {
        // Ids 4 to 8 are no tokens.
        let dir = tokenizer_folder(&files);
        let tokenizer = TokenizerFile::open(dir.path()).unwrap().tokenizer;
        let ids = tokenizer.encode("a<a>a</s>", false).unwrap().get_ids().to_vec();
        assert_eq!(ids, [0, 9, 0, 3], "{files:?}");
        let shown = if special { "aa" } else { "a<a>a" };
        assert_eq!(tokenizer.decode(&ids, true).unwrap(), shown, "{files:?}");
    }
}

#[test]
fn tokens_with_two_ids_and_ids_with_two_tokens_are_refused() {
    for (files, named) in [
        (vec![("added_tokens.json", json!({"</s>": 9}))], ["\"</s>\"", "9"]),
        (vec![("added_tokens.json", json!({"<b>": 2}))], ["\"<b>\"", "\">\""]),
        (
            vec![("tokenizer_config.json", json!({"added_tokens_decoder": {"7": {"content": "a"}}}))],
            ["\"a\"", "7"],
        ),
        (
            vec![
                ("added_tokens.json", json!({"<b>": 7})),
                ("tokenizer_config.json", json!({"added_tokens_decoder": {"8": {"content": "<b>"}}})),
            ],
            ["\"<b>\"", "8"],
        ),
        (vec![("added_tokens.json", json!({"<b>": "x"}))], ["\"<b>\"", "expected a token id"]),
        (vec![("tokenizer_config.json", json!({"added_tokens_decoder": {"x": {}}}))], ["\"x\"", "`content`"]),
    ] {
        let dir = tokenizer_folder(&files);
        let said = TokenizerFile::open(dir.path()).unwrap_err().to_string();
        assert!(named.iter().all(|part| said.contains(part)), "{files:?}: {said}");
    }
}

#[test]
fn a_special_token_without_an_id_takes_the_next_and_is_noted() {
    let dir = tokenizer_folder(&[("tokenizer_config.json", json!({"pad_token": "<pad>", "bos_token": ""}))]);
    let file = TokenizerFile::open(dir.path()).unwrap();
    assert_eq!(file.tokenizer.token_to_id("<pad>"), Some(4));
    assert!(file.notes[0].to_string().contains("\"<pad>\""), "{:?}", file.notes);
    assert_eq!(file.bos_token, None);
}

#[test]
fn an_adapters_tokenizer_and_template_go_before_its_bases() {
    let base =
        tokenizer_folder(&[("tokenizer_config.json", json!({"chat_template": "base", "eos_token": "</s>"}))]);
    let file = TokenizerFile::open(base.path()).unwrap();
    assert!(file.of_adapter(base.path()).unwrap().is_none(), "the same files");
    let adapter = tempfile::tempdir().unwrap();
    assert!(file.of_adapter(adapter.path()).unwrap().is_none(), "no files");
    fs::write(adapter.path().join("chat_template.jinja"), "own").unwrap();
    let own = file.of_adapter(adapter.path()).unwrap().unwrap();
    assert_eq!((own.chat_template.as_deref(), own.eos_token.as_deref()), (Some("own"), Some("</s>")));
    assert!(own.notes[0].to_string().contains("chat template saved with the adapter"), "{:?}", own.notes);
    let other = tokenizer_folder(&[("added_tokens.json", json!({"<a>": 4}))]);
    let own = file.of_adapter(other.path()).unwrap().unwrap();
    assert_eq!(own.tokenizer.token_to_id("<a>"), Some(4));
    assert_eq!(own.chat_template.as_deref(), Some("base"));
}

#[test]
fn what_is_there_instead_is_named_and_a_gguf_file_needs_no_ending() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("config.json"), config().to_string()).unwrap();
    fs::write(at("tf_model.h5"), "x").unwrap();
    fs::write(at("tekken.json"), "{}").unwrap();
    let said = open_weights(dir.path()).unwrap_err().to_string();
    assert!(said.contains("of another library only (tf_model.h5)"), "{said}");
    let said = TokenizerFile::open(dir.path()).unwrap_err().to_string();
    assert!(said.contains("it has tekken.json, which is not read"), "{said}");

    fs::write(at("blob"), b"GGUF\x03\0\0\0").unwrap();
    for said in [
        open_weights(&at("blob")).unwrap_err().to_string(),
        TokenizerFile::open(&at("blob")).unwrap_err().to_string(),
    ] {
        assert!(said.contains("blob") && !said.contains("no known kind") && !said.contains("JSON"), "{said}");
    }
}
