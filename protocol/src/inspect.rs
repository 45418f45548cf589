//! What routing needs to know of a request body, found in one pass and without building a tree.
//!
//! The body itself goes on as it is; nothing here judges whether a backend will like it. A broken or cut body gives
//! what was found up to there.

mod names;
mod prefix;
mod residence;
mod runner;

use std::borrow::Cow;

pub use self::names::model_names;
pub use self::prefix::Beginning;
pub use self::residence::Residence;
pub use self::runner::RunnerOptions;

use self::prefix::Conversation;
use self::residence::Content;
use crate::json::key::{decoded, name};
use crate::json::scan::{Broken, Scanner};
use crate::model::canonical;
use crate::object::ApiFormat;
use crate::route::Operation;

/// What routing asks of a request body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestFacts {
    /// The model as the client wrote it: `model`, else `name` for Ollama operations. The first non-empty string.
    pub model: Option<String>,
    /// `stream`, where it is a boolean; each API has its own default.
    pub stream: Option<bool>,
    /// What makes Ollama reload a model; unset for operations of other APIs, whose layer ignores it.
    pub runner: RunnerOptions,
    /// Stable hash of the conversation's beginning, the same on every turn: the model, the system messages that come
    /// first, and the first user message (for plain prompts: its first KiB). `None` for what is no generation, and where
    /// it was not asked for.
    pub prefix: Option<u64>,
    /// What the request does if it generates nothing: Ollama's way to load a model into memory, or to drop it from there.
    pub residence: Option<Residence>,
    /// What of that is not the model, for requests that ask backends for models by other names.
    pub beginning: Option<Beginning>,
    /// The body was one complete JSON object. False: it was cut or broken, and what is here was found before that.
    pub whole: bool,
}

/// Reads the facts of a body but the prefix, which few ask for; `body` may be the beginning of a longer one.
///
/// Keys match as the reader of the body matches them: in any case for Ollama operations, exactly for others.
/// Costs about as much as looking for the quotes in it.
pub fn inspect(operation: Operation, body: &[u8]) -> RequestFacts {
    read(operation, Conversation::unread(), body)
}

/// The same with the prefix: the texts that it is made of are hashed.
pub fn inspect_with_prefix(operation: Operation, body: &[u8]) -> RequestFacts {
    read(operation, Conversation::of(operation), body)
}

fn read(operation: Operation, conversation: Conversation, body: &[u8]) -> RequestFacts {
    let mut reader = Reader::new(operation, conversation);
    let mut scanner = Scanner::new(body);
    let read = scanner.object(|scanner, key| reader.member(scanner, key));
    reader.facts(read.is_ok() && scanner.at_end())
}

/// What has been found so far.
struct Reader<'b> {
    /// An Ollama operation: Go reads the body, which folds keys, and has runner options.
    is_ollama: bool,
    model: Option<&'b [u8]>,
    name: Option<&'b [u8]>,
    stream: Option<bool>,
    runner: RunnerOptions,
    content: Content<'b>,
    conversation: Conversation,
}

// === impl Reader ===

impl<'b> Reader<'b> {
    fn new(operation: Operation, conversation: Conversation) -> Self {
        Self {
            is_ollama: operation.format() == ApiFormat::Ollama,
            model: None,
            name: None,
            stream: None,
            runner: RunnerOptions::default(),
            content: Content::of(operation),
            conversation,
        }
    }

    fn member(&mut self, scanner: &mut Scanner<'b>, key: &'b [u8]) -> Result<(), Broken> {
        match &*name(key, self.is_ollama) {
            b"model" => first_text(scanner, &mut self.model),
            b"name" if self.is_ollama => first_text(scanner, &mut self.name),
            b"stream" => {
                let flag = match scanner.peek() {
                    Some(b't' | b'f') => Some(scanner.scalar()? == b"true"),
                    _ => return scanner.skip(),
                };
                self.stream = self.stream.or(flag);
                Ok(())
            }
            b"options" if self.is_ollama => self.runner.read_options(scanner),
            b"shift" if self.is_ollama => self.runner.read_shift(scanner),
            b"keep_alive" if self.is_ollama => self.content.read_keep_alive(scanner),
            other => {
                self.content.look(scanner, other);
                self.conversation.member(scanner, other)
            }
        }
    }

    fn facts(self, whole: bool) -> RequestFacts {
        let model = self.model.or(self.name).map(decoded).map(Cow::into_owned);
        let beginning = self.conversation.beginning(model.is_some(), whole);
        RequestFacts {
            prefix: beginning
                .map(|beginning| beginning.under(&canonical(model.as_deref().unwrap_or_default()))),
            beginning,
            model,
            stream: self.stream,
            runner: self.runner,
            residence: self.content.residence(whole),
            whole,
        }
    }
}

/// Keeps a string that is not empty, unless there is one already; passes over anything else.
fn first_text<'b>(scanner: &mut Scanner<'b>, slot: &mut Option<&'b [u8]>) -> Result<(), Broken> {
    if scanner.peek() != Some(b'"') {
        return scanner.skip();
    }
    let text = scanner.string()?;
    if slot.is_none() && !text.is_empty() {
        *slot = Some(text);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
