//! `ollamaflow usage`: what virtual keys have used, of the whole cluster or of the node that is asked.

use std::fmt::Write as _;

use super::client::Page;
use super::path::{switch, with_query};
use super::remote::{Call, Remote, RemoteError, printable};
use super::screen::Screen;
use super::table::{Cell, Table};
use super::wire::{Usage, UsageRow};

/// Which rows are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UsageAsked {
    /// Those of this key only.
    pub key: Option<String>,
    /// Those of this model only.
    pub model: Option<String>,
    /// Those of this day only.
    pub day: Option<String>,
    /// From this day on.
    pub from: Option<String>,
    /// Up to this day.
    pub to: Option<String>,
    /// Whether only the node that is asked counts.
    pub local: bool,
}

/// Carries it out.
pub(super) async fn page(remote: &Remote, asked: &UsageAsked, screen: Screen) -> Result<Page, RemoteError> {
    let query = [
        ("key", asked.key.clone()),
        ("model", asked.model.clone()),
        ("day", asked.day.clone()),
        ("from", asked.from.clone()),
        ("to", asked.to.clone()),
        ("local", switch(asked.local)),
    ];
    let answer = remote.send(Call::get(&with_query("/v1.0/usage", &query))).await?;
    Ok(Page::new(drawn(&answer.read()?, screen), answer.read()?))
}

fn drawn(usage: &Usage, screen: Screen) -> String {
    let mut table =
        Table::new(&["DAY", "KEY", "MODEL", "REQUESTS", "ERRORS", "PROMPT TOKENS", "COMPLETION TOKENS"])
            .may_lack(&["ERRORS", "MODEL"]);
    for row in &usage.rows {
        table.row(cells(row));
    }
    if usage.rows.len() > 1 {
        table.row(cells(&UsageRow { day: "total".to_owned(), ..usage.total.clone() }));
    }
    let mut text = if table.is_empty() {
        format!("no key was used from {} to {}", printable(&usage.from), printable(&usage.to))
    } else {
        table.draw(screen)
    };
    for node in usage.nodes.iter().filter(|node| !node.answered) {
        let id = node.node.map_or_else(|| "?".to_owned(), |id| id.to_string());
        let why = printable(node.error.as_deref().unwrap_or("it has not answered"));
        // Writing to a string cannot fail.
        let _ = write!(text, "\n\nwithout node {id}: {why}");
    }
    if !usage.complete && usage.nodes.iter().all(|node| node.answered) {
        text.push_str("\n\nthere is more: ask for fewer days");
    }
    text
}

fn cells(row: &UsageRow) -> Vec<Cell> {
    vec![
        Cell::text(&row.day),
        Cell::text(&row.key),
        Cell::text(&row.model),
        Cell::number(&row.requests),
        Cell::number(&row.errors),
        Cell::number(&row.prompt_tokens),
        Cell::number(&row.completion_tokens),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_are_added_up_and_silent_nodes_are_named() {
        let row = |key: &str, requests: u64| json!({ "Day": "2026-01-01", "Key": key, "Model": "m", "Requests": requests, "PromptTokens": 7 });
        let usage = serde_json::from_value(json!({
            "Rows": [row("k1", 1), row("k2", 2)], "Total": { "Requests": 3, "PromptTokens": 14 },
            "Nodes": [{ "Node": 1, "Answered": true }, { "Node": 2, "Answered": false, "Error": "gone" }]
        }));
        let expected = "DAY         KEY  MODEL  REQUESTS  ERRORS  PROMPT TOKENS  COMPLETION TOKENS\n\
                        2026-01-01  k1   m             1       0              7                  0\n\
                        2026-01-01  k2   m             2       0              7                  0\n\
                        total       -    -             3       0             14                  0\n\n\
                        without node 2: gone";
        assert_eq!(drawn(&usage.unwrap(), Screen::none()), expected);
        let none = Usage { from: "a".to_owned(), to: "b".to_owned(), complete: true, ..Usage::default() };
        assert_eq!(drawn(&none, Screen::none()), "no key was used from a to b");
    }
}
