//! What can go wrong with an exchange: before the response head ([`SendError`]) and after it ([`BodyError`]).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::body::BodySourceError;
use super::decode::{BodyFault, HeadFault};
use super::upload::UploadError;

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The host name did not resolve.
    #[error("host {host:?} cannot be resolved: {source}")]
    Resolve {
        /// The name asked for.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// No address of the target took the connection.
    #[error("connection to {address} failed: {source}")]
    Connect {
        /// The address that failed last.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// Resolving, connecting and the TLS handshake together took longer than allowed.
    #[error("no connection within {0:?}")]
    ConnectTimeout(Duration),
    /// The TLS handshake failed, often because the server's certificate is not trusted.
    #[error("tls handshake failed: {0}")]
    Tls(#[source] io::Error),
    /// The request could not be written, and no answer had arrived.
    #[error("request could not be written: {0}")]
    Write(#[source] io::Error),
    /// The server closed the connection without a byte of an answer.
    #[error("connection closed before the response")]
    ClosedBeforeHead,
    /// The server closed the connection inside the response head, or after interim responses.
    #[error("connection closed within the response head")]
    TruncatedHead,
    /// The connection failed before the response head was complete.
    #[error("response could not be read: {0}")]
    Read(#[source] io::Error),
    /// The response head has more bytes or lines than allowed.
    #[error("response head is larger than allowed")]
    HeadTooLarge,
    /// The response head is not HTTP/1 or cannot be framed beyond doubt.
    #[error("malformed response head: {0}")]
    BadHead(&'static str),
    /// The source of a streamed request body failed; the server is not to blame.
    #[error("request body failed: {0}")]
    BodySource(#[source] BodySourceError),
    /// The source of a streamed request body did not keep to its length; the server is not to blame.
    #[error("request body is {0} than announced")]
    BodyLength(&'static str),
}

/// Why a response body ended early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection was closed before the end of the body: what was received is not the whole answer.
    #[error("connection closed before the end of the response body")]
    Truncated,
    /// The connection failed.
    #[error("response body could not be read: {0}")]
    Read(#[source] io::Error),
    /// The chunked framing is broken.
    #[error("malformed chunked response body: {0}")]
    BadChunk(&'static str),
    /// The trailers after the last chunk are larger than allowed.
    #[error("trailers of the response body are larger than allowed")]
    TrailerTooLarge,
}

impl SendError {
    /// Whether no connection was made, so that not a byte of the request reached the server.
    pub fn is_connect(&self) -> bool {
        matches!(self, Self::Resolve { .. } | Self::Connect { .. } | Self::ConnectTimeout(_) | Self::Tls(_))
    }

    /// Whether the request's own body source failed; it says nothing about the target.
    pub fn is_body_source(&self) -> bool {
        matches!(self, Self::BodySource(_) | Self::BodyLength(_))
    }
}

impl From<HeadFault> for SendError {
    fn from(fault: HeadFault) -> Self {
        match fault {
            HeadFault::TooLarge => Self::HeadTooLarge,
            HeadFault::Malformed(what) => Self::BadHead(what),
        }
    }
}

impl From<UploadError> for SendError {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Write(error) => Self::Write(error),
            UploadError::Source(error) => Self::BodySource(error),
            UploadError::Length(what) => Self::BodyLength(what),
        }
    }
}

impl From<BodyFault> for BodyError {
    fn from(fault: BodyFault) -> Self {
        match fault {
            BodyFault::Truncated => Self::Truncated,
            BodyFault::BadChunk(what) => Self::BadChunk(what),
            BodyFault::TrailerTooLarge => Self::TrailerTooLarge,
        }
    }
}

impl From<io::Error> for BodyError {
    /// TLS reports a close without `close_notify` as an unexpected end: anyone on the way could have cut the
    /// connection there.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof { Self::Truncated } else { Self::Read(error) }
    }
}
