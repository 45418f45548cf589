use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::time::Timestamp;

const OCCASION: Occasion = Occasion { now: Timestamp::EPOCH, nonce: 3 };

/// The calls that come of deltas, each with its fragments; without their indices.
fn put_together(deltas: &[Value]) -> Result<Vec<ToolCall>, Broken> {
    let calls = with_indices(deltas)?;
    Ok(calls.into_iter().map(|call| ToolCall { index: None, ..call }).collect())
}

fn with_indices(deltas: &[Value]) -> Result<Vec<ToolCall>, Broken> {
    let mut calls = Calls::default();
    for delta in deltas {
        calls.take(serde_json::from_value(delta.clone()).unwrap())?;
    }
    calls.finish(OCCASION)
}

fn call(id: &str, name: &str, arguments: Value) -> ToolCall {
    let Value::Object(arguments) = arguments else { panic!("no object") };
    ToolCall { id: Some(id.to_owned()), name: name.to_owned(), arguments, index: None }
}

#[test]
fn fragments_are_joined_by_index_and_given_in_its_order() {
    let deltas = [
        json!([{"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": ""}}]),
        json!([{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\""}}]),
        json!([{"index": 1, "function": {"arguments": "{\"y\":"}}, {"index": 0, "function": {"arguments": ":1}"}}]),
        json!([{"index": 1, "function": {"arguments": "2.0}"}}]),
    ];
    assert_eq!(
        put_together(&deltas),
        Ok(vec![call("a", "f", json!({"x": 1})), call("b", "g", json!({"y": 2.0}))])
    );
}

#[test]
fn calls_without_ids_get_them_in_their_order() {
    let deltas = [json!([
        {"index": 5, "function": {"name": "g", "arguments": "{}"}},
        {"index": 2, "id": "", "function": {"name": "f", "arguments": "{}"}},
    ])];
    let expected = [call(&OCCASION.call(0), "f", json!({})), call(&OCCASION.call(1), "g", json!({}))];
    assert_eq!(put_together(&deltas), Ok(expected.to_vec()));
    let indices: Vec<_> = with_indices(&deltas).unwrap().into_iter().map(|call| call.index).collect();
    assert_eq!(indices, [Some(2), Some(5)]);
}

#[test]
fn no_arguments_are_none() {
    for function in [
        json!({"name": "f"}),
        json!({"name": "f", "arguments": null}),
        json!({"name": "f", "arguments": ""}),
        json!({"name": "f", "arguments": " \n"}),
        json!({"name": "f", "arguments": "null"}),
        json!({"name": "f", "arguments": {}}),
    ] {
        let deltas = [json!([{"index": 0, "id": "a", "function": function}])];
        assert_eq!(put_together(&deltas), Ok(vec![call("a", "f", json!({}))]), "{deltas:?}");
    }
}

#[test]
fn arguments_that_are_an_object_already_are_taken() {
    let deltas = [json!([{"id": "a", "function": {"name": "f", "arguments": {"b": [1.5], "a": null}}}])];
    assert_eq!(put_together(&deltas), Ok(vec![call("a", "f", json!({"b": [1.5], "a": null}))]));
}

#[test]
fn arguments_that_are_no_object_name_their_tool() {
    for arguments in ["{", "[]", "7", "\"{}\"", "{}{}", &"[".repeat(100_000)] {
        let deltas = [json!([{"index": 0, "function": {"name": "get_weather", "arguments": arguments}}])];
        let Err(Broken::Unreadable(why)) = put_together(&deltas) else { panic!("{arguments} was read") };
        assert!(why.contains("\"get_weather\""), "{why}");
    }
}

#[test]
fn a_call_without_a_name_cannot_be_read_and_an_empty_one_is_none() {
    let nameless = [json!([{"index": 0, "id": "a", "function": {"arguments": "{}"}}])];
    assert!(matches!(put_together(&nameless), Err(Broken::Unreadable(_))));
    let empty = [json!([{"index": 0, "id": "a", "function": {"arguments": ""}}, {"index": 1}])];
    assert_eq!(put_together(&empty), Ok(Vec::new()));
}

#[test]
fn names_and_ids_that_are_repeated_are_not_doubled() {
    let fragment = |id: &str, name: &str, arguments: &str| json!([{"index": 0, "id": id, "function": {"name": name, "arguments": arguments}}]);
    let repeated = [fragment("a", "f", ""), fragment("a", "f", "{"), fragment("a", "f", "}")];
    assert_eq!(put_together(&repeated), Ok(vec![call("a", "f", json!({}))]));
    let in_parts = [fragment("a", "get_", ""), fragment("", "weather", ""), fragment("", "", "{}")];
    assert_eq!(put_together(&in_parts), Ok(vec![call("a", "get_weather", json!({}))]));
    let always_a_new_id = [fragment("a", "f", ""), fragment("b", "", "{"), fragment("c", "", "}")];
    assert_eq!(put_together(&always_a_new_id), Ok(vec![call("a", "f", json!({}))]));
}

