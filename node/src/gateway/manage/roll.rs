//! What became of a change at each backend, as a header tells it.

use actix_web::http::header::HeaderValue;
use ollamaflow_protocol::id::BackendId;

use super::targets::Targets;

/// The longest header value, in bytes.
const MAX_TOLD: usize = 1024;

/// Each backend and one word.
#[derive(Clone, Debug, Default)]
pub(super) struct Roll(Vec<(BackendId, &'static str)>);

// === impl Roll ===

impl Roll {
    /// Before anything has happened: some are asked, some passed over.
    pub(super) fn of(targets: &Targets) -> Self {
        let asked = targets.sites.iter().map(|site| (site.backend.id().clone(), "asked"));
        let skipped = targets.skipped.iter().map(|skipped| (skipped.backend.id().clone(), skipped.why));
        Self(asked.chain(skipped).collect())
    }

    /// Tells what became of it at a backend.
    pub(super) fn tell(&mut self, backend: &BackendId, what: &'static str) {
        match self.0.iter_mut().find(|(known, _)| known == backend) {
            Some((_, told)) => *told = what,
            None => self.0.push((backend.clone(), what)),
        }
    }

    /// The backend, if there is only one.
    pub(super) fn only(&self) -> Option<&BackendId> {
        match &self.0[..] {
            [(backend, _)] => Some(backend),
            _ => None,
        }
    }

    /// The header's value; the end is left out if there are too many backends.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        let mut text = String::new();
        for (backend, what) in &self.0 {
            let separator = if text.is_empty() { "" } else { ", " };
            let told = format!("{separator}{backend}={what}");
            if text.len() + told.len() > MAX_TOLD {
                text.push_str(", ...");
                break;
            }
            text.push_str(&told);
        }
        if text.is_empty() { None } else { HeaderValue::try_from(text).ok() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> BackendId {
        BackendId::try_from(text).unwrap()
    }

    #[test]
    fn each_backend_is_told_once_and_the_header_is_bounded() {
        let mut roll = Roll::default();
        assert_eq!(roll.header(), None);
        roll.tell(&id("a"), "asked");
        assert_eq!(roll.only(), Some(&id("a")));
        roll.tell(&id("a"), "done");
        roll.tell(&id("b"), "failed");
        assert_eq!(roll.header().unwrap(), "a=done, b=failed");
        assert_eq!(roll.only(), None);
        for number in 0..1000 {
            roll.tell(&id(&format!("backend-{number}")), "done");
        }
        let told = roll.header().unwrap();
        assert!(told.len() <= MAX_TOLD + 5 && told.to_str().unwrap().ends_with(", ..."), "{told:?}");
    }
}
