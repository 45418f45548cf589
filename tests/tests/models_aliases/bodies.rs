//! Whatever the body is, the name is put into it, or the client is told why not.

use super::*;

#[tokio::test]
async fn a_body_too_large_to_be_kept_gets_the_target_and_others_stream_through() {
    let backend = ollama(&[REAL, "plain"]);
    let node = aliased().backend(&backend).start().await;
    let long = "x".repeat(3 * 1024 * 1024);
    for (asked, model) in [(ASKED, REAL), ("plain", "plain")] {
        // The name may stand behind the text.
        for body in [
            format!(r#"{{"model":"{asked}","prompt":"{long}","stream":false}}"#),
            format!(r#"{{"prompt":"{long}","stream":false,"model":"{asked}"}}"#),
        ] {
            let request = Request::post("/api/generate").header("Content-Type", "application/json");
            for request in [request.clone().body(body.clone()), request.body(body.clone()).chunked(100_000)] {
                let answer = ask(&node, request).await;
                assert_eq!((answer.status(), &answer.json()["model"]), (200, &json!(asked)));
                let got = backend.requests_to("/api/generate").pop().unwrap();
                let expected = body.len() + model.len() - asked.len();
                assert_eq!(got.body_length, u64::try_from(expected).unwrap());
            }
        }
    }
}

#[tokio::test]
async fn all_but_the_name_goes_on_byte_for_byte_and_no_other_spelling_takes_its_place() {
    let backend = ollama(&[REAL]);
    let node = aliased().backend(&backend).start().await;
    let body = r#"{ "Model":"gpt-4o","NAME" : "gpt-4o",  "prompt":"a\u00e9", "stream":false,"options":{"top_p":1.50}}"#;
    let answer = ask(&node, Request::post("/api/generate").body(body)).await;
    assert_eq!((answer.status(), &answer.json()["model"]), (200, &json!("gpt-4o")));
    let got = backend.requests_to("/api/generate").pop().unwrap().text();
    assert_eq!(got, body.replace("gpt-4o", REAL));
}

#[tokio::test]
async fn a_body_that_is_no_object_is_refused_where_a_name_has_to_be_put_into_it() {
    let backend = ollama(&[REAL]);
    let node = aliased().frontend("DefaultModel", "gpt-4o").backend(&backend).start().await;
    for body in ["[1]", r#"{"model":"gpt-4o""#, "x"] {
        let answer = ask(&node, Request::post("/api/chat").body(body)).await;
        assert_eq!(answer.status(), 400, "{body}: {}", answer.text());
        assert!(answer.text().contains("must be a JSON object"), "{body}: {}", answer.text());
    }
    let answer = ask(&node, Request::post("/v1/audio/transcriptions").body("{}")).await;
    assert_eq!(answer.status(), 400, "{}", answer.text());
    assert!(answer.text().contains("must be a form"), "{}", answer.text());
    assert_eq!(backend.stats().received(), 0);
}

fn form(model: Option<&str>) -> Request {
    let model = model.map_or(String::new(), |model| {
        format!("--cut\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n")
    });
    let audio = "\u{0}RIFF\r\n--cu\r\n".repeat(200_000);
    let body = format!(
        "--cut\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\
         Content-Type: audio/wav\r\n\r\n{audio}\r\n{model}--cut--\r\n"
    );
    Request::post("/v1/audio/transcriptions")
        .header("Content-Type", "multipart/form-data; boundary=cut")
        .body(body)
}

#[tokio::test]
async fn a_transcription_goes_where_its_target_is_and_asks_for_that() {
    let (without, with) = (vllm(&["text"]), vllm(&["whisper-large"]));
    let node = Setup::new()
        .frontend("ModelAliases", json!({ "whisper-1": "whisper-large" }))
        .frontend("DefaultModel", "whisper-1")
        .backend_with(&without, openai)
        .backend_with(&with, openai)
        .start()
        .await;
    wait_models(&node, "whisper-1", &[("b1", false), ("b2", true)]).await;
    for model in [Some("whisper-1"), None] {
        for _ in 0..3 {
            let answer = ask(&node, form(model)).await;
            assert_eq!(served_by(&answer), "b2");
            assert_eq!(answer.header("x-ollamaflow-model"), Some("whisper-large"));
        }
    }
    assert_eq!(without.stats().received(), 0);
    let direct = ask(&node, form(Some("nothing"))).await;
    assert_eq!((direct.status(), direct.header("x-ollamaflow-model")), (404, None), "{}", direct.text());
}
