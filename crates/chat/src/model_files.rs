//! What the files beside a model's weights say about conversations: special tokens and templates.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use camelid_files::{FileError, Input};
use serde_json::Value;

use crate::{ChatError, SpecialTokens, Template};

/// The name of the template that is used where none is asked for by name.
pub const DEFAULT_TEMPLATE: &str = "default";

/// Special tokens and chat templates of a Hugging Face folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChatFiles {
    /// The special tokens.
    pub tokens: SpecialTokens,
    /// Templates by name; the usual one is called [`DEFAULT_TEMPLATE`].
    pub templates: BTreeMap<String, String>,
    /// What was decided between files that differ, in words for the user.
    pub notes: Vec<String>,
}

impl ChatFiles {
    /// Reads what `dir` holds of these:
    ///
    /// - `tokenizer_config.json`: `bos_token`, `eos_token` and every other key that ends in `_token`,
    ///   also within an object `extra_special_tokens`, each a text or an object with
    ///   `content`, an empty text being no token; `chat_template`, a text, a list of objects with
    ///   `name` and `template`, or an object of templates by name;
    /// - `special_tokens_map.json`: the tokens that the file above does not name, and all that it
    ///   names otherwise where the file above has no `added_tokens_decoder` (transformers' rule);
    ///   [`SpecialTokens::llama`]'s where neither does and the tokenizer's class is LLaMA's;
    /// - `chat_template.jinja`, else `chat_template.json`: the default template, before the one of
    ///   `tokenizer_config.json`;
    /// - `additional_chat_templates/NAME.jinja`: templates by name.
    ///
    /// # Errors
    /// A file that cannot be read, or JSON of another shape, by file and key.
    pub fn of_folder(dir: &Path) -> Result<Self, ChatError> {
        let config_path = dir.join("tokenizer_config.json");
        let map_path = dir.join("special_tokens_map.json");
        let config = json_if_there(&config_path)?;
        let map = json_if_there(&map_path)?;
        let map_decides = config["added_tokens_decoder"].is_null();
        let mut notes = Vec::new();
        let class = config["tokenizer_class"].as_str().unwrap_or_default().to_ascii_lowercase();
        let llama = ["llamatokenizer", "llamatokenizerfast"].contains(&&class[..]);
        let mut named = |field: &str, usual: Option<&str>| -> Result<Option<String>, ChatError> {
            let own = token(&config, field).map_err(bad(&config_path))?;
            let mapped = token(&map, field).map_err(bad(&map_path))?;
            if let (Some(own), Some(mapped)) = (&own, &mapped)
                && own != mapped
                && !own.is_empty()
            {
                let taken = if map_decides { "the former" } else { "the latter" };
                notes.push(format!(
                    "{}: `{field}` is {mapped:?}, in tokenizer_config.json {own:?}: {taken} is taken",
                    map_path.display()
                ));
            }
            let mapped = mapped.filter(|token| !map_decides || !token.is_empty());
            let stated = if map_decides { mapped.or(own) } else { own.or(mapped) };
            Ok(stated.or(usual.filter(|_| llama).map(str::to_owned)).filter(|token| !token.is_empty()))
        };
        let mut tokens = SpecialTokens {
            bos: named("bos_token", Some("<s>"))?,
            eos: named("eos_token", Some("</s>"))?,
            others: extra_tokens(&config).map_err(bad(&config_path))?,
        };
        tokens.others.extend(extra_tokens(&map).map_err(bad(&map_path))?);
        for field in other_token_fields(&[&config, &map]) {
            if let Some(token) = named(&field, None)? {
                tokens.others.insert(field, token);
            }
        }

        let mut templates = templates(&config["chat_template"]).map_err(bad(&config_path))?;
        let processor_path = dir.join("chat_template.json");
        let processor = json_if_there(&processor_path)?;
        templates.extend(self::templates(&processor["chat_template"]).map_err(bad(&processor_path))?);
        let jinja = dir.join("chat_template.jinja");
        if jinja.exists() {
            templates.insert(DEFAULT_TEMPLATE.to_owned(), Input::open(&jinja)?.text()?);
        }
        let additional = dir.join("additional_chat_templates");
        if additional.is_dir() {
            let unreadable = |cause| FileError::Io { path: additional.clone(), action: "read", cause };
            for entry in std::fs::read_dir(&additional).map_err(unreadable)? {
                let path = entry.map_err(unreadable)?.path();
                if let (Some(name), Some("jinja")) =
                    (path.file_stem().and_then(|n| n.to_str()), path.extension().and_then(|e| e.to_str()))
                {
                    templates.insert(name.to_owned(), Input::open(&path)?.text()?);
                }
            }
        }
        Ok(Self { tokens, templates, notes })
    }

