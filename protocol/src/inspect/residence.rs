//! Requests that generate nothing: how Ollama's clients load a model into memory and drop it from there.

use crate::json::scan::{Broken, Scanner};
use crate::route::Operation;
use crate::translate::keep_alive_nanoseconds;

/// What a request without content does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residence {
    /// The model is loaded into memory.
    Load,
    /// The model is dropped from memory: `keep_alive` is zero, in whichever of its spellings.
    Unload,
}

/// What has been found of a request's content and `keep_alive`. The last occurrence of a member counts, as for Go.
#[derive(Clone, Debug)]
pub(super) struct Content<'b> {
    /// The member with what the model is to work on; `None` for operations without such a rule.
    member: Option<&'static [u8]>,
    is_void: bool,
    keep_alive: Option<&'b [u8]>,
}

// === impl Content ===

impl<'b> Content<'b> {
    pub(super) fn of(operation: Operation) -> Self {
        let member: Option<&'static [u8]> = match operation {
            Operation::OllamaGenerate => Some(b"prompt"),
            Operation::OllamaChat => Some(b"messages"),
            _ => None,
        };
        Self { member, is_void: true, keep_alive: None }
    }

    /// Looks at the value of a member, and consumes nothing.
    pub(super) fn look(&mut self, scanner: &mut Scanner<'_>, key: &[u8]) {
        if self.member == Some(key) {
            self.is_void = scanner.is_void();
        }
    }

    pub(super) fn read_keep_alive(&mut self, scanner: &mut Scanner<'b>) -> Result<(), Broken> {
        self.keep_alive = Some(scanner.value()?);
        Ok(())
    }

    /// What the request does, if it has no content. One that Ollama cannot read does nothing.
    pub(super) fn residence(&self, whole: bool) -> Option<Residence> {
        if self.member.is_none() || !self.is_void || !whole {
            return None;
        }
        let Some(text) = self.keep_alive else { return Some(Residence::Load) };
        match serde_json::from_slice(text).ok()? {
            serde_json::Value::Null => Some(Residence::Load),
            value => match keep_alive_nanoseconds(&value)? {
                0 => Some(Residence::Unload),
                _ => Some(Residence::Load),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Residence::{self, Load, Unload};
    use crate::inspect::inspect;
    use crate::route::Operation::{self, OllamaChat, OllamaEmbed, OllamaGenerate, OpenAiChat};

    fn residence(operation: Operation, body: &str) -> Option<Residence> {
        inspect(operation, body.as_bytes()).residence
    }

    #[test]
    fn a_request_without_content_loads_the_model() {
        for (operation, body) in [
            (OllamaGenerate, r#"{"model":"m"}"#),
            (OllamaGenerate, r#"{"model":"m","prompt":""}"#),
            (OllamaGenerate, r#"{"model":"m","Prompt":null,"keep_alive":"5m"}"#),
            (OllamaGenerate, r#"{"model":"m","keep_alive":-1}"#),
            (OllamaGenerate, r#"{"model":"m","keep_alive":null}"#),
            (OllamaGenerate, r#"{"model":"m","prompt":"x","prompt":""}"#),
            (OllamaChat, r#"{"model":"m"}"#),
            (OllamaChat, r#"{"model":"m","messages":[ ]}"#),
            (OllamaChat, r#"{"model":"m","messages":null,"stream":false}"#),
        ] {
            assert_eq!(residence(operation, body), Some(Load), "{body}");
        }
    }

    #[test]
    fn every_spelling_of_zero_unloads_it() {
        for zero in
            ["0", "0.0", "-0", "0e5", "\"0\"", "\"0s\"", "\"-0s\"", "\"0h0m0s\"", "\"0.0ms\"", "1e-10"]
        {
            let body = format!(r#"{{"model":"m","Keep_Alive":{zero},"prompt":""}}"#);
            assert_eq!(residence(OllamaGenerate, &body), Some(Unload), "{zero}");
        }
        assert_eq!(residence(OllamaChat, r#"{"keep_alive":0,"messages":[],"model":"m"}"#), Some(Unload));
    }

    #[test]
    fn what_generates_or_cannot_be_read_is_neither() {
        for (operation, body) in [
            (OllamaGenerate, r#"{"model":"m","prompt":"x","keep_alive":0}"#),
            (OllamaGenerate, r#"{"model":"m","prompt":" "}"#),
            (OllamaGenerate, r#"{"model":"m","keep_alive":"soon"}"#),
            (OllamaGenerate, r#"{"model":"m","keep_alive":"0x"}"#),
            (OllamaGenerate, r#"{"model":"m","keep_alive":true}"#),
            (OllamaGenerate, r#"{"model":"m""#),
            (OllamaChat, r#"{"model":"m","messages":[{"role":"user","content":""}],"keep_alive":0}"#),
            (OllamaEmbed, r#"{"model":"m","input":"","keep_alive":0}"#),
            (OpenAiChat, r#"{"model":"m","messages":[]}"#),
        ] {
            assert_eq!(residence(operation, body), None, "{body}");
        }
    }
}
