//! The layers, the file and the rules together.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ollamaflow_protocol::object::lenient::{self, Kind};
use ollamaflow_protocol::time::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

const NOW: Timestamp = Timestamp::from_micros(1_759_944_278_120_000);

/// A directory with a settings file to load, and the other layers.
struct Bench {
    directory: TempDir,
    sources: Sources,
}

impl Bench {
    fn without_file() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ollamaflow.json");
        let (missing_file, flags) = (MissingFile::Create, Flags::default());
        Self { directory, sources: Sources { file, missing_file, environment: Vec::new(), flags, now: NOW } }
    }

    fn with_text(text: &str) -> Self {
        let bench = Self::without_file();
        std::fs::write(&bench.sources.file, text).unwrap();
        bench
    }

    fn with(document: &Value) -> Self {
        Self::with_text(&document.to_string())
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.sources.environment.push((OsString::from(name), OsString::from(value)));
        self
    }

    fn flags(mut self, flags: Flags) -> Self {
        self.sources.flags = flags;
        self
    }

    fn load(&self) -> Result<Loaded, SettingsError> {
        load(self.sources.clone())
    }

    fn loaded(&self) -> Loaded {
        self.load().unwrap()
    }

    fn errors(&self) -> Vec<String> {
        let prefix = format!("{}: ", self.sources.file.display());
        let lines = self.load().unwrap_err().lines();
        lines.into_iter().map(|line| line.replace(&prefix, "file: ")).collect()
    }
}

fn listen(text: &str) -> Flags {
    Flags { listen: Some(text.parse().unwrap()), ..Flags::default() }
}

// === defaults ===

#[test]
fn defaults_are_those_of_the_reference_with_our_decisions() {
    let expected = json!({
        "Logging": {
            "Enable": true,
            "Servers": [{
                "Hostname": "127.0.0.1", "Port": 514, "RandomizePorts": false, "MinimumPort": 65000,
                "MaximumPort": 65535
            }],
            "LogDirectory": "./logs/", "LogFilename": "ollamaflow.log", "RetentionDays": 14, "Format": "Text",
            "AccessLog": true, "ConsoleLogging": true, "EnableColors": true, "MinimumSeverity": 1,
            "LogQueries": false, "LogResults": false
        },
        "Tracing": {
            "Endpoint": null, "Headers": {}, "SamplingRatio": 1.0, "ServiceName": "ollamaflow", "QueueLength": 4096,
            "TimeoutMs": 10000
        },
        "Webserver": {
            "Hostname": "localhost", "Port": 43411, "UseMachineHostname": false, "Workers": 0,
            "IO": {
                "StreamBufferSize": 65536, "MaxRequests": 16384, "ReadTimeoutMs": 10000,
                "MaxIncomingHeadersSize": 65536, "EnableKeepAlive": true
            },
            "Ssl": {
                "Enable": false, "CertificateFile": null, "KeyFile": null, "ClientCaFile": null,
                "PfxCertificateFile": null, "PfxCertificatePassword": null,
                "MutuallyAuthenticate": false, "AcceptInvalidAcertificates": true
            },
            "Headers": {
                "IncludeContentLength": true,
                "DefaultHeaders": {}
            },
            "AccessControl": {"DenyList": {}, "PermitList": {}, "Mode": "DefaultPermit"},
            "Debug": {"AccessControl": false, "Routing": false, "Requests": false, "Responses": false}
        },
        "Admin": {"Listen": null},
        "HealthCheck": {"IntervalMs": 5000, "TimeoutMs": 2500, "StartupIntervalMs": 250, "JitterPercent": 10},
        "Upstream": {"ConnectTimeoutMs": 2000, "IdleTimeoutMs": 4000, "MaxIdleConnections": 256},
        "Cluster": {
            "Listen": null, "Advertise": null, "Peers": [], "Join": null, "Secret": null, "SecretFile": null,
            "HeartbeatMs": 100, "ElectionMinMs": 350, "ElectionMaxMs": 700,
            "Tls": {"CertificateFile": null, "KeyFile": null, "CaFile": null}
        },
        "DataDirectory": "./data", "DatabaseFilename": "./ollamaflow.db", "AdminBearerTokens": [],
        "StickyHeaders": ["x-conversation-id", "x-thread-id"], "TrustedProxies": [], "ShutdownGraceMs": 30000,
        "ShutdownSettleMs": null, "Frontends": [], "Backends": []
    });
    assert_eq!(serde_json::to_value(Settings::default()).unwrap(), expected);
}

