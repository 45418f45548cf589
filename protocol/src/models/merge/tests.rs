use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::object::ApiFormat;

#[derive(Debug)]
struct Known {
    backend: BackendId,
    disk: Option<Disk>,
    memory: Option<Memory>,
}

fn ollama(id: &str, models: &Value) -> Known {
    let body = Bytes::from(json!({ "models": models }).to_string());
    Known {
        backend: id.parse().unwrap(),
        disk: Some(Disk::read(ApiFormat::Ollama, &body).unwrap()),
        memory: Some(Memory::read(&body).unwrap()),
    }
}

fn openai(id: &str, data: &Value) -> Known {
    let body = Bytes::from(json!({ "data": data }).to_string());
    let disk = Disk::read(ApiFormat::OpenAI, &body).unwrap();
    let memory = Memory::of_list(&body, Timestamp::EPOCH).unwrap();
    Known { backend: id.parse().unwrap(), disk: Some(disk), memory: Some(memory) }
}

fn sources(known: &[Known]) -> Vec<Source<'_>> {
    known
        .iter()
        .map(|known| Source {
            backend: &known.backend,
            disk: known.disk.as_ref(),
            memory: known.memory.as_ref(),
        })
        .collect()
}

fn aliases(value: &Value) -> ModelAliases {
    serde_json::from_value(value.clone()).unwrap()
}

fn names(merged: &Merged) -> Vec<String> {
    let body: Value = serde_json::from_slice(&merged.body).unwrap();
    let (list, key) =
        if body["models"].is_array() { (&body["models"], "name") } else { (&body["data"], "id") };
    list.as_array().unwrap().iter().map(|model| model[key].as_str().unwrap().to_owned()).collect()
}

fn tag(name: &str, day: u32, digest: &str) -> Value {
    json!({"name": name, "model": name, "modified_at": format!("2026-01-{day:02}T00:00:00Z"), "digest": digest})
}

