//! The same value in the form of one API and of another.

use serde_json::{Value, json};

/// The value of the member `name` as Ollama has it; `None` if it is none that this member could have.
pub(super) fn neutral(name: &str, value: &Value) -> Option<Value> {
    match (name, value) {
        (_, Value::Null) => Some(Value::Null),
        ("stop", Value::String(text)) => Some(json!([text])),
        ("response_format", format) => match format.get("type")?.as_str()? {
            "json_object" => Some("json".into()),
            "json_schema" => format.get("json_schema")?.get("schema").cloned(),
            "text" => Some(Value::Null),
            _ => None,
        },
        ("reasoning_effort", effort) => thinking(effort),
        ("reasoning", reasoning) => thinking(reasoning.get("effort")?),
        (_, value) => Some(value.clone()),
    }
}

/// `think` for an effort, as Ollama's own layer reads it (`openai/openai.go`).
fn thinking(effort: &Value) -> Option<Value> {
    Some(match effort {
        Value::Null => Value::Null,
        Value::String(effort) => match effort.as_str() {
            "none" => false.into(),
            "minimal" | "low" => "low".into(),
            "xhigh" | "ultra" | "max" => "max".into(),
            level @ ("medium" | "high") => level.into(),
            _ => return None,
        },
        _ => return None,
    })
}

/// The longest answer: null for one without a limit; `None` for one of no tokens, for which only Ollama has a word.
pub(super) fn limit(num_predict: Value) -> Option<Value> {
    if num_predict.is_null() {
        return Some(num_predict);
    }
    let limit = num_predict.as_f64().filter(|limit| *limit != 0.0)?;
    Some(if limit > 0.0 { num_predict } else { Value::Null })
}

/// Ollama's word for a random seed is -1.
pub(super) fn seed(seed: Value) -> Value {
    if seed == -1 { Value::Null } else { seed }
}

/// `response_format` of chats.
pub(super) fn response_format(format: Value) -> Option<Value> {
    Some(match format {
        Value::Object(schema) => {
            json!({"type": "json_schema", "json_schema": {"name": "schema", "schema": schema}})
        }
        other => plain_format(&other)?,
    })
}

/// `text.format` of responses.
pub(super) fn text_format(format: Value) -> Option<Value> {
    Some(match format {
        Value::Object(schema) => json!({"type": "json_schema", "name": "schema", "schema": schema}),
        other => plain_format(&other)?,
    })
}

fn plain_format(format: &Value) -> Option<Value> {
    match format {
        Value::Null => Some(Value::Null),
        Value::String(format) if format == "json" => Some(json!({"type": "json_object"})),
        Value::String(format) if format.is_empty() => Some(Value::Null),
        _ => None,
    }
}

/// The effort for a `think`, as in requests that are translated: plain thinking is what a backend does by default, and
/// `high` the most that each knows.
pub(super) fn effort(think: Value) -> Option<Value> {
    Some(match think {
        Value::Null | Value::Bool(true) => Value::Null,
        Value::Bool(false) => "none".into(),
        Value::String(level) if level == "max" => "high".into(),
        Value::String(level) => level.into(),
        _ => return None,
    })
}
