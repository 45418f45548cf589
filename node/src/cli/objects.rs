//! `ollamaflow frontends ...`, `ollamaflow backends ...` and `ollamaflow keys ...`: looks at the objects of a running node and changes them.
//!
//! A change is made on the condition that the object is still as it was when it was read, here or for the file that is
//! given: nothing is overwritten that nobody has seen.

mod assign;
mod render;
mod state;

use std::path::PathBuf;

use serde_json::{Map, Value, json};

pub use self::assign::{Assignment, AssignmentError};
pub(super) use self::render::{backends as render_backends, health as render_health};
use super::client::Page;
use super::files;
use super::path::{path, switch, with_query};
use super::remote::{Answer, Call, Remote, RemoteError, printable};
use super::screen::Screen;

/// Asks a node to pass over properties that it does not know.
const LENIENT_HEADER: &str = "x-ollamaflow-lenient";

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A virtual server.
    Frontend,
    /// An upstream server.
    Backend,
    /// A virtual key.
    Key,
}

/// What to do with objects of a kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Objects {
    /// Which.
    pub kind: Kind,
    /// What.
    pub action: ObjectsAction,
}

/// What to do with objects.
#[derive(Debug, Clone, PartialEq)]
pub enum ObjectsAction {
    /// Show all.
    List,
    /// Show one.
    Get {
        /// Its name.
        id: String,
    },
    /// Change one, or make it.
    Set(Change),
    /// Delete one.
    Remove {
        /// Its name.
        id: String,
        /// Whether frontends that list the backend let go of it.
        force: bool,
    },
    /// Give a key a new secret.
    Rotate {
        /// Its name.
        id: String,
    },
    /// Give one another state.
    Turn {
        /// Its name.
        id: String,
        /// Which.
        state: State,
        /// Seconds to wait for requests in flight, for a backend that drains.
        wait: Option<u64>,
    },
}

/// Whether an object takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It does.
    Active,
    /// A backend finishes what it has and takes nothing new.
    Draining,
    /// It does not.
    Disabled,
}

/// A change of one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Its name.
    pub id: String,
    /// Properties and their new values.
    pub assignments: Vec<Assignment>,
    /// A file with a JSON object of properties; `-` for the standard input.
    pub file: Option<PathBuf>,
    /// The revision that the object must have.
    pub revision: Option<u64>,
    /// Whether to make it; it must not exist then.
    pub create: bool,
    /// Whether to change nothing and only tell what would change.
    pub dry_run: bool,
    /// Whether unknown properties are passed over.
    pub lenient: bool,
}

/// Carries it out.
pub(super) async fn page(remote: &Remote, asked: &Objects, screen: Screen) -> Result<Page, RemoteError> {
    let kind = asked.kind;
    match &asked.action {
        ObjectsAction::List => list(remote, kind, screen).await,
        ObjectsAction::Get { id } => {
            let object: Map<String, Value> = remote.send(Call::get(&kind.live_path(id))).await?.read()?;
            Ok(Page::new(render::properties(&object), Value::Object(object)))
        }
        ObjectsAction::Set(change) => set(remote, kind, change, screen).await,
        ObjectsAction::Remove { id, force } => {
            let path = with_query(&kind.path(id), &[("force", switch(*force))]);
            remote.send(Call::delete(&path)).await.map_err(|error| hint(error, kind, *force))?;
            Ok(Page::done(format!("{} {id} was removed", kind.name()), json!({ "Identifier": id })))
        }
        ObjectsAction::Rotate { id } => {
            let path = format!("{}/rotate", kind.path(id));
            let key: Map<String, Value> = remote.send(Call::post(&path)).await?.read()?;
            let text = format!("key {id} has a new secret, and its old one lets nobody in any more");
            Ok(Page::new(with_secret(text, &key), Value::Object(key)))
        }
        ObjectsAction::Turn { id, state, wait } => state::turn(remote, kind, id, *state, *wait).await,
    }
}

async fn list(remote: &Remote, kind: Kind, screen: Screen) -> Result<Page, RemoteError> {
    let answer = remote.send(Call::get(kind.list_path())).await?;
    let text = match kind {
        Kind::Frontend => render::frontends(answer.read()?, screen),
        Kind::Backend => render::backends(answer.read()?, screen),
        Kind::Key => render::keys(answer.read()?, screen),
    };
    Ok(Page::new(text, answer.read()?))
}

