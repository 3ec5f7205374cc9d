//! The fields that chats and completions have in common.

use std::collections::BTreeMap;

use camelid_model::GenerateOptions;
use serde::Deserialize;
use serde_json::Value;

use super::fields::Fields;
use crate::error::ServeError;

/// Most answers to one request.
pub const MOST_CHOICES: usize = 128;
/// Most stop strings of one request. OpenAI's limit is 4; local clients send more.
const MOST_STOPS: usize = 16;
/// Most alternatives of a token.
pub const MOST_LOGPROBS: usize = 20;

/// How to sample, how much, and how to send it.
#[derive(Clone, Debug)]
pub struct Sampling {
    /// The model asked for; empty where none was named.
    pub model: String,
    /// Settings of generation. `max_new_tokens` is left to [`Sampling::max_tokens`].
    pub options: GenerateOptions,
    /// Most new tokens, `None` for as many as there is room for.
    pub max_tokens: Option<usize>,
    /// How many answers.
    pub n: usize,
    /// Added to logits, by token id.
    pub logit_bias: Vec<(u32, f32)>,
    /// Taken off the logit of every token that is in the answer already.
    pub presence_penalty: f32,
    /// The same, times how often it is.
    pub frequency_penalty: f32,
    /// Whether the answer comes piece by piece.
    pub stream: bool,
    /// How it does.
    pub stream_options: StreamOptions,
    /// What the answer's text has to be.
    pub response_format: ResponseFormat,
}

/// How a stream is written.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct StreamOptions {
    /// Whether a last chunk has the counts of tokens.
    #[serde(default)]
    pub include_usage: bool,
}

