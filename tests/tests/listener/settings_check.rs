//! `config check`: looks at the named file and at nothing else.

use serde_json::json;

use crate::program::Program;

#[tokio::test]
async fn a_good_file_is_ok_and_exits_with_0() {
    let settings = json!({
        "AdminBearerTokens": ["token"],
        "Frontends": [{ "Identifier": "f1", "Backends": ["b1"] }],
        "Backends": [{ "Identifier": "b1", "Port": 11434 }],
    });
    let printed = Program::with_settings(&settings).run(["config", "check", "ollamaflow.json"]).await;
    assert_eq!((printed.code, printed.stdout.as_str(), printed.stderr.as_str()), (Some(0), "ok\n", ""));
}

#[tokio::test]
async fn a_good_file_with_unknown_names_is_ok_and_tells_them() {
    let settings = json!({ "AdminBearerTokens": ["token"], "Colour": 1 });
    let printed = Program::with_settings(&settings).run(["config", "check", "ollamaflow.json"]).await;
    assert_eq!(printed.code, Some(0));
    assert_eq!(printed.stdout, "ok\nnote: Colour (file) is unknown and left out\n");
}

#[tokio::test]
async fn the_environment_does_not_count() {
    let program = Program::with_settings(&json!({ "AdminBearerTokens": ["token"] }))
        .env("OLLAMAFLOW_WEBSERVER__PORT", "not a number");
    let printed = program.run(["config", "check", "ollamaflow.json"]).await;
    assert_eq!((printed.code, printed.stdout.as_str()), (Some(0), "ok\n"));
}

#[tokio::test]
async fn a_file_that_is_not_there_is_an_error_and_is_not_written() {
    let program = Program::new();
    let printed = program.run(["config", "check", "ollamaflow.json"]).await;
    assert_eq!((printed.code, printed.stdout.as_str()), (Some(1), ""));
    assert!(printed.stderr.contains("there is no settings file ollamaflow.json"), "{}", printed.stderr);
    assert_eq!(program.files(), Vec::<String>::new());
}

#[tokio::test]
async fn what_the_original_wrote_on_its_first_run_is_accepted() {
    let settings = json!({
        "Logging": {
            "Enable": true,
            "Servers": [{ "Hostname": "127.0.0.1", "Port": 514, "RandomizePorts": false }],
            "LogDirectory": "./logs/", "LogFilename": "ollamaflow.log", "ConsoleLogging": true,
            "EnableColors": true, "MinimumSeverity": 0, "LogQueries": false, "LogResults": false,
        },
        "Webserver": {
            "Hostname": "localhost", "Port": 43411, "UseMachineHostname": false,
            "IO": {
                "StreamBufferSize": 65536, "MaxRequests": 1024, "ReadTimeoutMs": 10000,
                "MaxIncomingHeadersSize": 65536, "EnableKeepAlive": false,
            },
            "Ssl": { "Enable": false, "MutuallyAuthenticate": false, "AcceptInvalidAcertificates": true },
            "Headers": {
                "IncludeContentLength": true,
                "DefaultHeaders": {
                    "Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "", "Accept": "*/*",
                    "Cache-Control": "no-cache", "Connection": "close", "Host": "localhost:43411",
                },
            },
            "AccessControl": { "DenyList": {}, "PermitList": {}, "Mode": "DefaultPermit" },
            "Debug": { "AccessControl": false, "Routing": false, "Requests": false, "Responses": false },
        },
        "DatabaseFilename": "./ollamaflow.db",
        "AdminBearerTokens": ["ollamaflowadmin"],
        "StickyHeaders": ["x-conversation-id", "x-thread-id"],
    });
    let printed = Program::with_settings(&settings).run(["config", "check", "ollamaflow.json"]).await;
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    assert!(printed.stdout.starts_with("ok\n"), "{}", printed.stdout);
    assert!(!printed.stdout.contains("unknown"), "{}", printed.stdout);
}
