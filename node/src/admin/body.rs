//! The body of an admin request, whole, bounded in size and time.

use std::time::Duration;

use actix_web::http::header;
use actix_web::rt::time::{Instant, timeout};
use actix_web::{HttpRequest, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;

use super::failure::Failure;

/// Largest body that describes one object. Stored objects are smaller; bodies may be written generously.
pub(super) const OBJECT_BYTES: usize = 1024 * 1024;

/// Largest body that describes a whole catalog; a little more than the largest catalog that is stored.
pub(super) const CATALOG_BYTES: usize = 5 * 1024 * 1024;

/// Longest time for a whole body: the largest one at less than a megabit per second.
const WHOLE: Duration = Duration::from_secs(60);

/// Reads the body; `pause` is the longest wait for a piece of it.
pub(super) async fn read(
    request: &HttpRequest,
    mut payload: web::Payload,
    limit: usize,
    pause: Duration,
) -> Result<Bytes, Failure> {
    let declared = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if declared.and_then(|text| text.trim().parse::<usize>().ok()).is_some_and(|length| length > limit) {
        return Err(Failure::TooLarge { limit });
    }
    let deadline = Instant::now() + WHOLE;
    let mut body = BytesMut::new();
    loop {
        let patience = pause.min(deadline.saturating_duration_since(Instant::now()));
        match timeout(patience, payload.next()).await {
            Err(_) => return Err(Failure::BodyTimeout),
            Ok(Some(Err(_))) => return Err(Failure::BodyBroken),
            Ok(Some(Ok(piece))) if body.len() + piece.len() > limit => {
                return Err(Failure::TooLarge { limit });
            }
            Ok(Some(Ok(piece))) => body.extend_from_slice(&piece),
            Ok(None) => break,
        }
    }
    if body.trim_ascii().is_empty() { Err(Failure::NoBody) } else { Ok(body.freeze()) }
}
