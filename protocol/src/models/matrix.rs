//! Models by backends, as `GET /v1.0/models` shows them: what is where, what should be, and why it is not.
//!
//! In: what is known of each backend, and the plan that was made from it. Out: rows by canonical name, each with a cell
//! for every backend, in the order of ids. Null says that something is not known.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use utoipa::ToSchema;

use super::desired::{ActionKind, Failure, Ledger, Situation, Standing, Verdict, Wish};
use super::inventory::{Disk, DiskModel};
use super::satisfies;
use crate::id::BackendId;
use crate::model::canonical;
use crate::time::Timestamp;

/// The body of `GET /v1.0/models`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ModelMatrix {
    /// By canonical name.
    pub models: Vec<ModelRow>,
}

/// One model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ModelRow {
    /// The canonical name. A wish without a tag stands at `latest`, with the tag that fulfils it as the reason.
    pub model: String,
    /// The digest that came to any backend last: it is what drifted ones differ from.
    pub digest: Option<String>,
    /// Whether backends have different ones.
    pub drifted: bool,
    /// One for each backend.
    pub backends: Vec<ModelCell>,
}

/// One model at one backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ModelCell {
    /// The backend.
    pub backend: BackendId,
    /// Whether it is on the disk.
    pub present: Option<bool>,
    /// The digest there.
    pub digest: Option<String>,
    /// Bytes on the disk.
    pub size: Option<u64>,
    /// Whether it is in memory.
    pub loaded: Option<bool>,
    /// When it leaves memory.
    #[serde(rename = "ExpiresUtc")]
    pub expires: Option<Timestamp>,
    /// How much of it is pulled, while it is; 0 until that is known.
    pub pulling_percent: Option<u8>,
    /// Whether a frontend requires it there.
    pub required: bool,
    /// Whether a frontend wants it in memory there.
    pub preload: bool,
    /// Whether a frontend forbids it there.
    pub forbidden: bool,
    /// Whether it is another one than that of the row.
    pub drifted: bool,
    /// Why it is not as it should be; null if it is.
    pub reason: Option<String>,
}

