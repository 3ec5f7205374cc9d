//! What an experiment names, opened: base, tokenizer, template, conversations, adapters.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use camelid_chat::{Conversation, Template};
use camelid_data::catalogue::FetchOptions;
use camelid_data::tokens::{TokenizeOptions, TokenizedSet, Truncation};
use camelid_data::{DataFormat, LoadReport, ReadOptions, TestSplit, read_conversations, split};
use camelid_model::{Llama, TokenizerFile, WeightSource, model_place, open_weights};
use tokenizers::Tokenizer;

use crate::nano::{self, Nano};
use crate::place::{data_path, find_base};
use crate::{Experiment, RecipeError, TestSet};

/// Where an experiment's names are looked up.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// How names of the catalogue are fetched.
    pub fetch: FetchOptions,
    /// Folder for tokenised conversations and for models unpacked from packages.
    pub cache: PathBuf,
}

/// An experiment's base and data.
#[derive(Debug)]
pub struct Opened {
    /// Where the base's weights lie.
    pub base: PathBuf,
    /// The base's tokenizer.
    pub tokenizer: Tokenizer,
    /// How conversations are written.
    pub template: Template,
    /// The training set.
    pub train: TokenizedSet,
    /// The test set; `None` where the experiment has none.
    pub test: Option<TokenizedSet>,
    /// The conversations of the test set.
    pub test_conversations: Vec<Conversation>,
    /// Base and data, in lines for a report.
    pub about: Vec<String>,
    /// What was dropped, changed or cut on the way, in lines for people.
    pub notices: Vec<String>,
}

impl Experiment {
    /// Opens what the experiment names: finds or fetches base and data, reads the conversations,
    /// splits off the test set and tokenises both. Nothing is loaded onto a device. The base `nano`
    /// is opened whether or not it has been made ([`Nano::make_base`]).
    ///
    /// # Errors
    /// A base or data set that is not there or cannot be read, a template that does not fit the
    /// tokenizer, fewer conversations than the test set wants, nothing to learn from.
    pub fn open(&self, options: &OpenOptions) -> Result<Opened, RecipeError> {
        if self.model.base == nano::BASE {
            return self.open_nano(Nano::of(self, &options.cache)?);
        }
        let base = find_base(&self.model.base, &options.fetch, &options.cache)?;
        let tokenizer = TokenizerFile::open(model_place(&base))?;
        let template = match self.data.template.as_str() {
            "auto" => tokenizer.template()?,
            name => Template::builtin(name)?,
        };
        let tokenizer = tokenizer.tokenizer;
        template.check_tokenizer(&tokenizer)?;

        let (conversations, mut about) = self.conversations(&options.fetch)?;
        let weights = open_weights(&base)?;
        about.lines.insert(0, format!("Base: {}", describe(&base, weights.config()?.parameter_count())));
        let cache = options.cache.join("tokens");
        self.tokenised(conversations, base, tokenizer, template, Some(&cache), about)
    }

    /// The nano world's dialogues with the base.
    fn open_nano(&self, nano: Nano) -> Result<Opened, RecipeError> {
        let options =
            ReadOptions { nano: self.data.nano.clone().unwrap_or_default(), ..ReadOptions::default() };
        let all = read_conversations::<PathBuf>(DataFormat::Nano, &[], &options)?.conversations;
        let conversations = match &self.data.test {
            Some(TestSet::Count(count)) => Conversations::split(all, *count, nano::BASE)?,
            _ => Conversations { train: all, test: Vec::new(), set_aside: 0 },
        };
        let about = About { lines: vec![nano.about()], notices: Vec::new() };
        let template = Template::builtin(&self.data.template)?;
        self.tokenised(conversations, nano.base().to_owned(), nano.tokenizer, template, None, about)
    }

    /// Tokenises the conversations; with `cache` once.
    fn tokenised(
        &self,
        conversations: Conversations,
        base: PathBuf,
        tokenizer: Tokenizer,
        template: Template,
        cache: Option<&Path>,
        about: About,
    ) -> Result<Opened, RecipeError> {
        let About { lines: mut about, mut notices } = about;
        let options = TokenizeOptions {
            loss_on: self.data.loss_on,
            truncation: Truncation { total: Some(self.data.max_length), ..Truncation::default() },
        };
        let set = |conversations: &[Conversation]| match cache {
            Some(cache) => TokenizedSet::cached(cache, conversations, &tokenizer, &template, &options)
                .map(|(set, _)| set),
            None => TokenizedSet::build(conversations, &tokenizer, &template, &options),
        };
        let Conversations { train, test, set_aside } = conversations;
        let train = set(&train)?;
        let test_set = if test.is_empty() { None } else { Some(set(&test)?) };
        about.push(counts(&train, test_set.as_ref(), set_aside, self.data.max_length));
        for (name, set) in [("training", Some(&train)), ("test", test_set.as_ref())] {
            let Some(report) = set.map(|set| &set.report) else { continue };
            if report.conversations.dropped_in_all() > 0 {
                notices.push(format!("{name} set: {}", report.conversations));
            }
            if report.truncated > 0 {
                notices.push(format!(
                    "{name} set: {} of {} conversations cut at {} tokens ({} tokens lost)",
                    report.truncated, report.conversations.kept, self.data.max_length, report.tokens_cut
                ));
            }
        }
        Ok(Opened {
            base,
            tokenizer,
            template,
            train,
            test: test_set,
            test_conversations: test,
            about,
            notices,
        })
    }

