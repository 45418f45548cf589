//! A write on its way to the cluster: who asks, under which conditions, and whether it is only a rehearsal.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse};
use ollamaflow_protocol::cluster::{ClusterState, Command, Envelope, Rejection};
use ollamaflow_protocol::header as names;
use ollamaflow_protocol::object::{JsonPath, Parsed};

use super::answer;
use super::auth::Caller;
use super::conditions::Conditions;
use super::failure::Failure;
use super::{AdminState, query};
use crate::clock::now;
use crate::cluster::{Cluster, ClusterError, Committed, Contention};

/// Longest pause before the second attempt; it doubles with every further one, up to 0.6 s in all.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// Most unknown properties that are named in one answer.
const MAX_NAMED: usize = 20;

/// What the head of a request says about a write.
pub(super) struct Writing<'a> {
    cluster: &'a Cluster,
    /// The name of the token.
    by: String,
    pub(super) conditions: Conditions,
    /// Whether unknown properties are left out and not refused.
    lenient: bool,
    /// Whether to answer as if, and to change nothing.
    validate: bool,
}

// === impl Writing ===

impl<'a> Writing<'a> {
    pub(super) fn of(request: &HttpRequest, state: &'a AdminState) -> Result<Self, Failure> {
        let Caller(by) = Caller::of(request)?;
        Ok(Self {
            cluster: &state.cluster,
            by,
            conditions: Conditions::of(request),
            lenient: request.headers().contains_key(names::LENIENT),
            validate: query::flag(request, "validate")?,
        })
    }

    /// The value that was read, unless it has properties that nobody knows.
    pub(super) fn accept<T>(&self, parsed: Parsed<T>) -> Result<T, Failure> {
        self.accept_unknown(&parsed.unknown)?;
        Ok(parsed.value)
    }

    /// Refuses unknown properties by their names, unless the client said that it does not mind.
    pub(super) fn accept_unknown(&self, unknown: &[JsonPath]) -> Result<(), Failure> {
        if self.lenient || unknown.is_empty() {
            return Ok(());
        }
        let named: Vec<String> = unknown.iter().take(MAX_NAMED).map(ToString::to_string).collect();
        let verb = if unknown.len() == 1 { "is" } else { "are" };
        Err(Failure::Invalid(format!(
            "{} {verb} not known here: correct the spelling, leave it out, or send the header X-OllamaFlow-Lenient",
            named.join(", ")
        )))
    }

    /// Whether to answer as if, and to change nothing.
    pub(super) fn is_rehearsal(&self) -> bool {
        self.validate
    }

    /// Makes the change that `plan` derives from a state. `plan` gets another, newer state when the object that it
    /// has based itself on was changed meanwhile, or when it refuses on the grounds of a state that may be old.
    pub(super) async fn change(
        &self,
        plan: impl Fn(&ClusterState) -> Result<Command, Failure>,
    ) -> Result<Committed, Failure> {
        let mut state = self.cluster.state();
        let mut is_confirmed = false;
        let mut contention = Contention::pausing(FIRST_PAUSE);
        loop {
            let command = match plan(&state) {
                Ok(command) => command,
                Err(failure) if failure.depends_on_state() && !is_confirmed => {
                    state = self.cluster.linearizable().await?;
                    is_confirmed = true;
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            match self.propose(&state, command).await {
                Err(ClusterError::Rejected(Rejection::PreconditionFailed { object, .. })) => {
                    if !contention.lose().await {
                        return Err(Failure::Contended(object.to_string()));
                    }
                    state = self.cluster.linearizable().await?;
                    is_confirmed = true;
                }
                Err(error) => return Err(Failure::refused(error, self.conditions.only_new())),
                Ok(committed) => return Ok(committed),
            }
        }
    }

    /// Makes a change that depends on nothing that was read.
    pub(super) async fn command(&self, command: Command) -> Result<Committed, Failure> {
        let state = self.cluster.state();
        let proposed = self.propose(&state, command).await;
        proposed.map_err(|error| Failure::refused(error, self.conditions.only_new()))
    }

    /// The answer to the write, which tells if it was none.
    pub(super) fn answer(&self, response: HttpResponse) -> HttpResponse {
        if self.validate { answer::validated(response) } else { response }
    }

    /// For what cannot be rehearsed: such a rehearsal is refused, rather than done.
    pub(super) fn must_be_for_real(&self) -> Result<(), Failure> {
        if self.validate {
            return Err(Failure::Invalid(
                "this cannot be validated without doing it: leave validate out".to_owned(),
            ));
        }
        Ok(())
    }

    async fn propose(&self, state: &ClusterState, command: Command) -> Result<Committed, ClusterError> {
        if !self.validate {
            return self.cluster.propose(&self.by, command).await;
        }
        let node = self.cluster.node_id().unwrap_or_default();
        let envelope = Envelope::new(0, now(), self.by.as_str(), node, command);
        envelope.encode()?;
        let (state, outcome) = state.apply(0, &envelope);
        Ok(Committed { applied: outcome?, state })
    }
}
