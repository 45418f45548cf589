//! Keys in the admin API.

use super::*;

async fn get(node: &Node, path: &str) -> Value {
    expect(&ask(node, admin("GET", path)).await, 200)
}

#[tokio::test]
async fn a_secret_is_shown_once_and_kept_nowhere() {
    let backend = engine();
    let setup = Setup::new().frontend("RequireKey", true).backend(&backend);
    let setup = setup.frontend("LogRequestFull", true).frontend("LogRequestBody", true);
    let logging = json!({ "Logging": { "MinimumSeverity": 0, "ConsoleLogging": true } });
    let mut node = setup.settings(logging).start().await;
    let made =
        ask(&node, admin("PUT", "/v1.0/keys").json(&json!({ "Identifier": "k", "Name": "Alice" }))).await;
    let body = expect(&made, 201);
    assert_eq!(made.header("location"), Some("/v1.0/keys/k"));
    let first = body["Secret"].as_str().unwrap().to_owned();
    let hash = body["Hash"].as_str().unwrap();
    assert_eq!(hash.len(), 64);
    let rotated = expect(&ask(&node, admin("POST", "/v1.0/keys/k/rotate")).await, 200);
    let second = rotated["Secret"].as_str().unwrap().to_owned();
    assert!(first != second && rotated["Hash"] != body["Hash"] && rotated["Name"] == "Alice");
    expect(&ask(&node, chat("qwen").bearer(&second)).await, 200);
    expect(&ask(&node, chat("qwen").bearer(&first)).await, 401);
    let mut shown = String::new();
    for path in [
        "/v1.0/keys",
        "/v1.0/keys/k",
        "/v1.0/catalog",
        "/v1.0/cluster/backup?secrets=true",
        "/v1.0/history",
        "/v1.0/usage",
        "/metrics",
    ] {
        shown.push_str(&ask(&node, admin("GET", path)).await.text());
    }
    node.terminate().await;
    for secret in [first, second] {
        let bare = secret.trim_start_matches("sk-of-");
        assert!(!shown.contains(bare) && !node.logs().contains(bare));
        assert_eq!(files_with(node.directory(), bare.as_bytes()), Vec::<String>::new());
    }
}

/// The files below a directory that have these bytes in them.
fn files_with(directory: &std::path::Path, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, bytes));
        } else if std::fs::read(&path).unwrap().windows(bytes.len()).any(|window| window == bytes) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test]
async fn keys_are_read_and_changed_as_other_objects() {
    let backend = engine();
    let node = demanding(&backend).await;
    make(&node, "k", json!({ "Models": ["qwen"], "RequestsPerMinute": 7 })).await;
    let again = ask(&node, admin("PUT", "/v1.0/keys").json(&json!({ "Identifier": "k" }))).await;
    expect(&again, 409);
    let one = ask(&node, admin("GET", "/v1.0/keys/k")).await;
    let (etag, key) = (one.header("etag").unwrap().to_owned(), expect(&one, 200));
    assert!(key.get("Secret").is_none() && key["Active"] == true && key["RequestsPerMinute"] == 7, "{key}");
    let stale = admin("PUT", "/v1.0/keys/k").header("If-Match", "\"1\"").json(&json!({ "Name": "x" }));
    expect(&ask(&node, stale).await, 412);
    let changed = admin("PUT", "/v1.0/keys/k").header("If-Match", &etag).json(&json!({ "Name": "x" }));
    let changed = expect(&ask(&node, changed).await, 200);
    assert_eq!(
        (&changed["Name"], &changed["Hash"], &changed["Models"]),
        (&json!("x"), &key["Hash"], &json!(["qwen"]))
    );
    expect(&ask(&node, admin("GET", "/v1.0/keys/k").header("If-None-Match", &etag)).await, 200);
    for (body, part) in [
        (json!({ "Identifier": "bad", "Frontends": ["nowhere"] }), "names the frontend nowhere"),
        (json!({ "Identifier": "bad", "Operations": ["Cooking"] }), "Operations"),
        (json!({ "Identifier": "bad", "Colour": 1 }), "Colour"),
        (json!({ "Identifier": "bad", "Hash": key["Hash"] }), "is that of the key k"),
        (json!({ "Name": "nobody" }), "Identifier"),
    ] {
        let refused = expect(&ask(&node, admin("PUT", "/v1.0/keys").json(&body)).await, 400);
        assert!(refused["Message"].as_str().unwrap().contains(part), "{refused}");
    }
    let rehearsed =
        ask(&node, admin("PUT", "/v1.0/keys?validate=true").json(&json!({ "Identifier": "new" }))).await;
    assert!(expect(&rehearsed, 201).get("Secret").is_none(), "it would be good for nothing");
    assert_eq!(get(&node, "/v1.0/keys").await.as_array().unwrap().len(), 1);
    expect(&ask(&node, admin("HEAD", "/v1.0/keys/k")).await, 200);
    expect(&ask(&node, admin("POST", "/v1.0/keys/none/rotate")).await, 404);
    expect(&ask(&node, admin("DELETE", "/v1.0/keys/k")).await, 204);
    expect(&ask(&node, admin("GET", "/v1.0/keys/k")).await, 404);
    let history = get(&node, "/v1.0/history").await;
    let told: Vec<_> = history.as_array().unwrap().iter().map(|it| it["What"].as_str().unwrap()).collect();
    assert_eq!(told[..3], ["deleted key k", "changed Name of key k", "created key k"]);
}

