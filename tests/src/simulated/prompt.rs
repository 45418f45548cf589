//! What a model is asked: its text, its length, the beginning of the answer it may already contain, and the fingerprints by
//! which an engine recognises the beginning of a prompt. Pure.

use super::text::count_tokens;

/// Tokens of a block of a prompt: what an engine recognises or reads anew as a whole. The block size of vLLM's prefix cache.
pub(super) const BLOCK_TOKENS: u64 = 16;

/// What is asked of a model.
#[derive(Clone, Debug, Default)]
pub(super) struct Prompt {
    /// The last message that is not the beginning of the answer; what an echo repeats.
    pub text: String,
    pub tokens: u64,
    /// The most tokens to say.
    pub limit: Option<u64>,
    pub offers_tools: bool,
    /// What the answer goes on from, if it has begun already.
    pub begun: Option<String>,
    /// For each whole block: the fingerprint of everything up to its end.
    pub blocks: Vec<u64>,
}

/// Reads a prompt block by block.
#[derive(Debug)]
struct Reader {
    fingerprint: u64,
    tokens: u64,
    blocks: Vec<u64>,
}

impl Prompt {
    /// A plain text.
    pub(super) fn plain(text: &str) -> Self {
        Self::conversation(&[("", text)], false)
    }

    /// A text without a template around it: what the model says follows it directly, so it may end with the beginning of the
    /// answer.
    pub(super) fn raw(text: &str) -> Self {
        Self { begun: Some(text.to_owned()), ..Self::plain(text) }
    }

    /// Messages, each with the role of its speaker. When it `continues`, the last one is the beginning of the answer if
    /// it is the assistant's.
    pub(super) fn conversation<S: AsRef<str>>(messages: &[(S, S)], continues: bool) -> Self {
        let mut reader = Reader::new();
        for (role, text) in messages {
            reader.read(role.as_ref(), text.as_ref());
        }
        let (asked, begun) = match messages.split_last() {
            Some(((role, text), before)) if continues && role.as_ref().eq_ignore_ascii_case("assistant") => {
                (before, Some(text.as_ref().to_owned()))
            }
            _ => (messages, None),
        };
        Self {
            text: asked.last().map(|(_, text)| text.as_ref().to_owned()).unwrap_or_default(),
            tokens: reader.tokens,
            begun,
            blocks: reader.blocks,
            ..Self::default()
        }
    }

    /// The same with at most so many tokens in the answer.
    #[must_use]
    pub(super) fn limited(mut self, limit: Option<u64>) -> Self {
        self.limit = limit;
        self
    }

    /// The same, with tools or without.
    #[must_use]
    pub(super) fn with_tools(mut self, offers_tools: bool) -> Self {
        self.offers_tools = offers_tools;
        self
    }

    /// Tokens to be read when so many blocks of the prompt are known. The last token is always read: the answer starts there.
    pub(super) fn unread_tokens(&self, known_blocks: usize) -> u64 {
        let known = (known_blocks as u64).saturating_mul(BLOCK_TOKENS);
        self.tokens.saturating_sub(known).max(self.tokens.min(1))
    }
}

impl Reader {
    fn new() -> Self {
        Self { fingerprint: super::library::fingerprint(""), tokens: 0, blocks: Vec::new() }
    }

    fn read(&mut self, role: &str, text: &str) {
        self.take(role);
        debug_assert_eq!(text.split_whitespace().count() as u64, count_tokens(text));
        for word in text.split_whitespace() {
            self.take(word);
            self.tokens += 1;
            if self.tokens.is_multiple_of(BLOCK_TOKENS) {
                self.blocks.push(self.fingerprint);
            }
        }
    }

    fn take(&mut self, word: &str) {
        self.fingerprint = super::library::fingerprint_on(self.fingerprint, word);
        // Not a part of any word, so that words cannot run into each other.
        self.fingerprint = super::library::fingerprint_on(self.fingerprint, "\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_that_goes_on_begins_with_the_same_blocks() {
        let opening = "word ".repeat(40);
        let first = Prompt::conversation(&[("user", opening.as_str())], true);
        let second = Prompt::conversation(
            &[("user", opening.as_str()), ("assistant", "yes"), ("user", &opening)],
            true,
        );
        assert_eq!((first.blocks.len(), second.blocks.len()), (2, 5));
        assert_eq!(first.blocks, second.blocks[..2]);
        let other = Prompt::conversation(&[("system", opening.as_str())], true);
        assert_ne!(first.blocks, other.blocks);
        assert_eq!((first.tokens, first.unread_tokens(2), first.unread_tokens(100)), (40, 8, 1));
    }

    #[test]
    fn only_the_last_message_of_the_assistant_is_the_beginning_of_the_answer() {
        let begun = |messages: &[(&str, &str)], continues| {
            let prompt = Prompt::conversation(messages, continues);
            (prompt.text, prompt.begun)
        };
        let chat = [("user", "hi"), ("assistant", "the")];
        assert_eq!(begun(&chat, true), ("hi".to_owned(), Some("the".to_owned())));
        assert_eq!(begun(&chat, false), ("the".to_owned(), None));
        assert_eq!(begun(&chat[..1], true), ("hi".to_owned(), None));
    }
}
