//! `ollamaflow sessions`: which client is bound to which backend on the node that is asked.

use serde_json::json;

use super::client::Page;
use super::path::with_query;
use super::remote::{Call, Remote, RemoteError};
use super::screen::Screen;
use super::table::{Cell, Table};
use super::wire::Session;

/// What to do with sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionsAction {
    /// The frontend; none for all.
    pub frontend: Option<String>,
    /// Whether to end them rather than to show them.
    pub clear: bool,
}

/// Carries it out.
pub(super) async fn page(
    remote: &Remote,
    action: &SessionsAction,
    screen: Screen,
) -> Result<Page, RemoteError> {
    let path = with_query("/v1.0/sessions", &[("frontend", action.frontend.clone())]);
    if action.clear {
        remote.send(Call::delete(&path)).await?;
        let of = action.frontend.as_deref().map_or_else(String::new, |frontend| format!(" of {frontend}"));
        let text = format!(
            "all sessions{of} on this node were ended: clients are bound anew by their next requests"
        );
        return Ok(Page::done(text, json!({ "Frontend": action.frontend })));
    }
    let answer = remote.send(Call::get(&path)).await?;
    let sessions: Vec<Session> = answer.read()?;
    let mut table = Table::new(&["FRONTEND", "CLIENT", "BACKEND", "LAST USED", "EXPIRES"])
        .may_lack(&["EXPIRES", "LAST USED"]);
    for session in &sessions {
        table.row(vec![
            Cell::text(&session.frontend),
            Cell::text(&session.client),
            Cell::text(&session.backend),
            Cell::text(&session.last_used_utc),
            Cell::text(&session.expires_utc),
        ]);
    }
    let text = if table.is_empty() { "no sessions on this node".to_owned() } else { table.draw(screen) };
    Ok(Page::new(text, answer.read()?))
}