/// What the answer's text has to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ResponseFormat {
    /// Any text.
    #[default]
    Text,
    /// Some JSON object.
    JsonObject,
    /// JSON of this schema.
    JsonSchema(Value),
    /// A text that this regular expression matches (vLLM's `guided_regex`).
    Regex(String),
    /// A text of this grammar, in Lark's syntax (vLLM's `guided_grammar`).
    Grammar(String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Stop {
    One(String),
    Many(Vec<String>),
}

impl Sampling {
    /// Reads the fields. `default_max` is how many tokens a request without a limit gets.
    ///
    /// # Errors
    /// Names the field that is not what it should be.
    pub fn read(fields: &mut Fields, default_max: Option<usize>) -> Result<Self, ServeError> {
        let defaults = GenerateOptions::default();
        let model = fields.take("model", "the name of a model")?.unwrap_or_default();
        let stop = match fields.take("stop", "a text or a list of texts")? {
            None => Vec::new(),
            Some(Stop::One(stop)) => vec![stop],
            Some(Stop::Many(stops)) => stops,
        };
        if stop.len() > MOST_STOPS {
            let found = format!("a list of {}", stop.len());
            return Err(fields.wrong("stop", &found, &format!("at most {MOST_STOPS} texts")));
        }
        if stop.iter().any(String::is_empty) {
            return Err(fields.wrong("stop", "an empty text", "texts of at least one character"));
        }
        let seed: Option<i128> = fields.take("seed", "a whole number")?;
        // Every 64-bit number is a seed, the negative ones too.
        let seed = seed.map_or_else(rand::random, |seed| seed as u64);
        let options = GenerateOptions {
            temperature: fields.number("temperature", 0.0, 2.0)?.unwrap_or(1.0),
            top_p: match fields.number("top_p", 0.0, 1.0)? {
                // OpenAI's range holds 0, which leaves the likeliest token alone.
                Some(top_p) => top_p.max(f32::MIN_POSITIVE),
                None => 1.0,
            },
            top_k: top_k(fields)?,
            min_p: fields.number("min_p", 0.0, 1.0)?.unwrap_or(defaults.min_p),
            repetition_penalty: fields.number("repetition_penalty", 0.01, 100.0)?.unwrap_or(1.0),
            stop,
            stop_ids: fields.take("stop_token_ids", "a list of token ids")?.unwrap_or_default(),
            seed,
            ..defaults
        };
        let first = fields.count("max_completion_tokens", 0, usize::MAX)?;
        let second = fields.count("max_tokens", 0, usize::MAX)?;
        let stream_options = fields.take("stream_options", "an object with `include_usage`")?;
        let stream = fields.take("stream", "true or false")?.unwrap_or(false);
        Ok(Self {
            model,
            options,
            max_tokens: first.or(second).or(default_max),
            n: fields.count("n", 1, MOST_CHOICES)?.unwrap_or(1),
            logit_bias: logit_bias(fields)?,
            presence_penalty: fields.number("presence_penalty", -2.0, 2.0)?.unwrap_or(0.0),
            frequency_penalty: fields.number("frequency_penalty", -2.0, 2.0)?.unwrap_or(0.0),
            stream,
            stream_options: stream_options.unwrap_or_default(),
            response_format: response_format(fields)?,
        })
    }

    /// The seed of choice `index`; that of the first is the request's own.
    pub fn seed_of(&self, index: usize) -> u64 {
        // Odd steps visit all 64-bit numbers, far from the neighbours that other requests ask for.
        self.options.seed.wrapping_add((index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }
}

/// -1 and 0 keep all tokens.
fn top_k(fields: &mut Fields) -> Result<usize, ServeError> {
    let expected = "a whole number from -1";
    match fields.take::<i64>("top_k", expected)? {
        None | Some(-1) => Ok(0),
        Some(k) => usize::try_from(k).map_err(|_| fields.wrong("top_k", &k.to_string(), expected)),
    }
}

fn logit_bias(fields: &mut Fields) -> Result<Vec<(u32, f32)>, ServeError> {
    let expected = "an object of numbers from -100 to 100 by token id";
    let biases: BTreeMap<String, f64> = fields.take("logit_bias", expected)?.unwrap_or_default();
    let read = |(id, bias): (&String, &f64)| match id.parse() {
        Ok(id) if (-100.0..=100.0).contains(bias) => Ok((id, *bias as f32)),
        _ => Err(fields.wrong("logit_bias", &format!("{{\"{id}\": {bias}}}"), expected)),
    };
    biases.iter().map(read).collect()
}

fn response_format(fields: &mut Fields) -> Result<ResponseFormat, ServeError> {
    if let Some(pattern) = fields.take("guided_regex", "a regular expression")? {
        return Ok(ResponseFormat::Regex(pattern));
    }
    if let Some(grammar) = fields.take("guided_grammar", "a grammar in Lark's syntax")? {
        return Ok(ResponseFormat::Grammar(grammar));
    }
    if let Some(schema) = fields.value("guided_json") {
        return Ok(ResponseFormat::JsonSchema(schema));
    }
    let Some(value) = fields.value("response_format") else { return Ok(ResponseFormat::Text) };
    let mut format = Fields::of_part(value, "response_format")?;
    let expected = "text, json_object or json_schema";
    match format.take::<String>("type", expected)?.as_deref() {
        Some("text") => Ok(ResponseFormat::Text),
        // llama.cpp takes a schema here.
        Some("json_object") => {
            Ok(format.value("schema").map_or(ResponseFormat::JsonObject, ResponseFormat::JsonSchema))
        }
        Some("json_schema") => {
            let named = format
                .value("json_schema")
                .ok_or_else(|| format.missing("json_schema", "an object with `schema`"))?;
            let mut named = Fields::of_part(named, "response_format.json_schema")?;
            let schema = named.value("schema").ok_or_else(|| named.missing("schema", "a JSON schema"))?;
            Ok(ResponseFormat::JsonSchema(schema))
        }
        Some(other) => Err(format.wrong("type", &format!("\"{other}\""), expected)),
        None => Err(format.missing("type", expected)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: Value) -> Result<Sampling, String> {
        let mut fields = Fields::of_body(body.to_string().as_bytes()).unwrap();
        Sampling::read(&mut fields, Some(16)).map_err(|error| error.to_string())
    }

    #[test]
    fn max_completion_tokens_goes_before_max_tokens() {
        assert_eq!(read(json!({})).unwrap().max_tokens, Some(16));
        assert_eq!(read(json!({"max_tokens": 3})).unwrap().max_tokens, Some(3));
        let both = json!({"max_tokens": 3, "max_completion_tokens": 5});
        assert_eq!(read(both).unwrap().max_tokens, Some(5));
    }

    #[test]
    fn a_stop_is_a_text_or_a_list_and_never_empty() {
        assert_eq!(read(json!({"stop": "a"})).unwrap().options.stop, ["a"]);
        assert_eq!(read(json!({"stop": ["a", "b"]})).unwrap().options.stop, ["a", "b"]);
        assert!(read(json!({"stop": ["a", ""]})).unwrap_err().contains("`stop`"));
        assert!(read(json!({"stop": vec!["x"; 17]})).unwrap_err().contains("at most 16"));
        assert!(read(json!({"stop": 3})).unwrap_err().contains("`stop` is 3"));
    }

    #[test]
    fn every_seed_counts_and_each_choice_has_its_own() {
        let of = |seed: i64| read(json!({"seed": seed})).unwrap();
        assert_eq!(of(7).seed_of(0), 7);
        assert_eq!(of(-1).seed_of(0), u64::MAX);
        assert_ne!(of(7).seed_of(1), of(8).seed_of(0));
        assert_eq!(of(7).seed_of(3), of(7).seed_of(3));
    }

    #[test]
    fn biases_are_by_token_id_and_within_their_range() {
        let biases = read(json!({"logit_bias": {"50256": -100, "7": 1.5}})).unwrap().logit_bias;
        assert_eq!(biases, [(50256, -100.0), (7, 1.5)]);
        for bad in [json!({"hello": 1}), json!({"7": 101}), json!([1])] {
            assert!(read(json!({"logit_bias": bad})).unwrap_err().contains("`logit_bias`"));
        }
    }

    #[test]
    fn a_response_format_is_read_in_each_of_its_forms() {
        let of = |format: Value| read(json!({"response_format": format})).map(|read| read.response_format);
        assert_eq!(of(json!({"type": "text"})).unwrap(), ResponseFormat::Text);
        assert_eq!(of(json!({"type": "json_object"})).unwrap(), ResponseFormat::JsonObject);
        let schema = json!({"type": "object"});
        let named = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}});
        assert_eq!(of(named).unwrap(), ResponseFormat::JsonSchema(schema));
        assert!(of(json!({"type": "xml"})).unwrap_err().contains("`response_format.type` is \"xml\""));
        assert!(of(json!({"type": "json_schema"})).unwrap_err().contains("json_schema` is missing"));
    }
}
