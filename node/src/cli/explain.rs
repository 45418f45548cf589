//! `ollamaflow frontends explain ID`: where a request would go now, and why; nothing is sent.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::client::Page;
use super::files;
use super::path::{path, with_query};
use super::remote::{Call, Remote, RemoteError, printable};
use super::screen::{Screen, Tone};
use super::table::{Cell, Table};
use super::wire::{Candidate, Explained};

/// What to explain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explain {
    /// The frontend.
    pub frontend: String,
    /// The model of a chat; none for the frontend's default.
    pub model: Option<String>,
    /// The words of a chat.
    pub prompt: String,
    /// The path of the request, where its body does not tell.
    pub path: Option<String>,
    /// A file with the body of the request; `-` for the standard input.
    pub file: Option<PathBuf>,
}

/// Asks the node.
pub(super) async fn page(remote: &Remote, asked: &Explain, screen: Screen) -> Result<Page, RemoteError> {
    let body = match &asked.file {
        Some(file) => files::read(file)?,
        None => chat(asked.model.as_deref(), &asked.prompt).to_string().into_bytes(),
    };
    let path = path(["v1.0", "frontends", &asked.frontend, "explain"]);
    let call = Call::post(&with_query(&path, &[("path", asked.path.clone())])).body(body.into());
    let answer = remote.send(call).await?;
    Ok(Page::new(text(&answer.read()?, screen), answer.read()?))
}

/// The body of a chat; without a model it is the frontend's to choose.
pub(super) fn chat(model: Option<&str>, prompt: &str) -> Value {
    let mut body = json!({ "messages": [{ "role": "user", "content": prompt }] });
    if let (Some(model), Some(members)) = (model, body.as_object_mut()) {
        members.insert("model".to_owned(), json!(model));
    }
    body
}

fn text(explained: &Explained, screen: Screen) -> String {
    let outcome = match (&explained.chosen, &explained.decision) {
        (Some(chosen), Some(decision)) => format!("goes to {} ({})", printable(chosen), printable(decision)),
        (Some(chosen), None) => format!("goes to {}", printable(chosen)),
        (None, Some(decision)) => printable(decision),
        (None, None) if explained.wait => "waits in the queue for a backend to become free".to_owned(),
        (None, None) if explained.candidates.iter().any(|member| member.is_fit) => {
            "goes to all candidates".to_owned()
        }
        (None, None) => "is refused: no backend can take it".to_owned(),
    };
    let model = explained.model.as_deref().map(|model| format!("model {}", printable(model)));
    let model = model.unwrap_or_else(|| "no model".to_owned());
    let alias = explained.alias.as_deref().map(|alias| format!(" (alias {})", printable(alias)));
    let mut lines = vec![
        format!("request   {}, {model}{}", explained.operation, alias.unwrap_or_default()),
        format!("policy    {}", explained.policy),
        format!("outcome   {outcome}"),
    ];
    if let Some(refusal) = explained.candidates.iter().find_map(|member| member.refusal.as_deref()) {
        lines.push(format!("refusal   {}", printable(refusal)));
    }
    let columns = [
        "BACKEND",
        "CANDIDATE",
        "BUSY",
        "PRIO",
        "WEIGHT",
        "MODEL",
        "CIRCUIT",
        "FIRST TOKEN",
        "API",
        "WHY NOT",
    ];
    let mut table =
        Table::new(&columns).may_lack(&["WEIGHT", "PRIO", "FIRST TOKEN", "API", "CIRCUIT", "BUSY", "MODEL"]);
    for candidate in &explained.candidates {
        table.row(row(candidate));
    }
    lines.push(String::new());
    lines.push(if table.is_empty() { "the frontend has no backends".to_owned() } else { table.draw(screen) });
    lines.join("\n")
}

fn row(candidate: &Candidate) -> Vec<Cell> {
    let is_candidate =
        if candidate.is_fit { Cell::text("yes").tone(Tone::Good) } else { Cell::text("no").tone(Tone::Bad) };
    let model = match (candidate.has_model, candidate.loaded) {
        (_, Some(true)) => "in memory",
        (Some(true), _) => "on disk",
        (Some(false), _) => "absent",
        (None, _) => "unknown",
    };
    let first = candidate.first_token_ms.map(|time| format!("{time} ms")).unwrap_or_default();
    vec![
        Cell::text(&candidate.backend),
        is_candidate,
        Cell::number(&format!("{}/{}", candidate.in_flight, candidate.max_parallel_requests)),
        Cell::number(&candidate.priority),
        Cell::number(&candidate.weight),
        Cell::text(model),
        Cell::text(&candidate.breaker_state),
        Cell::number(&first),
        Cell::text(candidate.translation.as_deref().filter(|way| *way != "none").unwrap_or("its own")),
        Cell::text(candidate.reason.as_deref().unwrap_or_default()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(value: Value) -> String {
        text(&serde_json::from_value(value).unwrap(), Screen::none())
    }

    #[test]
    fn the_outcome_is_said_first() {
        let chosen = explained(json!({
            "Operation": "OllamaChat", "Model": "m", "Policy": "RoundRobin", "Chosen": "b1",
            "Decision": "RoundRobin; first", "Candidates": [
                { "Backend": "b1", "Candidate": true, "HasModel": true, "BreakerState": "closed" },
                { "Backend": "b2", "Candidate": false, "Reason": "unhealthy", "HasModel": false },
            ]
        }));
        assert!(chosen.contains("outcome   goes to b1 (RoundRobin; first)"), "{chosen}");
        assert!(chosen.lines().any(|line| line.starts_with("b2") && line.ends_with("unhealthy")), "{chosen}");
        let refused = explained(json!({ "Candidates": [{ "Backend": "b", "Refusal": "not allowed" }] }));
        assert!(refused.contains("is refused") && refused.contains("refusal   not allowed"), "{refused}");
        assert!(explained(json!({ "Wait": true })).contains("waits in the queue"));
        let all = explained(json!({ "Candidates": [{ "Backend": "b", "Candidate": true }] }));
        assert!(all.contains("goes to all candidates"), "{all}");
    }

    #[test]
    fn a_chat_without_a_model_leaves_it_to_the_frontend() {
        assert_eq!(chat(None, "hi"), json!({ "messages": [{ "role": "user", "content": "hi" }] }));
        assert_eq!(chat(Some("m"), "hi")["model"], "m");
    }
}
