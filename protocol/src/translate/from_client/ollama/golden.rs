//! What Ollama makes of requests to its own API, observed, against what these readers make of them.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::options;
use crate::route::Operation;
use crate::translate::chat::{Chat, Format, Media, Message, Think, ToolCall};
use crate::translate::completion::Completion;
use crate::translate::embedding::Embedding;
use crate::translate::{Refused, from_client, keep_alive};

const FILE: &str = "ollama-native-decoding.json";
const CASES: &str = include_str!("../../../../tests/vectors/ollama-native-decoding.json");
/// Cases of our own, after the rules of the specification and Go's decoder: not observed. Only of refusals that they are
/// ones counts.
const MORE: &str = include_str!("../../../../tests/vectors/more-native-decoding.json");

#[derive(Debug, Deserialize)]
struct Case {
    /// The body as text; the options as an object.
    input: Value,
    #[serde(rename = "type")]
    kind: String,
    /// The request as Go writes it again.
    reencoded: Option<Value>,
    /// The options with all defaults.
    result: Option<Map<String, Value>>,
    error: Option<String>,
}

/// A case of our own: that Ollama keeps unknown options, and does not use them, is seen in none of those observed.
const UNKNOWN_OPTION: &str = r#"{
    "type": "ChatRequest",
    "input": "{\"model\":\"m\",\"options\":{\"mirostat\":1,\"seed\":1.5}}",
    "reencoded": {"model": "m", "messages": null, "options": {"mirostat": 1, "seed": 1.5}}
}"#;

/// Where these readers mean to differ, or where the two write one thing in two ways: each makes both sides alike.
struct Difference {
    /// Where the specification says so.
    entry: &'static str,
    what: &'static str,
    forgive: fn(ours: &mut Value, theirs: &mut Value),
}

const DIFFERENCES: &[Difference] = &[
    Difference {
        entry: "§3 options",
        what: "unknown options are dropped at once, integers cut at once",
        forgive: |_, theirs| {
            if let Some(Value::Object(options)) = theirs.get_mut("options") {
                *options = options::checked(std::mem::take(options), &mut Vec::new()).unwrap();
            }
        },
    },
    Difference {
        entry: "§7 row 10, §2.2 tool schemas",
        what: "tools pass as they are, and Ollama's lack what it does not know",
        forgive: |ours, theirs| prune(&mut ours["tools"], &theirs["tools"]),
    },
    Difference {
        entry: "§2.2 tool call arguments",
        what: "numbers do not go through float64",
        forgive: |ours, theirs| {
            in_floats(ours);
            in_floats(theirs);
        },
    },
    Difference {
        entry: "§2.3 keep_alive",
        what: "it is kept as it is written",
        forgive: |ours, theirs| {
            in_nanoseconds(&mut ours["keep_alive"]);
            in_nanoseconds(&mut theirs["keep_alive"]);
        },
    },
    Difference {
        entry: "§2.2 null is absent, §3 defaults",
        what: "what says nothing is left out, and the default of stream is filled in",
        forgive: |ours, theirs| {
            if theirs["stream"].is_null() {
                theirs["stream"] = json!(true);
            }
            if theirs["format"] == json!("") {
                theirs["format"] = Value::Null;
            }
            without_nothing(ours);
            without_nothing(theirs);
        },
    },
];

#[test]
fn requests_are_decoded_as_ollama_decodes_them() {
    let mut cases = cases();
    assert_eq!(cases.len(), 102);
    if let Some(path) = more_cases() {
        let more = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        cases.extend(serde_json::from_slice::<Vec<Case>>(&more).unwrap());
    }
    let failures: Vec<String> = cases.iter().filter_map(|case| check(case).err()).collect();
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

#[test]
fn every_difference_names_its_entry_and_is_needed() {
    let cases = cases();
    for (left_out, difference) in DIFFERENCES.iter().enumerate() {
        assert!(difference.entry.starts_with('§'), "{}", difference.entry);
        let differs = |case: &Case| {
            let others = DIFFERENCES.iter().enumerate().filter(|(index, _)| *index != left_out);
            let Some(theirs) = &case.reencoded else { return false };
            let Ok(ours) = read(case) else { return false };
            !same(ours, theirs.clone(), others.map(|(_, other)| other))
        };
        assert!(cases.iter().any(differs), "nothing differs: {}", difference.what);
    }
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = serde_json::from_str(CASES).unwrap();
    cases.push(serde_json::from_str(UNKNOWN_OPTION).unwrap());
    cases.extend(serde_json::from_str::<Vec<Case>>(MORE).unwrap());
    cases
}

/// `OLLAMAFLOW_VECTORS` is the file of this name, or a directory that may hold it.
fn more_cases() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("OLLAMAFLOW_VECTORS")?);
    let path = if path.is_dir() { path.join(FILE) } else { path };
    (path.ends_with(FILE) && path.exists()).then_some(path)
}