    /// These files laid over those of another folder, as an adapter's over its base's: what they
    /// do not say is taken from `base`.
    #[must_use]
    pub fn over(mut self, base: Self) -> Self {
        self.tokens.bos = self.tokens.bos.or(base.tokens.bos);
        self.tokens.eos = self.tokens.eos.or(base.tokens.eos);
        for (name, token) in base.tokens.others {
            self.tokens.others.entry(name).or_insert(token);
        }
        if self.templates.is_empty() {
            self.templates = base.templates;
        }
        self.notes.extend(base.notes);
        self
    }

    /// The default template, `None` where there is no template at all; `origin` names it in errors.
    ///
    /// # Errors
    /// Several templates with names and none called `default`: the error gives the names, and one of
    /// them must be chosen ([`ChatFiles::named`]). A syntax error.
    pub fn template(&self, origin: &str) -> Result<Option<Template>, ChatError> {
        if self.templates.is_empty() {
            return Ok(None);
        }
        match self.named(DEFAULT_TEMPLATE, origin)? {
            Some(template) => Ok(Some(template)),
            None => {
                let names: Vec<&str> = self.templates.keys().map(String::as_str).collect();
                Err(ChatError::NoDefaultTemplate { origin: origin.to_owned(), names: names.join(", ") })
            }
        }
    }

    /// The template called `name`, if there is one.
    ///
    /// # Errors
    /// A syntax error.
    pub fn named(&self, name: &str, origin: &str) -> Result<Option<Template>, ChatError> {
        let source = self.templates.get(name);
        source.map(|source| Template::from_jinja(origin, source, self.tokens.clone())).transpose()
    }
}

impl Template {
    /// Reads the default chat template of a Hugging Face model directory, with its tokens
    /// ([`ChatFiles::of_folder`]). `None` where the directory has no template.
    ///
    /// # Errors
    /// A file that cannot be read, JSON of another shape, named templates without a default, a
    /// template with a syntax error.
    pub fn from_model_dir(dir: &Path) -> Result<Option<Template>, ChatError> {
        ChatFiles::of_folder(dir)?.template(&dir.join("chat_template").display().to_string())
    }
}

fn bad(path: &Path) -> impl FnOnce(String) -> ChatError {
    move |message| ChatError::BadFile { path: path.to_path_buf(), message }
}

/// The JSON of a file, `null` where there is none.
fn json_if_there(path: &Path) -> Result<Value, ChatError> {
    if !path.exists() {
        return Ok(Value::Null);
    }
    let bytes = Input::open(path)?.bytes()?;
    match camelid_files::json::parse::<Value>(&bytes) {
        Ok((value, _)) if value.is_object() => Ok(value),
        Ok(_) => Err(bad(path)("expected a JSON object".to_owned())),
        Err(error) => Err(bad(path)(camelid_files::json::words(&error))),
    }
}

/// A token given as a text or as an object with `content`; `Some("")` where a file says that there
/// is none.
fn token(config: &Value, field: &str) -> Result<Option<String>, String> {
    match config.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(token)) => Ok(Some(token.clone())),
        Some(Value::Object(token)) => match token.get("content") {
            Some(Value::String(content)) => Ok(Some(content.clone())),
            _ => Err(format!("`{field}` has no text `content`")),
        },
        Some(_) => Err(format!("`{field}` is neither a text nor an object")),
    }
}

