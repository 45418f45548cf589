//! The hash of a conversation's beginning: what its later turns have in common with its first, and with no other.
//!
//! Hashed is the raw JSON text of strings, still escaped: one client escapes the same text the same way each time.
//! XXH3 because its values are frozen and short texts cost nanoseconds; a client that provokes a collision only
//! sends its own requests to another backend.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::json::key::name;
use crate::json::scan::{Broken, Scanner};
use crate::object::ApiFormat;
use crate::route::Operation;

/// The seed, arbitrary but frozen: the hash must be the same on all nodes and after an update.
const SEED: u64 = 0x6f66_7072_6566_6978;
/// How much of each message counts, in bytes.
const MESSAGE: usize = 8 * 1024;
/// How much of a plain prompt counts, in bytes: later turns append to it.
const PROMPT: usize = 1024;

/// Where an API has the beginning of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// `messages`, system messages among them: Ollama and OpenAI chat.
    Chat,
    /// `system` and `messages`: Anthropic.
    Messages,
    /// `instructions` and `input`: OpenAI responses.
    Input,
    /// `system` and `prompt`: Ollama generate, OpenAI completions.
    Prompt,
    /// No conversation, or none that is to be read.
    Other,
}

/// The beginning of a conversation as far as it was read.
#[derive(Clone, Debug)]
pub(super) struct Conversation {
    shape: Shape,
    /// Keys of messages match in any case.
    folded: bool,
    /// The system prompt that stands beside the messages.
    system: Text,
    /// The system messages that come first.
    opening: Option<u64>,
    /// The first user message, or the prompt.
    user: Option<Text>,
    /// A message came that is no system message.
    begun: bool,
}

/// The beginning of a conversation as it was read, whatever model it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    system: u64,
    opening: u64,
    user: u64,
}

/// Hash of one message's text, in one or many parts.
#[derive(Clone, Copy, Debug)]
struct Text {
    hash: u64,
    /// How many bytes still count.
    room: usize,
    /// There was any text.
    any: bool,
    /// Nothing more can change the hash.
    settled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    System,
    User,
    Other,
}

// === impl Conversation ===

impl Conversation {
    /// One that is to be passed over: it has no hash.
    pub(super) fn unread() -> Self {
        Self::new(Shape::Other, false)
    }

    pub(super) fn of(operation: Operation) -> Self {
        let shape = match operation {
            Operation::OllamaChat | Operation::OpenAiChat => Shape::Chat,
            Operation::AnthropicMessages => Shape::Messages,
            Operation::OpenAiResponses => Shape::Input,
            Operation::OllamaGenerate | Operation::OpenAiCompletion => Shape::Prompt,
            _ => Shape::Other,
        };
        Self::new(shape, operation.format() == ApiFormat::Ollama)
    }

    fn new(shape: Shape, folded: bool) -> Self {
        Self { shape, folded, system: Text::new(MESSAGE), opening: None, user: None, begun: false }
    }

    /// Reads the value of a member of the body.
    pub(super) fn member(&mut self, scanner: &mut Scanner<'_>, key: &[u8]) -> Result<(), Broken> {
        match (self.shape, key) {
            (Shape::Chat | Shape::Messages, b"messages") | (Shape::Input, b"input") => self.messages(scanner),
            (Shape::Messages | Shape::Prompt, b"system") | (Shape::Input, b"instructions") => {
                self.system.read(scanner)
            }
            (Shape::Prompt, b"prompt") => {
                let mut prompt = Text::new(PROMPT);
                let read = prompt.read(scanner);
                self.user = self.user.or(Some(prompt));
                read
            }
            _ => scanner.skip(),
        }
    }

