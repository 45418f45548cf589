//! The adjustable parts of a healthy simulated backend: how long things take, what is said, how much fits.
//! One declaration serves the command line, the control API and tests.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How the body of an answer that is not a stream is delimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum BodyFraming {
    /// By `Content-Length`.
    #[default]
    ContentLength,
    /// As one chunk.
    Chunked,
    /// By closing the connection.
    Close,
}

/// How a streamed body is delimited. Clients of HTTP/1.0 always get `Close`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum StreamFraming {
    /// One chunk for each frame.
    #[default]
    Chunked,
    /// By closing the connection.
    Close,
}

/// Where the words of an answer come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextSource {
    /// The fixed word list of [`WORDS`](super::WORDS), from its start for each answer.
    #[default]
    Words,
    /// The prompt, or the last message of a chat.
    Echo,
    /// This text.
    Fixed(String),
}

impl FromStr for TextSource {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "words" => Self::Words,
            "echo" => Self::Echo,
            other => Self::Fixed(other.to_owned()),
        })
    }
}

impl std::fmt::Display for TextSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Words => "words",
            Self::Echo => "echo",
            Self::Fixed(text) => text,
        })
    }
}

/// A tool call said before the text of a chat that offers tools.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The function's name.
    pub name: String,
    /// Its arguments, an object.
    pub arguments: Value,
}

impl FromStr for ToolCall {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text)
    }
}

/// Everything adjustable. All can be changed while the backend runs; a request uses the values of its arrival, limits
/// apply at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Knobs {
    /// Milliseconds to load a model that is not in memory.
    #[arg(long, default_value_t = 0)]
    pub load_ms: u64,
    /// Exceptions to `load_ms`, by model (`MODEL=MS`).
    #[arg(long, value_name = "MODEL=MS", value_parser = named_ms)]
    pub load_ms_by_model: Vec<(String, u64)>,
    /// Milliseconds from the start of a generation to its first token.
    #[arg(long, default_value_t = 0)]
    pub ttft_ms: u64,
    /// Pace at which a prompt is read before the first token; 0 is at once.
    #[arg(long, default_value_t = 0.0)]
    pub prefill_tokens_per_second: f64,
    /// Conversations whose beginnings a loaded model remembers, so as not to read them again. Ollama remembers one for
    /// each parallel slot.
    #[arg(long, default_value_t = 4)]
    pub prefix_cache_entries: usize,
    /// Pace after the first token; 0 is as fast as the client reads.
    #[arg(long, default_value_t = 0.0)]
    pub tokens_per_second: f64,
    /// Tokens of an answer, unless the request asks for fewer. 22 is the whole word list, once.
    #[arg(long, default_value_t = 22)]
    pub tokens: u64,
    /// Never stop by itself.
    #[arg(long)]
    pub endless: bool,
    /// What is said: `words`, `echo` (the prompt) or a text.
    #[arg(long, default_value_t)]
    pub text: TextSource,
    /// Reasoning said before the text.
    #[arg(long)]
    pub thinking: Option<String>,
    /// A tool call (`{"name":..,"arguments":{..}}`) said in chats which offer tools.
    #[arg(long, value_name = "JSON")]
    pub tool_call: Option<ToolCall>,
    /// Bytes of text in each frame instead of one word, for big or fast streams.
    #[arg(long, value_name = "BYTES")]
    pub frame_bytes: Option<usize>,
    /// Requests a loaded model serves at once; more wait in order of arrival. Ollama's own default is 1.
    #[arg(long, default_value_t = 4)]
    pub parallelism: usize,
    /// Requests that may wait; more get 503.
    #[arg(long, default_value_t = 512)]
    pub max_queue: usize,
    /// Models in memory at once; another evicts the one idle for longest.
    #[arg(long, default_value_t = 3)]
    pub max_loaded_models: usize,
    /// Bytes of memory for models and their contexts; another model evicts those idle for longest until it fits. 0 is no
    /// limit but `max_loaded_models`. A model larger than all of it is loaded alone and in part.
    #[arg(long, default_value_t = 0)]
    pub vram_bytes: u64,
    /// Seconds an idle model stays loaded unless the request tells; negative is for ever.
    #[arg(long, default_value_t = 300, allow_negative_numbers = true)]
    pub keep_alive_s: i64,
    /// The most seconds an idle model stays loaded, whatever the request tells.
    #[arg(long)]
    pub max_keep_alive_s: Option<u64>,
    /// Context length of a model whose request names no `num_ctx`.
    #[arg(long, default_value_t = 4096)]
    pub context_length: u64,
    /// Send the head of a stream at once rather than together with the first frame (Ollama waits, vLLM does not).
    #[arg(long)]
    pub early_headers: bool,
    /// Framing of answers that are not streams.
    #[arg(long, value_enum, default_value_t)]
    pub body_framing: BodyFraming,
    /// Framing of streams.
    #[arg(long, value_enum, default_value_t)]
    pub stream_framing: StreamFraming,
    /// Headers added to each answer (`Name: value`), in this order; a name may come twice.
    #[arg(long = "extra-header", value_name = "NAME: VALUE", value_parser = header_line)]
    pub extra_headers: Vec<(String, String)>,
    /// Length of embedding vectors.
    #[arg(long, default_value_t = 16)]
    pub embedding_dimensions: usize,
    /// Milliseconds between two progress lines of a pull or push.
    #[arg(long, default_value_t = 0)]
    pub pull_step_ms: u64,
    /// Steps in which each layer of a pull or push is transferred, but for the small ones.
    #[arg(long, default_value_t = 3)]
    pub pull_steps: u64,
    /// Models no registry has: pulling them fails the way Ollama fails, with a line in a 200 answer.
    #[arg(long = "unpullable", value_name = "MODEL")]
    pub unpullable: Vec<String>,
    /// Bytes of disk for blobs, uploads and downloads under way included; 0 is no limit.
    #[arg(long, default_value_t = 0)]
    pub disk_bytes: u64,
    /// Received requests remembered.
    #[arg(long, default_value_t = 1024)]
    pub record_requests: usize,
    /// Bytes of each request's body remembered.
    #[arg(long, default_value_t = 64 * 1024)]
    pub record_body_bytes: usize,
    /// A request body of more bytes is refused with 413. Blob uploads are not held and have no limit.
    #[arg(long, default_value_t = 64 * 1024 * 1024)]
    pub max_body_bytes: usize,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            load_ms: 0,
            load_ms_by_model: Vec::new(),
            ttft_ms: 0,
            prefill_tokens_per_second: 0.0,
            prefix_cache_entries: 4,
            tokens_per_second: 0.0,
            tokens: 22,
            endless: false,
            text: TextSource::Words,
            thinking: None,
            tool_call: None,
            frame_bytes: None,
            parallelism: 4,
            max_queue: 512,
            max_loaded_models: 3,
            vram_bytes: 0,
            keep_alive_s: 300,
            max_keep_alive_s: None,
            context_length: 4096,
            early_headers: false,
            body_framing: BodyFraming::ContentLength,
            stream_framing: StreamFraming::Chunked,
            extra_headers: Vec::new(),
            embedding_dimensions: 16,
            pull_step_ms: 0,
            pull_steps: 3,
            unpullable: Vec::new(),
            disk_bytes: 0,
            record_requests: 1024,
            record_body_bytes: 64 * 1024,
            max_body_bytes: 64 * 1024 * 1024,
        }
    }
}

