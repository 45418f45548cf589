use super::*;

const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"a"}]}"#;
const CHUNKS: &str = r#"{"model":"m","messages":[{"role":"user","content":"a"}],"stream":true}"#;

fn chat() -> Transcript {
    Transcript::begin(Operation::OllamaChat, Bytes::from_static(CHAT.as_bytes())).unwrap()
}

fn chunks() -> Transcript {
    Transcript::begin(Operation::OpenAiChat, Bytes::from_static(CHUNKS.as_bytes())).unwrap()
}

fn line(text: &str) -> String {
    format!(
        "{{\"model\":\"m\",\"message\":{{\"role\":\"assistant\",\"content\":\"{text}\"}},\"done\":false}}\n"
    )
}

fn split(transcript: &mut Transcript, piece: &str) -> String {
    String::from_utf8(transcript.split(Bytes::copy_from_slice(piece.as_bytes())).to_vec()).unwrap()
}

fn rest(transcript: &mut Transcript) -> String {
    String::from_utf8(transcript.rest().to_vec()).unwrap()
}

#[test]
fn a_client_never_has_half_a_frame() {
    let mut transcript = chat();
    let (first, second) = (line("Hello"), line(" you"));
    assert_eq!(split(&mut transcript, &format!("{first}{}", &second[..20])), first);
    assert_eq!(split(&mut transcript, &second[20..30]), "");
    assert_eq!(split(&mut transcript, &second[30..]), second);
    assert_eq!((transcript.text.as_str(), transcript.frames), ("Hello you", 2));
}

#[test]
fn whole_frames_are_passed_on_without_a_copy() {
    let piece = Bytes::from(format!("{}{}", line("a"), line("b")));
    let passed = chat().split(piece.clone());
    assert_eq!(passed.as_ptr(), piece.as_ptr());
    assert_eq!(passed, piece);
}

#[test]
fn an_error_frame_is_held_back_with_all_that_follows() {
    let mut transcript = chat();
    let first = line("a");
    let error = "{\"error\":\"model runner has unexpectedly stopped\"}\n";
    assert_eq!(split(&mut transcript, &format!("{first}{error}x")), first);
    assert_eq!(split(&mut transcript, "y"), "");
    assert_eq!(transcript.failure(), Some(format!("{error}xy").as_bytes()));
    assert!(transcript.resumption(ApiFormat::Ollama).is_some());
    assert_eq!(rest(&mut transcript), format!("{error}xy"));
}

#[test]
fn the_nameless_chunk_of_a_dead_engine_is_a_failure() {
    let mut transcript = chunks();
    let first = "data: {\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
    let lost = "data: {\"model\":\"\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"}}]}\n\n";
    assert_eq!(split(&mut transcript, &format!("{first}{lost}")), first);
    assert_eq!(transcript.failure(), Some(lost.as_bytes()));
}

#[test]
fn what_cannot_be_continued_is_known_and_passes_through() {
    let cases: [(&str, Obstacle); 6] = [
        ("{\"message\":{\"content\":\"\",\"thinking\":\"hm\"},\"done\":false}\n", Obstacle::Thinking),
        ("{\"message\":{\"content\":\"\",\"tool_calls\":[{}]},\"done\":false}\n", Obstacle::ToolCall),
        ("{\"message\":{\"content\":\"\"},\"done\":true}\n", Obstacle::Finished),
        ("{\"message\":{\"content\":7}}\n", Obstacle::Unreadable),
        ("nonsense\n", Obstacle::Unreadable),
        ("{\"message\":{\"content\":\"\\ud800\"}}\n", Obstacle::Unreadable),
    ];
    for (frame, obstacle) in cases {
        let mut transcript = chat();
        assert_eq!(split(&mut transcript, &line("a")), line("a"));
        assert!(transcript.resumption(ApiFormat::Ollama).is_some());
        assert_eq!(split(&mut transcript, &format!("{frame}{{\"ha")), format!("{frame}{{\"ha"), "{frame}");
        assert_eq!(transcript.obstacle(), Some(obstacle), "{frame}");
        assert!(transcript.resumption(ApiFormat::Ollama).is_none(), "{frame}");
        assert_eq!(split(&mut transcript, "lf"), "lf");
    }
    let mut transcript = chunks();
    split(&mut transcript, "data: [DONE]\n\n");
    assert_eq!(transcript.obstacle(), Some(Obstacle::Finished));
}

#[test]
fn a_last_frame_without_its_newline_is_in_the_rest() {
    let mut transcript = chat();
    assert_eq!(split(&mut transcript, "{\"done\":true}"), "");
    assert_eq!(rest(&mut transcript), "{\"done\":true}");
}

#[test]
fn memory_is_bounded() {
    let mut transcript = chat();
    let long = "x".repeat(MAX_HELD);
    assert_eq!(split(&mut transcript, &long), "");
    assert_eq!(split(&mut transcript, "x"), format!("{long}x"));
    assert_eq!(transcript.obstacle(), Some(Obstacle::FrameTooLong));

    let mut transcript = chat();
    assert_eq!(split(&mut transcript, "{\"error\":\"x\"}\n"), "");
    assert_eq!(split(&mut transcript, &long), format!("{{\"error\":\"x\"}}\n{long}"));
    assert_eq!(transcript.obstacle(), Some(Obstacle::FrameTooLong));

    let mut transcript = chat();
    let frame = line(&"x".repeat(60_000));
    for _ in 0..18 {
        assert_eq!(split(&mut transcript, &frame), frame);
    }
    assert_eq!(transcript.obstacle(), Some(Obstacle::TooLong));
    assert!(transcript.text.is_empty() && transcript.request.is_empty());
}