    /// What the hash is made of, if anything was said. Of a body that is not whole only if nothing of it can be missing.
    pub(super) fn beginning(&self, has_model: bool, whole: bool) -> Option<Beginning> {
        let user = self.user.filter(|text| text.any);
        let is_complete = |text: Text| text.settled || !text.any;
        if !whole && (!has_model || user.is_none_or(|text| !text.settled) || !is_complete(self.system)) {
            return None;
        }
        if user.is_none() && self.opening.is_none() && !self.system.any {
            return None;
        }
        Some(Beginning {
            system: self.system.hash,
            opening: self.opening.unwrap_or_default(),
            user: user.map_or(0, |text| text.hash),
        })
    }

    fn messages(&mut self, scanner: &mut Scanner<'_>) -> Result<(), Broken> {
        match scanner.peek() {
            // The whole input of the Responses API may be one string.
            Some(b'"') if self.user.is_none() => {
                let mut text = Text::new(MESSAGE);
                let read = text.read(scanner);
                self.user = Some(text);
                read
            }
            Some(b'[') => scanner.array(|scanner| match scanner.peek() {
                Some(b'{') if self.user.is_none() => self.message(scanner),
                _ => scanner.skip(),
            }),
            _ => scanner.skip(),
        }
    }

    fn message(&mut self, scanner: &mut Scanner<'_>) -> Result<(), Broken> {
        let mut role = Role::Other;
        let mut text = Text::new(MESSAGE);
        let read = scanner.object(|scanner, key| match &*name(key, self.folded) {
            b"role" if scanner.peek() == Some(b'"') => {
                role = Role::of(scanner.string()?);
                Ok(())
            }
            b"content" => text.read(scanner),
            _ => scanner.skip(),
        });
        // A message that the end of the body cuts still counts, if the cut is behind its text.
        match role {
            _ if read.is_err() && !text.settled => {}
            Role::System if !self.begun => {
                self.opening = Some(chained(self.opening.unwrap_or_default(), text.hash));
            }
            Role::User => {
                self.begun = true;
                self.user = Some(Text { settled: true, ..text });
            }
            _ => self.begun = true,
        }
        read
    }
}

// === impl Beginning ===

impl Beginning {
    /// The hash of the conversation with the model of this canonical name; empty for none.
    pub fn under(self, model: &str) -> u64 {
        let parts = [xxh3_64_with_seed(model.as_bytes(), SEED), self.system, self.opening, self.user];
        parts.into_iter().fold(SEED, chained)
    }
}

// === impl Text ===

impl Text {
    fn new(room: usize) -> Self {
        Self { hash: SEED, room, any: false, settled: false }
    }

    /// Reads a string, or the texts of an array of strings and parts; anything else has no text.
    fn read(&mut self, scanner: &mut Scanner<'_>) -> Result<(), Broken> {
        match scanner.peek() {
            Some(b'"') => self.read_string(scanner)?,
            Some(b'[') => scanner.array(|scanner| match scanner.peek() {
                Some(b'"') => self.read_string(scanner),
                Some(b'{') => scanner.object(|scanner, key| match key {
                    b"text" if scanner.peek() == Some(b'"') => self.read_string(scanner),
                    _ => scanner.skip(),
                }),
                _ => scanner.skip(),
            })?,
            _ => scanner.skip()?,
        }
        self.settled = true;
        Ok(())
    }

    fn read_string(&mut self, scanner: &mut Scanner<'_>) -> Result<(), Broken> {
        let raw = scanner.raw_string()?;
        let counted = &raw.text[..raw.text.len().min(self.room)];
        if !counted.is_empty() {
            self.hash = xxh3_64_with_seed(counted, self.hash);
            self.room -= counted.len();
            self.any = true;
        }
        self.settled |= self.room == 0;
        if raw.closed { Ok(()) } else { Err(Broken) }
    }
}

// === impl Role ===

impl Role {
    fn of(raw: &[u8]) -> Self {
        let is = |role: &str| raw.eq_ignore_ascii_case(role.as_bytes());
        if is("user") {
            Self::User
        } else if is("system") || is("developer") {
            Self::System
        } else {
            Self::Other
        }
    }
}

fn chained(before: u64, next: u64) -> u64 {
    xxh3_64_with_seed(&next.to_le_bytes(), before)
}
