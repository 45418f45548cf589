//! What backends have answered that another one might better: the best of it is what the client gets if none does.

use std::sync::Arc;

use ollamaflow_protocol::wire::fault::Fault;

use crate::actors::BackendHandle;
use crate::gateway::answer::Answer;
use crate::gateway::refusal::Refusal;

/// An attempt that did not satisfy.
pub(super) struct Failure {
    pub(super) backend: Arc<BackendHandle>,
    pub(super) fault: Fault,
    /// What the backend said, for comparison.
    pub(super) words: Option<String>,
    /// The backend's answer, or ours if there is none.
    pub(super) given: Result<Box<Answer>, Refusal>,
}

// === impl Failure ===

impl Failure {
    /// The status of the backend's answer. Its words are not for the log: engines quote what they were asked.
    pub(super) fn status(&self) -> Option<u16> {
        self.given.as_ref().ok().map(|answer| answer.status.as_u16())
    }

    /// A word for ours, if there is no answer.
    pub(super) fn label(&self) -> Option<&'static str> {
        self.given.as_ref().err().map(Refusal::label)
    }
}

/// The failed attempts of one request.
#[derive(Default)]
pub(super) struct Shelf {
    best: Option<Result<Box<Answer>, Refusal>>,
    /// Answers of which it is not clear whose fault they tell.
    unclear: Vec<(Arc<BackendHandle>, Option<String>)>,
}

/// Whether it makes sense to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another backend may do better.
    Another,
    /// Two backends agree that the request is at fault, or it was tried twice without a clear answer.
    Enough,
}

// === impl Shelf ===

impl Shelf {
    /// Takes a failed attempt.
    pub(super) fn put(&mut self, failure: Failure) -> Next {
        let Failure { backend, fault, words, given } = failure;
        self.best = Some(match (self.best.take(), given) {
            // A backend's own words are worth more than ours about another one's silence.
            (Some(Ok(answer)), Err(_)) => Ok(answer),
            // "Busy" is worth another try; "no such model" is not, and the backend that said "busy" has it.
            (Some(Ok(answer)), Ok(_)) if fault == Fault::ModelMissing => Ok(answer),
            (_, given) => given,
        });
        if fault != Fault::Unclear {
            return Next::Another;
        }
        let agreed = self.unclear.iter().any(|(_, known)| words.is_some() && *known == words);
        self.unclear.push((backend, words));
        if agreed {
            // Both say the same: it is the request. Nobody is to blame.
            self.unclear.clear();
        }
        if agreed || self.unclear.len() > 1 { Next::Enough } else { Next::Another }
    }

    /// Another backend has answered well, so that what was unclear was the first one's own failure.
    pub(super) fn settle(&mut self) {
        for (backend, _) in self.unclear.drain(..) {
            backend.blame();
        }
    }

    /// The best that there is; `None` before the first failure.
    pub(super) fn take(&mut self) -> Option<Result<Box<Answer>, Refusal>> {
        self.best.take()
    }
}
