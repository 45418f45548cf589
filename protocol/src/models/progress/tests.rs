use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const PULLED: &str = concat!(
    "{\"status\":\"pulling manifest\"}\n",
    "{\"status\":\"pulling aaaa\",\"digest\":\"sha256:aaaa\",\"total\":100}\n",
    "{\"status\":\"pulling aaaa\",\"digest\":\"sha256:aaaa\",\"total\":100,\"completed\":40}\n",
    "{\"status\":\"pulling aaaa\",\"digest\":\"sha256:aaaa\",\"total\":100,\"completed\":100}\n",
    "{\"status\":\"verifying sha256 digest\"}\n",
    "{\"status\":\"writing manifest\"}\n",
    "{\"status\":\"success\"}\n",
);

fn progress(backends: usize) -> Progress {
    Progress::new((0..backends).map(|at| (format!("b{at}").parse().unwrap(), true)))
}

fn lines(out: &[u8]) -> Vec<Value> {
    out.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

fn joined(lines: impl IntoIterator<Item = Value>) -> String {
    lines.into_iter().flat_map(|line| [line.to_string(), "\n".to_owned()]).collect()
}

fn layer(total: u64, completed: u64) -> Value {
    json!({"status": "pulling aaaa", "digest": "sha256:aaaa", "total": total, "completed": completed})
}

fn status(status: &str) -> Value {
    json!({ "status": status })
}

#[test]
fn the_stream_of_one_backend_stays_as_it_is() {
    let (mut progress, mut out) = (progress(1), Vec::new());
    progress.push(0, PULLED.as_bytes(), &mut out);
    assert!(progress.is_over());
    progress.finish(&mut out);
    assert_eq!(String::from_utf8(out).unwrap(), PULLED);
}

#[test]
fn bars_have_their_final_length_from_their_first_line_on() {
    let (mut progress, mut out) = (progress(2), Vec::new());
    progress.push(0, PULLED.as_bytes(), &mut out);
    assert_eq!(
        lines(&out),
        [
            status("pulling manifest"),
            json!({"status": "pulling aaaa", "digest": "sha256:aaaa", "total": 200}),
            layer(200, 40),
            layer(200, 100),
        ]
    );
    assert_eq!((progress.percent(0), progress.percent(1)), (Some(100), None));
    out.clear();
    let second = PULLED
        .replace("100,\"completed\":100", "100,\"completed\":30")
        .replace("completed\":40", "completed\":50");
    progress.push(1, second.as_bytes(), &mut out);
    progress.finish(&mut out);
    assert_eq!(
        lines(&out),
        [
            layer(200, 150),
            status("verifying sha256 digest"),
            status("writing manifest"),
            layer(200, 200),
            status("success"),
        ],
        "a count that falls back is not shown, and success is everything"
    );
}

#[test]
fn a_backend_that_fails_is_told_at_once_and_named_at_the_end() {
    let (mut progress, mut out) = (progress(3), Vec::new());
    progress.push(0, PULLED.as_bytes(), &mut out);
    out.clear();
    progress.push(1, b"{\"status\":\"pulling manifest\"}\n{\"error\":\"no \\\"space\\\"\"}\n", &mut out);
    assert_eq!(lines(&out), [status("backend b1 failed: no \"space\"")]);
    out.clear();
    progress.fail(2, 502, "connection refused", &mut out);
    progress.finish(&mut out);
    progress.finish(&mut out);
    assert_eq!(
        lines(&out),
        [
            status("backend b2 failed: connection refused"),
            status("verifying sha256 digest"),
            status("writing manifest"),
            json!({"error": "backend b1: no \"space\"; backend b2: connection refused"}),
        ]
    );
    assert_eq!(progress.outcome().status, 500);
    assert_eq!(progress.failure(2).map(|failed| failed.status), Some(502));
}

#[test]
fn what_need_not_succeed_may_fail() {
    let backends = [("b0".parse().unwrap(), true), ("b1".parse().unwrap(), false)];
    let (mut progress, mut out) = (Progress::new(backends), Vec::new());
    progress.fail(1, 503, "busy", &mut out);
    progress.push(0, b"{\"status\":\"success\"}", &mut out);
    assert!(!progress.is_over(), "the line may go on");
    progress.end(0, &mut out);
    progress.finish(&mut out);
    assert_eq!(lines(&out), [status("backend b1 failed: busy"), status("success")]);
    assert_eq!(progress.outcome(), Outcome { status: 200, body: br#"{"status":"success"}"#.to_vec() });
}

#[test]
fn an_end_without_success_is_a_failure() {
    for stream in ["", "{\"status\":\"pulling manifest\"}\n", "{\"status\":\"succ", "<html>\n"] {
        let (mut progress, mut out) = (progress(1), Vec::new());
        progress.push(0, stream.as_bytes(), &mut out);
        progress.end(0, &mut out);
        progress.finish(&mut out);
        assert!(lines(&out).last().unwrap()["error"].is_string(), "{stream}");
    }
    let (mut none, mut out) = (progress(0), Vec::new());
    none.finish(&mut out);
    assert_eq!(lines(&out), [json!({"error": "there is no backend to do it"})]);
    assert_eq!(none.outcome().status, 503);
}

#[test]
fn without_a_stream_the_status_is_what_backends_have_in_common() {
    for (first, second, expected) in [(400, 400, 400), (404, 503, 500), (401, 401, 502), (302, 302, 502)] {
        let (mut progress, mut out) = (progress(2), Vec::new());
        assert!(!progress.has_begun());
        progress.fail(0, first, "x", &mut out);
        progress.fail(1, second, "y", &mut out);
        assert_eq!(progress.outcome().status, expected);
        assert_eq!(progress.outcome().body, br#"{"error":"backend b0: x; backend b1: y"}"#);
    }
}

#[test]
fn a_lone_backend_is_not_named() {
    let (mut progress, mut out) = (progress(1), Vec::new());
    progress.push(0, b"{\"status\":\"pulling manifest\"}\n{\"error\":\"its own words\"}\n", &mut out);
    progress.finish(&mut out);
    assert_eq!(lines(&out), [status("pulling manifest"), json!({"error": "its own words"})]);
}

#[test]
fn statuses_of_slower_backends_come_where_they_belong() {
    let (mut progress, mut out) = (progress(2), Vec::new());
    let said = |statuses: &[&str]| joined(statuses.iter().map(|text| status(text)));
    progress.push(0, said(&["m", "w", "success"]).as_bytes(), &mut out);
    progress.push(1, said(&["m", "v", "w", "r", "success"]).as_bytes(), &mut out);
    progress.finish(&mut out);
    assert_eq!(lines(&out), ["m", "v", "w", "r", "success"].map(status));
}

#[test]
fn memory_is_bounded() {
    let (mut progress, mut out) = (progress(1), Vec::new());
    for number in 0..5000 {
        let line = json!({"status": format!("s{number}")});
        let layer = json!({"status": "p", "digest": number.to_string(), "total": 1});
        progress.push(0, format!("{line}\n{layer}\n").as_bytes(), &mut out);
    }
    assert_eq!(lines(&out).len(), 256 + 1024);
    for _ in 0..100 {
        progress.push(0, &[b' '; 1000], &mut out);
    }
    assert_eq!(progress.failure(0).unwrap().message, "a line of the answer is too long");
}

#[derive(Clone, Debug)]
enum Event {
    Bytes(usize, usize),
    Fail(usize),
}

fn any_stream() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        "[abc]".prop_map(|text| status(&text)),
        ("[de]", 1u64..100, 0u64..120).prop_map(|(digest, total, completed)| {
            json!({"status": "pulling", "digest": digest, "total": total, "completed": completed})
        }),
    ];
    let last = prop_oneof![
        4 => Just("{\"status\":\"success\"}\n".to_owned()),
        1 => Just("{\"error\":\"x\"}\n".to_owned()),
        1 => Just(String::new()),
    ];
    (proptest::collection::vec(line, 0..10), last).prop_map(|(lines, last)| joined(lines) + &last)
}

fn any_events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        20 => (0usize..3, 1usize..60).prop_map(|(index, bytes)| Event::Bytes(index, bytes)),
        1 => (0usize..3).prop_map(Event::Fail),
    ];
    proptest::collection::vec(event, 0..80)
}

