//! A client of a node's admin API, for the commands that talk to a running node.
//!
//! In: a method, a path and a body. Out: the answer of the node, or a sentence on what went wrong. Every call is
//! bounded in time and size, follows no redirects, and is made once. Calls of the API of clients go where clients send
//! theirs, without the admin token: a node would pass it on to a backend.

mod access;
mod profile;
mod stream;

use std::fmt;
use std::future::Future;
use std::io::{self, Write};
use std::time::Duration;

use awc::error::{PayloadError, SendRequestError};
use awc::http::header::{self, HeaderMap};
use awc::http::{Method, StatusCode};
use awc::{Client, ClientResponse, Connector};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use super::Verdict;
use super::files::{FileError, MAX_FILE};
use crate::settings::SettingsError;
use crate::upstream::{TlsError, tls_config};

pub use self::access::Access;
pub(super) use self::access::Connection;
pub use self::profile::ProfileError;
pub(super) use self::profile::path as profile_path;
pub(super) use self::stream::Lines;

/// Longest time of a call, from the connection to the last byte of the answer. A new member catches up in it.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How a node begins to say that nobody is served at a host name; the listener of the admin API says it of all.
const NO_FRONTEND: &str = "no frontend for host";

/// Why a command that talks to a node failed.
#[derive(Debug, Error)]
pub enum RemoteError {
    /// The settings, which name the node and the token, cannot be read.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The user's own file, which may name the node and the token, cannot be read.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The URL cannot be used.
    #[error("the server must be written http://HOST:PORT, but is {0:?}")]
    Server(String),
    /// The settings do not tell the port.
    #[error("the settings leave the port to the system: name the node by --server http://HOST:PORT")]
    NoPort,
    /// No token is known.
    #[error(
        "no admin token is known: give --token, set OLLAMAFLOW_TOKEN, write it to ~/.config/ollamaflow/config.toml, or name a settings file that has AdminBearerTokens by --config"
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
    #[error("{url} did not answer within {seconds} seconds; a change may still be made")]
    Silent {
        /// The node.
        url: String,
        /// How long it was waited for.
        seconds: u64,
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
    /// What the command names is not there.
    #[error("{0}")]
    Missing(String),
    /// The command cannot do what it should; the sentence says why.
    #[error("{0}")]
    Failed(String),
    /// The answer cannot be printed.
    #[error("cannot print the answer: {0}")]
    Output(#[from] io::Error),
}

/// A node that can be asked.
pub(super) struct Remote {
    client: Client,
    connection: Connection,
    timeout: Duration,
}

/// A successful answer. `Debug` shows its length only, for a backup has secrets in it.
pub(super) struct Answer {
    /// The `ETag`, as it was sent.
    pub(super) etag: Option<String>,
    /// The body.
    pub(super) body: Bytes,
    status: StatusCode,
    headers: HeaderMap,
    url: String,
}

/// A request to be made.
pub(super) struct Call {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<Bytes>,
    audience: Audience,
}

/// Which API a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Audience {
    Admin,
    Clients,
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
            Ok(error.verdict())
        }
    }
}

// === RemoteError ===