/// Keys of special tokens other than those that begin and end a sequence. A key such as
/// `add_bos_token` ends the same way and holds a truth.
fn other_token_fields(files: &[&Value]) -> BTreeSet<String> {
    let fields = files.iter().filter_map(|file| file.as_object()).flatten();
    fields
        .filter(|(name, value)| name.ends_with("_token") && (value.is_string() || value.is_object()))
        .map(|(name, _)| name.clone())
        .filter(|name| name != "bos_token" && name != "eos_token")
        .collect()
}

/// The tokens that `extra_special_tokens` gives names to; a list of tokens without names has none.
fn extra_tokens(file: &Value) -> Result<BTreeMap<String, String>, String> {
    let extra = &file["extra_special_tokens"];
    let names = extra.as_object().into_iter().flatten().map(|(name, _)| name);
    let mut tokens = BTreeMap::new();
    for name in names {
        let found = token(extra, name).map_err(|problem| format!("`extra_special_tokens`: {problem}"))?;
        tokens.extend(found.filter(|token| !token.is_empty()).map(|token| (name.clone(), token)));
    }
    Ok(tokens)
}

/// The templates of a `chat_template` by name.
fn templates(value: &Value) -> Result<BTreeMap<String, String>, String> {
    let expected =
        "expected a text, a list of objects with `name` and `template`, or an object of templates by name";
    let source = |name: &str, source: &Value| match source.as_str() {
        Some(source) => Ok((name.to_owned(), source.to_owned())),
        None => Err(format!("`chat_template`: the template `{name}` is no text; {expected}")),
    };
    match value {
        Value::Null => Ok(BTreeMap::new()),
        Value::String(text) => Ok(BTreeMap::from([(DEFAULT_TEMPLATE.to_owned(), text.clone())])),
        Value::Array(named) if named.is_empty() => {
            Err(format!("`chat_template` is an empty list; {expected}"))
        }
        Value::Array(named) => named
            .iter()
            .map(|entry| match entry["name"].as_str() {
                Some(name) => source(name, &entry["template"]),
                None => Err(format!("`chat_template` has an entry without a `name`; {expected}")),
            })
            .collect(),
        Value::Object(named) => named.iter().map(|(name, value)| source(name, value)).collect(),
        other => Err(format!("`chat_template` is {other}; {expected}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Conversation, Message, Role};

    fn folder(files: &[(&str, Value)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(dir.path().join(name), content.to_string()).unwrap();
        }
        dir
    }

    #[test]
    fn tokens_are_named_in_either_file_and_in_either_form() {
        let config = json!({"bos_token": "", "eos_token": {"content": "</s>", "special": true}});
        let map = json!({"bos_token": {"content": "<s>"}, "eos_token": "<end>"});
        let both =
            folder(&[("tokenizer_config.json", config.clone()), ("special_tokens_map.json", map.clone())]);
        let files = ChatFiles::of_folder(both.path()).unwrap();
        assert_eq!(files.tokens, tokens(Some("<s>"), Some("<end>")));
        assert!(files.notes[0].contains("`eos_token` is \"<end>\""), "{:?}", files.notes);
        // An empty text says that there is none; a file of this form decides.
        let mut newer = config.clone();
        newer["added_tokens_decoder"] = json!({});
        let both = folder(&[("tokenizer_config.json", newer), ("special_tokens_map.json", map.clone())]);
        let files = ChatFiles::of_folder(both.path()).unwrap();
        assert_eq!(files.tokens, tokens(None, Some("</s>")));

        let only_map = folder(&[("special_tokens_map.json", map)]);
        let files = ChatFiles::of_folder(only_map.path()).unwrap();
        assert_eq!(files.tokens, tokens(Some("<s>"), Some("<end>")));

        let class = folder(&[("tokenizer_config.json", json!({"tokenizer_class": "LlamaTokenizerFast"}))]);
        assert_eq!(ChatFiles::of_folder(class.path()).unwrap().tokens, SpecialTokens::llama());
    }

    fn tokens(bos: Option<&str>, eos: Option<&str>) -> SpecialTokens {
        SpecialTokens { bos: bos.map(str::to_owned), eos: eos.map(str::to_owned), ..SpecialTokens::default() }
    }

    #[test]
    fn every_token_that_a_file_names_is_there_for_the_template() {
        let config = json!({
            "add_bos_token": true, "unk_token": "<unk>", "pad_token": {"content": "<pad>"},
            "cls_token": "", "mask_token": null, "image_token": "<image>",
            "extra_special_tokens": {"audio_token": "<audio>", "boi": {"content": "<boi>"}},
            "chat_template": "{{ unk_token }}{{ pad_token }}{{ sep_token }}{{ image_token }}{{ audio_token }}\
                {{ boi }}{% set own_token = 'o' %}{{ own_token }}{{ cls_token }}|{{ messages[0].content }}",
        });
        let dir = folder(&[
            ("tokenizer_config.json", config),
            ("special_tokens_map.json", json!({"sep_token": "<sep>", "pad_token": "<PAD>"})),
        ]);
        let files = ChatFiles::of_folder(dir.path()).unwrap();
        let template = files.template("t").unwrap().unwrap();
        let hello = Conversation { id: "c".into(), messages: vec![Message::new(Role::User, "Hello")] };
        let text = template.render(&hello, false).unwrap().text;
        assert_eq!(text, "<unk><PAD><sep><image><audio><boi>o|Hello");
        assert_eq!(template.unnamed_tokens(), ["cls_token"]);
        assert!(files.notes[0].contains("`pad_token` is \"<PAD>\""), "{:?}", files.notes);

        let bad = folder(&[("tokenizer_config.json", json!({"extra_special_tokens": {"image_token": 3}}))]);
        let said = ChatFiles::of_folder(bad.path()).unwrap_err().to_string();
        assert!(said.contains("`extra_special_tokens`: `image_token` is neither"), "{said}");
    }

    #[test]
    fn templates_come_as_text_list_or_object() {
        for (value, expected) in [
            (json!("d"), "d"),
            (json!([{"name": "rag", "template": "r"}, {"name": "default", "template": "d"}]), "d"),
            (json!({"rag": "r", "default": "d"}), "d"),
        ] {
            let dir = folder(&[("tokenizer_config.json", json!({"chat_template": value}))]);
            let template = ChatFiles::of_folder(dir.path()).unwrap().template("t").unwrap().unwrap();
            assert_eq!(template.definition(), expected);
        }
        for value in [json!(3), json!([]), json!(["d"]), json!({"default": 3}), json!([{"template": "d"}])] {
            let dir = folder(&[("tokenizer_config.json", json!({"chat_template": value}))]);
            let said = ChatFiles::of_folder(dir.path()).unwrap_err().to_string();
            assert!(said.contains("`chat_template`") && said.contains("expected a text"), "{said}");
        }
    }

    #[test]
    fn without_a_default_the_names_are_given() {
        let dir = folder(&[("tokenizer_config.json", json!({"chat_template": {"rag": "r"}}))]);
        std::fs::create_dir(dir.path().join("additional_chat_templates")).unwrap();
        std::fs::write(dir.path().join("additional_chat_templates/tool_use.jinja"), "t").unwrap();
        let files = ChatFiles::of_folder(dir.path()).unwrap();
        let said = files.template("the model").unwrap_err().to_string();
        assert!(said.contains("rag, tool_use"), "{said}");
        assert_eq!(files.named("tool_use", "t").unwrap().unwrap().definition(), "t");
        assert!(files.named("none", "t").unwrap().is_none());
    }

    #[test]
    fn an_adapters_files_go_over_its_bases() {
        let base = ChatFiles {
            tokens: SpecialTokens::llama(),
            templates: BTreeMap::from([("default".into(), "base".into())]),
            notes: Vec::new(),
        };
        assert_eq!(ChatFiles::default().over(base.clone()), base);
        let own = ChatFiles {
            templates: BTreeMap::from([("default".into(), "own".into())]),
            ..ChatFiles::default()
        };
        let both = own.over(base);
        assert_eq!((both.templates["default"].as_str(), both.tokens), ("own", SpecialTokens::llama()));
    }
}
