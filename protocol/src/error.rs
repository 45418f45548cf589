//! The error body of the admin API and of gateway refusals, and the status each kind of error has.
//!
//! In: an [`ErrorKind`] and a sentence for the operator. Out: `{Error, Message, StatusCode, Description?}`.
//! Knows nothing about HTTP libraries: a status is a plain number.
//!
//! The set of kinds is the original's and closed: its clients know no others. A reply that needs a status of its
//! own (412, 503...) takes the nearest kind and sets the HTTP status apart, as the original does; `StatusCode` in
//! the body always follows the kind.

use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, Ref, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// What went wrong, in the words of the API (`Error` in the body).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
pub enum ErrorKind {
    /// Credentials are missing or wrong.
    AuthenticationFailed,
    /// The caller is known, or anonymous by design, but may not do this.
    AuthorizationFailed,
    /// No backend could answer, or the one that did answered with a failure of its own.
    BadGateway,
    /// The request cannot be understood or breaks a rule.
    BadRequest,
    /// An object of that name exists already.
    Conflict,
    /// The body is not the JSON it should be.
    DeserializationError,
    /// The object is switched off.
    Inactive,
    /// A fault of the server itself.
    InternalError,
    /// A range in the request cannot be served.
    InvalidRange,
    /// The object is still used by another one.
    InUse,
    /// The container still has content.
    NotEmpty,
    /// There is no such object or path.
    NotFound,
    /// Too many requests at once.
    SlowDown,
    /// The credentials have run out.
    TokenExpired,
    /// The request body is larger than allowed.
    TooLarge,
    /// The HTTP version of the request is not served.
    UnsupportedHttpVersion,
}

/// An error as clients see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// What went wrong; decides `StatusCode`.
    pub kind: ErrorKind,
    /// One sentence that tells the reader what to do. User interfaces show this text and nothing else.
    pub message: String,
    /// Further detail; omitted from the body when absent.
    pub description: Option<String>,
    /// HTTP status of the reply where that is not the `StatusCode` of the body.
    pub http_status: Option<u16>,
}

// === ErrorKind ===

impl ErrorKind {
    /// The `StatusCode` of the body. The HTTP status of a reply is the caller's choice and usually the same.
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest | Self::DeserializationError | Self::InvalidRange | Self::NotEmpty => 400,
            Self::AuthenticationFailed | Self::AuthorizationFailed | Self::Inactive | Self::TokenExpired => {
                401
            }
            Self::NotFound => 404,
            Self::Conflict | Self::InUse => 409,
            Self::TooLarge => 413,
            Self::SlowDown => 429,
            Self::InternalError => 500,
            Self::BadGateway => 502,
            Self::UnsupportedHttpVersion => 505,
        }
    }
}

// === ApiError ===

impl ApiError {
    /// An error without further detail.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), description: None, http_status: None }
    }

    /// The same error with further detail.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// The same error, replied with the HTTP status `status` instead of the body's `StatusCode`.
    #[must_use]
    pub const fn with_http_status(mut self, status: u16) -> Self {
        self.http_status = Some(status);
        self
    }

    /// The HTTP status of the reply: the one set apart, or the `StatusCode` of the body.
    pub const fn http_status(&self) -> u16 {
        match self.http_status {
            Some(status) => status,
            None => self.status(),
        }
    }

    /// `StatusCode` of the body, see [`ErrorKind::status`].
    pub const fn status(&self) -> u16 {
        self.kind.status()
    }
}

impl Serialize for ApiError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let length = 3 + usize::from(self.description.is_some());
        let mut body = serializer.serialize_struct("ApiError", length)?;
        body.serialize_field("Error", &self.kind)?;
        body.serialize_field("Message", &self.message)?;
        body.serialize_field("StatusCode", &self.status())?;
        match &self.description {
            Some(description) => body.serialize_field("Description", description)?,
            None => body.skip_field("Description")?,
        }
        body.end()
    }
}

impl PartialSchema for ApiError {
    fn schema() -> RefOr<Schema> {
        let text = |about: &str| {
            ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).description(Some(about))
        };
        let status = ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::Integer))
            .description(Some("The status that belongs to the kind of error"));
        let error = ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::Object))
            .description(Some("An error of the admin API"))
            .property("Error", Ref::from_schema_name(ErrorKind::name()))
            .property("Message", text("One sentence that tells the reader what to do"))
            .property("StatusCode", status)
            .property("Description", text("Further detail"))
            .required("Error")
            .required("Message")
            .required("StatusCode");
        Schema::from(error).into()
    }
}

impl ToSchema for ApiError {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((ErrorKind::name().into(), ErrorKind::schema()));
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_has_its_properties_in_contract_order() {
        let error = ApiError::new(ErrorKind::NotFound, "no backend is named b9");
        assert_eq!(
            serde_json::to_string(&error).unwrap(),
            r#"{"Error":"NotFound","Message":"no backend is named b9","StatusCode":404}"#
        );
        let detailed = error.with_description("known are b1 and b2");
        assert!(
            serde_json::to_string(&detailed)
                .unwrap()
                .ends_with(r#""StatusCode":404,"Description":"known are b1 and b2"}"#)
        );
    }

    #[test]
    fn a_status_set_apart_leaves_the_body_alone() {
        let error = ApiError::new(ErrorKind::Conflict, "b1 has changed since");
        assert_eq!(error.http_status(), 409);
        let apart = error.clone().with_http_status(412);
        assert_eq!((apart.http_status(), apart.status()), (412, 409));
        assert_eq!(serde_json::to_string(&apart).unwrap(), serde_json::to_string(&error).unwrap());
    }

    #[test]
    fn every_kind_has_the_status_of_the_reference() {
        use ErrorKind as Kind;
        let table = [
            (Kind::AuthenticationFailed, 401),
            (Kind::AuthorizationFailed, 401),
            (Kind::BadGateway, 502),
            (Kind::BadRequest, 400),
            (Kind::Conflict, 409),
            (Kind::DeserializationError, 400),
            (Kind::Inactive, 401),
            (Kind::InternalError, 500),
            (Kind::InvalidRange, 400),
            (Kind::InUse, 409),
            (Kind::NotEmpty, 400),
            (Kind::NotFound, 404),
            (Kind::SlowDown, 429),
            (Kind::TokenExpired, 401),
            (Kind::TooLarge, 413),
            (Kind::UnsupportedHttpVersion, 505),
        ];
        for (kind, status) in table {
            assert_eq!(kind.status(), status, "{kind:?}");
        }
    }
}
