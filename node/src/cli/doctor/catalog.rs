//! What is configured: frontends that lead nowhere, backends that are down, models that are missing.

use std::collections::BTreeMap;

use super::backends;
use super::report::Report;
use crate::cli::objects::Kind;
use crate::cli::remote::{Call, Remote, RemoteError};
use crate::cli::screen::counted;
use crate::cli::wire::{Backend, Frontend, Models};

/// Models that are told of, one by one, at most.
const MAX_MODELS: usize = 20;

pub(super) async fn check(remote: &Remote, is_here: bool, report: &mut Report) -> Result<(), RemoteError> {
    let mut all: Vec<Backend> = remote.send(Call::get(Kind::Backend.list_path())).await?.read()?;
    let mut frontends: Vec<Frontend> = remote.send(Call::get(Kind::Frontend.list_path())).await?.read()?;
    let models: Models = remote.send(Call::get("/v1.0/models")).await?.read()?;
    all.sort_by(|one, other| one.identifier.cmp(&other.identifier));
    frontends.sort_by(|one, other| one.identifier.cmp(&other.identifier));
    backends::check(&all, is_here, report).await;
    check_frontends(&frontends, &all, report);
    check_models(&models, report);
    Ok(())
}

fn check_frontends(frontends: &[Frontend], backends: &[Backend], report: &mut Report) {
    let known: BTreeMap<&str, &Backend> =
        backends.iter().map(|backend| (backend.identifier.as_str(), backend)).collect();
    if frontends.iter().all(|frontend| !frontend.active) {
        let mend = "`ollamaflow frontends set f1 --create Hostname=* 'Backends=[\"b1\"]'`";
        report.broken("frontends", "there is no active frontend: every request is refused", mend);
    }
    for frontend in frontends.iter().filter(|frontend| frontend.active) {
        let id = &frontend.identifier;
        let subject = format!("frontend {id}");
        let members: Vec<&&Backend> =
            frontend.backends.iter().filter_map(|backend| known.get(backend.as_str())).collect();
        let healthy =
            members.iter().filter(|backend| backend.is_healthy() && backend.state == "Active").count();
        match (frontend.backends.len(), healthy) {
            (0, _) => report.broken(
                &subject,
                "it has no backends",
                &format!("`ollamaflow frontends set {id} 'Backends=[\"b1\"]'`"),
            ),
            (_, 0) => report.broken(
                &subject,
                "none of its backends is healthy and active: its requests are refused",
                "mend a backend, or `ollamaflow backends enable ID`",
            ),
            (all, healthy) => report.fine(&subject, &format!("{healthy} of {all} backends take requests")),
        }
    }
}

fn check_models(models: &Models, report: &mut Report) {
    let places =
        models.models.iter().flat_map(|model| model.backends.iter().map(move |place| (model, place)));
    let wrong: Vec<_> =
        places.filter_map(|(model, place)| Some((model, place, place.reason.as_ref()?))).collect();
    for (model, place, reason) in wrong.iter().take(MAX_MODELS) {
        let subject = format!("model {}", model.model);
        let text = format!("not as wanted at {}: {reason}", place.backend);
        report.doubtful(&subject, &text, "`ollamaflow models reconcile` tries again at once; docs/models.md");
    }
    if wrong.len() > MAX_MODELS {
        report.doubtful(
            "models",
            &format!("{} more are not as wanted", wrong.len() - MAX_MODELS),
            "`ollamaflow models list`",
        );
    }
    if wrong.is_empty() && !models.models.is_empty() {
        report.fine("models", &format!("{}, all as wanted", counted(models.models.len(), "model")));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::cli::screen::Screen;

    use super::*;

    fn told(frontends: &[Frontend], backends: &[Backend]) -> String {
        let mut report = Report::default();
        check_frontends(frontends, backends, &mut report);
        report.text(Screen::none())
    }

    fn frontend(backends: &[&str]) -> Frontend {
        let backends = backends.iter().map(|id| (*id).to_owned()).collect();
        Frontend { identifier: "f".to_owned(), active: true, backends, ..Frontend::default() }
    }

    fn backend(state: &str, healthy: bool) -> Backend {
        Backend {
            identifier: "b".to_owned(),
            state: state.to_owned(),
            healthy_since_utc: healthy.then(|| "x".to_owned()),
            ..Backend::default()
        }
    }

    #[test]
    fn a_frontend_that_leads_nowhere_is_broken() {
        assert!(
            told(&[frontend(&["b"])], &[backend("Active", true)]).contains("1 of 1 backends take requests")
        );
        assert!(told(&[frontend(&[])], &[]).contains("it has no backends"));
        for (state, healthy) in [("Active", false), ("Draining", true), ("Disabled", true)] {
            let text = told(&[frontend(&["b"])], &[backend(state, healthy)]);
            assert!(text.contains("none of its backends"), "{text}");
        }
        assert!(told(&[], &[]).contains("there is no active frontend"));
    }

    #[test]
    fn models_that_are_not_as_wanted_say_why() {
        let models: Models = serde_json::from_value(json!({ "Models": [
            { "Model": "m", "Backends": [{ "Backend": "b", "Reason": "the disk is full" }, { "Backend": "c" }] }
        ] }))
        .unwrap();
        let mut report = Report::default();
        check_models(&models, &mut report);
        let text = report.text(Screen::none());
        assert!(text.contains("model m  not as wanted at b: the disk is full"), "{text}");
    }
}