proptest! {
    #[test]
    fn any_mixture_is_a_stream_that_clients_can_render(
        streams in proptest::collection::vec(any_stream(), 3), events in any_events(),
    ) {
        let (mut progress, mut out) = (progress(3), Vec::new());
        let mut rest: Vec<&[u8]> = streams.iter().map(String::as_bytes).collect();
        for event in events {
            match event {
                Event::Bytes(index, bytes) => {
                    let (now, later) = rest[index].split_at(bytes.min(rest[index].len()));
                    rest[index] = later;
                    progress.push(index, now, &mut out);
                }
                Event::Fail(index) => progress.fail(index, 502, "gone", &mut out),
            }
        }
        for (index, rest) in rest.into_iter().enumerate() {
            progress.push(index, rest, &mut out);
            progress.end(index, &mut out);
        }
        prop_assert!(progress.is_over());
        let all_succeeded = (0..3).all(|index| progress.has_succeeded(index));
        progress.finish(&mut out);
        let lines = lines(&out);
        let (last, before) = lines.split_last().unwrap();
        prop_assert_eq!(last == &status("success"), all_succeeded);
        prop_assert_eq!(last["error"].is_string(), !all_succeeded);
        let mut seen = std::collections::HashMap::<&str, (u64, u64)>::new();
        for line in before {
            prop_assert!(line["error"].is_null() && line["status"].is_string() && line["status"] != "success");
            if let Some(digest) = line["digest"].as_str() {
                let (total, completed) = (line["total"].as_u64().unwrap(), line["completed"].as_u64().unwrap_or_default());
                let known = seen.entry(digest).or_default();
                prop_assert!(total >= known.0 && completed >= known.1 && completed <= total);
                *known = (total, completed);
            }
        }
        for index in 0..3 {
            if let Some(failed) = progress.failure(index) {
                let told = format!("backend b{index}: {}", failed.message);
                prop_assert!(last["error"].as_str().unwrap().contains(&told));
            }
        }
        if all_succeeded {
            prop_assert!(seen.values().all(|(total, completed)| total == completed));
        }
    }

    #[test]
    fn fragmentation_changes_nothing(stream in any_stream(), cuts in proptest::collection::vec(1usize..20, 0..40)) {
        let (mut whole, mut out) = (progress(1), Vec::new());
        whole.push(0, stream.as_bytes(), &mut out);
        let (mut cut, mut cut_out, mut rest) = (progress(1), Vec::new(), stream.as_bytes());
        for len in cuts {
            let (now, later) = rest.split_at(len.min(rest.len()));
            cut.push(0, now, &mut cut_out);
            rest = later;
        }
        cut.push(0, rest, &mut cut_out);
        prop_assert_eq!(out, cut_out);
    }
}
