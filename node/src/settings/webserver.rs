//! Settings of the listener.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use ollamaflow_protocol::header::is_hop_by_hop;
use ollamaflow_protocol::object::Secret;
use ollamaflow_protocol::object::validate::{INT_MAX, between, host_name, is_header_name, is_header_value};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// The listener and its limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Webserver {
    /// Where to listen: a name or address; `*`, `+`, `0.0.0.0` or `::` for every address.
    #[serde(deserialize_with = "host_name")]
    pub hostname: String,
    /// TCP port; 0 lets the operating system choose.
    #[serde(deserialize_with = "between::<0, 65535, _, _>")]
    pub port: u16,
    /// The original's switch for its `Host` response header.
    pub use_machine_hostname: bool,
    /// Threads that serve requests; 0 for one per core.
    #[serde(deserialize_with = "between::<0, 1024, _, _>")]
    pub workers: u16,
    /// Sizes and times of connections.
    #[serde(rename = "IO")]
    pub io: Io,
    /// TLS towards clients.
    pub ssl: Ssl,
    /// Headers of responses.
    pub headers: Headers,
    /// Who may connect.
    pub access_control: AccessControl,
    /// The original's debug switches.
    pub debug: WebserverDebug,
}

/// Sizes and times of client connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Io {
    /// Buffer of the original's stream copies, in bytes.
    #[serde(deserialize_with = "between::<1, INT_MAX, _, _>")]
    pub stream_buffer_size: u32,
    /// Requests served at once, over all workers.
    #[serde(deserialize_with = "between::<1, INT_MAX, _, _>")]
    pub max_requests: u32,
    /// Longest wait for the head of a request, in milliseconds.
    #[serde(deserialize_with = "between::<1, INT_MAX, _, _>")]
    pub read_timeout_ms: u32,
    /// Largest head of a request, in bytes.
    #[serde(deserialize_with = "between::<1, INT_MAX, _, _>")]
    pub max_incoming_headers_size: u32,
    /// Whether a client's connection serves more than one request.
    pub enable_keep_alive: bool,
}

/// TLS towards clients. The files are PEM; they are looked at again every few seconds, so that a renewed certificate needs
/// no restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ssl {
    /// Whether to serve TLS.
    pub enable: bool,
    /// The certificate chain, the server's own first.
    pub certificate_file: Option<String>,
    /// The private key of the certificate.
    pub key_file: Option<String>,
    /// The authorities of client certificates, for `MutuallyAuthenticate`.
    pub client_ca_file: Option<String>,
    /// The original's certificate with key, in another format: refused.
    pub pfx_certificate_file: Option<String>,
    /// Password of the certificate file.
    pub pfx_certificate_password: Option<Secret>,
    /// Whether clients must show a certificate.
    pub mutually_authenticate: bool,
    /// The original's switch by which any client certificate will do. Here each is verified. (The name is the original's.)
    #[serde(rename = "AcceptInvalidAcertificates")]
    pub accept_invalid_certificates: bool,
}

/// Headers of responses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Headers {
    /// The original's switch, which it never consulted.
    pub include_content_length: bool,
    /// Headers set on every response that does not have them yet.
    #[serde(deserialize_with = "response_headers")]
    pub default_headers: BTreeMap<String, String>,
}

/// Who may connect. Anything but the default is refused: this version does not filter addresses.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AccessControl {
    /// Addresses that are turned away.
    pub deny_list: Map<String, Value>,
    /// Addresses that are let in.
    pub permit_list: Map<String, Value>,
    /// What happens to all others.
    pub mode: AccessMode,
}

/// What happens to addresses that are in neither list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum AccessMode {
    /// They are let in.
    #[default]
    DefaultPermit,
    /// They are turned away.
    DefaultDeny,
}

/// The original's debug switches, which had no effect there either.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WebserverDebug {
    /// Log access control decisions.
    pub access_control: bool,
    /// Log routing decisions.
    pub routing: bool,
    /// Log requests.
    pub requests: bool,
    /// Log responses.
    pub responses: bool,
}

/// Where to listen, before any name is resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenTarget {
    /// Which addresses.
    pub host: ListenHost,
    /// TCP port; 0 lets the operating system choose.
    pub port: u16,
}

/// The addresses to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenHost {
    /// Every address of the machine, of both families.
    All,
    /// A name or an address; IPv6 addresses stand without brackets.
    Name(String),
}

// === Webserver ===

impl Webserver {
    /// Where to listen.
    pub fn listen_target(&self) -> ListenTarget {
        ListenTarget::new(&self.hostname, self.port)
    }

    /// Threads that serve requests, at least one.
    pub fn worker_count(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            workers => usize::from(workers),
        }
    }
}

impl Default for Webserver {
    fn default() -> Self {
        Self {
            hostname: "localhost".to_owned(),
            port: 43_411,
            use_machine_hostname: false,
            workers: 0,
            io: Io::default(),
            ssl: Ssl::default(),
            headers: Headers::default(),
            access_control: AccessControl::default(),
            debug: WebserverDebug::default(),
        }
    }
}

