//! Which node to talk to, and with which token: from flags, variables and settings, in this order.

use awc::http::Uri;
use ollamaflow_protocol::object::Secret;

use super::profile::{self, Profile};
use super::{Remote, RemoteError};
use crate::settings::{self, ListenHost, ListenTarget, MissingFile, Settings, Sources};

/// Variable of the node's URL.
const SERVER_VARIABLE: &str = "OLLAMAFLOW_SERVER";

/// Variable of the token.
const TOKEN_VARIABLE: &str = "OLLAMAFLOW_TOKEN";

/// Variable of the URL for requests of clients.
const CLIENT_URL_VARIABLE: &str = "OLLAMAFLOW_CLIENT_URL";

/// What the command line says about the node to talk to.
#[derive(Debug, Clone)]
pub struct Access {
    /// `--server`.
    pub server: Option<String>,
    /// `--token`.
    pub token: Option<Secret>,
    /// `--client-url`.
    pub client_url: Option<String>,
    /// Where the rest comes from. Settings are read only if the flags and variables leave something open.
    pub sources: Sources,
}

/// A node, and who asks.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Connection {
    /// Scheme, host and port, without a slash at the end.
    pub(in crate::cli) url: String,
    /// The same for requests of clients.
    pub(in crate::cli) client_url: String,
    pub(in crate::cli) token: Secret,
    /// Whether certificates are verified. That of the node of this machine's settings is for the names that clients know,
    /// not for an address of this machine.
    pub(in crate::cli) verify: bool,
}

// === Access ===

impl Access {
    pub(in crate::cli) fn connect(self) -> Result<Remote, RemoteError> {
        Remote::new(self.resolve()?)
    }

    /// Flags win over variables, those over the user's own file, that over the settings of the node. A settings file that
    /// the command line names wins over the user's own file.
    pub(in crate::cli) fn resolve(self) -> Result<Connection, RemoteError> {
        let profile = match self.sources.missing_file {
            MissingFile::Refuse => Profile::default(),
            _ => profile::load(&self.sources.environment)?,
        };
        let server = self.server.clone().or_else(|| self.variable(SERVER_VARIABLE)).or(profile.server);
        let token = self.token.clone().or_else(|| self.variable(TOKEN_VARIABLE).map(Secret::new));
        let token = token.or(profile.token).filter(|token| !token.expose().is_empty());
        let client_url = self.client_url.clone().or_else(|| self.variable(CLIENT_URL_VARIABLE));
        let client_url = client_url.or(profile.client_url);
        let settings = match (&server, &token) {
            (Some(_), Some(_)) => Settings::default(),
            _ => settings::load_for_client(self.sources)?.settings,
        };
        let webserver = &settings.webserver;
        let (has_tls, clients) = (webserver.ssl.enable, webserver.listen_target());
        let url = if let Some(server) = &server {
            base_url(server)?
        } else {
            own_url(settings.admin.listen_target().unwrap_or_else(|| clients.clone()), has_tls)?
        };
        let verify = server.is_some() || client_url.is_some();
        let client_url = match (&client_url, &server) {
            (Some(named), _) => base_url(named)?,
            (None, Some(_)) => url.clone(),
            (None, None) => own_url(clients, has_tls)?,
        };
        let token = token.or_else(|| settings.admin_bearer_tokens.into_iter().next());
        Ok(Connection { url, client_url, token: token.ok_or(RemoteError::NoToken)?, verify })
    }

    /// Whether the node is that of the settings on this machine, for nothing names another one.
    pub(in crate::cli) fn names_no_server(&self) -> Result<bool, RemoteError> {
        let own = matches!(self.sources.missing_file, MissingFile::Refuse);
        let profile = if own { Profile::default() } else { profile::load(&self.sources.environment)? };
        let named = self.server.clone().or_else(|| self.variable(SERVER_VARIABLE)).or(profile.server);
        Ok(named.is_none())
    }