#[tokio::test]
async fn a_key_outlives_a_frontend_and_is_not_for_more_then() {
    let backend = engine();
    let node = demanding(&backend).await;
    let other = json!({ "Identifier": "g", "Hostname": "g.test" });
    expect(&ask(&node, admin("PUT", "/v1.0/frontends").json(&other)).await, 201);
    let key = make(&node, "k", json!({ "Frontends": ["g"] })).await;
    expect(&ask(&node, admin("DELETE", "/v1.0/frontends/g")).await, 204);
    expect(&ask(&node, chat("qwen").bearer(&key)).await, 403);
    change(&node, "k", &json!({ "Name": "still changed" })).await;
    let catalog = get(&node, "/v1.0/catalog").await;
    assert_eq!(catalog["Keys"][0]["Frontends"], json!(["g"]));
    expect(&ask(&node, admin("PUT", "/v1.0/catalog").json(&catalog)).await, 200);
}

#[tokio::test]
async fn a_rollback_brings_keys_back_as_they_were() {
    let backend = engine();
    let node = demanding(&backend).await;
    let key = make(&node, "k", json!({})).await;
    let revision = get(&node, "/v1.0/keys/k").await["Revision"].as_u64().unwrap();
    expect(&ask(&node, admin("POST", "/v1.0/keys/k/rotate")).await, 200);
    expect(&ask(&node, admin("DELETE", "/v1.0/keys/k")).await, 204);
    make(&node, "later", json!({})).await;
    until_status(&node, 401, || chat("qwen").bearer(&key)).await;
    let done = expect(&ask(&node, admin("POST", &format!("/v1.0/rollback/{revision}"))).await, 200);
    assert_eq!(done["Restored"], 2);
    until_status(&node, 200, || chat("qwen").bearer(&key)).await;
    assert_eq!(get(&node, "/v1.0/keys").await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_backup_takes_keys_along_by_their_hashes() {
    let backend = engine();
    let (node, other) = (demanding(&backend).await, demanding(&backend).await);
    let key = make(&node, "k", json!({ "RequestsPerMinute": 9 })).await;
    let backup = get(&node, "/v1.0/cluster/backup").await;
    assert_eq!(backup["Keys"][0]["Identifier"], "k");
    expect(&ask(&other, admin("POST", "/v1.0/cluster/restore").json(&backup)).await, 200);
    until_status(&other, 200, || chat("qwen").bearer(&key)).await;
    // A document without the list leaves keys alone; one with an empty list has none.
    let mut catalog = get(&other, "/v1.0/catalog").await;
    catalog.as_object_mut().unwrap().remove("Keys");
    expect(&ask(&other, admin("PUT", "/v1.0/catalog").json(&catalog)).await, 200);
    assert_eq!(get(&other, "/v1.0/keys").await.as_array().unwrap().len(), 1);
    catalog["Keys"] = json!([{ "Identifier": "new" }]);
    let refused = expect(&ask(&other, admin("PUT", "/v1.0/catalog").json(&catalog)).await, 400);
    assert!(refused["Message"].as_str().unwrap().contains("Hash must be"), "{refused}");
    catalog["Keys"] = json!([]);
    expect(&ask(&other, admin("PUT", "/v1.0/catalog").json(&catalog)).await, 200);
    until_status(&other, 401, || chat("qwen").bearer(&key)).await;
}