impl RemoteError {
    /// The kind of failure, for the exit code.
    pub(super) const fn verdict(&self) -> Verdict {
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } => Verdict::Unreachable,
            Self::NoToken | Self::Refused { status: 401 | 429, .. } => Verdict::Denied,
            Self::Missing(_) | Self::Refused { status: 404, .. } => Verdict::Missing,
            Self::Contended | Self::Refused { status: 409 | 412, .. } => Verdict::Conflict,
            _ => Verdict::Faulty,
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
        Self { method, path: path.to_owned(), headers: Vec::new(), body: None, audience: Audience::Admin }
    }

    /// A request of the API of clients, to the frontend that answers to `host`.
    pub(super) fn for_frontend(self, host: &str) -> Self {
        Self { audience: Audience::Clients, ..self.header("host", host) }
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
    pub(super) fn new(connection: Connection) -> Result<Self, RemoteError> {
        let mut connector = Connector::new().timeout(CONNECT_TIMEOUT);
        if [&connection.url, &connection.client_url].iter().any(|url| url.starts_with("https:")) {
            connector = connector.rustls_0_23(tls_config(connection.verify)?);
        }
        // The time-out is set around the whole call.
        let client = Client::builder().connector(connector).disable_redirects().disable_timeout().finish();
        Ok(Self { client, connection, timeout: TIMEOUT })
    }

    /// Scheme, host and port of the node, without a slash at the end.
    pub(super) fn url(&self) -> &str {
        &self.connection.url
    }

    /// The same for requests of clients.
    pub(super) fn client_url(&self) -> &str {
        &self.connection.client_url
    }

    /// Another node of the same cluster, with the same token.
    pub(super) fn at(&self, url: &str) -> Result<Self, RemoteError> {
        let url = access::base_url(url)?;
        let client_url = url.clone();
        Self::new(Connection { url, client_url, token: self.connection.token.clone(), verify: true })
    }

    /// Makes the call. Any status but success is an error with the sentence of the node.
    pub(super) async fn send(&self, call: Call) -> Result<Answer, RemoteError> {
        let audience = call.audience;
        let answer = self.ask(call).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(answer.refusal(audience)) }
    }

    /// Makes the call, whatever the status.
    pub(super) async fn ask(&self, call: Call) -> Result<Answer, RemoteError> {
        let url = self.url_for(&call).to_owned();
        let answer = actix_web::rt::time::timeout(self.timeout, self.exchange(call, &url)).await;
        answer.unwrap_or_else(|_| Err(RemoteError::Silent { url, seconds: self.timeout.as_secs() }))
    }

    /// Makes the call and gives the lines of the answer as they come. The head may take `patience`.
    pub(super) async fn stream(&self, call: Call, patience: Duration) -> Result<Lines, RemoteError> {
        let (url, audience) = (self.url_for(&call).to_owned(), call.audience);
        let head = async {
            let response = self.begin(call, &url).await?;
            if response.status().is_success() {
                return Ok(Lines::new(response, url.clone()));
            }
            Err(collect(response, &url).await?.refusal(audience))
        };
        let answer = actix_web::rt::time::timeout(patience, head).await;
        answer.unwrap_or_else(|_| Err(RemoteError::Silent { url: url.clone(), seconds: patience.as_secs() }))
    }

    fn url_for(&self, call: &Call) -> &str {
        match call.audience {
            Audience::Admin => &self.connection.url,
            Audience::Clients => &self.connection.client_url,
        }
    }

    async fn exchange(&self, call: Call, url: &str) -> Result<Answer, RemoteError> {
        collect(self.begin(call, url).await?, url).await
    }

    /// Until the head of the answer.
    async fn begin(&self, call: Call, url: &str) -> Result<ClientResponse, RemoteError> {
        let Call { method, path, headers, body, audience } = call;
        let mut request = self.client.request(method, format!("{url}{path}")).force_close();
        request =
            request.insert_header((header::USER_AGENT, concat!("ollamaflow/", env!("CARGO_PKG_VERSION"))));
        if audience == Audience::Admin {
            request = request.bearer_auth(self.connection.token.expose());
        }
        for header in headers {
            request = request.insert_header(header);
        }
        let sent = match body {
            Some(body) => request.content_type("application/json").send_body(body),
            None => request.send(),
        };
        sent.await.map_err(|error| unreachable(url, &error))
    }
}

/// The whole of an answer.
async fn collect(mut response: ClientResponse, url: &str) -> Result<Answer, RemoteError> {
    let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let etag = text(header::ETAG).map(str::to_owned);
    let length: Option<usize> = text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    let limit = usize::try_from(MAX_FILE).unwrap_or(usize::MAX);
    let body = response.body().limit(limit).await.map_err(|error| broken(url, &error))?;
    if length.is_some_and(|length| length != body.len()) {
        return Err(unusable(url, "it was cut off"));
    }
    let (status, headers) = (response.status(), response.headers().clone());
    Ok(Answer { etag, body, status, headers, url: url.to_owned() })
}

fn unreachable(url: &str, error: &SendRequestError) -> RemoteError {
    let reason = match error {
        SendRequestError::Connect(error) => error.to_string(),
        error => error.to_string(),
    };
    RemoteError::Unreachable { url: url.to_owned(), reason }
}

fn broken(url: &str, error: &PayloadError) -> RemoteError {
    match error {
        PayloadError::Overflow => unusable(url, &format!("it has more than {MAX_FILE} bytes")),
        error => unusable(url, &format!("it was cut off ({error})")),
    }
}

fn unusable(url: &str, reason: &str) -> RemoteError {
    RemoteError::Answer { url: url.to_owned(), reason: reason.to_owned() }
}

/// The sentence of an error, by the admin API or by one of those of clients.
pub(super) fn sentence(body: &Value) -> Option<&str> {
    let error = body.get("error");
    let places = [body.get("Message"), error.and_then(|error| error.get("message")), error];
    places.into_iter().flatten().filter_map(Value::as_str).find(|text| !text.trim().is_empty())
}

// === Answer ===

impl fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Answer({} bytes)", self.body.len())
    }
}

impl Answer {
    /// The HTTP status.
    pub(super) fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// The value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The sentence of whoever refused, or one on the status where there is none.
    fn refusal(&self, audience: Audience) -> RemoteError {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let message = sentence(&body).map(printable).map(|message| match audience {
            // The frontend is there, for it was asked for by its name before.
            Audience::Clients if self.status == StatusCode::NOT_FOUND && message.starts_with(NO_FRONTEND) => {
                format!(
                    "{message}: if that is the admin API alone, --client-url names where clients are served"
                )
            }
            _ => message,
        });
        let message = message.unwrap_or_else(|| {
            format!("{} answered {}, and not as a node does: is it one?", self.url, self.status)
        });
        RemoteError::Refused { status: self.status(), message }
    }

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
