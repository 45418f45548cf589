//! What the harness itself promises: the client tells ends apart, concurrent work runs at once.

use ollamaflow_tests::client::{self, Close, End, RawConnection, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A server that sends these bytes to one client and closes.
async fn canned(bytes: &'static [u8]) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        stream.write_all(bytes).await.unwrap();
    });
    address
}

#[tokio::test]
async fn ends_are_told_apart() {
    let cases: [(&'static [u8], End, &str); 6] = [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", End::Complete, "ok"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", End::Truncated, "ok"),
        (b"HTTP/1.1 200 OK\r\n\r\nok", End::Complete, "ok"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", End::Complete, "ok"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", End::Truncated, "ok"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nok", End::Truncated, "ok"),
    ];
    for (wire, end, body) in cases {
        let answer = client::get(canned(wire).await, "/").await.collect().await;
        assert_eq!((answer.end, answer.text().as_str()), (end, body), "{}", String::from_utf8_lossy(wire));
    }
}

#[tokio::test]
async fn frames_are_put_together_from_chunks() {
    let wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
        5\r\ndata:\r\n3\r\n a\n\r\n11\r\nevent: e\n\ndata: b\r\n2\r\n\n\n\r\n0\r\n\r\n";
    let (events, end) = client::get(canned(wire).await, "/").await.events().collect().await;
    let seen: Vec<_> = events.iter().map(|event| (event.name.as_deref(), event.data.as_str())).collect();
    assert_eq!((seen, end), (vec![(Some("e"), "a"), (None, "b")], End::Complete));
}

#[tokio::test]
async fn a_half_closed_connection_can_still_be_read() {
    let address = canned(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    let mut connection = RawConnection::open(address).await.unwrap();
    connection.send_request(&Request::get("/")).await.unwrap();
    connection.half_close().await.unwrap();
    let (answer, mut connection) = connection.response().await.unwrap().collect_reusable().await;
    assert_eq!((answer.status(), answer.end), (204, End::Complete));
    assert_eq!(connection.read_to_end().await, (Vec::new(), Close::Fin));
}

#[tokio::test]
async fn tasks_run_at_once_and_give_results_in_order() {
    let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(10));
    let results = client::many(10, move |index| {
        let barrier = std::sync::Arc::clone(&barrier);
        async move {
            barrier.wait().await;
            index
        }
    })
    .await;
    assert_eq!(results, (0..10).collect::<Vec<_>>());
}