#[test]
fn the_listener_follows_hostname_and_port() {
    let target =
        |hostname: &str| Webserver { hostname: hostname.to_owned(), ..Webserver::default() }.listen_target();
    for every in ["*", "+", "0.0.0.0", "::", "[::]"] {
        assert_eq!(target(every), ListenTarget { host: ListenHost::All, port: 43_411 }, "{every}");
    }
    assert_eq!(target("[::1]").host, ListenHost::Name("::1".to_owned()));
    assert_eq!(target("gpu.lan").host, ListenHost::Name("gpu.lan".to_owned()));
    assert!(Webserver::default().worker_count() >= 1);
    assert_eq!(Webserver { workers: 3, ..Webserver::default() }.worker_count(), 3);
}

#[test]
fn the_admin_api_listens_on_its_own_only_if_it_has_an_address() {
    let target = |listen: Value| Bench::with(&json!({"Admin": {"Listen": listen}})).loaded().settings.admin;
    assert_eq!(target(Value::Null).listen_target(), None);
    assert_eq!(target("".into()).listen_target(), None);
    let every = ListenTarget { host: ListenHost::All, port: 9000 };
    assert_eq!(target("*:9000".into()).listen_target(), Some(every));
    let six = ListenTarget { host: ListenHost::Name("::1".to_owned()), port: 0 };
    assert_eq!(target("[::1]:0".into()).listen_target(), Some(six));
    let errors = Bench::with(&json!({"Admin": {"Listen": "localhost"}})).errors();
    assert!(errors.len() == 1 && errors[0].contains("Admin.Listen has no port"), "{errors:?}");
}

#[test]
fn headers_that_would_break_a_response_are_not_handed_out() {
    let bench = Bench::with(&json!({"Webserver": {"Headers": {"DefaultHeaders": {
        "Connection": "close", "Host": "localhost:43411", "Accept": "*/*", "Content-Length": "5",
        "Access-Control-Expose-Headers": "", "X-Site": "lab"
    }}}}));
    let headers = bench.loaded().settings.webserver.headers;
    assert_eq!(headers.response_headers().collect::<Vec<_>>(), [("X-Site", "lab")]);
}

// === layers ===

#[test]
fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
    let port = |bench: Bench| {
        let loaded = bench.loaded();
        (loaded.settings.webserver.port, loaded.origins.get("Webserver.Port").unwrap().clone())
    };
    let file = json!({"Webserver": {"Port": 1001}});
    let variable = "OLLAMAFLOW_WEBSERVER__PORT";
    let in_env = || Origin::Env(variable.to_owned());
    assert_eq!(port(Bench::with(&json!({}))), (43_411, Origin::Default));
    assert_eq!(port(Bench::with(&file)), (1001, Origin::File));
    assert_eq!(port(Bench::with(&file).env(variable, "1002")), (1002, in_env()));
    assert_eq!(port(Bench::with(&json!({})).env(variable, "1002")), (1002, in_env()));
    let all = Bench::with(&file).env(variable, "1002").flags(listen("[::1]:1003"));
    assert_eq!(all.loaded().settings.webserver.hostname, "::1");
    assert_eq!(port(all), (1003, Origin::Flag("--listen".to_owned())));
}

#[test]
fn a_layer_changes_only_the_settings_it_names() {
    let bench =
        Bench::with(&json!({"webserver": {"PORT": 1001, "io": {"maxrequests": 7}}, "dataDIRECTORY": "a"}))
            .env("OLLAMAFLOW_WEBSERVER__IO__READTIMEOUTMS", "9")
            .flags(Flags { data_directory: Some("b".to_owned()), ..Flags::default() });
    let loaded = bench.loaded();
    let settings = &loaded.settings;
    assert_eq!(settings.webserver.port, 1001);
    assert_eq!(settings.webserver.io.max_requests, 7);
    assert_eq!(settings.webserver.io.read_timeout_ms, 9);
    assert_eq!(settings.webserver.io.max_incoming_headers_size, 65_536);
    assert_eq!(settings.data_directory, "b");
    let origin = |path: &str| loaded.origins.get(path).unwrap().to_string();
    assert_eq!(origin("Webserver.IO.MaxRequests"), "file");
    assert_eq!(
        origin("Webserver.IO.ReadTimeoutMs"),
        "environment variable OLLAMAFLOW_WEBSERVER__IO__READTIMEOUTMS"
    );
    assert_eq!(origin("DataDirectory"), "flag --data-directory");
    assert_eq!(origin("Webserver.IO.MaxIncomingHeadersSize"), "default");
}

