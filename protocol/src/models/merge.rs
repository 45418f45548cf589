//! The lists of many backends as one: `/api/tags`, `/api/ps`, `/v1/models` and `/v1/models/{id}` of a frontend.
//!
//! In: what is known of each backend, and the frontend's aliases. Out: one body, its `ETag`, and where backends have
//! different models of one name. The same on every node that knows the same, and in whatever order backends are given.
//!
//! - Each model is listed once, by canonical name. Its entry is that of the backend where it was modified last, and of
//!   equal ones that of the smallest digest and backend id. An entry of Ollama's own goes before one that is made from
//!   OpenAI's list: that knows less, and some engines give the present as a model's date.
//! - `/api/tags` and `/v1/models` are in the order of Ollama's, modified last first; `/api/ps` has what expires last first.
//! - An alias is listed beside its target, with the target's entry. A model that is named as an alias cannot be reached,
//!   at backends where the alias has no target neither, so it is not listed.
//! - An entry that clients cannot read is left out.
//!
//! Entries are copied as they stand, so a list costs a sort and one buffer, and no tree.

use std::borrow::Cow;
use std::cmp::Reverse;

use xxhash_rust::xxh3::xxh3_128;

use super::alias::ModelAliases;
use super::inventory::{Disk, DiskModel, LoadedModel, Memory};
use super::rename::Members;
use crate::id::BackendId;
use crate::model::canonical;
use crate::time::Timestamp;

/// Which names are listed; `None` for all.
pub type Visible<'a> = Option<&'a dyn Fn(&str) -> bool>;

/// What is known of one backend. What is not is passed over; the caller tells clients about it.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The backend.
    pub backend: &'a BackendId,
    /// What it has on its disk.
    pub disk: Option<&'a Disk>,
    /// What it has in memory.
    pub memory: Option<&'a Memory>,
}

/// A merged list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The body of the answer.
    pub body: Vec<u8>,
    /// The strong `ETag` of the body, quotes included: the same body has the same on each node.
    pub etag: String,
    /// The models that are not the same everywhere, by name.
    pub conflicts: Vec<Conflict>,
}

/// A name that means different models at different backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The canonical name.
    pub model: String,
    /// The digests, and who has them, in the order of digests and ids.
    pub digests: Vec<(String, BackendId)>,
}

/// An entry that may be listed.
struct Candidate<'a, T> {
    canonical: &'a str,
    backend: &'a BackendId,
    model: &'a T,
    /// Another name to list it by.
    alias: Option<&'a str>,
}

/// What merging asks of an entry.
trait Entry {
    fn name(&self) -> &str;
    fn canonical(&self) -> &str;
    fn digest(&self) -> Option<&str>;
    fn is_readable(&self) -> bool;
    /// What the list is ordered by, the latest first.
    fn date(&self) -> Timestamp;
}

/// One row of the answer.
struct Row<'a> {
    date: Timestamp,
    canonical: &'a str,
    text: Cow<'a, [u8]>,
}

const NAMES: Members<'static> = Members { keys: &[b"name", b"model"], within: &[], folded: false };
const ID: Members<'static> = Members { keys: &[b"id"], within: &[], folded: false };