    fn conversations(&self, fetch: &FetchOptions) -> Result<(Conversations, About), RecipeError> {
        let mut about = About::default();
        let mut read = |source: &str| -> Result<Vec<Conversation>, RecipeError> {
            let path = data_path(source, fetch)?;
            let loaded = read_conversations(self.data.format, &[&path], &ReadOptions::default())?;
            about.loaded(source, self.data.format.as_str(), loaded.conversations.len(), &loaded.report);
            Ok(loaded.conversations)
        };
        let all = read(&self.data.source)?;
        let conversations = match &self.data.test {
            None => Conversations { train: all, test: Vec::new(), set_aside: 0 },
            Some(TestSet::Count(count)) => Conversations::split(all, *count, &self.data.source)?,
            Some(TestSet::Source(source)) => Conversations { train: all, test: read(source)?, set_aside: 0 },
        };
        Ok((conversations, about))
    }
}

/// Conversations to train on and to test on.
#[derive(Clone, Debug)]
struct Conversations {
    /// To train on.
    pub train: Vec<Conversation>,
    /// To test on.
    pub test: Vec<Conversation>,
    /// Left out of both: they begin with the prompt of a test conversation.
    pub set_aside: usize,
}

impl Conversations {
    /// Splits off `count` conversations to test on; `source` is for the message.
    ///
    /// # Errors
    /// When there are not more of them.
    pub fn split(all: Vec<Conversation>, count: usize, source: &str) -> Result<Self, RecipeError> {
        let TestSplit { train, test, set_aside } =
            split(all, count).map_err(|error| RecipeError::Experiment {
                path: source.into(),
                line: None,
                reason: format!("`data.test`: {error}"),
            })?;
        Ok(Self { train, test, set_aside })
    }
}

/// What is said of base and data.
#[derive(Clone, Debug, Default)]
struct About {
    /// Lines for a report.
    pub lines: Vec<String>,
    /// What was dropped or changed.
    pub notices: Vec<String>,
}

impl About {
    fn loaded(&mut self, source: &str, format: &str, count: usize, report: &LoadReport) {
        let source = Path::new(source).file_name().map_or(source.into(), |name| name.to_string_lossy());
        self.lines.push(format!("Data: {source} ({format}), {count} conversations"));
        if report.dropped_in_all() > 0 {
            self.notices.push(format!("{source}: {report}"));
        }
    }
}

impl Opened {
    /// The base's weights, opened anew.
    ///
    /// # Errors
    /// When they are not there any more, or damaged.
    pub fn weights(&self) -> Result<Box<dyn WeightSource>, RecipeError> {
        Ok(open_weights(&self.base)?)
    }

    /// The base on `device`, held as `experiment` says, with its adapters attached: ready to be
    /// trained where the device tracks gradients.
    ///
    /// # Errors
    /// Weights that cannot be loaded, adapters that fit no layer, a compute type that is not settled.
    pub fn model(&self, experiment: &Experiment, device: &Device) -> Result<Llama, RecipeError> {
        let weights = self.weights()?;
        let mut model = Llama::load(weights.as_ref(), &experiment.weight_storage(), device)?;
        if let Some(scaling) = &experiment.model.rope_scaling {
            model = model.with_rope_scaling(scaling.clone())?;
        }
        if let Some(lora) = &experiment.lora {
            model = camelid_lora::attach(model, lora, experiment.seed, device)?;
        }
        Ok(model.with_compute_type(experiment.compute_type()?))
    }

    /// Whether the base's weights come from a file that was itself quantised.
    pub fn is_requantised(&self) -> bool {
        is_packed_file(&self.base)
    }
}

fn counts(train: &TokenizedSet, test: Option<&TokenizedSet>, set_aside: usize, max_length: usize) -> String {
    let mut line = format!(
        "{} conversations to tune on ({} tokens, {} cut at {max_length})",
        train.examples.len(),
        train.report.tokens,
        train.report.truncated
    );
    if let Some(test) = test {
        line += &format!(", {} to test on ({} tokens)", test.examples.len(), test.report.tokens);
    }
    if set_aside > 0 {
        line += &format!(", {set_aside} set aside because they begin with a test prompt");
    }
    line
}

/// File name of the base, without the folders of this machine, and its size.
fn describe(base: &Path, parameters: usize) -> String {
    let packed = if is_packed_file(base) { " (weights dequantised from its 4-bit GGUF file)" } else { "" };
    format!("{}{packed}, {parameters} parameters", camelid_files::name(base))
}

/// Whether the base comes from a file that was itself quantised.
fn is_packed_file(base: &Path) -> bool {
    matches!(base.extension().and_then(|e| e.to_str()), Some("whl" | "gguf"))
}
