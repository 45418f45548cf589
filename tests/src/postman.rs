//! A Postman collection (v2.1) out of an `OpenAPI` document: a folder for each heading, a request for each operation.
//!
//! Requests of admins carry the variable `adminToken`; those of clients have `clientKey` in a header that is switched
//! off, since most frontends ask for none.

use serde_json::{Map, Value, json};

const SCHEMA: &str = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json";

/// Makes the collection.
pub fn collection(document: &Value) -> Value {
    let info = &document["info"];
    let folders = document["tags"].as_array().into_iter().flatten().map(|tag| folder(document, tag));
    let variable = |key: &str, value: &str| json!({ "key": key, "value": value, "type": "string" });
    json!({
        "info": {
            "name": info["title"],
            "description": info["description"],
            "version": info["version"],
            "schema": SCHEMA,
        },
        "variable": [
            variable("baseUrl", "http://localhost:43411"),
            variable("adminToken", ""),
            variable("clientKey", ""),
        ],
        "item": folders.collect::<Vec<_>>(),
    })
}

fn folder(document: &Value, tag: &Value) -> Value {
    let mut items = Vec::new();
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            if operation["tags"][0] == tag["name"] {
                items.push(item(path, method, operation));
            }
        }
    }
    json!({ "name": tag["name"], "description": tag["description"], "item": items })
}

fn item(path: &str, method: &str, operation: &Value) -> Value {
    let (mut headers, mut query, mut variables) = (Vec::new(), Vec::new(), Vec::new());
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let schema = &parameter["schema"];
        let example = [&parameter["example"], &schema["examples"][0], &schema["default"]];
        let value = example.into_iter().find(|value| !value.is_null()).map_or_else(String::new, text);
        let mut entry = Map::new();
        entry.insert("key".to_owned(), parameter["name"].clone());
        entry.insert("value".to_owned(), value.into());
        entry.insert("description".to_owned(), parameter["description"].clone());
        match parameter["in"].as_str() {
            Some("path") => variables.push(entry),
            // Switched off: they may be left out, and have to be thought about.
            Some(place) => {
                entry.insert("disabled".to_owned(), true.into());
                if place == "query" { query.push(entry) } else { headers.push(entry) }
            }
            None => {}
        }
    }
    let mut request = json!({ "method": method.to_uppercase(), "description": operation["description"] });
    match security(operation) {
        Security::Admin => {
            request["auth"] = json!({
                "type": "bearer",
                "bearer": [{ "key": "token", "value": "{{adminToken}}", "type": "string" }],
            });
        }
        Security::Client => {
            request["auth"] = json!({ "type": "noauth" });
            let key = json!({
                "key": "Authorization",
                "value": "Bearer {{clientKey}}",
                "description": "Where the frontend asks for a key",
                "disabled": true,
            });
            headers.extend(key.as_object().cloned());
        }
        Security::None => request["auth"] = json!({ "type": "noauth" }),
    }
    if let Some(body) = body(operation) {
        request["body"] = body;
    }
    let segments: Vec<String> =
        path.split('/').skip(1).map(|segment| segment.replace('{', ":").replace('}', "")).collect();
    let raw = format!("{{{{baseUrl}}}}/{}", segments.join("/"));
    request["header"] = json!(headers);
    request["url"] = json!({ "raw": raw, "host": ["{{baseUrl}}"], "path": segments, "query": query, "variable": variables });
    json!({ "name": operation["summary"], "request": request, "response": [] })
}

enum Security {
    Admin,
    Client,
    None,
}

fn security(operation: &Value) -> Security {
    let schemes = operation["security"].as_array().into_iter().flatten().filter_map(Value::as_object);
    let mut names = schemes.flat_map(Map::keys);
    match names.next().map(String::as_str) {
        Some("adminToken") => Security::Admin,
        Some(_) => Security::Client,
        None => Security::None,
    }
}

fn body(operation: &Value) -> Option<Value> {
    let contents = operation["requestBody"]["content"].as_object()?;
    let (content_type, content) = contents.iter().next()?;
    Some(match content_type.as_str() {
        "application/json" => {
            let raw = serde_json::to_string_pretty(&content["example"]).unwrap_or_default();
            json!({ "mode": "raw", "raw": raw, "options": { "raw": { "language": "json" } } })
        }
        "multipart/form-data" => {
            let fields = content["schema"]["properties"].as_object()?;
            let field = |(name, schema): (&String, &Value)| {
                let kind = if schema["format"] == "binary" { "file" } else { "text" };
                json!({ "key": name, "type": kind })
            };
            json!({ "mode": "formdata", "formdata": fields.iter().map(field).collect::<Vec<_>>() })
        }
        _ => json!({ "mode": "file" }),
    })
}

/// A value as it stands in a URL or a header.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
