//! What a backend has in memory, as far as this node knows: from what it lists (`/api/ps`), and from what was sent.

use std::time::Instant;

use ollamaflow_protocol::models::inventory::Memory;

/// Most models that are remembered for one backend; the oldest go first.
const MOST_RESIDENTS: usize = 64;

/// The models in a backend's memory at one moment. Small: it is cloned on each change.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::actors) struct Residency {
    models: Vec<Resident>,
    known: bool,
}

/// A model in memory, or on its way there.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::actors) struct Resident {
    /// Its canonical name.
    pub(in crate::actors) model: String,
    /// Key of the runner options that this node sent last; `None` if somebody else had it loaded.
    pub(in crate::actors) options: Option<u64>,
    /// Its context, in tokens, as the backend says or as the request asked.
    pub(in crate::actors) context_length: Option<u64>,
    /// When it was first seen or asked for, with these options.
    pub(in crate::actors) since: Instant,
    /// Whether the load is over.
    pub(in crate::actors) ready: bool,
    /// Memory, in bytes; 0 while unknown.
    pub(in crate::actors) size: u64,
}

/// A model as `/api/ps` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::actors) struct Listed {
    /// Its canonical name.
    pub(in crate::actors) model: String,
    /// Its context, in tokens.
    pub(in crate::actors) context_length: Option<u64>,
    /// Memory, in bytes.
    pub(in crate::actors) size: u64,
}

/// What a request finds in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::actors) enum Warmth {
    /// The model, with the options that it asks for.
    Loaded,
    /// The model with other options: it would be loaded again.
    OtherOptions,
    /// Not the model.
    Cold,
}

// === impl Residency ===

impl Residency {
    /// Whether the backend has ever said what it has in memory.
    #[cfg(test)]
    pub(in crate::actors) fn is_known(&self) -> bool {
        self.known
    }

    /// The models, in no order.
    #[cfg(test)]
    pub(in crate::actors) fn models(&self) -> &[Resident] {
        &self.models
    }

    /// How many models there are.
    pub(in crate::actors) fn count(&self) -> u32 {
        u32::try_from(self.models.len()).unwrap_or(u32::MAX)
    }

    /// What the backend lists, asked at `asked_at`, goes before what was known; but the options of those still there
    /// stay, and so does a load that began after the question.
    pub(in crate::actors) fn with_listed(&self, listed: Vec<Listed>, asked_at: Instant) -> Self {
        let mut models: Vec<Resident> = Vec::with_capacity(listed.len().min(MOST_RESIDENTS));
        for Listed { model, context_length, size } in listed.into_iter().take(MOST_RESIDENTS) {
            let known = self.get(&model);
            // The list may still show the runner that a load under way replaces.
            let is_replaced = known.is_some_and(|known| !known.ready && known.since >= asked_at);
            if is_replaced || models.iter().any(|one| one.model == model) {
                continue;
            }
            let (options, since) = known.map_or((None, asked_at), |known| (known.options, known.since));
            models.push(Resident { model, options, context_length, since, ready: true, size });
        }
        let begun = self.models.iter().filter(|one| !one.ready && one.since >= asked_at);
        models.extend(begun.cloned());
        Self { models, known: true }.bounded()
    }

    /// A request for `model` was sent, and has it loaded; `None` if that changes nothing.
    pub(in crate::actors) fn with_started(
        &self,
        model: &str,
        options_key: u64,
        num_ctx: Option<u64>,
        now: Instant,
    ) -> Option<Self> {
        let known = self.get(model);
        if known.is_some_and(|known| known.options == Some(options_key)) {
            return None;
        }
        // Of a model that somebody else loaded the options are learnt, and nothing is loaded, if they may be the same.
        let fits = self.warmth(model, options_key, num_ctx) == Warmth::Loaded;
        let resident = match known {
            Some(known) if fits => Resident { options: Some(options_key), ..known.clone() },
            _ => Resident {
                model: model.to_owned(),
                options: Some(options_key),
                context_length: num_ctx,
                since: now,
                ready: false,
                size: known.map_or(0, |known| known.size),
            },
        };
        let mut next = self.without(model);
        next.models.push(resident);
        Some(next.bounded())
    }

    /// The backend answered with `model`: the load is over. `None` if that changes nothing.
    pub(in crate::actors) fn with_ready(&self, model: &str) -> Option<Self> {
        let index = self.models.iter().position(|one| one.model == model && !one.ready)?;
        let mut next = self.clone();
        next.models[index].ready = true;
        Some(next)
    }

    /// Without `model`: it was unloaded, or could not be loaded.
    pub(in crate::actors) fn without(&self, model: &str) -> Self {
        let models = self.models.iter().filter(|one| one.model != model).cloned().collect();
        Self { models, known: self.known }
    }

    /// What a request for `model` with these options would find.
    pub(in crate::actors) fn warmth(&self, model: &str, options_key: u64, num_ctx: Option<u64>) -> Warmth {
        let Some(resident) = self.get(model) else { return Warmth::Cold };
        let fits = match resident.options {
            Some(options) => options == options_key,
            // The one option that a list tells.
            None => num_ctx.is_none_or(|wanted| resident.context_length == Some(wanted)),
        };
        if fits { Warmth::Loaded } else { Warmth::OtherOptions }
    }

