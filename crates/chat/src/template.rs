//! Templates by name, from data, or from a model's own Jinja source.

use tokenizers::Tokenizer;

use crate::encode;
use crate::jinja::JinjaTemplate;
use crate::layout::{Bos, Layout};
use crate::special_tokens::added_prefix;
use crate::{ChatError, Conversation, Encoded, Rendered, SpecialTokens};

/// Names and definitions of the built-in templates.
const DEFINITIONS: [(&str, &str); 8] = [
    ("guanaco", include_str!("../templates/guanaco.toml")),
    ("vicuna_v0", include_str!("../templates/vicuna_v0.toml")),
    ("vicuna_v1.1", include_str!("../templates/vicuna_v1.1.toml")),
    ("alpaca", include_str!("../templates/alpaca.toml")),
    ("wizardlm", include_str!("../templates/wizardlm.toml")),
    ("chatml", include_str!("../templates/chatml.toml")),
    ("llama-2", include_str!("../templates/llama-2.toml")),
    ("zephyr", include_str!("../templates/zephyr.toml")),
];

/// The names [`Template::builtin`] knows.
pub const BUILTIN_TEMPLATES: [&str; 8] = {
    let mut names = [""; 8];
    let mut i = 0;
    while i < names.len() {
        names[i] = DEFINITIONS[i].0;
        i += 1;
    }
    names
};

/// How a family of models writes a conversation.
///
/// The beginning-of-sequence token is written once: by the template's text
/// where the template does so (llama-2, Jinja), else by the tokenizer if it
/// adds one at all.
#[derive(Debug, Clone)]
pub struct Template {
    name: String,
    definition: String,
    body: Body,
    /// Given by the caller or a model's files; otherwise asked of the tokenizer.
    tokens: Option<SpecialTokens>,
}

#[derive(Debug, Clone)]
enum Body {
    Layout(Box<Layout>),
    Jinja(Box<JinjaTemplate>),
}

impl Template {
    /// A built-in template; see [`BUILTIN_TEMPLATES`].
    ///
    /// # Errors
    /// An unknown name, with the known ones.
    pub fn builtin(name: &str) -> Result<Self, ChatError> {
        let (_, definition) = DEFINITIONS.iter().find(|(known, _)| *known == name).ok_or_else(|| {
            ChatError::UnknownTemplate { name: name.to_string(), known: BUILTIN_TEMPLATES.join(", ") }
        })?;
        Self::from_toml(definition)
    }

    /// A template from a definition like those in this crate's `templates/` folder.
    ///
    /// # Errors
    /// Invalid TOML, an unknown or missing field, or a layout that promises to
    /// write the beginning token and does not.
    pub fn from_toml(definition: &str) -> Result<Self, ChatError> {
        let layout = Layout::parse(definition, "from TOML")?;
        if layout.writes_bos() != (layout.bos == Bos::Text) {
            return Err(ChatError::BadTemplate {
                template: layout.name,
                message: "`bos = \"text\"` and `{bos}` in the strings go together".into(),
            });
        }
        Ok(Self {
            name: layout.name.clone(),
            definition: definition.to_string(),
            body: Body::Layout(Box::new(layout)),
            tokens: None,
        })
    }

    /// A model's own `chat_template`. It is rendered as Hugging Face does
    /// (`trim_blocks`, `lstrip_blocks`, Python's string methods, `tojson`,
    /// `raise_exception`, `strftime_now`, `bos_token`, `eos_token`), and the
    /// tokenizer adds nothing to its text.
    ///
    /// # Errors
    /// A syntax error, with its line.
    pub fn from_jinja(name: &str, source: &str, tokens: SpecialTokens) -> Result<Self, ChatError> {
        Ok(Self {
            name: name.to_string(),
            definition: source.to_string(),
            body: Body::Jinja(Box::new(JinjaTemplate::compile(name, source)?)),
            tokens: Some(tokens),
        })
    }

    /// Fixes the beginning and end tokens instead of asking the tokenizer for
    /// its own ([`SpecialTokens::detect`]).
    pub fn with_special_tokens(mut self, tokens: SpecialTokens) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// The template's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The TOML or Jinja text that defines the template, for caches that key on it.
    pub fn definition(&self) -> &str {
        &self.definition
    }

    /// Writes a conversation. With `add_generation_prompt` the text ends where
    /// the assistant's next reply begins. Where no special tokens were given,
    /// LLaMA's stand in; [`Template::encode`] uses the tokenizer's.
    ///
    /// # Errors
    /// An empty conversation, turns in an order the template forbids, or a
    /// Jinja template that fails or cannot be spanned; each names the
    /// conversation.
    pub fn render(
        &self,
        conversation: &Conversation,
        add_generation_prompt: bool,
    ) -> Result<Rendered, ChatError> {
        let tokens = self.tokens.clone().unwrap_or_else(SpecialTokens::llama);
        self.render_with(conversation, &tokens, add_generation_prompt)
    }