#[test]
fn calls_of_one_index_or_of_none_are_told_by_id_and_name() {
    let whole = |id: &str, name: &str, number: i32| json!({"index": 0, "id": id, "function": {"name": name, "arguments": format!("{{\"n\":{number}}}")}});
    let expected = vec![call("a", "f", json!({"n": 1})), call("b", "f", json!({"n": 2}))];
    assert_eq!(
        put_together(&[json!([whole("a", "f", 1)]), json!([whole("b", "f", 2)])]),
        Ok(expected.clone())
    );
    assert_eq!(put_together(&[json!([whole("a", "f", 1), whole("b", "f", 2)])]), Ok(expected.clone()));
    let without_index = |mut fragment: Value| {
        fragment.as_object_mut().unwrap().remove("index");
        fragment
    };
    let [first, second] = [whole("a", "f", 1), whole("b", "f", 2)].map(without_index);
    assert_eq!(put_together(&[json!([first, second])]), Ok(expected));
    let [first, second] = [whole("", "f", 1), whole("", "g", 2)].map(without_index);
    let names = |deltas: &[Value]| -> Vec<String> {
        put_together(deltas).unwrap().into_iter().map(|call| call.name).collect()
    };
    assert_eq!(names(&[json!([first]), json!([second])]), ["f", "g"]);
    assert_eq!(names(&[json!([first, first])]), ["f", "f"]);
}

#[test]
fn fragments_without_an_index_belong_to_the_last_call() {
    let deltas = [
        json!([{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]),
        json!([{"index": 1, "id": "b", "function": {"name": "g"}}]),
        json!([{"function": {"arguments": "{\"x\":"}}]),
        json!([{"function": {"arguments": "1}"}}]),
    ];
    assert_eq!(put_together(&deltas), Ok(vec![call("a", "f", json!({})), call("b", "g", json!({"x": 1}))]));
}

#[test]
fn a_function_call_of_the_old_form_is_one_call() {
    let mut calls = Calls::default();
    for function in [json!({"name": "f", "arguments": ""}), json!({"arguments": "{\"x\":1}"})] {
        let function: Function = serde_json::from_value(function).unwrap();
        calls.take(vec![function.into()]).unwrap();
    }
    assert_eq!(
        calls.finish(OCCASION),
        Ok(vec![ToolCall { index: Some(0), ..call(&OCCASION.call(0), "f", json!({"x": 1})) }])
    );
}

#[test]
fn calls_are_bounded_in_number_and_length() {
    let many = |count: usize| -> Vec<Value> {
        (0..count).map(|index| json!([{"index": index, "function": {"name": "f"}}])).collect()
    };
    assert_eq!(put_together(&many(MAX_CALLS)).map(|calls| calls.len()), Ok(MAX_CALLS));
    assert_eq!(put_together(&many(MAX_CALLS + 1)), Err(Broken::TooLong));
    let half = json!([{"index": 0, "function": {"name": "f", "arguments": " ".repeat(MAX_BYTES / 2)}}]);
    assert_eq!(put_together(&[half.clone(), half]), Err(Broken::TooLong));
}

proptest! {
    #[test]
    fn any_fragmentation_of_interleaved_calls_gives_the_same_calls(
        texts in proptest::collection::vec("\\PC{0,12}", 1..4),
        order in proptest::collection::vec((any::<prop::sample::Index>(), 1usize..4), 0..60),
    ) {
        let arguments: Vec<Value> = texts.iter().map(|text| json!({"text": text, "n": [1.5, null]})).collect();
        let mut rest: Vec<Vec<char>> =
            arguments.iter().map(|arguments| arguments.to_string().chars().collect()).collect();
        let mut deltas: Vec<Value> = (0..rest.len())
            .map(|index| json!([{"index": index, "id": format!("id{index}"), "function": {"name": format!("f{index}")}}]))
            .collect();
        let all = (0..rest.len()).map(|index| (index, usize::MAX));
        let order = order.into_iter().map(|(index, len)| (index.index(rest.len()), len)).collect::<Vec<_>>();
        for (index, len) in order.into_iter().chain(all) {
            let len = len.min(rest[index].len());
            let part: String = rest[index].drain(..len).collect();
            deltas.push(json!([{"index": index, "function": {"arguments": part}}]));
        }
        let expected: Vec<ToolCall> = arguments
            .into_iter()
            .enumerate()
            .map(|(index, arguments)| call(&format!("id{index}"), &format!("f{index}"), arguments))
            .collect();
        prop_assert_eq!(put_together(&deltas), Ok(expected));
    }
}
