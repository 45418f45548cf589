//! Objects in columns, for people.

use serde_json::{Map, Value};

use crate::cli::remote::printable;
use crate::cli::screen::{Screen, Tone};
use crate::cli::table::{Cell, Table};
use crate::cli::wire::{Backend, Frontend, Key};

/// How the API shows a secret.
const SECRET: &str = "********";

/// Properties that say nothing about what was asked for.
const SET_BY_NODE: [&str; 8] = [
    "Revision",
    "CreatedUtc",
    "LastUpdateUtc",
    "ActiveRequests",
    "IsSticky",
    "HealthySinceUtc",
    "UnhealthySinceUtc",
    "Uptime",
];

/// All backends, by name.
pub(in crate::cli) fn backends(mut backends: Vec<Backend>, screen: Screen) -> String {
    backends.sort_by(|one, other| one.identifier.cmp(&other.identifier));
    let mut table =
        Table::new(&["BACKEND", "ADDRESS", "API", "STATE", "HEALTH", "BUSY", "PRIO", "WEIGHT", "LABELS"])
            .may_lack(&["WEIGHT", "PRIO", "LABELS", "API", "ADDRESS", "BUSY"]);
    for backend in &backends {
        let state = match backend.state.as_str() {
            "Active" => Tone::Plain,
            "Draining" => Tone::Doubtful,
            _ => Tone::Faint,
        };
        let (health, tone) = health(backend);
        table.row(vec![
            Cell::text(&backend.identifier),
            Cell::text(&backend.address()),
            Cell::text(&backend.api_format),
            Cell::text(&backend.state).tone(state),
            Cell::text(&health).tone(tone),
            Cell::number(&format!("{}/{}", backend.active_requests, backend.max_parallel_requests)),
            Cell::number(&backend.priority),
            Cell::number(&backend.weight),
            Cell::text(&backend.labels.join(",")),
        ]);
    }
    if table.is_empty() { "there are no backends".to_owned() } else { table.draw(screen) }
}

/// Whether a backend is up, and since when.
pub(in crate::cli) fn health(backend: &Backend) -> (String, Tone) {
    let since = |time: &Option<String>| match time.as_deref() {
        // Parts of a second are of no interest.
        Some(time) => format!(" {}", span(time)),
        None => String::new(),
    };
    match (backend.is_probed(), backend.is_healthy()) {
        (false, _) => ("not probed".to_owned(), Tone::Faint),
        (true, true) => (format!("up{}", since(&backend.uptime)), Tone::Good),
        (true, false) => (format!("down{}", since(&backend.downtime)), Tone::Bad),
    }
}

/// `1.02:03:04.567` without the parts of a second.
fn span(text: &str) -> &str {
    match text.rsplit_once('.') {
        Some((whole, parts)) if !parts.contains(':') => whole,
        _ => text,
    }
}

/// All frontends, by name.
pub(in crate::cli) fn frontends(mut frontends: Vec<Frontend>, screen: Screen) -> String {
    frontends.sort_by(|one, other| one.identifier.cmp(&other.identifier));
    let mut table =
        Table::new(&["FRONTEND", "HOST", "STATE", "POLICY", "BACKENDS", "DEFAULT MODEL", "REQUIRED"])
            .may_lack(&["REQUIRED", "DEFAULT MODEL", "POLICY", "STATE"]);
    for frontend in &frontends {
        let state =
            if frontend.active { Cell::text("Active") } else { Cell::text("Disabled").tone(Tone::Faint) };
        let backends = match frontend.backends.as_slice() {
            [] => Cell::text("none").tone(Tone::Bad),
            backends => Cell::text(&backends.join(",")),
        };
        table.row(vec![
            Cell::text(&frontend.identifier),
            Cell::text(&frontend.hostname),
            state,
            Cell::text(&frontend.load_balancing),
            backends,
            Cell::text(frontend.default_model.as_deref().unwrap_or_default()),
            Cell::text(&frontend.required_models.join(",")),
        ]);
    }
    if table.is_empty() { "there are no frontends".to_owned() } else { table.draw(screen) }
}

/// All virtual keys, by name.
pub(super) fn keys(mut keys: Vec<Key>, screen: Screen) -> String {
    keys.sort_by(|one, other| one.identifier.cmp(&other.identifier));
    let mut table = Table::new(&[
        "KEY",
        "STATE",
        "FRONTENDS",
        "MODELS",
        "REQ/MIN",
        "TOKENS/MIN",
        "PARALLEL",
        "EXPIRES",
        "NAME",
    ])
    .may_lack(&["NAME", "PARALLEL", "FRONTENDS", "EXPIRES", "MODELS"]);
    let all = |names: &[String]| if names.is_empty() { "all".to_owned() } else { names.join(",") };
    let limit = |limit: u32| if limit == 0 { "-".to_owned() } else { limit.to_string() };
    for key in &keys {
        let state = if key.active { Cell::text("Active") } else { Cell::text("Off").tone(Tone::Faint) };
        table.row(vec![
            Cell::text(&key.identifier),
            state,
            Cell::text(&all(&key.frontends)),
            Cell::text(&all(&key.models)),
            Cell::number(&limit(key.requests_per_minute)),
            Cell::number(&limit(key.tokens_per_minute)),
            Cell::number(&limit(key.max_parallel_requests)),
            Cell::text(key.expires_utc.as_deref().unwrap_or("never")),
            Cell::text(&key.name),
        ]);
    }
    if table.is_empty() { "there are no keys".to_owned() } else { table.draw(screen) }
}

