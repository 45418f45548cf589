//! Every way in which an admin request fails, and the one mapping to HTTP.
//!
//! 401 stands for a wrong token and nothing else, and 403 is never sent: the original's dashboard takes both as the
//! order to log out. What the cluster cannot do at the moment is a 503.

use actix_web::body::BoxBody;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use ollamaflow_protocol::cluster::Rejection;
use ollamaflow_protocol::error::{ApiError, ErrorKind};
use ollamaflow_protocol::object::ObjectError;

use super::conditions::Unmet;
use crate::cluster::ClusterError;

/// Why an admin request did not do what it asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("the Authorization header must be 'Bearer' and an admin token of this node")]
    Unauthenticated,
    #[error("too many wrong tokens came from this address: try again in {seconds} s")]
    TooManyAttempts { seconds: u64 },
    #[error("there is no {kind} '{id}'")]
    Missing { kind: &'static str, id: String },
    #[error("there is no admin route {0}")]
    NoRoute(String),
    #[error("{method} is not possible on {path}, which takes {allow}")]
    Method { method: String, path: String, allow: &'static str },
    #[error("the request has no body: send a JSON object")]
    NoBody,
    #[error("the body is larger than the {limit} bytes that are accepted here")]
    TooLarge { limit: usize },
    #[error("the request body did not arrive in time")]
    BodyTimeout,
    #[error("the request body is broken")]
    BodyBroken,
    /// The request breaks a rule; the sentence says which.
    #[error("{0}")]
    Invalid(String),
    /// A condition of the request's head does not hold.
    #[error("{0}")]
    Unmet(String),
    /// What is asked for does not fit to what is there; the sentence says why.
    #[error("{0}")]
    Conflict(String),
    #[error("{0} is being changed by too many requests at once: nothing was changed, try again in a moment")]
    Contended(String),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// It cannot be done at the moment; the sentence says why.
    #[error("{0}")]
    NotNow(String),
    /// What this node has stored cannot be read; the sentence says what.
    #[error("{0}")]
    Unreadable(String),
    #[error("the answer could not be written")]
    Unwritable,
    #[error("the operating system gives no random numbers")]
    NoRandomness,
}

/// Seconds after which a contended write may be tried again.
const CONTENTION_SECONDS: u64 = 1;

// === impl Failure ===

impl Failure {
    /// What the cluster refused; a 412 where the client itself had asked for something new by `If-None-Match: *`.
    pub(super) fn refused(error: ClusterError, only_new: bool) -> Self {
        match error {
            ClusterError::Rejected(rejection @ Rejection::Exists { .. }) if only_new => {
                Self::Unmet(rejection.to_string())
            }
            error => Self::Cluster(error),
        }
    }

    /// Whether another state of the cluster would have given another answer.
    pub(super) fn depends_on_state(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::Unmet(_) | Self::Conflict(_))
    }

    /// As clients see it.
    fn error(&self) -> ApiError {
        let error = |kind| ApiError::new(kind, self.to_string());
        match self {
            Self::Unauthenticated => error(ErrorKind::AuthenticationFailed),
            Self::TooManyAttempts { .. } => error(ErrorKind::SlowDown),
            Self::Missing { .. } | Self::NoRoute(_) => error(ErrorKind::NotFound),
            Self::Method { .. } => error(ErrorKind::BadRequest).with_http_status(405),
            Self::NoBody | Self::BodyBroken | Self::Invalid(_) => error(ErrorKind::BadRequest),
            Self::BodyTimeout => error(ErrorKind::BadRequest).with_http_status(408),
            Self::TooLarge { .. } => error(ErrorKind::TooLarge),
            Self::Unmet(_) => error(ErrorKind::Conflict).with_http_status(412),
            Self::Conflict(_) => error(ErrorKind::Conflict),
            Self::Contended(_) | Self::NotNow(_) => error(ErrorKind::InternalError).with_http_status(503),
            Self::Cluster(failed) => cluster(failed),
            Self::Unwritable | Self::NoRandomness | Self::Unreadable(_) => error(ErrorKind::InternalError),
        }
    }

    /// Seconds after which to try again; none if that is of no use.
    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooManyAttempts { seconds } => Some(*seconds),
            Self::Contended(_) | Self::NotNow(_) => Some(CONTENTION_SECONDS),
            Self::Cluster(error) => error.retry_after().map(|after| after.as_secs().max(1)),
            _ => None,
        }
    }
}

