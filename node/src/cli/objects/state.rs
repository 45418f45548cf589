//! `drain`, `enable` and `disable`: whether an object takes part.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::{Kind, State};
use crate::cli::client::Page;
use crate::cli::remote::{Call, Remote, RemoteError};

/// Between two looks at a backend that drains.
const POLL: Duration = Duration::from_millis(500);

/// Only this property is sent, so whatever else somebody changes meanwhile stays.
pub(super) async fn turn(
    remote: &Remote,
    kind: Kind,
    id: &str,
    state: State,
    wait: Option<u64>,
) -> Result<Page, RemoteError> {
    let body = match kind {
        Kind::Frontend | Kind::Key => json!({ "Active": state == State::Active }),
        Kind::Backend => json!({ "State": state.property() }),
    };
    let answer = remote.send(Call::put(&kind.path(id)).json(&body)).await?;
    let mut object: Map<String, Value> = answer.read()?;
    let named = format!("{} {id}", kind.name());
    let text = match state {
        State::Active if kind == Kind::Key => format!("{named} lets its users in"),
        State::Disabled if kind == Kind::Key => format!("{named} lets nobody in"),
        State::Active => format!("{named} takes requests"),
        State::Disabled => format!("{named} is off"),
        State::Draining => {
            if let Some(seconds) = wait {
                object = drained(remote, kind, id, Duration::from_secs(seconds)).await?;
            }
            match busy(&object) {
                0 => format!(
                    "{named} takes nothing new, and has no request in flight of the node that was asked"
                ),
                busy => format!(
                    "{named} takes nothing new, and finishes {busy} requests of the node that was asked \
                     (--wait SECONDS waits for that)"
                ),
            }
        }
    };
    Ok(Page::new(text, Value::Object(object)))
}

/// Waits until the backend has nothing in flight, as far as the node that is asked knows.
async fn drained(
    remote: &Remote,
    kind: Kind,
    id: &str,
    patience: Duration,
) -> Result<Map<String, Value>, RemoteError> {
    let begin = Instant::now();
    loop {
        let object: Map<String, Value> = remote.send(Call::get(&kind.live_path(id))).await?.read()?;
        match busy(&object) {
            0 => return Ok(object),
            busy if begin.elapsed() >= patience => {
                let seconds = patience.as_secs();
                return Err(RemoteError::Failed(format!(
                    "after {seconds} seconds {busy} requests are in flight at {id}; it goes on draining"
                )));
            }
            _ => actix_web::rt::time::sleep(POLL).await,
        }
    }
}

fn busy(object: &Map<String, Value>) -> u64 {
    object.get("ActiveRequests").and_then(Value::as_u64).unwrap_or_default()
}

impl State {
    const fn property(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Draining => "Draining",
            Self::Disabled => "Disabled",
        }
    }
}