#[test]
fn every_setting_has_an_environment_variable_in_any_case() {
    let defaults = serde_json::to_value(Settings::default()).unwrap();
    let schema = lenient::schema(&Settings::default());
    let settings: Vec<_> = schema.iter().filter(|property| property.kind != Kind::Structure).collect();
    assert!(settings.len() > 40, "the schema has {} settings", settings.len());
    // A cluster that is complete: its settings do not stand alone.
    let file = json!({"Cluster": {
        "Listen": "*:1", "Advertise": "text:1", "Secret": "sixteen letters!",
        "Tls": {"CertificateFile": "c", "KeyFile": "k", "CaFile": "a"}
    }});
    for property in settings {
        let path = property.path.to_string();
        let text = match defaults.pointer(&format!("/{}", path.replace('.', "/"))).unwrap() {
            // Excludes `Secret`, and must exist: see the tests of the cluster.
            Value::Null if path == "Cluster.SecretFile" => continue,
            Value::Null if path == "Cluster.Secret" => "another secret of the cluster".to_owned(),
            Value::Null if path == "ShutdownSettleMs" => "250".to_owned(),
            Value::Null if path == "Tracing.Endpoint" => "http://localhost:1".to_owned(),
            // A text that is an address too.
            Value::Null => "localhost:1".to_owned(),
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        let upper = format!("OLLAMAFLOW_{}", path.replace('.', "__").to_uppercase());
        for name in [upper.clone(), upper.to_lowercase()] {
            let loaded = Bench::with(&file).env(&name, &text).loaded();
            assert_eq!(loaded.origins.get(&path), Some(&Origin::Env(name.clone())), "{path}");
            assert!(
                !loaded.notices.iter().any(|notice| notice.contains("names no setting")),
                "{:?}",
                loaded.notices
            );
            if matches!(property.kind, Kind::Boolean | Kind::Number | Kind::Map) {
                let errors = Bench::with(&json!({})).env(&name, "{\"").errors();
                let start = format!("environment variable {name}: {path} must be ");
                assert!(errors.len() == 1 && errors[0].starts_with(&start), "{errors:?}");
            }
        }
    }
}

#[test]
fn variables_carry_lists_and_objects() {
    let loaded = Bench::with(&json!({"AdminBearerTokens": ["from-file"]}))
        .env("OLLAMAFLOW_ADMINBEARERTOKENS", "one, two")
        .env("OLLAMAFLOW_STICKYHEADERS", r#"["x-a"]"#)
        .env("OLLAMAFLOW_WEBSERVER__HEADERS__DEFAULTHEADERS", r#"{"X-Site": "lab"}"#)
        .env("OLLAMAFLOW_BACKENDS", r#"[{"identifier": "b1", "port": 11434}]"#)
        .env("OLLAMAFLOW_WEBSERVER__IO__ENABLEKEEPALIVE", "false")
        .loaded();
    let tokens: Vec<&str> = loaded.settings.admin_bearer_tokens.iter().map(Secret::expose).collect();
    assert_eq!(tokens, ["one", "two"]);
    assert_eq!(loaded.settings.sticky_headers, ["x-a"]);
    assert_eq!(loaded.settings.webserver.headers.default_headers.len(), 1);
    assert_eq!(loaded.settings.backends[0].port, 11_434);
    assert!(!loaded.settings.webserver.io.enable_keep_alive);
    assert_eq!(loaded.catalog.backends.len(), 1);
}

#[test]
fn a_variable_that_names_no_setting_is_reported_once_and_an_empty_one_is_absent() {
    let loaded = Bench::with(&json!({"AdminBearerTokens": ["t"]}))
        .env("OLLAMAFLOW_WEBSERVER__PROT", "1")
        .env("OLLAMAFLOW_WEBSERVER", "{}")
        .env("OLLAMAFLOW_WEBSERVER__PORT", "")
        .env("OLLAMAFLOW_BIN", "/bin/ollamaflow")
        .env("OLLAMAFLOW_SERVER", "http://node1:43411")
        .env("OLLAMAFLOW_TOKEN", "t")
        .env("OLLAMAFLOWER", "1")
        .env("HOME", "/root")
        .loaded();
    assert_eq!(
        loaded.notices,
        [
            "environment variable OLLAMAFLOW_WEBSERVER names no setting",
            "environment variable OLLAMAFLOW_WEBSERVER__PROT names no setting"
        ]
    );
    assert_eq!(loaded.origins.get("Webserver.Port"), Some(&Origin::Default));
}

#[test]
fn the_cluster_is_set_in_every_layer() {
    let directory = tempfile::tempdir().unwrap();
    let secret_file = directory.path().join("secret");
    std::fs::write(&secret_file, "known to all nodes\n").unwrap();
    let cluster = ClusterFlags {
        peers: Some(vec!["node2".to_owned(), "node1".to_owned()]),
        advertise: Some("node1".to_owned()),
        ..ClusterFlags::default()
    };
    let loaded =
        Bench::with(&json!({"cluster": {"heartbeatMS": 200, "electionminms": 600, "peers": ["node9"]}}))
            .env("OLLAMAFLOW_CLUSTER__SECRETFILE", secret_file.to_str().unwrap())
            .env("OLLAMAFLOW_CLUSTER__PEERS", "node8,node7")
            .flags(Flags { cluster, ..Flags::default() })
            .loaded();
    let peers = vec!["node1:43412".to_owned(), "node2:43412".to_owned()];
    assert_eq!(loaded.cluster.start, ClusterStart::Peers(peers));
    assert_eq!(loaded.cluster.timing.election_min.as_millis(), 600);
    assert_eq!(loaded.cluster.secret.as_ref().map(Secret::expose), Some("known to all nodes"));
    let origin = |path: &str| loaded.origins.get(path).unwrap().to_string();
    assert_eq!(origin("Cluster.Peers"), "flag --peers");
    assert_eq!(origin("Cluster.SecretFile"), "environment variable OLLAMAFLOW_CLUSTER__SECRETFILE");
    assert_eq!(origin("Cluster.HeartbeatMs"), "file");
}

#[test]
fn every_flag_of_the_cluster_reaches_its_setting() {
    let text = |text: &str| Some(text.to_owned());
    let flags = ClusterFlags {
        listen: text("[::1]:7"),
        advertise: text("a"),
        peers: Some(vec!["b".to_owned()]),
        join: text("c"),
        secret: Some(Secret::new("in the flag")),
        secret_file: text("/nonexistent/secret"),
    };
    let errors = Bench::with(&json!({})).flags(Flags { cluster: flags, ..Flags::default() }).errors();
    for start in [
        "flag --join: Cluster.Join must not be set together with Peers",
        "flag --advertise: Cluster.Advertise must be one of Peers",
        "flag --cluster-secret-file: Cluster.SecretFile must not be set together with Secret",
    ] {
        assert!(errors.iter().any(|error| error.starts_with(start)), "{start} is not in {errors:#?}");
    }
    let cluster =
        ClusterFlags { listen: text("a b"), secret: Some(Secret::new("short")), ..ClusterFlags::default() };
    let errors = Bench::with(&json!({})).flags(Flags { cluster, ..Flags::default() }).errors();
    assert!(
        errors[0].starts_with("flag --cluster-listen: Cluster.Listen must have a host name"),
        "{errors:?}"
    );
    assert_eq!(errors[1], "flag --cluster-secret: Cluster.Secret must have at least 16 characters");
}

// === proxies and stopping ===

#[test]
fn trusted_proxies_and_the_times_of_a_stop_are_set_in_every_layer() {
    let proxies = |loaded: &Loaded| serde_json::to_value(&loaded.settings.trusted_proxies).unwrap();
    let file = json!({"TrustedProxies": ["10.0.0.0/8"], "ShutdownGraceMs": 1, "ShutdownSettleMs": 2});
    let loaded = Bench::with(&file).loaded();
    let times = |loaded: &Loaded| (loaded.settings.shutdown_grace_ms, loaded.settings.shutdown_settle_ms);
    assert_eq!((proxies(&loaded), times(&loaded)), (json!(["10.0.0.0/8"]), (1, Some(2))));
    let bench = Bench::with(&file)
        .env("OLLAMAFLOW_TRUSTEDPROXIES", "192.0.2.1, ::1")
        .env("OLLAMAFLOW_SHUTDOWNGRACEMS", "3")
        .env("OLLAMAFLOW_SHUTDOWNSETTLEMS", "4");
    let loaded = bench.loaded();
    assert_eq!((proxies(&loaded), times(&loaded)), (json!(["192.0.2.1", "::1"]), (3, Some(4))));
    let flags = Flags {
        trusted_proxies: Some(vec!["192.0.2.0/24".to_owned()]),
        shutdown_grace_ms: Some(5),
        shutdown_settle_ms: Some(6),
        ..Flags::default()
    };
    let loaded = bench.flags(flags).loaded();
    assert_eq!((proxies(&loaded), times(&loaded)), (json!(["192.0.2.0/24"]), (5, Some(6))));
    assert_eq!(
        loaded.origins.get("ShutdownSettleMs"),
        Some(&Origin::Flag("--shutdown-settle-ms".to_owned()))
    );
}

#[test]
fn faulty_proxies_and_times_are_told_with_their_place() {
    let file = json!({"TrustedProxies": ["::1", "proxy"], "ShutdownGraceMs": -1, "ShutdownSettleMs": "soon"});
    let mut errors = Bench::with(&file).errors();
    errors.sort();
    let expected = [
        "file: ShutdownGraceMs must be a whole number from 0 to 3600000",
        "file: ShutdownSettleMs must be a whole number from 0 to 3600000",
        "file: TrustedProxies[1] must be an address or a network such as 10.0.0.0/8, but is \"proxy\"",
    ];
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (error, expected) in errors.iter().zip(expected) {
        assert!(error.starts_with(expected), "{error}\nis not\n{expected}");
    }
}

// === errors and notices ===

#[test]
fn unknown_properties_are_left_out_and_reported_once_each() {
    let loaded = Bench::with(&json!({
        "AdminBearerTokens": ["t"],
        "Webserver": {"Port": 1, "Prot": 2},
        "Colour": {"Deep": 1},
        "Backends": [{"Identifier": "b1", "Height": 3, "ActiveRequests": 2, "HealthySinceUtc": "x"}]
    }))
    .loaded();
    let mut notices = loaded.notices.clone();
    notices.sort();
    assert_eq!(
        notices,
        [
            "Backends[0].Height (file) is unknown and left out",
            "Colour (file) is unknown and left out",
            "Webserver.Prot (file) is unknown and left out"
        ]
    );
}

#[test]
fn every_error_is_told_with_its_layer_and_place() {
    let bench = Bench::with(&json!({
        "Webserver": {"Port": 70_000, "Hostname": ""},
        "HealthCheck": {"IntervalMs": 99, "JitterPercent": 51},
        "Backends": [{"Identifier": "b1"}, {"Identifier": "b2", "Port": -1}, {"Port": 5}],
        "Frontends": [{"Identifier": "f1", "LoadBalancing": "Fastest"}],
        "AdminBearerTokens": "token-in-the-wrong-place"
    }))
    .env("OLLAMAFLOW_UPSTREAM__CONNECTTIMEOUTMS", "soon")
    .env("OLLAMAFLOW_WEBSERVER__HEADERS__DEFAULTHEADERS", "a=b")
    .flags(Flags { data_directory: Some(String::new()), ..Flags::default() });
    let mut errors = bench.errors();
    errors.sort();
    let expected = [
        "environment variable OLLAMAFLOW_UPSTREAM__CONNECTTIMEOUTMS: Upstream.ConnectTimeoutMs must be a whole number",
        "environment variable OLLAMAFLOW_WEBSERVER__HEADERS__DEFAULTHEADERS: Webserver.Headers.DefaultHeaders must be JSON",
        "file: AdminBearerTokens must be an array, but is a string",
        "file: Backends[1].Port must be a whole number from 0 to 65535, but is -1",
        "file: Backends[2].Identifier must not be empty",
        "file: Frontends[0].LoadBalancing must be one of Random, RoundRobin, LeastConnections, Weighted, LeastLatency, ModelAffinity, PrefixAffinity, but is \"Fastest\"",
        "file: HealthCheck.IntervalMs must be a whole number of 100 or more",
        "file: HealthCheck.JitterPercent must be a whole number from 0 to 50, but is 51",
        "file: Webserver.Hostname must not be empty",
        "file: Webserver.Port must be a whole number from 0 to 65535, but is 70000",
        "flag --data-directory: DataDirectory must not be empty",
    ];
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (error, expected) in errors.iter().zip(expected) {
        assert!(error.starts_with(expected), "{error}\nis not\n{expected}");
    }
    assert!(!errors.concat().contains("token-in-the-wrong-place"));
}

#[test]
fn a_syntax_error_is_told_with_line_and_column() {
    let errors = Bench::with_text("{\n  \"Webserver\": {\n    \"Port\": 1,\n  }\n}").errors();
    assert_eq!(errors, ["file: the JSON document is not valid: trailing comma at line 4 column 3"]);
    let errors = Bench::with_text("[1]").errors();
    assert_eq!(errors, ["file: the JSON document must be an object, but is an array"]);
}

#[test]
fn objects_that_contradict_each_other_are_told_with_their_places() {
    let errors = Bench::with(&json!({
        "Frontends": [{"Identifier": "f1", "Backends": ["b1", "b9"]}],
        "Backends": [{"Identifier": "b1"}, {"Identifier": "b1"}]
    }))
    .errors();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].starts_with("file: Backends[1].Identifier repeats the backend id b1"));
    assert!(errors[1].starts_with("file: Frontends[0].Backends[1] of frontend f1 names the backend b9"));
}

#[test]
fn what_would_weaken_the_node_if_passed_over_is_refused() {
    let errors = Bench::with(&json!({"Webserver": {
        "Ssl": {"Enable": true}, "AccessControl": {"Mode": "defaultdeny"}
    }}))
    .errors();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].starts_with("file: Webserver.Ssl.CertificateFile must name a PEM file"));
    assert!(errors[1].starts_with("file: Webserver.AccessControl must be left at its default"));
}

