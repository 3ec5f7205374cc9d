//! Templates by name, from data, or from a model's own Jinja source.

use tokenizers::Tokenizer;

use crate::encode;
use crate::jinja::JinjaTemplate;
use crate::layout::{Bos, Layout};
use crate::special_tokens::added_prefix;
use crate::{ChatError, Conversation, Encoded, Rendered, Role, SpecialTokens};

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
    /// `raise_exception`, `strftime_now`, `bos_token`, `pad_token`, …), and the
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
        encode::encode(&rendered, tokenizer, &self.prefix(tokenizer), &conversation.id)
    }

    /// The prompt of the assistant's next reply, as token ids. A prompt needs no spans, so every
    /// template that renders can be used, those included that drop or move parts of earlier turns.
    ///
    /// # Errors
    /// An empty conversation, turns in an order the template forbids, a Jinja template that fails,
    /// and what [`Template::check_prompt`] finds.
    pub fn prompt(&self, conversation: &Conversation, tokenizer: &Tokenizer) -> Result<Vec<u32>, ChatError> {
        self.check_prompt(tokenizer)?;
        let tokens = self.tokens_of(tokenizer);
        let text = match &self.body {
            Body::Layout(layout) => layout.render(conversation, &tokens, true)?.text,
            Body::Jinja(jinja) => jinja.text(conversation, &tokens, true)?,
        };
        encode::ids(&text, tokenizer, &self.prefix(tokenizer), &conversation.id)
    }

    /// As [`Template::prompt`], of messages as chat APIs write them: objects with `role`, `content` and
    /// whatever else a model's own template reads (`name`, `tool_calls`, `tool_call_id`), and the
    /// functions that the model may call. A built-in template takes `content` alone, and no tools;
    /// `developer` is another name of `system` there.
    ///
    /// # Errors
    /// Those of [`Template::prompt`]; tools or a role that the template has no words for.
    pub fn api_prompt(
        &self,
        messages: &[serde_json::Value],
        tools: &[serde_json::Value],
        tokenizer: &Tokenizer,
    ) -> Result<Vec<u32>, ChatError> {
        const ID: &str = "request";
        let jinja = match &self.body {
            Body::Jinja(jinja) if tools.is_empty() || jinja.uses("tools") => jinja,
            Body::Layout(_) if tools.is_empty() => {
                return self.prompt(&self.plain_messages(ID, messages)?, tokenizer);
            }
            _ => return Err(ChatError::NoTools { template: self.name.clone() }),
        };
        self.check_prompt(tokenizer)?;
        let text = jinja.api_text(ID, messages, tools, &self.tokens_of(tokenizer))?;
        encode::ids(&text, tokenizer, &self.prefix(tokenizer), ID)
    }

    /// Whether the template tells the model of tools.
    pub fn takes_tools(&self) -> bool {
        matches!(&self.body, Body::Jinja(jinja) if jinja.uses("tools"))
    }

    /// Messages of an API as the three roles that a built-in template has words for.
    fn plain_messages(&self, id: &str, messages: &[serde_json::Value]) -> Result<Conversation, ChatError> {
        let mut conversation = Conversation::new(id);
        for message in messages {
            let role = match message["role"].as_str().unwrap_or_default() {
                "system" | "developer" => Role::System,
                "user" => Role::User,
                "assistant" if message.get("tool_calls").is_none() => Role::Assistant,
                "assistant" => return Err(ChatError::NoTools { template: self.name.clone() }),
                other => {
                    let message = format!("it has no words for the role `{other}`");
                    let (conversation, template) = (id.to_owned(), self.name.clone());
                    return Err(ChatError::Refused { conversation, template, message });
                }
            };
            conversation.push(role, message["content"].as_str().unwrap_or_default());
        }
        Ok(conversation)
    }

    /// The ids that the tokenizer puts before the template's text.
    fn prefix(&self, tokenizer: &Tokenizer) -> Vec<u32> {
        match &self.body {
            Body::Layout(layout) if layout.bos == Bos::Tokenizer => added_prefix(tokenizer),
            _ => Vec::new(),
        }
    }

    /// Checks that the tokenizer has what prompts of this template need: the tokens of a built-in
    /// template, the beginning and end token that a Jinja template writes. Other markers of a Jinja
    /// template may be ordinary text ([`Template::textual_markers`]).
    ///
    /// # Errors
    /// The first missing token, with the template's name.
    pub fn check_prompt(&self, tokenizer: &Tokenizer) -> Result<(), ChatError> {
        let tokens = self.tokens_of(tokenizer);
        match &self.body {
            Body::Layout(_) => self.check_tokenizer_with(tokenizer, &tokens),
            Body::Jinja(jinja) => self.check_framing(jinja, tokenizer, &tokens),
        }
    }

    /// The end-of-turn markers that a Jinja template writes and the tokenizer does not hold as one
    /// token: they are spelt out, and a model cannot end its turn by them.
    pub fn textual_markers(&self, tokenizer: &Tokenizer) -> Vec<&'static str> {
        match &self.body {
            Body::Layout(_) => Vec::new(),
            Body::Jinja(jinja) => {
                let mut written = jinja.written_markers(&self.tokens_of(tokenizer));
                written.retain(|marker| tokenizer.token_to_id(marker).is_none());
                written
            }
        }
    }

    /// The special tokens that a Jinja template writes and that no file names: it writes nothing
    /// in their place.
    pub fn unnamed_tokens(&self) -> Vec<&str> {
        let (Body::Jinja(jinja), Some(tokens)) = (&self.body, &self.tokens) else { return Vec::new() };
        let named = |name: &str| match name {
            "bos_token" => tokens.bos.is_some(),
            "eos_token" => tokens.eos.is_some(),
            name => tokens.others.contains_key(name),
        };
        jinja.token_variables().filter(|name| !named(name)).collect()
    }

    /// Checks that the tokenizer has every token that the template writes around messages, so that
    /// a run can fail before it has read its data. Loss spans end at such tokens.
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
        let need = |token: &Option<String>, what: &str| match token {
            None => Err(self.missing(format!("that {what} a sequence"))),
            Some(token) if tokenizer.token_to_id(token).is_none() => Err(self.missing(format!("`{token}`"))),
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
                    Some(token) => Err(self.missing(format!("`{token}`"))),
                    None => Ok(()),
                }
            }
            Body::Jinja(jinja) => {
                self.check_framing(jinja, tokenizer, tokens)?;
                match self.textual_markers(tokenizer).first() {
                    Some(token) => Err(self.missing(format!("`{token}`"))),
                    None => Ok(()),
                }
            }
        }
    }

    /// The beginning and end token must be tokens where a Jinja template writes them.
    fn check_framing(
        &self,
        jinja: &JinjaTemplate,
        tokenizer: &Tokenizer,
        tokens: &SpecialTokens,
    ) -> Result<(), ChatError> {
        for (name, token) in [("bos_token", &tokens.bos), ("eos_token", &tokens.eos)] {
            if let Some(token) = token
                && jinja.uses(name)
                && tokenizer.token_to_id(token).is_none()
            {
                return Err(self.missing(format!("`{token}`")));
            }
        }
        Ok(())
    }

    fn missing(&self, token: String) -> ChatError {
        ChatError::MissingToken { template: self.name.clone(), token }
    }
}