#[test]
fn models_are_listed_once_and_the_newest_entry_first() {
    let known = [
        ollama("b1", &json!([tag("a:latest", 1, "x"), tag("b:7b", 5, "y")])),
        ollama("b2", &json!([tag("A", 3, "x"), tag("c:1b", 4, "z")])),
    ];
    let merged = tags(&sources(&known), &ModelAliases::default(), None);
    assert_eq!(names(&merged), ["b:7b", "c:1b", "A"]);
    assert_eq!(merged.conflicts, []);
    let listed = models(&sources(&known), &ModelAliases::default(), None);
    assert_eq!(names(&listed), ["b:7b", "c:1b", "A"]);
    assert!(listed.body.starts_with(br#"{"object":"list","data":[{"id":"b:7b","object":"model","created":"#));
    assert_ne!(merged.etag, listed.etag);
    assert!(merged.etag.starts_with('"') && merged.etag.len() == 34);
}

#[test]
fn no_backend_known_is_an_empty_list() {
    let unknown = Known { backend: "b".parse().unwrap(), disk: None, memory: None };
    let known = [unknown];
    let none = ModelAliases::default();
    assert_eq!(tags(&sources(&known), &none, None).body, br#"{"models":[]}"#);
    assert_eq!(ps(&[], &none, None).body, br#"{"models":[]}"#);
    assert_eq!(models(&[], &none, None).body, br#"{"object":"list","data":[]}"#);
    assert_eq!(model(&sources(&known), &none, "m"), None);
}

#[test]
fn different_digests_of_one_name_are_reported() {
    let known = [
        ollama("b2", &json!([tag("a", 1, "old")])),
        ollama("b1", &json!([tag("a:latest", 2, "new")])),
        openai("vllm", &json!([{"id": "a"}])),
    ];
    let merged = tags(&sources(&known), &ModelAliases::default(), None);
    let digests = vec![("new".to_owned(), "b1".parse().unwrap()), ("old".to_owned(), "b2".parse().unwrap())];
    assert_eq!(merged.conflicts, [Conflict { model: "a:latest".to_owned(), digests }]);
    assert_eq!(names(&merged), ["a:latest"]);
}

#[test]
fn backends_of_both_apis_are_in_both_lists_and_ollamas_entry_wins() {
    let known = [
        openai(
            "vllm",
            &json!([{"id": "Qwen/Q", "created": 1_900_000_000}, {"id": "b:7b", "created": 1_900_000_000}]),
        ),
        ollama("b1", &json!([tag("b:7b", 5, "y")])),
    ];
    let merged = tags(&sources(&known), &ModelAliases::default(), None);
    assert_eq!(names(&merged), ["Qwen/Q", "b:7b"]);
    assert!(String::from_utf8_lossy(&merged.body).contains(r#""digest":"y""#));
    assert_eq!(names(&models(&sources(&known), &ModelAliases::default(), None)), ["Qwen/Q", "b:7b"]);
    assert_eq!(names(&ps(&sources(&known), &ModelAliases::default(), None)).len(), 2);
}

#[test]
fn aliases_stand_beside_their_targets_and_hide_what_they_are_named_after() {
    let known = [
        ollama("b1", &json!([tag("llama3:70b", 2, "x"), tag("small", 1, "s"), tag("big", 1, "b")])),
        openai("vllm", &json!([{"id": "Qwen/Q"}])),
    ];
    let aliases = aliases(&json!({
        "gpt-4o": "llama3:70b", "small": {"vllm": "qwen/q"}, "big": "llama3:70b", "gone": "nothing",
    }));
    let merged = tags(&sources(&known), &aliases, None);
    let mut listed = names(&merged);
    listed.sort();
    assert_eq!(listed, ["Qwen/Q", "big", "gpt-4o", "llama3:70b", "small"]);
    let body: Value = serde_json::from_slice(&merged.body).unwrap();
    let digest = |name: &str| {
        let models = body["models"].as_array().unwrap();
        models.iter().find(|model| model["model"] == name).unwrap()["digest"].clone()
    };
    assert_eq!((digest("gpt-4o"), digest("big")), (json!("x"), json!("x")));
    assert_ne!(digest("small"), json!("s"), "b1 cannot be asked for its model of that name");
    assert_eq!(merged.conflicts, []);
    let found = model(&sources(&known), &aliases, "GPT-4o").unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&found.body).unwrap()["id"], "GPT-4o");
    assert_eq!(model(&sources(&known), &aliases, "gone"), None);
    assert_eq!(
        serde_json::from_slice::<Value>(&model(&sources(&known), &aliases, "QWEN/Q").unwrap().body).unwrap(),
        json!({"id": "QWEN/Q"})
    );
}

#[test]
fn what_is_in_memory_longest_comes_first() {
    let process = |name: &str, day: u32| json!({"name": name, "model": name, "digest": "d", "expires_at": format!("2026-01-{day:02}T00:00:00Z")});
    let known =
        [ollama("b1", &json!([process("a", 1), process("b", 3)])), ollama("b2", &json!([process("a", 2)]))];
    let merged = ps(&sources(&known), &aliases(&json!({"z": "a"})), None);
    assert_eq!(names(&merged), ["b", "a", "z"]);
    assert!(!String::from_utf8_lossy(&merged.body).contains("01-01"));
}

fn any_known() -> impl Strategy<Value = Vec<Known>> {
    let model =
        ("[a-cA-C]{1,2}(:[12])?", 1u32..5, "[xyz]").prop_map(|(name, day, digest)| tag(&name, day, &digest));
    let list = proptest::collection::vec(model, 0..6);
    let backend = (list, any::<bool>()).prop_map(|(models, is_openai)| {
        if !is_openai {
            return ollama("b", &models.into());
        }
        let data: Vec<_> = models.iter().map(|model| json!({"id": model["name"], "created": 7})).collect();
        openai("b", &data.into())
    });
    proptest::collection::vec(backend, 0..5).prop_map(|mut backends| {
        for (at, known) in backends.iter_mut().enumerate() {
            known.backend = format!("b{at}").parse().unwrap();
        }
        backends
    })
}

fn any_aliases() -> impl Strategy<Value = ModelAliases> {
    let name = "[a-c]{1,2}(:[12])?";
    let target = prop_oneof![
        name.prop_map(|name| json!(name)),
        ("(b[0-4]|\\*)", name).prop_map(|(backend, name)| json!({ backend: name })),
    ];
    proptest::collection::btree_map("[a-d]{1,2}", target, 0..4)
        .prop_map(|map| serde_json::from_value(json!(map)).unwrap())
}

proptest! {
    #[test]
    fn each_model_that_can_be_reached_is_listed_once(known in any_known(), aliases in any_aliases()) {
        let sources = sources(&known);
        let reachable = |source: &Source<'_>, name: &str| {
            let renaming = aliases.renaming(Some(name), None);
            let target = renaming.as_ref().map_or(Some(name), |renaming| renaming.target(source.backend));
            target.is_some_and(|target| source.disk.unwrap().find(&canonical(target)).is_some())
        };
        let listed = names(&tags(&sources, &aliases, None));
        prop_assert_eq!(&listed, &names(&models(&sources, &aliases, None)));
        for name in &listed {
            prop_assert!(sources.iter().any(|source| reachable(source, name)), "{}", name);
            prop_assert!(model(&sources, &aliases, name).is_some());
        }
        let unique: std::collections::BTreeSet<_> = listed.iter().map(|name| canonical(name)).collect();
        prop_assert_eq!(unique.len(), listed.len());
        let all = known.iter().flat_map(|known| known.disk.as_ref().unwrap().models()).map(|model| &*model.name);
        for name in all.chain(aliases.iter().map(|(_, alias)| &*alias.name)) {
            let is_reachable = sources.iter().any(|source| reachable(source, name));
            prop_assert_eq!(unique.contains(&canonical(name)), is_reachable, "{}", name);
            prop_assert_eq!(model(&sources, &aliases, name).is_some(), is_reachable, "{}", name);
        }
    }

    #[test]
    fn the_order_of_backends_changes_nothing(known in any_known(), aliases in any_aliases()) {
        let forth = sources(&known);
        let back: Vec<_> = forth.iter().rev().copied().collect();
        prop_assert_eq!(tags(&forth, &aliases, None), tags(&back, &aliases, None));
        prop_assert_eq!(models(&forth, &aliases, None), models(&back, &aliases, None));
        prop_assert_eq!(ps(&forth, &aliases, None), ps(&back, &aliases, None));
    }
}

#[test]
fn an_entry_that_clients_cannot_read_is_in_no_list_by_no_name() {
    let good = tag("good:latest", 1, "x");
    let with = |name: &str, key: &str, value: Value| {
        let mut entry = tag(name, 2, "y");
        entry[key] = value;
        entry
    };
    let bad = json!([
        good,
        with("size", "size", json!(1e300)),
        with("negative", "size", json!(-1)),
        with("text", "size", json!("7 GB")),
        with("digest", "digest", json!(5)),
        with("date", "modified_at", json!("nope")),
        with("day", "modified_at", json!("2026-01-01")),
        with("details", "details", json!("x")),
        with("family", "details", json!({ "family": 7 })),
        with("families", "details", json!({ "families": "x" })),
        with("capabilities", "capabilities", json!("completion")),
        with("context", "context_length", json!([])),
        with("expires", "expires_at", json!(5)),
        with("vram", "size_vram", json!(0.5)),
        with("nul", "name", json!("bad\0\n")),
    ]);
    let odd = json!([{ "id": 5 }, { "id": "created", "created": "x" }, { "id": "owner", "owned_by": {} }, { "id": "a\nb" }]);
    let known = [ollama("b1", &bad), openai("b2", &odd)];
    let other = aliases(&json!({ "alias": "digest", "fine": "good" }));
    for list in [tags, models, ps] {
        let merged = list(&sources(&known), &other, None);
        assert_eq!(names(&merged), ["fine", "good:latest"], "{}", String::from_utf8_lossy(&merged.body));
    }
    assert_eq!(model(&sources(&known), &other, "digest"), None);
    assert_eq!(model(&sources(&known), &other, "alias"), None);
    let disk = known[0].disk.as_ref().unwrap();
    assert_eq!(
        (disk.left_out(), disk.find("digest:latest").is_some()),
        (14, true),
        "it is there all the same"
    );
    let null =
        json!([{ "name": "n", "model": null, "size": null, "digest": null, "details": null, "x": [1e300] }]);
    assert_eq!(names(&tags(&sources(&[ollama("b1", &null)]), &aliases(&json!({})), None)), ["n"]);
}

#[test]
fn only_what_is_visible_is_listed() {
    let known = [ollama("b1", &json!([tag("a", 1, "x"), tag("b", 2, "y"), tag("c", 3, "z")]))];
    let aliases = aliases(&json!({"x": "a", "y": "b"}));
    let is_visible = |name: &str| name == "x" || name == "c";
    let listed = names(&tags(&sources(&known), &aliases, Some(&is_visible)));
    assert_eq!(listed, ["c", "x"]);
    assert!(names(&models(&sources(&known), &aliases, Some(&|_| false))).is_empty());
}