    /// Writes a conversation and tokenises it, whole, once. Each message's
    /// tokens are those whose first byte lies in the message's span. As with
    /// Hugging Face's tokenizers, a special token that a user typed out becomes
    /// that token; it moves no span.
    ///
    /// # Errors
    /// Those of [`Template::render`]; a token the template needs and the
    /// tokenizer lacks; a tokenizer that fails.
    pub fn encode(
        &self,
        conversation: &Conversation,
        tokenizer: &Tokenizer,
        add_generation_prompt: bool,
    ) -> Result<Encoded, ChatError> {
        let tokens = self.tokens_of(tokenizer);
        self.check_tokenizer_with(tokenizer, &tokens)?;
        let rendered = self.render_with(conversation, &tokens, add_generation_prompt)?;
        let prefix = match &self.body {
            Body::Layout(layout) if layout.bos == Bos::Tokenizer => added_prefix(tokenizer),
            _ => Vec::new(),
        };
        encode::encode(&rendered, tokenizer, &prefix, &conversation.id)
    }

    /// Checks that the tokenizer has every token the template needs, so that a
    /// run can fail before it has read its data.
    ///
    /// # Errors
    /// The first missing token, with the template's name.
    pub fn check_tokenizer(&self, tokenizer: &Tokenizer) -> Result<(), ChatError> {
        self.check_tokenizer_with(tokenizer, &self.tokens_of(tokenizer))
    }

    /// Texts at which generation stops: they open another turn.
    pub fn stop_strings(&self) -> &[String] {
        match &self.body {
            Body::Layout(layout) => &layout.stop_strings,
            Body::Jinja(_) => &[],
        }
    }

    /// Token ids at which generation stops: the end-of-sequence token and the
    /// template's own end tokens, as far as the tokenizer has them.
    pub fn stop_ids(&self, tokenizer: &Tokenizer) -> Vec<u32> {
        let tokens = self.tokens_of(tokenizer);
        let own: Vec<&str> = match &self.body {
            Body::Layout(layout) => layout.stop_tokens.iter().map(String::as_str).collect(),
            Body::Jinja(jinja) => jinja.end_markers(),
        };
        let mut ids: Vec<u32> = tokens
            .eos
            .as_deref()
            .into_iter()
            .chain(own)
            .filter_map(|token| tokenizer.token_to_id(token))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    fn tokens_of(&self, tokenizer: &Tokenizer) -> SpecialTokens {
        self.tokens.clone().unwrap_or_else(|| SpecialTokens::detect(tokenizer))
    }

    fn render_with(
        &self,
        conversation: &Conversation,
        tokens: &SpecialTokens,
        add_generation_prompt: bool,
    ) -> Result<Rendered, ChatError> {
        match &self.body {
            Body::Layout(layout) => layout.render(conversation, tokens, add_generation_prompt),
            Body::Jinja(jinja) => jinja.render(conversation, tokens, add_generation_prompt),
        }
    }

    fn check_tokenizer_with(&self, tokenizer: &Tokenizer, tokens: &SpecialTokens) -> Result<(), ChatError> {
        let missing = |token: String| ChatError::MissingToken { template: self.name.clone(), token };
        let need = |token: &Option<String>, what: &str| match token {
            None => Err(missing(format!("that {what} a sequence"))),
            Some(token) if tokenizer.token_to_id(token).is_none() => Err(missing(format!("`{token}`"))),
            Some(_) => Ok(()),
        };
        match &self.body {
            Body::Layout(layout) => {
                if layout.writes_bos() {
                    need(&tokens.bos, "begins")?;
                }
                if layout.writes_eos() {
                    need(&tokens.eos, "ends")?;
                }
                match layout.required_tokens.iter().find(|token| tokenizer.token_to_id(token).is_none()) {
                    Some(token) => Err(missing(format!("`{token}`"))),
                    None => Ok(()),
                }
            }
            Body::Jinja(jinja) => {
                for token in [&tokens.bos, &tokens.eos] {
                    if token.is_some() {
                        need(token, "frames")?;
                    }
                }
                match jinja.end_markers().into_iter().find(|token| tokenizer.token_to_id(token).is_none()) {
                    Some(token) => Err(missing(format!("`{token}`"))),
                    None => Ok(()),
                }
            }
        }
    }
}
