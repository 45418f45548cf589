//! A client of a node's admin API, for the commands that talk to a running node.
//!
//! In: a method, a path and a body. Out: the answer of the node, or a sentence on what went wrong. Every call is
//! bounded in time and size, follows no redirects, and is made once.

mod access;

use std::fmt;
use std::future::Future;
use std::io::{self, Write};
use std::time::Duration;

use awc::error::{PayloadError, SendRequestError};
use awc::http::{Method, StatusCode, header};
use awc::{Client, Connector};
use bytes::Bytes;
use ollamaflow_protocol::object::Secret;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use super::config::Verdict;
use super::files::{FileError, MAX_FILE};
use crate::settings::SettingsError;
use crate::upstream::{TlsError, tls_config};

pub use self::access::Access;

/// Longest time of a call, from the connection to the last byte of the answer. A new member catches up in it.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a command that talks to a node failed.
#[derive(Debug, Error)]
pub enum RemoteError {
    /// The settings, which name the node and the token, cannot be read.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The URL cannot be used.
    #[error("the server must be written http://HOST:PORT, but is {0:?}")]
    Server(String),
    /// The settings do not tell the port.
    #[error("the settings leave the port to the system: name the node by --server http://HOST:PORT")]
    NoPort,
    /// No token is known.
    #[error(
        "no admin token is known: give --token, set OLLAMAFLOW_TOKEN, or name a settings file that has AdminBearerTokens by --config"
    )]
    NoToken,
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No connection, or it broke before the answer.
    #[error("cannot reach {url}: {reason} (does the node run? --server names another one)")]
    Unreachable {
        /// The node.
        url: String,
        /// What happened.
        reason: String,
    },
    /// No complete answer in time.
    #[error("{url} did not answer within {} seconds; a change may still be made", TIMEOUT.as_secs())]
    Silent {
        /// The node.
        url: String,
    },
    /// The node refused.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The node's own sentence.
        message: String,
    },
    /// The answer is not what it should be.
    #[error("the answer of {url} cannot be used: {reason}")]
    Answer {
        /// The node.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of the command.
    #[error(transparent)]
    File(#[from] FileError),
    /// The objects of a file.
    #[error("{0}")]
    Objects(String),
    /// Others changed the catalog again and again.
    #[error("others kept changing the catalog, nothing was applied: try again")]
    Contended,
}

/// A node that can be asked.
pub(super) struct Remote {
    client: Client,
    /// Scheme, host and port, without a slash at the end.
    url: String,
    token: Secret,
    timeout: Duration,
}

/// A successful answer. `Debug` shows its length only, for a backup has secrets in it.
pub(super) struct Answer {
    /// The `ETag`, as it was sent.
    pub(super) etag: Option<String>,
    /// The body.
    pub(super) body: Bytes,
    url: String,
}

/// A request to be made.
pub(super) struct Call {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<Bytes>,
}

/// Runs one command on a runtime of its own, on this thread.
pub(super) fn block_on<T>(command: impl Future<Output = T>) -> T {
    actix_web::rt::System::new().block_on(command)
}

/// Prints what a command came to: its answer on `output`, or what went wrong on `errors`.
pub(super) fn print(
    answer: Result<String, RemoteError>,
    output: &mut dyn Write,
    errors: &mut dyn Write,
) -> io::Result<Verdict> {
    match answer {
        Ok(text) => {
            if !text.is_empty() {
                writeln!(output, "{text}")?;
            }
            output.flush()?;
            Ok(Verdict::Good)
        }
        Err(RemoteError::Settings(error)) => {
            for line in error.lines() {
                writeln!(errors, "error: {line}")?;
            }
            Ok(Verdict::Faulty)
        }
        Err(error) => {
            writeln!(errors, "error: {error}")?;
            Ok(Verdict::Faulty)
        }
    }
}

// === Call ===

impl Call {
    pub(super) fn get(path: &str) -> Self {
        Self::new(Method::GET, path)
    }

    pub(super) fn post(path: &str) -> Self {
        Self::new(Method::POST, path)
    }

    pub(super) fn put(path: &str) -> Self {
        Self::new(Method::PUT, path)
    }

    pub(super) fn delete(path: &str) -> Self {
        Self::new(Method::DELETE, path)
    }

    fn new(method: Method, path: &str) -> Self {
        Self { method, path: path.to_owned(), headers: Vec::new(), body: None }
    }

    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(super) fn json(self, body: &Value) -> Self {
        self.body(body.to_string().into())
    }

    /// A body of JSON text.
    pub(super) fn body(mut self, body: Bytes) -> Self {
        self.body = Some(body);
        self
    }
}

// === Remote ===

impl Remote {
    pub(super) fn new(url: String, token: Secret) -> Result<Self, RemoteError> {
        let mut connector = Connector::new().timeout(CONNECT_TIMEOUT);
        if url.starts_with("https:") {
            connector = connector.rustls_0_23(tls_config(true)?);
        }
        // The time-out is set around the whole call.
        let client = Client::builder().connector(connector).disable_redirects().disable_timeout().finish();
        Ok(Self { client, url, token, timeout: TIMEOUT })
    }

    /// Makes the call. Any status but success is an error with the sentence of the node.
    pub(super) async fn send(&self, call: Call) -> Result<Answer, RemoteError> {
        let answer = actix_web::rt::time::timeout(self.timeout, self.exchange(call)).await;
        answer.unwrap_or_else(|_| Err(RemoteError::Silent { url: self.url.clone() }))
    }

    async fn exchange(&self, call: Call) -> Result<Answer, RemoteError> {
        let Call { method, path, headers, body } = call;
        let mut request = self.client.request(method, format!("{}{path}", self.url)).force_close();
        request = request
            .bearer_auth(self.token.expose())
            .insert_header((header::USER_AGENT, concat!("ollamaflow/", env!("CARGO_PKG_VERSION"))));
        for header in headers {
            request = request.insert_header(header);
        }
        let sent = match body {
            Some(body) => request.content_type("application/json").send_body(body),
            None => request.send(),
        };
        let mut response = sent.await.map_err(|error| self.unreachable(&error))?;
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let etag = text(header::ETAG).map(str::to_owned);
        let length: Option<usize> = text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let limit = usize::try_from(MAX_FILE).unwrap_or(usize::MAX);
        let body = response.body().limit(limit).await.map_err(|error| self.broken(&error))?;
        if length.is_some_and(|length| length != body.len()) {
            return Err(self.unusable("it was cut off"));
        }
        let status = response.status();
        if status.is_success() {
            return Ok(Answer { etag, body, url: self.url.clone() });
        }
        let message = self.message(status, &body);
        Err(RemoteError::Refused { status: status.as_u16(), message })
    }

    fn unreachable(&self, error: &SendRequestError) -> RemoteError {
        let reason = match error {
            SendRequestError::Connect(error) => error.to_string(),
            error => error.to_string(),
        };
        RemoteError::Unreachable { url: self.url.clone(), reason }
    }

    fn broken(&self, error: &PayloadError) -> RemoteError {
        match error {
            PayloadError::Overflow => self.unusable(&format!("it has more than {MAX_FILE} bytes")),
            error => self.unusable(&format!("it was cut off ({error})")),
        }
    }

    fn unusable(&self, reason: &str) -> RemoteError {
        RemoteError::Answer { url: self.url.clone(), reason: reason.to_owned() }
    }

    /// The node's sentence, or one on the status where there is none.
    fn message(&self, status: StatusCode, body: &[u8]) -> String {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Body {
            message: String,
        }
        match serde_json::from_slice(body) {
            Ok(Body { message }) if !message.trim().is_empty() => printable(&message),
            _ => format!("{} answered {status}, and not as a node does: is it one?", self.url),
        }
    }
}

// === Answer ===

impl fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Answer({} bytes)", self.body.len())
    }
}

impl Answer {
    /// An error on this answer.
    pub(super) fn unusable(&self, reason: &str) -> RemoteError {
        RemoteError::Answer { url: self.url.clone(), reason: reason.to_owned() }
    }

    /// The body as JSON of the expected form.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, RemoteError> {
        serde_json::from_slice(&self.body).map_err(|error| RemoteError::Answer {
            url: self.url.clone(),
            // The text at fault is left out: it may be a secret.
            reason: format!(
                "it is not the JSON that it should be (line {}, column {}); has the node another version?",
                error.line(),
                error.column()
            ),
        })
    }
}

/// A text of a server without what could steer a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
pub(super) mod tests;
