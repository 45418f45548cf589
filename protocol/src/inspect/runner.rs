//! The options by which Ollama decides whether a loaded model must be loaded anew.

use serde_json::{Map, Value};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::json::key::{name, same_key};
use crate::json::scan::{Broken, Scanner};

/// The seed of [`RunnerOptions::key`], arbitrary but frozen: nodes of different versions compare the keys.
const KEY_SEED: u64 = 0x6f66_7275_6e6e_6572;

/// The options that a runner is started with (Ollama's `server/sched.go`, `needsReload`); another value of any means
/// that the model is loaded again. All are members of `options` but the last, which is one of the request.
const NAMES: [&str; 8] =
    ["num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "draft_num_predict", "use_mmap", "shift"];
const NUM_CTX: usize = 0;
/// From here on they are booleans, before it integers.
const FIRST_FLAG: usize = 6;
const SHIFT: usize = 7;

/// Runner options of a request, with null and values that Ollama refuses as absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunnerOptions {
    /// In the order of [`NAMES`]; booleans are 0 and 1.
    values: [Option<i64>; NAMES.len()],
}

// === impl RunnerOptions ===

impl RunnerOptions {
    /// The length of the context that is asked for, in tokens.
    pub fn num_ctx(&self) -> Option<u64> {
        self.values[NUM_CTX].and_then(|tokens| u64::try_from(tokens).ok()).filter(|tokens| *tokens > 0)
    }

    /// These options with pinned properties over them, later maps over earlier ones: what a backend gets after
    /// [`merge_pins`](crate::json::merge_pins) with the same pins.
    #[must_use]
    pub fn overlaid(&self, pins: &[&Map<String, Value>]) -> Self {
        let mut overlaid = *self;
        // A pin that replaces `options` as a whole hides the pins before it, and the body's unless an object comes
        // after it: objects merge with the body, not with what was hidden.
        let mut hidden = false;
        let mut merged = *self;
        for map in pins {
            for (key, value) in *map {
                if same_key(key, NAMES[SHIFT]) {
                    overlaid.values[SHIFT] = integer(SHIFT, value);
                } else if same_key(key, "options") {
                    let Value::Object(options) = value else {
                        hidden = true;
                        merged = *self;
                        continue;
                    };
                    hidden = false;
                    merged.merge(options);
                }
            }
        }
        for (slot, value) in overlaid.values[..SHIFT].iter_mut().zip(merged.values) {
            *slot = if hidden { None } else { value };
        }
        overlaid
    }

    /// The same with a context of so many tokens.
    #[must_use]
    pub fn with_num_ctx(mut self, tokens: u64) -> Self {
        self.values[NUM_CTX] = i64::try_from(tokens).ok();
        self
    }

    /// The members of a request in Ollama's own API by which a model is loaded with these options; none if nothing is set.
    pub fn members(&self) -> Map<String, Value> {
        let mut members = Map::new();
        let mut options = Map::new();
        for (option, value) in self.values.into_iter().enumerate() {
            let Some(value) = value else { continue };
            let said = if option >= FIRST_FLAG { Value::Bool(value != 0) } else { Value::from(value) };
            let into = if option == SHIFT { &mut members } else { &mut options };
            into.insert(NAMES[option].to_owned(), said);
        }
        if !options.is_empty() {
            members.insert("options".to_owned(), Value::Object(options));
        }
        members
    }

    /// A stable hash, the same in every process and version; 0 if nothing is set.
    pub fn key(&self) -> u64 {
        if self.values.iter().all(Option::is_none) {
            return 0;
        }
        let mut bytes = [0; 9 * NAMES.len()];
        for (bytes, value) in bytes.chunks_exact_mut(9).zip(self.values) {
            if let Some(value) = value {
                bytes[0] = 1;
                bytes[1..].copy_from_slice(&value.to_le_bytes());
            }
        }
        xxh3_64_with_seed(&bytes, KEY_SEED).max(1)
    }

    /// Reads the value of the body's `options`.
    pub(super) fn read_options(&mut self, scanner: &mut Scanner<'_>) -> Result<(), Broken> {
        if scanner.peek() != Some(b'{') {
            return scanner.skip();
        }
        scanner.object(|scanner, key| {
            // Ollama reads `options` as a map, so that its keys match exactly.
            let key = name(key, false);
            match NAMES[..SHIFT].iter().position(|option| option.as_bytes() == &*key) {
                Some(option) => self.read(option, scanner),
                None => scanner.skip(),
            }
        })
    }

    /// Reads the value of the body's `shift`.
    pub(super) fn read_shift(&mut self, scanner: &mut Scanner<'_>) -> Result<(), Broken> {
        self.read(SHIFT, scanner)
    }

    fn read(&mut self, option: usize, scanner: &mut Scanner<'_>) -> Result<(), Broken> {
        self.values[option] = None;
        if matches!(scanner.peek(), Some(b'"' | b'{' | b'[')) {
            return scanner.skip();
        }
        let scalar = scanner.scalar()?;
        self.values[option] = match scalar {
            b"null" => None,
            b"true" | b"false" => (option >= FIRST_FLAG).then_some(i64::from(scalar == b"true")),
            _ if option >= FIRST_FLAG => None,
            _ => std::str::from_utf8(scalar).ok().and_then(|number| match number.parse() {
                Ok(number) => Some(number),
                Err(_) => number.parse().ok().map(truncated),
            }),
        };
        Ok(())
    }

    /// Puts pinned `options` over these. A key in another case takes the place of the body's value, but does not
    /// count where the body has none: Ollama does not know it.
    fn merge(&mut self, options: &Map<String, Value>) {
        for (key, value) in options {
            let option = NAMES[..SHIFT].iter().position(|name| same_key(key, name));
            if let Some(option) = option
                && (key == NAMES[option] || self.values[option].is_some())
            {
                self.values[option] = integer(option, value);
            }
        }
    }
}

/// The value of an option as Ollama takes it.
fn integer(option: usize, value: &Value) -> Option<i64> {
    match value {
        Value::Bool(flag) if option >= FIRST_FLAG => Some(i64::from(*flag)),
        Value::Number(number) if option < FIRST_FLAG => {
            number.as_i64().or_else(|| number.as_f64().map(truncated))
        }
        _ => None,
    }
}

/// Ollama makes integers of floats by cutting off the fraction.
#[expect(clippy::cast_possible_truncation, reason = "that is the rule; what is out of range saturates")]
fn truncated(number: f64) -> i64 {
    number as i64
}