#[test]
fn settings_without_effect_are_reported_when_they_were_changed() {
    let loaded = Bench::with(&json!({
        "AdminBearerTokens": ["t"],
        "DatabaseFilename": "./ollamaflow.db",
        "Logging": {"LogDirectory": "/var/log/", "Servers": []},
        "Webserver": {"Ssl": {"PfxCertificatePassword": "hunter2"}}
    }))
    .env("OLLAMAFLOW_WEBSERVER__USEMACHINEHOSTNAME", "true")
    .flags(Flags { data_directory: Some("/data".to_owned()), ..Flags::default() })
    .loaded();
    let starts = [
        "Webserver.UseMachineHostname (environment variable OLLAMAFLOW_WEBSERVER__USEMACHINEHOSTNAME) has no effect in \
         this version: ",
        "Webserver.Ssl.PfxCertificatePassword (file) has no effect in this version: ",
    ];
    assert_eq!(loaded.notices.len(), starts.len(), "{:?}", loaded.notices);
    for (notice, start) in loaded.notices.iter().zip(starts) {
        assert!(notice.starts_with(start), "{notice}");
    }
}

#[test]
fn each_setting_that_is_called_inert_exists() {
    let schema = lenient::schema(&Settings::default());
    for (path, _) in inert::INERT {
        assert!(schema.iter().any(|property| property.path.to_string() == path), "{path}");
    }
}