fn check(case: &Case) -> Result<(), String> {
    let fails = |why: String| Err(format!("{} {}: {why}", case.kind, case.input));
    if case.kind.starts_with("Options") {
        let input = case.input.as_object().unwrap().clone();
        return match (options::checked(input, &mut Vec::new()), &case.result, &case.error) {
            (Err(refused), None, Some(error)) if refused.message == *error => Ok(()),
            (Ok(options), Some(result), None) if options.iter().all(|option| is_in(option, result)) => Ok(()),
            (ours, ..) => fails(format!("{ours:?}")),
        };
    }
    // `ChatRequest.think`: what the case is about, and what a refusal names.
    let about = case.kind.split_once('.').map_or("", |(_, about)| about);
    match (read(case), &case.reencoded, &case.error) {
        (Err(refused), None, Some(_)) => {
            let field = refused.field.clone().unwrap_or_default();
            if field.contains(about) { Ok(()) } else { fails(format!("is refused: {refused}")) }
        }
        (Err(refused), Some(theirs), None) => {
            // §3, §2.5: Ollama decodes options of a wrong type, and refuses them a step later.
            let options = theirs["options"].as_object().cloned().unwrap_or_default();
            match options::checked(options, &mut Vec::new()) {
                Err(later) if later == refused => Ok(()),
                _ => fails(format!("is refused: {refused}")),
            }
        }
        (Ok(ours), Some(theirs), None) => {
            if same(ours.clone(), theirs.clone(), DIFFERENCES) {
                Ok(())
            } else {
                fails(format!("is read as {ours}"))
            }
        }
        (Ok(_), ..) => fails("is taken".to_owned()),
        (Err(_), ..) => fails("says both or nothing".to_owned()),
    }
}

fn same<'a>(
    mut ours: Value,
    mut theirs: Value,
    differences: impl IntoIterator<Item = &'a Difference>,
) -> bool {
    for difference in differences {
        (difference.forgive)(&mut ours, &mut theirs);
    }
    ours == theirs
}

/// Reads a request and writes it in the names and the shape of Go's types.
fn read(case: &Case) -> Result<Value, Refused> {
    let body = case.input.as_str().unwrap_or_default().as_bytes();
    match case.kind.split('.').next().unwrap_or_default() {
        "ChatRequest" | "Message" => Ok(chat(&from_client::ollama_chat::read(body)?.request)),
        "GenerateRequest" => Ok(completion(&from_client::ollama_generate::read(body)?.request)),
        "EmbedRequest" => {
            Ok(embedding(&from_client::ollama_embed::read(Operation::OllamaEmbed, body)?.request, "input"))
        }
        "EmbeddingRequest" => Ok(embedding(
            &from_client::ollama_embed::read(Operation::OllamaEmbeddings, body)?.request,
            "prompt",
        )),
        other => panic!("there is no reader for {other}"),
    }
}

fn chat(chat: &Chat) -> Value {
    json!({
        "model": chat.model,
        "messages": chat.messages.iter().map(message).collect::<Vec<_>>(),
        "tools": chat.tools.iter().map(|tool| parsed(tool)).collect::<Vec<_>>(),
        "stream": chat.stream,
        "format": format(&chat.format),
        "think": chat.think.as_ref().map(think),
        "options": chat.options,
        "logprobs": chat.logprobs,
        "top_logprobs": chat.top_logprobs,
        "keep_alive": chat.keep_alive,
        "truncate": chat.truncate,
        "shift": chat.shift,
    })
}

