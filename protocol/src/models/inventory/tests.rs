use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn disk(format: ApiFormat, body: &Value) -> Result<Disk, InventoryError> {
    Disk::read(format, &Bytes::from(body.to_string()))
}

fn entry(bytes: &Bytes) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn tags_are_read_and_kept_as_they_are() {
    let tag = json!({
        "name": "Llama3.2:latest", "model": "Llama3.2:latest", "modified_at": "2026-01-02T05:04:05+02:00",
        "size": 7, "digest": "abc", "details": {"family": "llama"}, "capabilities": ["completion", "tools"],
        "from_the_future": [1.50],
    });
    let disk = disk(ApiFormat::Ollama, &json!({"models": [tag.clone(), {"name": "b"}]})).unwrap();
    let [first, second] = disk.models() else { panic!("two") };
    assert_eq!((&*first.name, &*first.canonical), ("Llama3.2:latest", "llama3.2:latest"));
    assert_eq!((first.digest.as_deref(), first.size), (Some("abc"), 7));
    assert_eq!(first.modified_at.to_string(), "2026-01-02T03:04:05.000000Z");
    assert!(first.capabilities.as_ref().unwrap().has("tools"));
    assert_eq!(entry(&first.tag), tag);
    assert_eq!(
        entry(&first.listed),
        json!({"id": "Llama3.2:latest", "object": "model", "created": 1_767_323_045, "owned_by": "library"})
    );
    assert_eq!((second.size, second.modified_at, &second.digest), (0, Timestamp::EPOCH, &None));
    assert_eq!(disk.find("b:latest").unwrap().name, "b");
    assert_eq!(disk.find("c:latest"), None);
}

#[test]
fn a_list_of_openais_form_is_translated_once() {
    let model = json!({"id": "Qwen/Qwen2.5-3B", "created": 1_767_323_045, "max_model_len": 32768, "x": 1});
    let disk = disk(ApiFormat::OpenAI, &json!({"object": "list", "data": [model.clone()]})).unwrap();
    let [only] = disk.models() else { panic!("one") };
    assert_eq!((&*only.name, &*only.canonical), ("Qwen/Qwen2.5-3B", "qwen/qwen2.5-3b:latest"));
    assert_eq!(only.digest, None, "a made-up digest is no digest");
    assert_eq!(only.modified_at.to_string(), "2026-01-02T03:04:05.000000Z");
    assert_eq!(entry(&only.listed), model);
    assert_eq!(entry(&only.tag)["details"]["context_length"], 32768);
    let now = "2026-01-02T03:04:05Z".parse().unwrap();
    let memory = Memory::of_list(&Bytes::from(json!({"data": [model]}).to_string()), now).unwrap();
    assert_eq!(memory.find("qwen/qwen2.5-3b:latest").unwrap().context_length, 32768);
    assert_eq!(memory.models()[0].digest, None);
}

#[test]
fn models_in_memory_are_read() {
    let process = json!({
        "name": "a:7b", "model": "a:7b", "size": 10, "digest": "d", "details": {}, "size_vram": 9,
        "expires_at": "2318-01-02T05:04:05.123456789+02:00", "context_length": 4096,
    });
    let memory = Memory::read(&Bytes::from(json!({"models": [process.clone(), 7]}).to_string())).unwrap();
    let [model] = memory.models() else { panic!("one") };
    assert_eq!((model.size, model.size_vram, model.context_length), (10, 9, 4096));
    assert!(model.expires_at.unwrap().to_string().starts_with("2318-01-02T03"));
    assert_eq!(entry(&model.process), process);
}

#[test]
fn what_has_expired_since_the_list_was_read_is_gone() {
    let process = |name: &str, minute: u32| json!({"name": name, "expires_at": format!("2026-01-01T00:{minute:02}:00Z")});
    let models = json!([process("in use", 1), process("gone", 5), process("there", 9), {"name": "for ever"}]);
    let memory = Memory::read(&Bytes::from(json!({ "models": models }).to_string())).unwrap();
    let at = |minute: u32| format!("2026-01-01T00:{minute:02}:00Z").parse().unwrap();
    let gone: Vec<_> = memory.gone(at(2), at(5)).collect();
    assert_eq!(gone, [1]);
    let left = memory.without(&gone);
    assert_eq!(
        left.models().iter().map(|model| &*model.name).collect::<Vec<_>>(),
        ["in use", "there", "for ever"]
    );
    assert_eq!(memory.gone(at(2), at(4)).count(), 0);
    assert_eq!(memory.gone(at(6), at(8)).count(), 0);
}