/// Makes the matrix. `verdicts` are those of the last plan.
pub fn matrix(situations: &[Situation<'_>], verdicts: &[Verdict], ledger: &Ledger) -> ModelMatrix {
    let mut situations: Vec<_> = situations.iter().collect();
    situations.sort_unstable_by_key(|situation| situation.backend);
    let wishes = by_name(verdicts);
    let mut names: BTreeSet<&str> = wishes.keys().map(String::as_str).collect();
    for situation in &situations {
        names.extend(situation.disk.into_iter().flat_map(Disk::models).map(|model| &*model.canonical));
    }
    let row = |name: &&str| {
        let verdicts = wishes.get(*name).map_or(&[][..], Vec::as_slice);
        ModelRow::new(name, &situations, verdicts, ledger)
    };
    ModelMatrix { models: names.iter().map(row).collect() }
}

/// Verdicts by the row in which they are shown. A wish without a tag that other tags fulfil has a row of its own.
fn by_name(verdicts: &[Verdict]) -> BTreeMap<String, Vec<&Verdict>> {
    let mut wishes: BTreeMap<String, Vec<&Verdict>> = BTreeMap::new();
    for verdict in verdicts {
        wishes.entry(canonical(&verdict.model)).or_default().push(verdict);
    }
    wishes
}

// === impl ModelRow ===

impl ModelRow {
    fn new(name: &str, situations: &[&Situation<'_>], verdicts: &[&Verdict], ledger: &Ledger) -> Self {
        let there = situations.iter().filter_map(|situation| situation.disk?.find(name));
        let known = there.filter_map(|model| Some((Reverse(model.modified_at), model.digest.as_deref()?)));
        let digest = known.min().map(|(_, digest)| digest.to_owned());
        let cell = |situation: &&Situation<'_>| {
            let own = verdicts.iter().filter(|verdict| verdict.backend == *situation.backend);
            ModelCell::new(name, situation, &own.copied(), ledger, digest.as_deref())
        };
        let backends: Vec<_> = situations.iter().map(cell).collect();
        let drifted = backends.iter().any(|cell| cell.drifted);
        Self { model: name.to_owned(), digest, drifted, backends }
    }
}

// === impl ModelCell ===

impl ModelCell {
    fn new<'v>(
        name: &str,
        situation: &Situation<'_>,
        verdicts: &(impl Iterator<Item = &'v Verdict> + Clone),
        ledger: &Ledger,
        newest: Option<&str>,
    ) -> Self {
        let model = situation.disk.and_then(|disk| disk.find(name));
        let loaded = situation.memory.map(|memory| memory.find(name));
        let digest = model.and_then(|model| model.digest.clone());
        let wishes = |wish| verdicts.clone().any(|verdict| verdict.wish == wish);
        let mut pulls = ledger
            .pulling_now()
            .filter(|pull| pull.backend == situation.backend && canonical(pull.model) == name);
        // The first wish that is not fulfilled: required comes before what follows from it.
        let reason = verdicts.clone().find_map(|verdict| reason(verdict, model, situation));
        Self {
            backend: situation.backend.clone(),
            present: situation.disk.map(|_| model.is_some()),
            drifted: digest.as_deref().is_some_and(|digest| newest.is_some_and(|newest| newest != digest)),
            digest,
            size: model.map(|model| model.size).filter(|size| *size > 0),
            loaded: loaded.map(|loaded| loaded.is_some()),
            expires: loaded.flatten().and_then(|loaded| loaded.expires_at),
            pulling_percent: pulls.next().map(|pull| pull.percent.unwrap_or_default()),
            required: wishes(Wish::Required),
            preload: wishes(Wish::Preload),
            forbidden: wishes(Wish::Forbidden),
            reason,
        }
    }
}

/// Why a wish is not fulfilled, for people; for a wish that another tag fulfils, which one that is.
fn reason(verdict: &Verdict, model: Option<&DiskModel>, situation: &Situation<'_>) -> Option<String> {
    Some(match &verdict.standing {
        Standing::Fulfilled if model.is_none() && verdict.wish != Wish::Forbidden => {
            let disk = situation.disk?;
            let other = disk.models().iter().find(|other| satisfies(&verdict.model, &other.name))?;
            format!("{} is there for it", other.name)
        }
        Standing::Fulfilled => return None,
        Standing::Begins(kind) | Standing::Running(kind, _) => match kind {
            ActionKind::Pull => "it is being pulled".to_owned(),
            ActionKind::Load => "it is being loaded".to_owned(),
            ActionKind::Delete => "it is being deleted".to_owned(),
        },
        Standing::Queued(kind) => match kind {
            ActionKind::Pull => "it waits for other pulls to end".to_owned(),
            ActionKind::Load => "it waits for other loads to end".to_owned(),
            ActionKind::Delete => "it waits to be deleted".to_owned(),
        },
        Standing::Waits { until, why } => format!("it is tried again at {until}: {why}"),
        Standing::Final { why: Failure::DiskFull, message } => {
            format!("the disk is full, and it is tried again when something has been deleted: {message}")
        }
        Standing::Final { message, .. } => {
            format!(
                "there is no such model, and it is tried again when the configuration has changed: {message}"
            )
        }
        Standing::Crowded { why } => {
            format!("{why}; it is loaded when one of them has left or the configuration has changed")
        }
        Standing::CannotPull => "missing, cannot pull".to_owned(),
        Standing::Tolerated => "forbidden, but it is not to be deleted by OllamaFlow".to_owned(),
        Standing::Contradicted => "forbidden by one frontend and required by another: it stays".to_owned(),
        Standing::AwaitsPull => "it is loaded when it is there".to_owned(),
        Standing::Unavailable => "the backend is off or does not answer".to_owned(),
        Standing::Unknown => "what the backend has is not known yet".to_owned(),
    })
}

#[cfg(test)]
mod tests;