fn cluster(failed: &ClusterError) -> ApiError {
    let error = |kind| ApiError::new(kind, failed.to_string());
    match failed {
        ClusterError::Rejected(rejection) => ApiError::from(rejection),
        ClusterError::TooLarge { .. } => error(ErrorKind::TooLarge),
        ClusterError::MembershipBusy | ClusterError::Membership(_) => error(ErrorKind::Conflict),
        ClusterError::NoLeader { .. }
        | ClusterError::Unconfirmed { .. }
        | ClusterError::LeaderSilent { .. }
        | ClusterError::NotLeader
        | ClusterError::Forming { .. }
        | ClusterError::Removed { .. }
        | ClusterError::Failed { .. } => error(ErrorKind::InternalError).with_http_status(503),
    }
}

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.error().http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let error = self.error();
        let status = StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponse::build(status);
        if let Self::Method { allow, .. } = self {
            response.insert_header((header::ALLOW, *allow));
        }
        if let Some(seconds) = self.retry_after() {
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        if matches!(self, Self::BodyTimeout | Self::BodyBroken) {
            response.force_close();
        }
        response.json(error)
    }
}

impl From<ObjectError> for Failure {
    fn from(error: ObjectError) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<Unmet> for Failure {
    fn from(unmet: Unmet) -> Self {
        Self::Unmet(unmet.to_string())
    }
}

#[cfg(test)]
mod tests {
    use ollamaflow_protocol::cluster::{ObjectKind, ObjectRef};

    use super::*;

    fn exists() -> ClusterError {
        Rejection::Exists { object: ObjectRef::new(ObjectKind::Backend, &"b1") }.into()
    }

    #[test]
    fn an_object_that_exists_is_a_conflict_unless_the_client_had_a_condition() {
        assert_eq!(Failure::refused(exists(), false).status_code(), 409);
        assert_eq!(Failure::refused(exists(), true).status_code(), 412);
    }

    #[test]
    fn what_the_cluster_cannot_do_now_is_a_503_and_says_when_to_try_again() {
        let passing = [
            ClusterError::NoLeader { reachable: 1, voters: 3, quorum: 2 },
            ClusterError::Unconfirmed { waited_ms: 5000 },
            ClusterError::LeaderSilent { leader: 2 },
            ClusterError::NotLeader,
            ClusterError::Forming { waiting_for: "two nodes".to_owned() },
            Rejection::NotSeeded.into(),
        ];
        for error in passing {
            let response = Failure::from(error.clone()).error_response();
            assert_eq!(response.status(), 503, "{error}");
            assert!(response.headers().contains_key(header::RETRY_AFTER), "{error}");
        }
        for error in [ClusterError::Removed { id: 2 }, ClusterError::Failed { reason: "full".to_owned() }] {
            let response = Failure::from(error.clone()).error_response();
            assert_eq!(response.status(), 503, "{error}");
            assert!(!response.headers().contains_key(header::RETRY_AFTER), "{error}");
        }
    }

    #[test]
    fn no_failure_but_a_wrong_token_is_a_401_or_403() {
        let failures = [
            Failure::TooManyAttempts { seconds: 1 },
            Failure::Missing { kind: "backend", id: "b".to_owned() },
            Failure::NoBody,
            Failure::Unmet(String::new()),
            Failure::Contended(String::new()),
            ClusterError::MembershipBusy.into(),
            ClusterError::Membership(String::new()).into(),
            ClusterError::TooLarge { bytes: 9 }.into(),
        ];
        let statuses: Vec<u16> = failures.iter().map(|failure| failure.status_code().as_u16()).collect();
        assert_eq!(statuses, [429, 404, 400, 412, 503, 409, 409, 413]);
        assert_eq!(Failure::Unauthenticated.status_code(), 401);
    }
}
