//! Which backends take a request as its client wrote it.

use std::str::FromStr;

use super::Request;
use crate::object::ApiFormat;
use crate::route::Operation;

/// Whether a backend speaks the API of a request at its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Native {
    /// It does: the bytes pass untouched.
    Yes,
    /// It may; a 404 or 405 tells that it does not.
    Perhaps,
    /// It does not.
    No,
}

/// A version as Ollama tells it: `0.13.3`, `0.14.0-rc1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

/// The text is no version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a version")]
pub struct NoVersion;

/// Whether a backend of `format` can take the request at all, as it is or translated.
pub fn can_reach(operation: Operation, format: ApiFormat) -> bool {
    native(operation, format, None) != Native::No || Request::is_translatable(operation, format)
}

/// What is known before anything was sent. `version` is that of an Ollama, as far as it is known.
///
/// Ollama has had `/v1/chat/completions` since 0.1.24, `/v1/completions`, `/v1/embeddings` and `/v1/models` since 0.2.6,
/// `/v1/responses` since 0.13.3 and `/v1/messages` since 0.14.0 (its release notes). Of other engines every one has the
/// first four; `/v1/responses` and `/v1/messages` have come to vLLM and llama.cpp at times of their own.
pub fn native(operation: Operation, format: ApiFormat, version: Option<Version>) -> Native {
    let since = match (format, operation) {
        (ApiFormat::OpenAI, Operation::OpenAiResponses | Operation::AnthropicMessages) => {
            return Native::Perhaps;
        }
        (ApiFormat::OpenAI, _) if operation.format() == ApiFormat::OpenAI => return Native::Yes,
        (ApiFormat::OpenAI | ApiFormat::Unknown, _) => return Native::No,
        (ApiFormat::Ollama, Operation::OpenAiChat) => Version { major: 0, minor: 1, patch: 24 },
        (
            ApiFormat::Ollama,
            Operation::OpenAiCompletion
            | Operation::OpenAiEmbeddings
            | Operation::OpenAiModels
            | Operation::OpenAiModel,
        ) => Version { major: 0, minor: 2, patch: 6 },
        (ApiFormat::Ollama, Operation::OpenAiResponses) => Version { major: 0, minor: 13, patch: 3 },
        (ApiFormat::Ollama, Operation::AnthropicMessages) => Version { major: 0, minor: 14, patch: 0 },
        (ApiFormat::Ollama, _) => return Native::Yes,
    };
    match version {
        Some(version) if version < since => Native::No,
        // Something that speaks Ollama's API may have copied its version without all that belongs to it.
        _ => Native::Perhaps,
    }
}

// === impl Version ===

impl FromStr for Version {
    type Err = NoVersion;

    /// `0.0.0` is what builds of developers say, which tells nothing.
    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let text = text.trim().trim_start_matches('v');
        let mut numbers = text.split(['-', '+']).next().unwrap_or_default().splitn(3, '.').map(str::parse);
        let mut next = || numbers.next().and_then(Result::ok).ok_or(NoVersion);
        let version = Self { major: next()?, minor: next()?, patch: next()? };
        let says_nothing = version == Self { major: 0, minor: 0, patch: 0 };
        if says_nothing { Err(NoVersion) } else { Ok(version) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Option<Version> {
        text.parse().ok()
    }

    #[test]
    fn an_ollama_speaks_what_its_version_has() {
        let ollama = |operation, text| native(operation, ApiFormat::Ollama, version(text));
        assert_eq!(ollama(Operation::OllamaChat, "0.0.1"), Native::Yes);
        assert_eq!(ollama(Operation::OpenAiChat, "0.1.23"), Native::No);
        assert_eq!(ollama(Operation::OpenAiChat, "0.1.24"), Native::Perhaps);
        assert_eq!(ollama(Operation::OpenAiResponses, "0.13.2"), Native::No);
        assert_eq!(ollama(Operation::OpenAiResponses, "0.13.3-rc1"), Native::Perhaps);
        assert_eq!(ollama(Operation::AnthropicMessages, "0.13.9"), Native::No);
        assert_eq!(ollama(Operation::AnthropicMessages, "v1.0.0"), Native::Perhaps);
        assert_eq!(ollama(Operation::AnthropicMessages, "unknown"), Native::Perhaps);
    }

    #[test]
    fn other_engines_speak_openai_and_perhaps_what_came_later() {
        let openai = |operation| native(operation, ApiFormat::OpenAI, None);
        assert_eq!(openai(Operation::OpenAiChat), Native::Yes);
        assert_eq!(openai(Operation::OpenAiOther), Native::Yes);
        assert_eq!(openai(Operation::OpenAiResponses), Native::Perhaps);
        assert_eq!(openai(Operation::OllamaChat), Native::No);
        assert_eq!(native(Operation::OpenAiChat, ApiFormat::Unknown, None), Native::No);
    }

    #[test]
    fn every_client_reaches_every_kind_of_backend_but_for_what_has_no_counterpart() {
        for operation in [Operation::OpenAiChat, Operation::OllamaChat, Operation::AnthropicMessages] {
            assert!(can_reach(operation, ApiFormat::Ollama), "{operation:?}");
            assert!(can_reach(operation, ApiFormat::OpenAI), "{operation:?}");
            assert!(!can_reach(operation, ApiFormat::Unknown), "{operation:?}");
        }
        assert!(!can_reach(Operation::OllamaPull, ApiFormat::OpenAI));
    }

    #[test]
    fn versions_compare_by_number_and_what_is_none_is_none() {
        assert!(version("0.10.0") > version("0.9.9"));
        for text in ["", "1", "1.2", "a.b.c", "0.0.0", "1.2.x"] {
            assert_eq!(version(text), None, "{text}");
        }
    }
}