/// The answer to `GET /api/tags`.
pub fn tags(sources: &[Source<'_>], aliases: &ModelAliases, visible: Visible<'_>) -> Merged {
    let (candidates, conflicts) = on_disk(sources, aliases);
    let rows = shown(&candidates, visible).map(|best| best.row(&best.model.tag, NAMES)).collect();
    merged(b"{\"models\":[", rows, b"]}", conflicts)
}

/// The answer to `GET /v1/models`.
pub fn models(sources: &[Source<'_>], aliases: &ModelAliases, visible: Visible<'_>) -> Merged {
    let (candidates, conflicts) = on_disk(sources, aliases);
    let rows = shown(&candidates, visible).map(|best| best.row(&best.model.listed, ID)).collect();
    merged(b"{\"object\":\"list\",\"data\":[", rows, b"]}", conflicts)
}

/// The answer to `GET /v1/models/{id}`, under the name that was asked for; `None` if no backend has such a model.
pub fn model(sources: &[Source<'_>], aliases: &ModelAliases, id: &str) -> Option<Merged> {
    let asked = canonical(id);
    let alias = aliases.find_canonical(&asked);
    let mut candidates: Vec<_> = sources
        .iter()
        .filter_map(|source| {
            let model = match alias {
                Some(alias) => source.disk?.find(&canonical(alias.target(source.backend)?))?,
                None => source.disk?.find(&asked)?,
            };
            if !model.is_readable {
                return None;
            }
            Some(Candidate { canonical: &asked, backend: source.backend, model, alias: Some(id) })
        })
        .collect();
    let conflicts = conflict(&candidates).into_iter().collect();
    candidates.sort_unstable_by(|a, b| a.key().cmp(&b.key()));
    let row = candidates.first()?.row(&candidates.first()?.model.listed, ID);
    Some(merged(b"", vec![row], b"", conflicts))
}

/// The answer to `GET /api/ps`: what is in the memory of any backend, once.
pub fn ps(sources: &[Source<'_>], aliases: &ModelAliases, visible: Visible<'_>) -> Merged {
    let mut candidates = Vec::new();
    for source in sources {
        let Some(memory) = source.memory else { continue };
        add(&mut candidates, source.backend, memory.models(), |name| memory.find(name), aliases);
    }
    let (candidates, conflicts) = best(candidates);
    let rows = shown(&candidates, visible).map(|best| best.row(&best.model.process, NAMES)).collect();
    merged(b"{\"models\":[", rows, b"]}", conflicts)
}

fn on_disk<'a>(
    sources: &[Source<'a>],
    aliases: &'a ModelAliases,
) -> (Vec<Candidate<'a, DiskModel>>, Vec<Conflict>) {
    let listed = sources.iter().filter_map(|source| source.disk).map(|disk| disk.models().len()).sum();
    let mut candidates = Vec::with_capacity(listed);
    for source in sources {
        let Some(disk) = source.disk else { continue };
        add(&mut candidates, source.backend, disk.models(), |name| disk.find(name), aliases);
    }
    best(candidates)
}

/// Adds what one backend has, by the names by which it can be reached there.
fn add<'a, T: Entry>(
    candidates: &mut Vec<Candidate<'a, T>>,
    backend: &'a BackendId,
    models: &'a [T],
    find: impl Fn(&str) -> Option<&'a T>,
    aliases: &'a ModelAliases,
) {
    // Whoever asks by an alias gets its target, or cannot ask this backend.
    let visible = models
        .iter()
        .filter(|model| model.is_readable() && aliases.find_canonical(model.canonical()).is_none());
    candidates.extend(visible.map(|model| Candidate {
        canonical: model.canonical(),
        backend,
        model,
        alias: None,
    }));
    for (name, alias) in aliases.iter() {
        let model = alias.target(backend).and_then(|target| find(&canonical(target)));
        if let Some(model) = model.filter(|model| model.is_readable()) {
            candidates.push(Candidate { canonical: name, backend, model, alias: Some(&alias.name) });
        }
    }
}

/// The best candidate for each name, and where the others are not the same.
fn best<T: Entry>(mut candidates: Vec<Candidate<'_, T>>) -> (Vec<Candidate<'_, T>>, Vec<Conflict>) {
    candidates.sort_unstable_by(|a, b| a.canonical.cmp(b.canonical).then_with(|| a.key().cmp(&b.key())));
    let conflicts = candidates.chunk_by(|a, b| a.canonical == b.canonical).filter_map(conflict).collect();
    candidates.dedup_by(|next, first| next.canonical == first.canonical);
    (candidates, conflicts)
}

/// Those whose names are listed.
fn shown<'c, 'a, T: Entry>(
    candidates: &'c [Candidate<'a, T>],
    visible: Visible<'c>,
) -> impl Iterator<Item = &'c Candidate<'a, T>> {
    candidates.iter().filter(move |best| {
        visible.is_none_or(|is_visible| is_visible(best.alias.unwrap_or(best.model.name())))
    })
}

/// The conflict among candidates of one name. What is behind an alias may differ by intent.
fn conflict<T: Entry>(group: &[Candidate<'_, T>]) -> Option<Conflict> {
    let known = || {
        let own = group.iter().filter(|candidate| candidate.model.canonical() == candidate.canonical);
        own.filter_map(|candidate| Some((candidate.model.digest()?, candidate.backend)))
    };
    let (first, _) = known().next()?;
    if known().all(|(digest, _)| digest == first) {
        return None;
    }
    let mut digests: Vec<_> = known().map(|(digest, backend)| (digest.to_owned(), backend.clone())).collect();
    digests.sort_unstable();
    Some(Conflict { model: group.first()?.canonical.to_owned(), digests })
}

/// One buffer of the right size, and its hash.
fn merged(opening: &[u8], mut rows: Vec<Row<'_>>, closing: &[u8], conflicts: Vec<Conflict>) -> Merged {
    rows.sort_unstable_by(|a, b| b.date.cmp(&a.date).then_with(|| a.canonical.cmp(b.canonical)));
    let size: usize = rows.iter().map(|row| row.text.len() + 1).sum();
    let mut body = Vec::with_capacity(opening.len() + size + closing.len());
    body.extend_from_slice(opening);
    for (at, row) in rows.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&row.text);
    }
    body.extend_from_slice(closing);
    let etag = format!("\"{:032x}\"", xxh3_128(&body));
    Merged { body, etag, conflicts }
}

// === impl Candidate ===

impl<'a, T: Entry> Candidate<'a, T> {
    /// The smallest is the best.
    fn key(&self) -> (bool, Reverse<Timestamp>, Option<&str>, &BackendId, &str) {
        let digest = self.model.digest();
        (digest.is_none(), Reverse(self.model.date()), digest, self.backend, self.model.name())
    }

    fn row(&self, entry: &'a [u8], names: Members<'_>) -> Row<'a> {
        let renamed = self.alias.and_then(|alias| {
            let places = names.find(entry).ok()?;
            Some(Cow::Owned(places.replaced(entry, "name", alias)))
        });
        Row {
            date: self.model.date(),
            canonical: self.canonical,
            text: renamed.unwrap_or(Cow::Borrowed(entry)),
        }
    }
}

// === impl Entry ===

impl Entry for DiskModel {
    fn name(&self) -> &str {
        &self.name
    }

    fn canonical(&self) -> &str {
        &self.canonical
    }

    fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    fn is_readable(&self) -> bool {
        self.is_readable
    }

    fn date(&self) -> Timestamp {
        self.modified_at
    }
}

impl Entry for LoadedModel {
    fn name(&self) -> &str {
        &self.name
    }

    fn canonical(&self) -> &str {
        &self.canonical
    }

    fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    fn is_readable(&self) -> bool {
        self.is_readable
    }

    fn date(&self) -> Timestamp {
        self.expires_at.unwrap_or(Timestamp::EPOCH)
    }
}

#[cfg(test)]
mod tests;