#[test]
fn null_lists_are_empty_and_no_list_is_an_error() {
    assert_eq!(disk(ApiFormat::Ollama, &json!({"models": null})), Ok(Disk::default()));
    assert_eq!(disk(ApiFormat::OpenAI, &json!({"data": null})), Ok(Disk::default()));
    for body in [json!({}), json!([]), json!({"error": "x"}), json!({"models": 7}), json!({"data": []})] {
        assert!(matches!(disk(ApiFormat::Ollama, &body), Err(InventoryError::Unreadable(_))), "{body}");
        assert!(Memory::read(&Bytes::from(body.to_string())).is_err(), "{body}");
    }
    assert!(matches!(disk(ApiFormat::OpenAI, &json!({"models": []})), Err(InventoryError::Unreadable(_))));
}

#[test]
fn what_cannot_be_read_is_passed_over_and_counted() {
    let long = "x".repeat(MAX_NAME + 1);
    let big = json!({"name": "big", "template": "x".repeat(MAX_ENTRY)});
    let models = json!([{"name": ""}, {"name": 7}, "text", {"name": long}, big, {"name": "ok", "size": "7"}]);
    let disk = disk(ApiFormat::Ollama, &json!({ "models": models })).unwrap();
    assert_eq!(disk.models().len(), 1);
    assert_eq!((&*disk.models()[0].name, disk.models()[0].size, disk.left_out()), ("ok", 0, 6));
}

#[test]
fn a_list_without_end_is_refused() {
    let models: Vec<_> = (0..=MAX_MODELS).map(|_| json!({})).collect();
    let refused = disk(ApiFormat::Ollama, &json!({ "models": models }));
    assert_eq!(refused, Err(InventoryError::TooMany(MAX_MODELS + 1)));
}

#[test]
fn capabilities_are_asked_for_once_for_each_digest() {
    let models = json!([
        {"name": "a", "digest": "1"}, {"name": "b", "digest": "2"}, {"name": "c"},
        {"name": "d", "digest": "3", "capabilities": ["embedding"]},
    ]);
    let disk = disk(ApiFormat::Ollama, &json!({ "models": models })).unwrap();
    let mut cache = CapabilityCache::default();
    let missing =
        |cache: &CapabilityCache| cache.missing(&disk).map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
    assert_eq!(missing(&cache), ["a", "b"]);
    let shown = Capabilities::of_show(br#"{"capabilities":["vision",""],"x":1}"#).unwrap();
    cache.insert("1", shown);
    cache.insert("2", Capabilities::of_show(b"{}").unwrap());
    assert_eq!(missing(&cache), Vec::<String>::new(), "a release that does not tell is asked once");
    assert!(cache.get("1").unwrap().has("vision"));
    assert_eq!(cache.get("1").unwrap().names(), ["vision"]);
    cache.retain([&disk]);
    assert!(cache.get("1").is_some());
    cache.retain([]);
    assert!(cache.get("1").is_none());
    assert!(Capabilities::of_show(b"<html>").is_err());
}

proptest! {
    #[test]
    fn every_model_is_found_by_its_name(names in proptest::collection::vec("[a-zA-Z/:.]{1,8}", 0..12)) {
        let models: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
        let disk = disk(ApiFormat::Ollama, &json!({ "models": models })).unwrap();
        for name in &names {
            let canonical = canonical(name);
            prop_assert_eq!(&disk.find(&canonical).unwrap().canonical, &canonical);
        }
    }

    #[test]
    fn no_bytes_make_reading_panic(body in proptest::collection::vec(any::<u8>(), 0..60)) {
        let body = Bytes::from(body);
        let _ = (Disk::read(ApiFormat::Ollama, &body), Memory::read(&body), Capabilities::of_show(&body));
    }
}