/// One object: a line for each property.
pub(super) fn properties(object: &Map<String, Value>) -> String {
    let width = object.keys().map(|name| name.chars().count()).max().unwrap_or_default();
    let lines = object.iter().map(|(name, value)| format!("{:<width$}  {}", printable(name), shown(value)));
    lines.map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// An object before and after a change, and what was asked for.
#[derive(Clone, Copy)]
pub(super) struct States<'a> {
    pub(super) before: &'a Map<String, Value>,
    pub(super) after: &'a Map<String, Value>,
    pub(super) wanted: &'a Map<String, Value>,
}

/// What a change came to; none if all is as it was.
pub(super) fn changes(states: States<'_>, screen: Screen) -> Option<String> {
    let States { before, after, wanted } = states;
    let mut table = Table::new(&["PROPERTY", "BEFORE", "AFTER"]);
    for (name, now) in after.iter().filter(|(name, _)| !SET_BY_NODE.contains(&name.as_str())) {
        let then = before.get(name).unwrap_or(&Value::Null);
        // A secret looks the same before and after.
        let is_new_secret = wanted.iter().any(|(asked, value)| {
            asked.eq_ignore_ascii_case(name) && has_secret(now) && !has_secret(value) && !value.is_null()
        });
        if then != now || is_new_secret {
            table.row(vec![Cell::text(name), Cell::text(&shown(then)), Cell::text(&shown(now))]);
        }
    }
    for (name, then) in before.iter().filter(|(name, _)| !after.contains_key(*name)) {
        table.row(vec![Cell::text(name), Cell::text(&shown(then)), Cell::text("")]);
    }
    (!table.is_empty()).then(|| table.draw(screen))
}

/// A text as it is, anything else as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => printable(text),
        value => printable(&value.to_string()),
    }
}

fn has_secret(value: &Value) -> bool {
    match value {
        Value::String(text) => text == SECRET,
        Value::Object(members) => members.values().any(has_secret),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_backend_shows_its_state_its_health_and_its_load() {
        let read = |value: Value| serde_json::from_value::<Backend>(value).unwrap();
        let drawn = backends(
            vec![
                read(json!({
                    "Identifier": "b2", "Hostname": "::1", "Port": 2, "ApiFormat": "OpenAI", "State": "Disabled"
                })),
                read(json!({
                    "Identifier": "b1", "Hostname": "gpu", "Port": 1, "ApiFormat": "Ollama", "State": "Active",
                    "HealthySinceUtc": "x", "Uptime": "1.02:03:04.5670000", "ActiveRequests": 3,
                    "MaxParallelRequests": 4, "Weight": 1, "Labels": ["a", "b"]
                })),
            ],
            Screen::none(),
        );
        assert_eq!(
            drawn,
            "BACKEND  ADDRESS  API     STATE     HEALTH         BUSY  PRIO  WEIGHT  LABELS\n\
             b1       gpu:1    Ollama  Active    up 1.02:03:04   3/4     0       1  a,b\n\
             b2       [::1]:2  OpenAI  Disabled  not probed      0/0     0       0  -"
        );
        assert_eq!(backends(Vec::new(), Screen::none()), "there are no backends");
    }

    #[test]
    fn a_frontend_without_backends_says_so() {
        let read = |value: Value| serde_json::from_value::<Frontend>(value).unwrap();
        let drawn = frontends(
            vec![read(
                json!({ "Identifier": "f", "Hostname": "*", "LoadBalancing": "RoundRobin", "Active": true }),
            )],
            Screen::none(),
        );
        let expected = "FRONTEND  HOST  STATE   POLICY      BACKENDS  DEFAULT MODEL  REQUIRED\n\
                        f         *     Active  RoundRobin  none      -              -";
        assert_eq!(drawn, expected);
    }

    #[test]
    fn one_object_is_a_line_for_each_property() {
        let text =
            properties(&object(&json!({ "Name": "a\u{7}b", "Labels": ["x"], "Empty": "", "None": null })));
        assert_eq!(text, "Name    a b\nLabels  [\"x\"]\nEmpty\nNone    -");
    }

    #[test]
    fn a_change_shows_what_it_changed_and_no_secret() {
        let before = object(&json!({ "Weight": 1, "BearerToken": SECRET, "Port": 1, "Revision": 1 }));
        let after = object(&json!({ "Weight": 2, "BearerToken": SECRET, "Port": 1, "Revision": 2 }));
        let wanted = object(&json!({ "weight": 2, "bearertoken": "hunter2" }));
        assert_eq!(
            changes(States { before: &before, after: &after, wanted: &wanted }, Screen::none()).unwrap(),
            "PROPERTY     BEFORE    AFTER\nWeight       1         2\nBearerToken  ********  ********"
        );
        let same = object(&json!({ "BearerToken": SECRET, "Port": 1 }));
        let unchanged = States { before: &before, after: &before, wanted: &same };
        assert_eq!(changes(unchanged, Screen::none()), None);
    }
}
