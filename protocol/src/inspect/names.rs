//! Every name of a model in a request body, for whoever has to be sure that none is another one.
//!
//! Where a key is there twice, readers differ: some take the first, some the last, and Go's takes a key in any case. So what is
//! found here is what *any* of them may take.

use crate::json::key::{decoded, name};
use crate::json::scan::Scanner;
use crate::object::ApiFormat;
use crate::route::Operation;

/// Most names that one body is looked through for. Honest ones have one or two.
const MAX_NAMES: usize = 16;

/// The names that a body of the operation may be taken to say; `None` if it is no complete JSON object, or one of which that
/// cannot be told. An empty body has none.
pub fn model_names(operation: Operation, body: &[u8]) -> Option<Vec<String>> {
    if body.trim_ascii().is_empty() {
        return Some(Vec::new());
    }
    let is_ollama = operation.format() == ApiFormat::Ollama;
    let mut names = Vec::new();
    let mut is_clear = true;
    let mut scanner = Scanner::new(body);
    let read = scanner.object(|scanner, key| {
        let key = name(key, true);
        let is_name = match &*key {
            b"model" => true,
            b"name" => is_ollama,
            b"source" | b"destination" => operation == Operation::OllamaCopy,
            b"from" => operation == Operation::OllamaCreate,
            // Versions of Ollama that knew it took the model from its text.
            b"modelfile" => {
                is_clear &= operation != Operation::OllamaCreate;
                false
            }
            _ => false,
        };
        if !is_name || scanner.peek() != Some(b'"') {
            return scanner.skip();
        }
        let text = decoded(scanner.string()?);
        if names.len() == MAX_NAMES {
            is_clear = false;
        } else if !text.trim().is_empty() {
            names.push(text.into_owned());
        }
        Ok(())
    });
    (read.is_ok() && scanner.at_end() && is_clear).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(operation: Operation, body: &str) -> Option<Vec<String>> {
        model_names(operation, body.as_bytes())
    }

    #[test]
    fn all_that_any_reader_may_take_is_found() {
        let chat = |body| names(Operation::OpenAiChat, body).unwrap();
        assert_eq!(chat(r#"{"model":"a","messages":[{"model":"x"}],"name":"n"}"#), ["a"]);
        assert_eq!(chat(r#"{"model":"a","model":"b"}"#), ["a", "b"]);
        assert_eq!(chat(r#"{"model":"a","MODEL":"b","\u006dodel":"c"}"#), ["a", "b", "c"]);
        assert_eq!(chat(r#"{"model":7,"stream":true}"#), [""; 0]);
        assert_eq!(chat(""), [""; 0]);
        let show = names(Operation::OllamaShow, r#"{"name":"a","model":"b"}"#).unwrap();
        assert_eq!(show, ["a", "b"]);
        let copy = names(Operation::OllamaCopy, r#"{"source":"a","Destination":"b"}"#).unwrap();
        assert_eq!(copy, ["a", "b"]);
        let create = names(Operation::OllamaCreate, r#"{"model":"a","from":"b"}"#).unwrap();
        assert_eq!(create, ["a", "b"]);
    }

    #[test]
    fn what_cannot_be_told_is_no_list() {
        for body in [r#"{"model":"a""#, "[]", "model=a", r#"{"model":"a"} x"#, "\u{1}"] {
            assert_eq!(names(Operation::OpenAiChat, body), None, "{body}");
        }
        let many = format!("{{{}}}", vec![r#""model":"a""#; MAX_NAMES + 1].join(","));
        assert_eq!(names(Operation::OpenAiChat, &many), None);
        assert_eq!(names(Operation::OllamaCreate, r#"{"model":"a","modelfile":"FROM b"}"#), None);
    }
}