// === the first run ===

#[test]
fn the_first_run_writes_a_private_file_that_later_runs_read() {
    let bench = Bench::without_file();
    let first = bench.loaded();
    let FirstRun { path, admin_token } = first.first_run.clone().unwrap();
    assert_eq!(path, bench.sources.file);
    assert_eq!(admin_token.expose().len(), 64);
    assert_eq!(first.notices, [""; 0]);

    let text = std::fs::read_to_string(&path).unwrap();
    assert!(
        text.starts_with(
            "{\n  \"Webserver\": {\n    \"Hostname\": \"localhost\",\n    \"Port\": 43411\n  },"
        ),
        "{text}"
    );
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["AdminBearerTokens"], json!([admin_token.expose()]));
    assert_eq!(document["Frontends"][0]["Backends"], json!(["backend1"]));

    let again = bench.loaded();
    assert_eq!(again.first_run, None);
    assert_eq!(again.settings, first.settings);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[cfg(unix)]
#[test]
fn only_its_owner_can_read_the_first_file() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::without_file();
    bench.loaded();
    let mode = std::fs::metadata(&bench.sources.file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn every_first_run_has_a_token_of_its_own() {
    let token = || Bench::without_file().loaded().first_run.unwrap().admin_token;
    assert!(token() != token());
}

#[test]
fn the_objects_of_the_first_run_are_one_ollama_behind_one_frontend() {
    let catalog = Bench::without_file().loaded().catalog;
    let frontend = &catalog.frontends["frontend1"];
    assert_eq!(frontend.hostname, "*");
    assert_eq!(frontend.created_utc, NOW);
    let backend = &catalog.backends[&frontend.backends[0]];
    assert_eq!((backend.hostname.as_str(), backend.port), ("localhost", 11_434));
    let defaults = Backend::new("backend1".parse().unwrap());
    let compared = Backend {
        name: String::new(),
        port: defaults.port,
        created_utc: defaults.created_utc,
        last_update_utc: defaults.last_update_utc,
        ..Backend::clone(backend)
    };
    assert_eq!(compared, defaults, "all else is default");
}

#[test]
fn without_a_directory_for_it_no_file_is_written() {
    let mut bench = Bench::without_file();
    bench.sources.file = bench.directory.path().join("absent").join("ollamaflow.json");
    let error = bench.load().unwrap_err();
    assert!(matches!(&error, SettingsError::Create { path, .. } if *path == bench.sources.file), "{error}");
    assert!(error.to_string().contains("its directory must exist"));
}

#[test]
fn a_missing_file_is_refused_or_passed_over_as_asked() {
    let mut bench = Bench::without_file();
    bench.sources.missing_file = MissingFile::UseDefaults;
    let loaded = bench.loaded();
    assert!(loaded.first_run.is_none() && !is_there(&bench.sources.file));
    assert_eq!(loaded.catalog.backends.len(), 1);
    bench.sources.missing_file = MissingFile::Refuse;
    assert!(matches!(bench.load(), Err(SettingsError::Missing { .. })));
    bench.sources.file = PathBuf::from(bench.directory.path());
    assert!(matches!(bench.load(), Err(SettingsError::Read { .. })));
}

fn is_there(path: &Path) -> bool {
    std::fs::metadata(path).is_ok()
}

#[test]
fn a_file_without_objects_is_given_the_first_ones_and_an_empty_list_is_not() {
    let seeded = Bench::with(&json!({"AdminBearerTokens": ["t"], "Backends": null})).loaded();
    assert!(seeded.catalog.frontends.contains_key("frontend1"));
    assert_eq!(seeded.origins.get("Backends"), Some(&Origin::Default));
    assert_eq!(seeded.notices, [""; 0]);
    for document in [
        json!({"Frontends": [], "Backends": []}),
        json!({"Backends": []}),
        json!({"frontends": [{"Identifier": "f1"}]}),
    ] {
        let catalog = Bench::with(&document).loaded().catalog;
        assert!(catalog.backends.is_empty(), "{document}");
    }
}

#[test]
fn a_byte_order_mark_does_not_matter() {
    let loaded = Bench::with_text("\u{feff}{\"Webserver\": {\"Port\": 5}}").loaded();
    assert_eq!(loaded.settings.webserver.port, 5);
}

// === secrets ===

#[test]
fn debug_output_shows_no_secret() {
    let loaded = Bench::with(&json!({
        "AdminBearerTokens": ["hunter2"],
        "Webserver": {"Ssl": {"PfxCertificatePassword": "hunter2"}},
        "Cluster": {"Secret": "hunter2 hunter2 hunter2"},
        "Backends": [{"Identifier": "b1", "BearerToken": "hunter2", "Headers": {"X-Key": "hunter2"}}]
    }))
    .loaded();
    assert_eq!(loaded.cluster.secret.as_ref().map(Secret::expose), Some("hunter2 hunter2 hunter2"));
    assert!(!format!("{loaded:?}").contains("hunter2"));
    let first_run = Bench::without_file().loaded().first_run.unwrap();
    assert!(!format!("{first_run:?}").contains(first_run.admin_token.expose()));
}