    fn get(&self, model: &str) -> Option<&Resident> {
        self.models.iter().find(|one| one.model == model)
    }

    fn bounded(mut self) -> Self {
        if self.models.len() > MOST_RESIDENTS {
            self.models.sort_by_key(|one| std::cmp::Reverse(one.since));
            self.models.truncate(MOST_RESIDENTS);
        }
        self
    }
}

/// The models of a list.
pub(in crate::actors) fn listed(memory: &Memory) -> Vec<Listed> {
    let models = memory.models().iter().take(MOST_RESIDENTS).map(|model| Listed {
        model: model.canonical.clone(),
        // Old versions of Ollama do not tell the context, or tell 0 of it.
        context_length: Some(model.context_length).filter(|length| *length > 0),
        size: model.size,
    });
    models.collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;

    fn listed(model: &str, context_length: u64) -> Listed {
        Listed { model: model.to_owned(), context_length: Some(context_length), size: 9 }
    }

    #[test]
    fn a_context_of_zero_is_none() {
        let body =
            br#"{"models":[{"name":"A","model":"A:latest","size":5,"context_length":4096},{"name":"b:7b"}]}"#;
        let memory = Memory::read(&Bytes::from_static(body)).unwrap();
        let b = Listed { model: "b:7b".to_owned(), context_length: None, size: 0 };
        assert_eq!(super::listed(&memory), [Listed { size: 5, ..listed("a:latest", 4096) }, b]);
    }

    #[test]
    fn what_was_sent_is_there_until_the_list_says_otherwise() {
        let start = Instant::now();
        let sent = Residency::default().with_started("a", 1, None, start).unwrap();
        assert!(!sent.is_known() && !sent.models()[0].ready);
        assert_eq!(sent.warmth("a", 1, None), Warmth::Loaded);
        assert_eq!(sent.warmth("a", 2, None), Warmth::OtherOptions);
        assert_eq!(sent.warmth("b", 1, None), Warmth::Cold);
        assert_eq!(sent.with_started("a", 1, None, start), None, "nothing changes");
        let ready = sent.with_ready("a").unwrap();
        assert_eq!(ready.with_ready("a"), None);
        let later = start + Duration::from_secs(1);
        let gone = ready.with_listed(vec![listed("b", 4096)], later);
        assert!(gone.is_known());
        assert_eq!((gone.warmth("a", 1, None), gone.count()), (Warmth::Cold, 1));
        assert_eq!(ready.without("a").count(), 0);
    }

    #[test]
    fn options_outlive_a_list_and_a_load_outlives_an_older_question() {
        let start = Instant::now();
        let sent = Residency::default().with_started("a", 1, Some(8_192), start).unwrap();
        let asked_before = sent.with_listed(vec![listed("a", 4_096)], start);
        assert!(!asked_before.models()[0].ready, "the list shows the runner that is being replaced");
        assert_eq!(asked_before.with_listed(Vec::new(), start).count(), 1);
        let asked_after = sent.with_listed(vec![listed("a", 8_192)], start + Duration::from_secs(1));
        assert!(asked_after.models()[0].ready);
        assert_eq!(asked_after.models()[0].options, Some(1));
        assert_eq!(sent.with_listed(Vec::new(), start + Duration::from_secs(1)).count(), 0);
    }

    #[test]
    fn of_what_others_loaded_the_context_decides_until_the_options_are_learnt() {
        let start = Instant::now();
        let seen = Residency::default().with_listed(vec![listed("a", 4_096)], start);
        assert_eq!(seen.warmth("a", 1, None), Warmth::Loaded);
        assert_eq!(seen.warmth("a", 1, Some(4_096)), Warmth::Loaded);
        assert_eq!(seen.warmth("a", 1, Some(8_192)), Warmth::OtherOptions);
        let learnt = seen.with_started("a", 1, Some(4_096), start).unwrap();
        assert!(learnt.models()[0].ready, "nothing had to be loaded");
        assert_eq!(learnt.warmth("a", 2, Some(4_096)), Warmth::OtherOptions);
        let reloaded = seen.with_started("a", 2, Some(8_192), start).unwrap();
        assert!(!reloaded.models()[0].ready);
    }

    #[test]
    fn the_memory_is_bounded_and_the_newest_stay() {
        let start = Instant::now();
        let mut residency = Residency::default();
        for n in 0..100 {
            let at = start + Duration::from_secs(n);
            residency = residency.with_started(&n.to_string(), 1, None, at).unwrap();
        }
        assert_eq!(residency.models().len(), MOST_RESIDENTS);
        assert_eq!(residency.warmth("99", 1, None), Warmth::Loaded);
        assert_eq!(residency.warmth("0", 1, None), Warmth::Cold);
        let many = (0..100).map(|n| listed(&n.to_string(), 1)).collect();
        assert_eq!(
            residency.with_listed(many, start + Duration::from_secs(1_000)).models().len(),
            MOST_RESIDENTS
        );
    }
}