// === ListenTarget ===

impl ListenTarget {
    /// The meaning of a configured host and port.
    pub fn new(host: &str, port: u16) -> Self {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let host = match bare.unwrap_or(host) {
            "*" | "+" | "0.0.0.0" | "::" => ListenHost::All,
            name => ListenHost::Name(name.to_owned()),
        };
        Self { host, port }
    }
}

impl fmt::Display for ListenTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            ListenHost::All => write!(formatter, "*:{}", self.port),
            ListenHost::Name(name) if name.contains(':') => write!(formatter, "[{name}]:{}", self.port),
            ListenHost::Name(name) => write!(formatter, "{name}:{}", self.port),
        }
    }
}

// === Io ===

impl Io {
    /// Longest wait for the head of a request.
    pub fn read_timeout(&self) -> Duration {
        Duration::from_millis(self.read_timeout_ms.into())
    }
}

impl Default for Io {
    fn default() -> Self {
        Self {
            stream_buffer_size: 65_536,
            max_requests: 16_384,
            read_timeout_ms: 10_000,
            max_incoming_headers_size: 65_536,
            enable_keep_alive: true,
        }
    }
}

// === Ssl ===

impl Default for Ssl {
    fn default() -> Self {
        Self {
            enable: false,
            certificate_file: None,
            key_file: None,
            client_ca_file: None,
            pfx_certificate_file: None,
            pfx_certificate_password: None,
            mutually_authenticate: false,
            accept_invalid_certificates: true,
        }
    }
}

// === impl Ssl ===

impl Ssl {
    /// What keeps these settings from being used, and at which of them; none if nothing does.
    pub(super) fn fault(&self) -> Option<(&'static str, &'static str)> {
        let is_given = |file: &Option<String>| file.as_ref().is_some_and(|file| !file.is_empty());
        if !self.enable {
            return None;
        }
        if is_given(&self.pfx_certificate_file) && !is_given(&self.certificate_file) {
            return Some((
                "Webserver.Ssl.PfxCertificateFile",
                "must be turned into PEM files, for CertificateFile and KeyFile: `openssl pkcs12 -in FILE.pfx -nokeys -out \
                 cert.pem` and `openssl pkcs12 -in FILE.pfx -nocerts -nodes -out key.pem`",
            ));
        }
        if !is_given(&self.certificate_file) {
            return Some(("Webserver.Ssl.CertificateFile", "must name a PEM file when Enable is true"));
        }
        if !is_given(&self.key_file) {
            return Some(("Webserver.Ssl.KeyFile", "must name a PEM file when Enable is true"));
        }
        (self.mutually_authenticate && !is_given(&self.client_ca_file)).then_some((
            "Webserver.Ssl.ClientCaFile",
            "must name a PEM file when MutuallyAuthenticate is true: by it client certificates are verified",
        ))
    }
}

// === Headers ===

impl Headers {
    /// The default headers that a response may carry: those of one connection, of the body's framing and of
    /// requests are left out, and so are empty ones, although files written by the original contain some.
    pub fn response_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.default_headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).filter(
            |(name, value)| {
                let name = name.to_ascii_lowercase();
                !value.is_empty()
                    && !is_hop_by_hop(&name)
                    && !matches!(
                        name.as_str(),
                        "content-length" | "host" | "accept" | "accept-language" | "accept-charset"
                    )
            },
        )
    }
}

impl Default for Headers {
    fn default() -> Self {
        Self {
            include_content_length: true,
            // CORS headers are on every response anyway.
            default_headers: BTreeMap::new(),
        }
    }
}

// === rules ===

/// Admin tokens: none empty, none with characters that a header cannot carry.
pub(super) fn tokens<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Secret>, D::Error> {
    let tokens = Vec::<Secret>::deserialize(deserializer)?;
    faulty_token(&tokens).map_or(Ok(tokens), |reason| Err(Error::custom(reason)))
}

/// What is wrong with one of these tokens; none if nothing is.
pub(super) fn faulty_token(tokens: &[Secret]) -> Option<&'static str> {
    if tokens.iter().any(|token| token.expose().trim().is_empty()) {
        return Some("must not contain an empty token");
    }
    let is_sendable = |token: &Secret| is_header_value(token.expose());
    (!tokens.iter().all(is_sendable))
        .then_some("must not contain a token with line breaks or other control characters")
}

/// Names of request headers.
pub(super) fn header_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    match names.iter().find(|name| !is_header_name(name)) {
        Some(bad) => Err(Error::custom(format_args!("must contain HTTP header names, but has {bad:?}"))),
        None => Ok(names),
    }
}

fn response_headers<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let headers = BTreeMap::<String, String>::deserialize(deserializer)?;
    for (name, value) in &headers {
        if !is_header_name(name) {
            return Err(Error::custom(format_args!("must have HTTP header names as keys, but has {name:?}")));
        }
        if !is_header_value(value) {
            return Err(Error::custom(format_args!("has a control character in the value of {name:?}")));
        }
    }
    Ok(headers)
}
