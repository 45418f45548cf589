use super::*;
use crate::object::ApiFormat;
use crate::resume::Transcript;
use crate::route::Operation;

const FIRST_CHUNK: &str = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\
    \"system_fingerprint\":\"fp\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Once upon a time\"},\
    \"finish_reason\":null}]}\n\n";

/// A stream that has died after `sent`, and what continues it.
fn resumed(operation: Operation, request: &str, sent: &str, target: ApiFormat) -> (Transcript, Splice) {
    let mut transcript = Transcript::begin(operation, Bytes::copy_from_slice(request.as_bytes())).unwrap();
    assert_eq!(transcript.split(Bytes::copy_from_slice(sent.as_bytes())), sent);
    let continuation = transcript.resumption(target).unwrap();
    let splice = transcript.splice(continuation);
    (transcript, splice)
}

fn chunks() -> Splice {
    let request = r#"{"messages":[{"role":"user","content":"a"}],"stream":true}"#;
    resumed(Operation::OpenAiChat, request, FIRST_CHUNK, ApiFormat::OpenAI).1
}

fn chat(text: &str) -> Splice {
    let sent = format!("{{\"model\":\"m\",\"message\":{{\"content\":\"{text}\"}},\"done\":false}}\n");
    let request = r#"{"messages":[{"role":"user","content":"a"}]}"#;
    resumed(Operation::OllamaChat, request, &sent, ApiFormat::Ollama).1
}

fn push(splice: &mut Splice, piece: &str) -> String {
    String::from_utf8(splice.push(Bytes::copy_from_slice(piece.as_bytes())).to_vec()).unwrap()
}

fn chunk(delta: &str, finish: &str) -> String {
    format!(
        "data: {{\"id\":\"cmpl-9\",\"object\":\"chat.completion.chunk\",\"created\":9,\"model\":\"other\",\"choices\":[{{\"index\":0,\
         \"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
    )
}

/// The same, as the client is to get it.
fn of_the_first(delta: &str, finish: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":0,\
         \"delta\":{delta},\"finish_reason\":{finish}}}],\"system_fingerprint\":\"fp\"}}\n\n"
    )
}