async fn set(remote: &Remote, kind: Kind, change: &Change, screen: Screen) -> Result<Page, RemoteError> {
    let mut wanted = match &change.file {
        Some(file) => read_object(file)?,
        None => Map::new(),
    };
    // A file that was made of the object says which state of it its writer saw.
    let seen = wanted.shift_remove("Revision").and_then(|revision| revision.as_u64());
    for Assignment { property, value } in &change.assignments {
        wanted.insert(property.clone(), value.clone());
    }
    let id = &change.id;
    let query = [("validate", switch(change.dry_run))];
    let (before, call) = if change.create {
        wanted.insert("Identifier".to_owned(), json!(id));
        (Map::new(), Call::put(&with_query(kind.bare_path(), &query)).header("if-none-match", "*"))
    } else {
        let stored =
            remote.send(Call::get(&kind.path(id))).await.map_err(|error| unknown(error, kind, id))?;
        let revision = change.revision.or(seen).map(|revision| format!("\"{revision}\""));
        let condition = revision.or_else(|| stored.etag.clone());
        let condition = condition.ok_or_else(|| stored.unusable("the object has no revision"))?;
        (stored.read()?, Call::put(&with_query(&kind.path(id), &query)).header("if-match", &condition))
    };
    let call = if change.lenient { call.header(LENIENT_HEADER, "true") } else { call };
    let answer = remote.send(call.json(&Value::Object(wanted.clone()))).await;
    let answer = answer.map_err(|error| conflict(error, kind, change))?;
    let after: Map<String, Value> = answer.read()?;
    let states = render::States { before: &before, after: &after, wanted: &wanted };
    Ok(Page::new(told(kind, change, &answer, states, screen), Value::Object(after)))
}

/// What became of the object, and what of its properties.
fn told(kind: Kind, change: &Change, answer: &Answer, states: render::States<'_>, screen: Screen) -> String {
    let named = format!("{} {}", kind.name(), change.id);
    if change.create {
        let made =
            if change.dry_run { "would be created (dry run: nothing was written)" } else { "was created" };
        return with_secret(format!("{named} {made}"), states.after);
    }
    let changes = render::changes(states, screen);
    let revision = answer.etag.as_deref().unwrap_or_default().trim_matches('"').to_owned();
    match (changes, change.dry_run) {
        (None, _) => format!("{named} is so already (revision {revision}): nothing was changed"),
        (Some(changes), true) => {
            format!("{named} would be changed (dry run: nothing was written)\n\n{changes}")
        }
        (Some(changes), false) => format!("{named} was changed (revision {revision})\n\n{changes}"),
    }
}

/// The sentence, and the secret of a key if there is a new one.
fn with_secret(text: String, key: &Map<String, Value>) -> String {
    match key.get("Secret").and_then(Value::as_str) {
        Some(secret) => {
            format!("{text}\n\n{}\n\nThis is its secret. It is shown now and never again.", printable(secret))
        }
        None => text,
    }
}

fn read_object(file: &std::path::Path) -> Result<Map<String, Value>, RemoteError> {
    let text = files::read(file)?;
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&text);
    serde_json::from_slice(text).map_err(|error| {
        let (name, line, column) = (files::name(file), error.line(), error.column());
        RemoteError::Objects(format!("{name} is no JSON object: line {line}, column {column}"))
    })
}

// === hints ===

fn hint(error: RemoteError, kind: Kind, force: bool) -> RemoteError {
    match error {
        RemoteError::Refused { status: 409, message } if kind == Kind::Backend && !force => {
            RemoteError::Refused { status: 409, message: format!("{message} (here: --force)") }
        }
        error => error,
    }
}

fn unknown(error: RemoteError, kind: Kind, id: &str) -> RemoteError {
    match error {
        RemoteError::Refused { status: 404, message } => {
            let hint = format!("`{}s list` shows those that there are, --create makes {id:?}", kind.name());
            RemoteError::Missing(format!("{message}: {hint}"))
        }
        error => error,
    }
}

fn conflict(error: RemoteError, kind: Kind, change: &Change) -> RemoteError {
    match error {
        RemoteError::Refused { status, message } if matches!(status, 409 | 412) => {
            let id = &change.id;
            let hint = if change.create {
                "leave --create out to change it".to_owned()
            } else {
                format!("`{}s get {id}` shows it as it is now; nothing was changed", kind.name())
            };
            RemoteError::Refused { status, message: format!("{message} ({hint})") }
        }
        RemoteError::Refused { status: 400, message } if message.contains("X-OllamaFlow-Lenient") => {
            RemoteError::Refused { status: 400, message: format!("{message} (here: --lenient)") }
        }
        error => error,
    }
}

// === Kind ===

impl Kind {
    /// For people.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Frontend => "frontend",
            Self::Backend => "backend",
            Self::Key => "key",
        }
    }

    const fn bare_path(self) -> &'static str {
        match self {
            Self::Frontend => "/v1.0/frontends",
            Self::Backend => "/v1.0/backends",
            Self::Key => "/v1.0/keys",
        }
    }

    /// Where all are, with what is known of them.
    pub(super) const fn list_path(self) -> &'static str {
        match self {
            Self::Frontend => "/v1.0/frontends",
            Self::Backend => "/v1.0/backends/health",
            Self::Key => "/v1.0/keys",
        }
    }

    /// Where one is.
    pub(super) fn path(self, id: &str) -> String {
        path(["v1.0", &self.bare_path()["/v1.0/".len()..], id])
    }

    /// Where one is, with what is known of it.
    pub(super) fn live_path(self, id: &str) -> String {
        match self {
            Self::Frontend | Self::Key => self.path(id),
            Self::Backend => path(["v1.0", "backends", id, "health"]),
        }
    }
}

#[cfg(test)]
mod tests;
