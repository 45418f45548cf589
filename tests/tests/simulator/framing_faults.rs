//! Unusual and broken framing.

use ollamaflow_tests::client::{self, End};
use ollamaflow_tests::simulated::{FaultKind, SplitUnit, StreamFraming};

use crate::{chat_body, native_chat, native_stream, ollama, openai_stream};

#[tokio::test]
async fn frames_are_split_in_two_chunks_at_an_offset() {
    let backend = ollama();
    for (offset, place, bytes) in [(5, 0, b"{\"mod".as_slice()), (-1, 1, b"\n")] {
        backend.set_faults(vec![FaultKind::split_frames(offset).into()]);
        let split = native_stream(&backend).await.collect().await;
        assert_eq!((split.end, split.pieces.len()), (End::Complete, 46));
        assert_eq!(split.pieces[place].bytes, bytes);
    }
}

#[tokio::test]
async fn frames_are_split_in_two_segments_of_one_chunk() {
    let backend = ollama();
    let split = FaultKind::SplitFrames { offset: 7, unit: SplitUnit::Writes, gap_ms: 2 };
    backend.set_fault(split);
    let answer = native_stream(&backend).await.collect().await;
    assert_eq!((answer.end, answer.pieces.len()), (End::Complete, 23));
    let (events, _) = openai_stream(&backend).await.events().collect().await;
    assert_eq!(events.len(), 24);
    assert_eq!(native_chat(&backend).await.end, End::Complete);
}

#[tokio::test]
async fn frames_are_coalesced_into_one_chunk() {
    let backend = ollama();
    backend.set_fault(FaultKind::Coalesce);
    let answer = native_stream(&backend).await.collect().await;
    assert_eq!((answer.end, answer.pieces.len(), answer.text().lines().count()), (End::Complete, 1, 23));
}

#[tokio::test]
async fn slow_bytes_are_all_there_in_the_end() {
    let backend = ollama();
    backend.knobs(|knobs| knobs.tokens = 1);
    backend.set_fault(FaultKind::SlowBytes { interval_ms: 1, bytes: 10, head: true });
    let answer = native_stream(&backend).await.collect().await;
    assert_eq!((answer.end, answer.text().lines().count()), (End::Complete, 2));
    assert_eq!(native_chat(&backend).await.end, End::Complete);
}

#[tokio::test]
async fn a_bad_chunk_header_breaks_the_body() {
    let backend = ollama();
    backend.set_fault(FaultKind::BadChunkHeader { after_frames: 2 });
    let answer = native_stream(&backend).await.collect().await;
    assert_eq!((answer.end, answer.pieces.len()), (End::Truncated, 2));
}

#[tokio::test]
async fn a_length_may_promise_more_than_is_sent() {
    let backend = ollama();
    backend.set_fault(FaultKind::TruncatedLength { missing: 10 });
    let answer = native_chat(&backend).await;
    let promised: usize = answer.header("content-length").unwrap().parse().unwrap();
    assert_eq!((answer.end, promised - answer.body.len()), (End::Truncated, 10));
    let answer = native_stream(&backend).await.collect().await;
    assert_eq!((answer.end, answer.pieces.len()), (End::Truncated, 1));
}

#[tokio::test]
async fn chunk_extensions_and_trailers_are_sent() {
    let backend = ollama();
    let trailers = vec![("X-Checksum".to_owned(), "abc".to_owned())];
    backend
        .set_fault(FaultKind::ChunkExtras { extension: ";a=\"b\"".to_owned(), trailers: trailers.clone() });
    let answer = native_stream(&backend).await.collect().await;
    assert_eq!((answer.end, answer.trailers), (End::Complete, trailers));
    assert_eq!(answer.extensions, vec![";a=\"b\"".to_owned(); 23]);
}

#[tokio::test]
async fn a_stream_may_be_delimited_by_the_close() {
    let backend = ollama();
    backend.knobs(|knobs| knobs.stream_framing = StreamFraming::Close);
    let response = client::post_json(&backend, "/api/chat", &chat_body(true)).await;
    assert_eq!((response.header("transfer-encoding"), response.header("connection")), (None, Some("close")));
    let (lines, end) = response.lines().collect().await;
    assert_eq!((lines.len(), end), (23, End::Complete));
}
