//! Which APIs a backend has turned out to speak: what its version does not tell, its first answer does.

use std::sync::atomic::{AtomicU32, Ordering};

use ollamaflow_protocol::route::Operation;
use ollamaflow_protocol::translate::Native;

/// Two bits for each operation that only some backends have at its path: it has, it has not. Written by requests.
#[derive(Debug, Default)]
pub(super) struct Speech(AtomicU32);

/// From a "has" bit to the "has not" bit of the same operation.
const LACKS: u32 = 16;

// === impl Speech ===

impl Speech {
    /// What is known of the operation.
    pub(super) fn of(&self, operation: Operation) -> Native {
        let (known, bit) = (self.0.load(Ordering::Relaxed), bit(operation));
        if known & (bit << LACKS) != 0 {
            Native::No
        } else if known & bit != 0 {
            Native::Yes
        } else {
            Native::Perhaps
        }
    }

    /// A request has shown whether the backend speaks the operation's API. True if that is news.
    pub(super) fn learn(&self, operation: Operation, speaks: bool) -> bool {
        let bit = if speaks { bit(operation) } else { bit(operation) << LACKS };
        if self.0.load(Ordering::Relaxed) & bit == bit {
            return false;
        }
        self.0.fetch_or(bit, Ordering::Relaxed);
        true
    }

    /// It is another server now, or another version.
    pub(super) fn forget(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

fn bit(operation: Operation) -> u32 {
    match operation {
        Operation::OpenAiChat => 1,
        Operation::OpenAiCompletion => 1 << 1,
        Operation::OpenAiEmbeddings => 1 << 2,
        Operation::OpenAiModels => 1 << 3,
        Operation::OpenAiModel => 1 << 4,
        Operation::OpenAiResponses => 1 << 5,
        Operation::AnthropicMessages => 1 << 6,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_holds_for_its_operation_until_it_is_forgotten() {
        let speech = Speech::default();
        assert_eq!(speech.of(Operation::OpenAiResponses), Native::Perhaps);
        assert!(speech.learn(Operation::OpenAiResponses, false));
        assert!(!speech.learn(Operation::OpenAiResponses, false));
        assert!(speech.learn(Operation::OpenAiChat, true));
        assert_eq!(speech.of(Operation::OpenAiResponses), Native::No);
        assert_eq!(speech.of(Operation::OpenAiChat), Native::Yes);
        assert_eq!(speech.of(Operation::AnthropicMessages), Native::Perhaps);
        assert!(!speech.learn(Operation::OllamaChat, false), "what all have is not learned");
        speech.forget();
        assert_eq!(speech.of(Operation::OpenAiResponses), Native::Perhaps);
    }
}
