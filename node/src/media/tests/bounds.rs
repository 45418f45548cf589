//! What a host may send: one whole image of a known kind, in time, and no more than fits.

use super::*;

const SHORT: Duration = Duration::from_millis(200);

/// What becomes of this answer.
async fn take(bytes: impl Into<Vec<u8>>, change: impl FnOnce(&mut Limits)) -> Result<Fetched, FetchError> {
    let bytes = bytes.into();
    let server = Server::answering(move |_| bytes.clone()).await;
    let mut limits = open_to(&server);
    change(&mut limits);
    fetcher(limits).fetch(&format!("http://img.test:{}/", server.port)).await
}

fn chunked(content_type: &str, chunks: &[&[u8]]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunks = chunks.iter().flat_map(|chunk| {
        [format!("{:x}\r\n", chunk.len()).into_bytes(), chunk.to_vec(), b"\r\n".to_vec()].concat()
    });
    head.into_bytes().into_iter().chain(chunks).collect()
}

#[test]
fn an_image_may_be_as_long_as_the_limit_and_no_longer() {
    run(async {
        let rest = vec![7; 100_000];
        let long = [PNG, &rest].concat();
        for bytes in [answer("image/png", &long), chunked("image/png", &[PNG, &rest, b""])] {
            let length = long.len() as u64;
            assert!(take(bytes.clone(), |limits| limits.image_bytes = length).await.is_ok());
            let refused = take(bytes, |limits| limits.image_bytes = length - 1).await;
            assert!(matches!(refused, Err(FetchError::TooLarge { .. })), "{refused:?}");
        }
        // The length alone is enough to refuse it.
        let announced = "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 99999999999\r\n\r\n";
        let refused = take(announced, |_| {}).await;
        assert!(matches!(refused, Err(FetchError::TooLarge { .. })), "{refused:?}");
    });
}

#[test]
fn what_is_not_said_to_be_an_image_is_refused() {
    run(async {
        let untyped = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        let refused = take(untyped, |_| {}).await;
        assert!(matches!(refused, Err(FetchError::Type { .. })), "{refused:?}");
        for content_type in ["text/html", "image/svg+xml", "application/octet-stream", "application/json"] {
            let refused = take(answer(content_type, PNG), |_| {}).await.unwrap_err();
            assert!(matches!(refused, FetchError::Type { .. }), "{refused:?}");
            assert!(refused.to_string().contains(content_type), "{refused}");
        }
        let endless = answer(&"x".repeat(10_000), PNG);
        assert!(take(endless, |_| {}).await.unwrap_err().to_string().len() < 300);
        let coded = "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc";
        let refused = take(coded, |_| {}).await;
        assert!(matches!(refused, Err(FetchError::Type { .. })), "{refused:?}");
    });
}

#[test]
fn a_body_that_lies_about_its_type_is_refused() {
    run(async {
        for (content_type, body) in [
            ("image/png", &b"<!DOCTYPE html><html></html>"[..]),
            ("image/png", b"{\"secret\":\"of a service inside\"}"),
            ("image/jpeg", PNG),
            ("image/webp", b"RIFF\x10\0\0\0WAVEfmt "),
            ("image/png", &PNG[..11]),
            ("image/gif", b""),
        ] {
            let pieces: Vec<&[u8]> = body.chunks(5).chain([&b""[..]]).collect();
            for bytes in [answer(content_type, body), chunked(content_type, &pieces)] {
                let refused = take(bytes, |_| {}).await;
                assert!(
                    matches!(refused, Err(FetchError::Lie { .. })),
                    "{content_type} {body:?}: {refused:?}"
                );
            }
        }
        // It is told by its beginning, however small the pieces are and however long the rest would be.
        let pieces: Vec<&[u8]> = PNG.chunks(1).chain([&b""[..]]).collect();
        assert!(take(chunked("image/png", &pieces), |_| {}).await.is_ok());
        let endless =
            "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 1000000\r\n\r\n<html><body>";
        let refused = take(endless, |_| {}).await;
        assert!(matches!(refused, Err(FetchError::Lie { .. })), "{refused:?}");
    });
}

#[test]
fn anything_but_200_is_refused() {
    run(async {
        for status in [201, 204, 206, 300, 304, 401, 404, 500] {
            let bytes =
                format!("HTTP/1.1 {status} X\r\nContent-Type: image/png\r\nConnection: close\r\n\r\n");
            let refused = take(bytes, |_| {}).await;
            assert!(
                matches!(refused, Err(FetchError::Status { status: told, .. }) if told == status),
                "{status}: {refused:?}"
            );
        }
        let refused = take("HTTP/1.1 302 X\r\nContent-Length: 0\r\n\r\n", |_| {}).await;
        assert!(matches!(refused, Err(FetchError::Status { status: 302, .. })), "{refused:?}");
    });
}