    /// The value of a variable; an empty one counts as absent.
    fn variable(&self, name: &str) -> Option<String> {
        let variables = self.sources.environment.iter();
        let value = variables.rev().find(|(known, _)| known == name)?.1.to_str()?;
        (!value.is_empty()).then(|| value.to_owned())
    }
}

/// The URL of the node that listens there, on this machine.
fn own_url(target: ListenTarget, has_tls: bool) -> Result<String, RemoteError> {
    let ListenTarget { host, port } = target;
    let host = match host {
        ListenHost::Name(name) if !name.eq_ignore_ascii_case("localhost") => name,
        // What listens there listens on this address too.
        ListenHost::Name(_) | ListenHost::All => "127.0.0.1".to_owned(),
    };
    let target = ListenTarget { host: ListenHost::Name(host), port };
    let scheme = if has_tls { "https" } else { "http" };
    if port == 0 { Err(RemoteError::NoPort) } else { Ok(format!("{scheme}://{target}")) }
}

/// Scheme, host and port of a URL without a path; `HOST:PORT` means HTTP.
pub(super) fn base_url(text: &str) -> Result<String, RemoteError> {
    let trimmed = text.trim();
    let full = if trimmed.contains("://") { trimmed.to_owned() } else { format!("http://{trimmed}") };
    // What is refused is told without the password that it may hold.
    let refused =
        || RemoteError::Server(if text.contains('@') { "...@...".to_owned() } else { text.to_owned() });
    let uri: Uri = full.parse().map_err(|_| refused())?;
    let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
    match (uri.scheme_str(), uri.authority()) {
        (Some(scheme @ ("http" | "https")), Some(authority))
            if is_bare && !authority.host().is_empty() && !authority.as_str().contains('@') =>
        {
            Ok(format!("{scheme}://{authority}"))
        }
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::{Value, json};
    use tempfile::TempDir;

    use super::*;

    /// An access whose settings file has this content.
    fn access(settings: &Value) -> (TempDir, Access) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ollamaflow.json");
        std::fs::write(&file, settings.to_string()).unwrap();
        (directory, Access { server: None, token: None, client_url: None, sources: Sources::of_file(file) })
    }

    fn resolved(access: Access) -> (String, String) {
        let Connection { url, token, .. } = access.resolve().unwrap();
        (url, token.expose().to_owned())
    }

    fn pair(url: &str, token: &str) -> (String, String) {
        (url.to_owned(), token.to_owned())
    }

    #[test]
    fn flags_win_over_variables_which_win_over_settings() {
        let (_directory, mut access) =
            access(&json!({"Webserver": {"Port": 5}, "AdminBearerTokens": ["first", "second"]}));
        assert_eq!(resolved(access.clone()), pair("http://127.0.0.1:5", "first"));
        let variable = |name: &str, value: &str| (name.into(), value.into());
        access.sources.environment =
            vec![variable("OLLAMAFLOW_SERVER", "https://node2:1/"), variable("OLLAMAFLOW_TOKEN", "from-env")];
        assert_eq!(resolved(access.clone()), pair("https://node2:1", "from-env"));
        access.token = Some(Secret::new("from-flag"));
        access.server = Some("node3:2".to_owned());
        assert_eq!(resolved(access), pair("http://node3:2", "from-flag"));
    }

    #[test]
    fn the_address_follows_the_listener() {
        for (hostname, host) in
            [("*", "127.0.0.1"), ("LocalHost", "127.0.0.1"), ("gpu.lan", "gpu.lan"), ("::1", "[::1]")]
        {
            let (_directory, access) =
                access(&json!({"Webserver": {"Hostname": hostname}, "AdminBearerTokens": ["t"]}));
            assert_eq!(resolved(access).0, format!("http://{host}:43411"));
        }
    }

    #[test]
    fn a_node_of_this_machine_that_speaks_tls_is_asked_by_it_whatever_name_its_certificate_has() {
        let ssl = json!({"Enable": true, "CertificateFile": "c", "KeyFile": "k"});
        let (_directory, mut access) =
            access(&json!({"Webserver": {"Ssl": ssl}, "AdminBearerTokens": ["t"]}));
        let connection = access.clone().resolve().unwrap();
        let both = pair("https://127.0.0.1:43411", "https://127.0.0.1:43411");
        assert_eq!(((connection.url, connection.client_url), connection.verify), (both, false));
        access.server = Some("https://node1".to_owned());
        assert!(access.resolve().unwrap().verify);
    }

    #[test]
    fn complete_flags_need_no_settings() {
        let sources = Sources::of_file(PathBuf::from("/nonexistent/ollamaflow.json"));
        let (server, token) = (Some("a:1".to_owned()), Some(Secret::new("t")));
        let mut access = Access { server, token, client_url: None, sources };
        assert_eq!(resolved(access.clone()), pair("http://a:1", "t"));
        access.token = None;
        assert!(matches!(access.resolve(), Err(RemoteError::Settings(_))));
    }

    #[test]
    fn the_users_own_file_stands_between_variables_and_settings_unless_a_settings_file_is_named() {
        let (directory, mut access) =
            access(&json!({"Webserver": {"Port": 5}, "AdminBearerTokens": ["of-settings"]}));
        let own = directory.path().join("ollamaflow/config.toml");
        std::fs::create_dir(own.parent().unwrap()).unwrap();
        std::fs::write(&own, "server = \"node4:1\"\ntoken = \"of-file\"\n").unwrap();
        access.sources.environment = vec![("XDG_CONFIG_HOME".into(), directory.path().into())];
        assert_eq!(resolved(access.clone()), pair("http://127.0.0.1:5", "of-settings"));
        access.sources.missing_file = MissingFile::UseDefaults;
        assert_eq!(resolved(access.clone()), pair("http://node4:1", "of-file"));
        access.sources.environment.push(("OLLAMAFLOW_TOKEN".into(), "of-variable".into()));
        assert_eq!(resolved(access.clone()), pair("http://node4:1", "of-variable"));
        std::fs::write(&own, "server = \"node4:1\"\n").unwrap();
        access.sources.environment.pop();
        assert_eq!(resolved(access), pair("http://node4:1", "of-settings"));
    }

    #[test]
    fn clients_are_served_where_the_server_is_unless_the_admin_api_has_an_address_of_its_own() {
        let (_directory, mut access) = access(&json!({
            "Webserver": {"Port": 5}, "Admin": {"Listen": "127.0.0.1:6"}, "AdminBearerTokens": ["t"]
        }));
        let both = |access: &Access| {
            let Connection { url, client_url, .. } = access.clone().resolve().unwrap();
            (url, client_url)
        };
        assert_eq!(both(&access), pair("http://127.0.0.1:6", "http://127.0.0.1:5"));
        access.server = Some("a:6".to_owned());
        assert_eq!(both(&access), pair("http://a:6", "http://a:6"));
        access.client_url = Some("a:5".to_owned());
        assert_eq!(both(&access), pair("http://a:6", "http://a:5"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let (_directory, without_token) = access(&json!({"Webserver": {"Port": 5}}));
        assert!(matches!(without_token.resolve(), Err(RemoteError::NoToken)));
        let (_directory, without_port) =
            access(&json!({"Webserver": {"Port": 0}, "AdminBearerTokens": ["t"]}));
        assert!(matches!(without_port.resolve(), Err(RemoteError::NoPort)));
    }

    #[test]
    fn a_server_is_a_url_without_a_path() {
        for (text, url) in [
            ("http://a", "http://a"),
            (" a:5/ ", "http://a:5"),
            ("https://[::1]:7", "https://[::1]:7"),
            ("localhost:1", "http://localhost:1"),
        ] {
            assert_eq!(base_url(text).unwrap(), url);
        }
        for text in ["", "ftp://a", "http://", "http://a/v1.0", "http://a?b", "http://u:hunter2@a", "a b"] {
            let error = base_url(text).unwrap_err().to_string();
            assert!(error.starts_with("the server must be written") && !error.contains("hunter2"), "{error}");
        }
    }
}