impl Knobs {
    /// Adds a header to each answer.
    pub fn add_header(&mut self, name: &str, value: &str) {
        self.extra_headers.push((name.to_owned(), value.to_owned()));
    }

    /// How long `model` (its canonical name) takes to load.
    pub(super) fn load_time(&self, model: &str) -> Duration {
        let exception =
            self.load_ms_by_model.iter().find(|(name, _)| super::library::canonical(name) == model);
        Duration::from_millis(exception.map_or(self.load_ms, |(_, load_ms)| *load_ms))
    }

    /// Time between two tokens.
    pub(super) fn token_interval(&self) -> Duration {
        time_of(1.0, self.tokens_per_second)
    }

    /// Time to read so many tokens of a prompt.
    pub(super) fn prefill_time(&self, tokens: u64) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "a prompt has far fewer than 2^53 tokens")]
        let tokens = tokens as f64;
        time_of(tokens, self.prefill_tokens_per_second)
    }
}

/// Time of so many things at a pace; 0 is no time at all.
fn time_of(things: f64, per_second: f64) -> Duration {
    let seconds = if per_second > 0.0 { things / per_second } else { 0.0 };
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

fn named_ms(text: &str) -> Result<(String, u64), String> {
    let (model, load_ms) = text.rsplit_once('=').ok_or("expected MODEL=MS")?;
    let load_ms = load_ms.parse().map_err(|e| format!("milliseconds of {model:?}: {e}"))?;
    Ok((model.to_owned(), load_ms))
}

fn header_line(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("expected NAME: VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct CommandLine {
        #[command(flatten)]
        knobs: Knobs,
    }

    #[test]
    fn the_command_line_has_the_same_defaults() {
        let command_line = CommandLine::try_parse_from(["simulated-backend"]).unwrap();
        assert_eq!(command_line.knobs, Knobs::default());
    }

    #[test]
    fn pairs_and_texts_are_read_from_the_command_line() {
        let arguments =
            ["x", "--load-ms-by-model", "a:7b=250", "--extra-header", "Set-Cookie: a=1", "--text", "echo"];
        let knobs = CommandLine::try_parse_from(arguments).unwrap().knobs;
        assert_eq!(knobs.load_time("a:7b"), Duration::from_millis(250));
        assert_eq!(knobs.load_time("b:latest"), Duration::ZERO);
        assert_eq!(knobs.extra_headers, [("Set-Cookie".to_owned(), "a=1".to_owned())]);
        assert_eq!(knobs.text, TextSource::Echo);
    }
}