fn completion(completion: &Completion) -> Value {
    json!({
        "model": completion.model,
        "prompt": completion.prompt,
        "suffix": completion.suffix.as_deref().unwrap_or_default(),
        "system": completion.system.as_deref().unwrap_or_default(),
        "template": completion.template.as_deref().unwrap_or_default(),
        "stream": completion.stream,
        "raw": completion.raw.then_some(true),
        "images": completion.media.iter().map(image).collect::<Vec<_>>(),
        "format": format(&completion.format),
        "think": completion.think.as_ref().map(think),
        "options": completion.options,
        "logprobs": completion.logprobs.map(|_| true),
        "top_logprobs": completion.logprobs.filter(|top| *top > 0),
        "keep_alive": completion.keep_alive,
        "truncate": completion.truncate,
        "shift": completion.shift,
    })
}

fn embedding(embedding: &Embedding, name: &str) -> Value {
    json!({
        "model": embedding.model,
        name: embedding.input,
        // Neither has a stream; see the default of those that have.
        "stream": true,
        "options": embedding.options,
        "dimensions": embedding.dimensions,
        "keep_alive": embedding.keep_alive,
        "truncate": embedding.truncate,
    })
}

fn format(format: &Format) -> Value {
    match format {
        Format::Text => Value::Null,
        Format::Json => json!("json"),
        Format::Schema(named) => parsed(&named.text),
    }
}

fn think(think: &Think) -> Value {
    match think {
        Think::Off => json!(false),
        Think::On => json!(true),
        Think::Level(level) => json!(level),
    }
}

fn image(media: &Media) -> &str {
    match media {
        Media::Inline { base64, .. } => base64,
        Media::Remote { url, .. } => url,
    }
}

fn message(message: &Message) -> Value {
    json!({
        "role": message.role,
        "content": message.content,
        "thinking": Some(&message.thinking).filter(|thinking| !thinking.is_empty()),
        "images": message.media.iter().map(image).collect::<Vec<_>>(),
        "tool_calls": message.tool_calls.iter().map(tool_call).collect::<Vec<_>>(),
        "tool_call_id": message.tool_call_id,
        "tool_name": message.tool_name,
    })
}

fn tool_call(call: &ToolCall) -> Value {
    let index = call.index.unwrap_or_default();
    json!({"id": call.id, "function": {"index": index, "name": call.name, "arguments": call.arguments}})
}

fn parsed(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get()).unwrap()
}

/// Takes out of `ours` what `theirs` lacks.
fn prune(ours: &mut Value, theirs: &Value) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            ours.retain(|name, _| theirs.contains_key(name));
            ours.iter_mut().for_each(|(name, value)| prune(value, &theirs[name]));
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.iter_mut().zip(theirs).for_each(|(a, b)| prune(a, b));
        }
        _ => {}
    }
}

fn in_floats(value: &mut Value) {
    match value {
        Value::Number(number) => *value = json!(number.as_f64()),
        Value::Array(elements) => elements.iter_mut().for_each(in_floats),
        Value::Object(members) => members.values_mut().for_each(in_floats),
        _ => {}
    }
}

fn in_nanoseconds(value: &mut Value) {
    if !value.is_null() {
        *value = json!(keep_alive::nanoseconds(value).unwrap().to_string());
    }
}

/// Takes out null and, from objects, empty arrays and objects; but arguments stay.
fn without_nothing(value: &mut Value) {
    match value {
        Value::Array(elements) => elements.iter_mut().for_each(without_nothing),
        Value::Object(members) => {
            members.values_mut().for_each(without_nothing);
            members.retain(|_, value| !(value.is_null() || *value == json!([]) || *value == json!({})));
        }
        _ => {}
    }
}

/// Whether an option is in the result; Go leaves out what is zero, and has floats of 32 bits.
fn is_in((name, value): (&String, &Value), result: &Map<String, Value>) -> bool {
    match result.get(name) {
        None => matches!(value.as_f64(), Some(0.0)) || *value == json!(false) || *value == json!([]),
        Some(theirs) => match (value.as_f64(), theirs.as_f64()) {
            (Some(ours), Some(theirs)) => (ours - theirs).abs() <= ours.abs() * 1e-6,
            _ => value == theirs,
        },
    }
}
