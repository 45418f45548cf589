//! Who may use the admin API: whoever has one of its tokens, of the settings file or of the cluster.

use std::collections::BTreeMap;
use std::time::Instant;

use actix_web::HttpMessage as _;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::Next;
use actix_web::{HttpRequest, ResponseError as _, web};
use ollamaflow_protocol::cluster::{Token, TokenHash};
use ollamaflow_protocol::id::TokenName;
use ollamaflow_protocol::object::Secret;
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

use super::AdminState;
use super::failure::Failure;
use super::limiter::{Limiter, TooSoon};
use crate::keys::{bearer, hash};

/// The tokens of the settings file, and the memory of wrong ones.
pub struct Authority {
    file: Vec<(String, TokenHash)>,
    limiter: Limiter,
}

/// The name of the token that a request came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller(pub(super) String);

/// What the names of tokens of the settings file begin with.
pub(super) const FILE_PREFIX: &str = "file-";

/// Lets requests with a token pass, and answers all others.
pub(super) async fn guard(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    match authenticate(request.request()) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            Ok(next.call(request).await?.map_into_left_body())
        }
        Err(failure) => {
            // The server closes a connection whose request has a body that nobody took. What has arrived of it is
            // taken while this waits for its next turn.
            let payload = request.take_payload();
            tokio::task::yield_now().await;
            drop(payload);
            Ok(request.into_response(failure.error_response()).map_into_right_body())
        }
    }
}

fn authenticate(request: &HttpRequest) -> Result<Caller, Failure> {
    let state = request.app_data::<web::Data<AdminState>>().ok_or(Failure::Unauthenticated)?;
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
    let Some(given) = given else { return Err(Failure::Unauthenticated) };
    let authority = &state.authority;
    if let Some(caller) = authority.caller(given, state.cluster.state().tokens()) {
        return Ok(caller);
    }
    let Some(peer) = request.peer_addr() else { return Err(Failure::Unauthenticated) };
    Err(match authority.limiter.count(peer.ip(), Instant::now()) {
        Ok(()) => Failure::Unauthenticated,
        Err(TooSoon { wait, is_first }) => {
            // Rounded up: who waits so long is let in again.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            if is_first {
                tracing::warn!(address = %peer.ip(), "too many wrong admin tokens; further ones get a 429");
            }
            Failure::TooManyAttempts { seconds }
        }
    })
}

// === impl Authority ===

impl Authority {
    /// The tokens of the settings file, which are called `file-1` and so on.
    pub fn new(tokens: &[Secret]) -> Self {
        let named = |(index, token): (usize, &Secret)| {
            (format!("{FILE_PREFIX}{}", index + 1), hash(token.expose().trim().as_bytes()))
        };
        Self { file: tokens.iter().enumerate().map(named).collect(), limiter: Limiter::default() }
    }

    /// The names of the tokens of the settings file.
    pub(super) fn file_names(&self) -> impl Iterator<Item = &str> {
        self.file.iter().map(|(name, _)| name.as_str())
    }

    /// Whose token this is.
    fn caller(&self, given: &[u8], replicated: &BTreeMap<TokenName, Token>) -> Option<Caller> {
        let given = hash(given);
        let of_file = self.file.iter().map(|(name, hash)| (name.as_str(), hash));
        let of_cluster = replicated.values().map(|token| (token.name.as_str(), &token.hash));
        // Every token is compared, each in constant time: the answer's delay tells nothing about any of them.
        let mut found = 0_u64;
        for (place, (_, hash)) in (1..).zip(of_file.clone().chain(of_cluster.clone())) {
            let is_it = hash.as_bytes().ct_eq(given.as_bytes());
            found.conditional_assign(&place, is_it);
        }
        let index = usize::try_from(found.checked_sub(1)?).ok()?;
        let (name, _) = of_file.chain(of_cluster).nth(index)?;
        Some(Caller(name.to_owned()))
    }
}

// === impl Caller ===

impl Caller {
    /// Who sent a request that [`guard`] has let pass.
    pub(super) fn of(request: &HttpRequest) -> Result<Self, Failure> {
        request.extensions().get::<Self>().cloned().ok_or(Failure::Unauthenticated)
    }
}

#[cfg(test)]
mod tests {
    use ollamaflow_protocol::time::Timestamp;

    use super::*;

    fn token(name: &str, text: &str) -> (TokenName, Token) {
        let name: TokenName = name.parse().unwrap();
        let at = Timestamp::EPOCH;
        let token = Token {
            name: name.clone(),
            hash: hash(text.as_bytes()),
            created_utc: at,
            last_update_utc: at,
            revision: 1,
        };
        (name, token)
    }

    #[test]
    fn the_scheme_is_read_in_any_case_and_the_token_exactly() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bearer  Abc "), Some(&b"Abc"[..]));
        for value in [&b"Bearer "[..], b"Bearer", b"Basic abc", b"", b"abc"] {
            assert_eq!(bearer(value), None);
        }
    }

    #[test]
    fn a_caller_has_the_name_of_the_token_wherever_that_is_kept() {
        let authority = Authority::new(&[Secret::new("one"), Secret::new("two")]);
        let replicated = BTreeMap::from([token("alice", "three"), token("bob", "four")]);
        let name = |given: &str| authority.caller(given.as_bytes(), &replicated).map(|Caller(name)| name);
        for (given, expected) in [("one", "file-1"), ("two", "file-2"), ("three", "alice"), ("four", "bob")] {
            assert_eq!(name(given).as_deref(), Some(expected));
        }
        for given in ["", "on", "one ", "ONE", "five"] {
            assert_eq!(name(given), None, "{given}");
        }
    }
}
