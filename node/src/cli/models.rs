//! `ollamaflow models ...`: which model is where, and what is done about it.
//!
//! Lists, plans and rolls are the admin API's. Pulls and deletions go through a frontend, as those of its clients: they
//! reach all its Ollama backends and change what it requires.

mod pull;
mod render;

use serde_json::{Value, json};

use super::client::{Page, Pen};
use super::path::{path, switch, with_query};
use super::remote::{Call, Remote, RemoteError, printable};
use super::screen::Screen;
use super::table::{Cell, Table};
use super::wire::{Planned, Rolling};
use super::{Verdict, door};

pub use self::pull::Through;
pub(super) use self::render::size;

/// What to do with models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelsAction {
    /// Show which is where.
    List {
        /// Only this one.
        model: Option<String>,
    },
    /// Bring one to all backends of a frontend.
    Pull {
        /// Which.
        model: String,
        /// Which backends.
        through: Through,
    },
    /// Delete one from all backends of a frontend.
    Remove {
        /// Which.
        model: String,
        /// Which backends.
        through: Through,
    },
    /// Tell what the cluster would do about models now.
    Plan,
    /// Have the cluster try again what has failed.
    Reconcile,
    /// Bring a newer version of one to the backends, one after the other.
    Roll {
        /// Which.
        model: String,
        /// Whether also where it is the last backend with the model.
        force: bool,
        /// Longest wait for the requests in flight at a backend.
        drain_ms: Option<u32>,
    },
}

/// Carries it out.
pub(super) async fn run(
    remote: &Remote,
    action: &ModelsAction,
    pen: &mut Pen<'_>,
) -> Result<Verdict, RemoteError> {
    let page = match action {
        ModelsAction::List { model } => list(remote, model.as_deref(), pen.screen).await?,
        ModelsAction::Pull { model, through } => return pull::run(remote, model, through, pen).await,
        ModelsAction::Remove { model, through } => remove(remote, model, through).await?,
        ModelsAction::Plan => plan(remote, true, pen.screen).await?,
        ModelsAction::Reconcile => plan(remote, false, pen.screen).await?,
        ModelsAction::Roll { model, force, drain_ms } => roll(remote, model, *force, *drain_ms).await?,
    };
    pen.page(&page)?;
    Ok(Verdict::Good)
}

async fn list(remote: &Remote, only: Option<&str>, screen: Screen) -> Result<Page, RemoteError> {
    let answer = remote.send(Call::get("/v1.0/models")).await?;
    let mut json: Value = answer.read()?;
    if let Some(only) = only {
        let is_meant = |model: &Value| model["Model"].as_str().is_some_and(|name| is_named(name, only));
        let rows = json.get_mut("Models").and_then(Value::as_array_mut);
        let rows = rows.ok_or_else(|| answer.unusable("it has no Models"))?;
        rows.retain(is_meant);
        if rows.is_empty() {
            return Err(RemoteError::Missing(format!(
                "no backend has or should have {only:?}: `models list` shows all, `models pull` brings it"
            )));
        }
    }
    let models = serde_json::from_value(json.clone());
    let models = models.map_err(|_| answer.unusable("it is not the JSON that it should be"))?;
    Ok(Page::new(render::models(&models, screen), json))
}

/// A name without a tag stands for all tags.
fn is_named(name: &str, wanted: &str) -> bool {
    name == wanted || name.strip_prefix(wanted).is_some_and(|rest| rest.starts_with(':'))
}

async fn remove(remote: &Remote, model: &str, through: &Through) -> Result<Page, RemoteError> {
    let door = door::find(remote, through.frontend.as_deref()).await?;
    let call = through.narrow(Call::delete("/api/delete")).for_frontend(&door.host);
    let answer = remote.send(call.json(&json!({ "model": model }))).await.map_err(pull::hint)?;
    let places = answer.header("x-ollamaflow-backends").map(printable);
    let told = places.as_deref().map_or_else(String::new, |places| format!(": {places}"));
    let json = json!({ "Model": model, "Frontend": door.frontend.identifier, "Backends": places });
    Ok(Page::done(format!("{model} was removed{told}"), json))
}

async fn plan(remote: &Remote, only_tell: bool, screen: Screen) -> Result<Page, RemoteError> {
    let path = with_query("/v1.0/models/reconcile", &[("plan", switch(only_tell))]);
    let answer = remote.send(Call::post(&path)).await?;
    let planned: Planned = answer.read()?;
    let mut table = Table::new(&["BACKEND", "WORK", "MODEL"]);
    for action in &planned.actions {
        table.row(vec![Cell::text(&action.backend), Cell::text(&action.kind), Cell::text(&action.model)]);
    }
    let text = match (table.is_empty(), only_tell) {
        (true, true) => "nothing to do".to_owned(),
        (true, false) => "asked for; as far as this node knows there is nothing to do".to_owned(),
        (false, true) => table.draw(screen),
        (false, false) => format!("begins, `models list` shows how far it is\n\n{}", table.draw(screen)),
    };
    Ok(Page::new(text, answer.read()?))
}

async fn roll(remote: &Remote, model: &str, force: bool, drain_ms: Option<u32>) -> Result<Page, RemoteError> {
    // A slash is part of the name, as in hf.co/user/model.
    let path = path(["v1.0", "models"].into_iter().chain(model.split('/')).chain(["roll"]));
    let parameters = [("force", switch(force)), ("drain_ms", drain_ms.map(|wait| wait.to_string()))];
    let answer = remote.send(Call::post(&with_query(&path, &parameters))).await?;
    let rolling: Rolling = answer.read()?;
    let (model, order) = (printable(&rolling.model), printable(&rolling.backends.join(", ")));
    let text = format!("{model} is updated at {order}, in this order: `models list` shows how far it is");
    Ok(Page::new(text, answer.read()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_tag_stands_for_all_tags() {
        assert!(is_named("llama3:8b", "llama3") && is_named("llama3:8b", "llama3:8b"));
        assert!(!is_named("llama3.1:8b", "llama3") && !is_named("llama3:8b", "llama3:70b"));
    }
}