#[test]
fn chunks_have_the_first_streams_identity_and_no_second_role() {
    let mut splice = chunks();
    assert_eq!(push(&mut splice, &chunk(r#"{"role":"assistant","content":""}"#, "null")), "");
    let piece = chunk(r#"{"role":"assistant","content":" there"}"#, "null");
    assert_eq!(push(&mut splice, &piece), of_the_first(r#"{"content":" there"}"#, "null"));
    assert_eq!(splice.misfit(), None);
}

#[test]
fn a_finished_stream_of_chunks_says_that_it_was_resumed_and_counts_all_tokens() {
    let mut splice = chunks();
    let end = format!(
        "{}data: {{\"id\":\"cmpl-9\",\"choices\":[],\"usage\":{{\"prompt_tokens\":5,\"completion_tokens\":7,\
         \"total_tokens\":12}}}}\n\ndata: [DONE]\n\ndata: [DONE]\n\n",
        chunk("{}", "\"stop\"")
    );
    assert_eq!(
        push(&mut splice, &end),
        format!(
            ": x-ollamaflow-resumed: 1\n\n{}data: {{\"id\":\"chatcmpl-1\",\"choices\":[],\"usage\":{{\"prompt_tokens\":5,\
             \"completion_tokens\":8,\"total_tokens\":13}},\"created\":1,\"model\":\"m\",\"system_fingerprint\":\"fp\"}}\n\n\
             data: [DONE]\n\n",
            of_the_first("{}", "\"stop\"")
        )
    );
    assert!(splice.is_complete());
    assert_eq!(push(&mut splice, "data: [DONE]\n\n"), "");
}

#[test]
fn an_engine_that_repeats_the_text_is_cut_short() {
    let mut splice = chunks();
    let echo = chunk(r#"{"content":"Once upon a time there"}"#, "null");
    assert_eq!(push(&mut splice, &echo), of_the_first(r#"{"content":" there"}"#, "null"));

    let mut splice = chunks();
    assert_eq!(push(&mut splice, &chunk(r#"{"content":"Once"}"#, "null")), "");
    let finish = chunk("{}", "\"stop\"");
    let expected =
        format!(": x-ollamaflow-resumed: 1\n\n{}", of_the_first(r#"{"content":"Once"}"#, "\"stop\""));
    assert_eq!(push(&mut splice, &finish), expected, "what only looked like an echo is not lost");
}

#[test]
fn lines_have_the_first_streams_model_and_the_last_one_all_tokens() {
    let mut splice = chat("It is ");
    let stream = "{\"model\":\"other\",\"created_at\":\"t\",\"message\":{\"role\":\"assistant\",\"content\":\" so\"},\"done\":false}\n\
        \n{\"model\":\"other\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"eval_count\":4}\n";
    assert_eq!(
        push(&mut splice, stream),
        "{\"model\":\"m\",\"created_at\":\"t\",\"message\":{\"role\":\"assistant\",\"content\":\"so\"},\"done\":false}\n\
        {\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"eval_count\":5,\
        \"x_ollamaflow_resumed\":1}\n"
    );
    assert!(splice.is_complete());
}

#[test]
fn a_client_of_generate_gets_its_own_frames() {
    let sent = "{\"model\":\"m\",\"response\":\"It\",\"done\":false}\n";
    let (_, mut splice) = resumed(Operation::OllamaGenerate, r#"{"prompt":"a"}"#, sent, ApiFormat::Ollama);
    let stream = "{\"model\":\"m\",\"created_at\":\"t\",\"message\":{\"role\":\"assistant\",\"content\":\" is\"},\"done\":false}\n\
        {\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"total_duration\":9,\"context\":[1]}\n";
    assert_eq!(
        push(&mut splice, stream),
        "{\"model\":\"m\",\"created_at\":\"t\",\"response\":\" is\",\"done\":false}\n\
        {\"model\":\"m\",\"response\":\"\",\"done\":true,\"total_duration\":9,\"eval_count\":1,\"x_ollamaflow_resumed\":1}\n"
    );
}

#[test]
fn a_stream_that_dies_again_is_continued_again() {
    let line =
        |text: &str| format!("{{\"model\":\"m\",\"message\":{{\"content\":\"{text}\"}},\"done\":false}}\n");
    let request = r#"{"messages":[{"role":"user","content":"a"}],"options":{"num_predict":10}}"#;
    let (mut transcript, mut splice) =
        resumed(Operation::OllamaChat, request, &line("It"), ApiFormat::Ollama);
    let second = push(&mut splice, &format!("{}{}", line(" is"), "{\"mess"));
    assert_eq!(transcript.split(Bytes::from(second.clone())), second);
    assert_eq!(splice.finish(), "");
    assert_eq!((splice.misfit(), splice.is_complete()), (None, false));

    let continuation = transcript.resumption(ApiFormat::Ollama).unwrap();
    let body: Value = serde_json::from_slice(&continuation.body).unwrap();
    assert_eq!(body["messages"][1]["content"], "It is");
    assert_eq!(body["options"]["num_predict"], 8);
    let mut splice = transcript.splice(continuation);
    assert_eq!(transcript.resumptions(), 2);
    let end = push(&mut splice, "{\"message\":{\"content\":\"\"},\"done\":true,\"eval_count\":1}\n");
    assert!(end.contains("\"eval_count\":3") && end.contains("\"x_ollamaflow_resumed\":2"), "{end}");
}

#[test]
fn a_last_frame_without_its_newline_counts() {
    let mut splice = chat("a");
    assert_eq!(push(&mut splice, "{\"message\":{\"content\":\"\"},\"done\":true,\"eval_count\":1}"), "");
    assert!(splice.finish().ends_with(b"\"x_ollamaflow_resumed\":1}\n"));
    assert!(splice.is_complete());
    let mut splice = chunks();
    assert_eq!(push(&mut splice, "data: [DONE]"), "");
    assert_eq!(splice.finish(), ": x-ollamaflow-resumed: 1\n\ndata: [DONE]\n\n");
}

#[test]
fn a_stream_that_does_not_fit_ends_before_the_frame_that_does_not() {
    let good = "{\"model\":\"m\",\"message\":{\"content\":\"b\"},\"done\":false}\n";
    for (frame, misfit) in [
        ("{\"error\":\"x\"}\n", Misfit::Failed),
        ("{\"message\":{\"content\":\"\",\"thinking\":\"hm\"}}\n", Misfit::Thinking),
        ("{\"message\":{\"content\":1}}\n", Misfit::Unreadable),
        ("x\n", Misfit::Unreadable),
    ] {
        let mut splice = chat("a");
        assert_eq!(push(&mut splice, &format!("{good}{frame}{good}")), good, "{frame}");
        assert_eq!(splice.misfit(), Some(misfit), "{frame}");
        assert_eq!(push(&mut splice, good), "");
    }
    let mut splice = chat("a");
    assert_eq!(push(&mut splice, &"x".repeat(MAX_HELD + 1)), "");
    assert_eq!(splice.misfit(), Some(Misfit::Unreadable));
}

#[test]
fn comments_and_whole_tool_calls_pass() {
    let mut splice = chunks();
    assert_eq!(push(&mut splice, ": ping\n\n"), ": ping\n\n");
    let call = r#"{"tool_calls":[{"index":0,"id":"c"}]}"#;
    assert_eq!(push(&mut splice, &chunk(call, "null")), of_the_first(call, "null"));
}