#[test]
fn a_body_that_is_cut_short_is_refused() {
    run(async {
        let mut cut = answer("image/png", &[PNG, b"more"].concat());
        cut.truncate(cut.len() - 1);
        for bytes in [
            cut,
            chunked("image/png", &[PNG, b"more"]),
            b"HTTP/1.1 200 OK\r\nContent-Ty".to_vec(),
            b"rubbish".to_vec(),
        ] {
            let refused = take(bytes, |_| {}).await;
            assert!(matches!(refused, Err(FetchError::Broken(_))), "{refused:?}");
        }
    });
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    run(async {
        let long = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n", "x".repeat(MAX_HEAD_BYTES));
        let many = format!("HTTP/1.1 200 OK\r\n{}", "X-Many: 1\r\n".repeat(MAX_HEADERS + 1));
        for head in [long, many] {
            let refused = take(head + "Content-Type: image/png\r\nContent-Length: 0\r\n\r\n", |_| {}).await;
            assert!(matches!(refused, Err(FetchError::Broken(_))), "{refused:?}");
        }
    });
}

#[test]
fn a_host_that_is_too_slow_is_given_up() {
    run(async {
        let refused = take("", |limits| limits.timeout = SHORT).await;
        assert!(matches!(refused, Err(FetchError::Timeout { after: SHORT, .. })), "{refused:?}");
    });
}

#[test]
fn a_node_fetches_no_more_at_once_than_it_may() {
    run(async {
        let server = Server::answering(|_| answer("image/png", PNG)).await;
        let patient = fetcher(Limits { concurrent: 2, ..open_to(&server) });
        let running = Arc::clone(&patient.media.running);
        let hasty = Media {
            limits: Limits { timeout: SHORT, ..patient.media.limits.clone() },
            running: Arc::clone(&running),
        };
        let hasty = Fetcher { media: Arc::new(hasty), ..patient.clone() };
        let url = format!("http://img.test:{}/", server.port);
        let _first = running.acquire().await.unwrap();
        patient.fetch(&url).await.unwrap();
        let second = running.acquire().await.unwrap();
        let refused = hasty.fetch(&url).await;
        assert!(matches!(refused, Err(FetchError::Busy)), "{refused:?}");
        assert_eq!(server.heads().len(), 1);
        drop(second);
        patient.fetch(&url).await.unwrap();
    });
}

#[test]
fn a_request_names_no_more_images_than_it_may_and_they_share_their_bytes_and_time() {
    run(async {
        let server =
            Server::answering(|path| if path == "/hangs" { Vec::new() } else { answer("image/png", PNG) })
                .await;
        let url = format!("http://img.test:{}/", server.port);
        let all = async |count: usize, change: &dyn Fn(&mut Limits)| {
            let mut limits = open_to(&server);
            change(&mut limits);
            fetcher(limits)
                .fetch_all(&vec![&url; count])
                .await
                .map(|images| images.len())
                .map_err(|e| e.error)
        };
        assert!(matches!(all(100, &|_| {}).await, Ok(100)));
        assert!(matches!(all(101, &|_| {}).await, Err(FetchError::TooMany { maximum: 100 })));
        assert!(matches!(all(0, &|_| {}).await, Ok(0)));
        let bytes = 3 * PNG.len() as u64;
        assert!(matches!(all(3, &|limits| limits.request_bytes = bytes).await, Ok(3)));
        let refused = all(4, &|limits| limits.request_bytes = bytes).await;
        assert!(matches!(refused, Err(FetchError::TooLargeTogether { .. })), "{refused:?}");

        let limits = Limits { request_timeout: SHORT, ..open_to(&server) };
        let refused = fetcher(limits).fetch_all(&[&url, &format!("{url}hangs")]).await.unwrap_err();
        assert!(matches!(refused.error, FetchError::TimeoutTogether { .. }), "{refused:?}");
        assert_eq!(refused.which, None);
        let refused =
            fetcher(open_to(&server)).fetch_all(&[url.as_str(), "http://127.0.0.1:1/"]).await.unwrap_err();
        assert_eq!(refused.which, Some(1), "{refused:?}");
    });
}
