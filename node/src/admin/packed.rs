//! Bytes that never change, kept compressed and served as they are to those who take them so.

use std::io::{Read as _, Write as _};
use std::sync::OnceLock;

use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use xxhash_rust::xxh3::xxh3_64;

/// A file in memory.
pub(super) struct Packed {
    gzip: Bytes,
    /// For clients that do not take gzip: made when the first one comes.
    plain: OnceLock<Bytes>,
    content_type: &'static str,
    /// Weak, for it is the same for both codings.
    tag: String,
}

/// An answer that lacks nothing but headers of its own.
pub(super) struct Answer(HttpResponse);

// === impl Packed ===

impl Packed {
    /// Compresses them.
    pub(super) fn new(plain: Vec<u8>, content_type: &'static str) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        // Writing to memory does not fail.
        let written = encoder.write_all(&plain).and_then(|()| encoder.finish());
        let packed = Self::of_gzip(Bytes::from(written.unwrap_or_default()), content_type);
        let _ = packed.plain.set(Bytes::from(plain));
        packed
    }

    /// They are compressed already.
    pub(super) fn of_gzip(gzip: Bytes, content_type: &'static str) -> Self {
        let tag = format!("W/\"{:016x}\"", xxh3_64(&gzip));
        Self { gzip, plain: OnceLock::new(), content_type, tag }
    }

    /// The bytes, or that the client has them.
    pub(super) fn answer(&self, request: &HttpRequest) -> Answer {
        let is_known = request.headers().get_all(header::IF_NONE_MATCH).any(|value| self.is_named_in(value));
        let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        response
            .insert_header((header::ETAG, self.tag.as_str()))
            .insert_header((header::VARY, "Accept-Encoding"))
            // To be asked for each time, which costs nothing but a 304: a node may be updated.
            .insert_header((header::CACHE_CONTROL, "no-cache"))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
        if is_known {
            return Answer(response.finish());
        }
        response.insert_header((header::CONTENT_TYPE, self.content_type));
        if takes_gzip(request) {
            return Answer(
                response.insert_header((header::CONTENT_ENCODING, "gzip")).body(self.gzip.clone()),
            );
        }
        Answer(response.body(self.plain().clone()))
    }

    fn plain(&self) -> &Bytes {
        self.plain.get_or_init(|| {
            let mut plain = Vec::new();
            // Made by this program or by its build: it can be read.
            let _ = GzDecoder::new(&*self.gzip).read_to_end(&mut plain);
            Bytes::from(plain)
        })
    }

    fn is_named_in(&self, value: &HeaderValue) -> bool {
        let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        let tags = value.to_str().unwrap_or_default();
        tags.trim() == "*" || tags.split(',').any(|tag| bare(tag) == bare(&self.tag))
    }
}

/// Whether the client takes gzip; weights but 0 do not matter, for there is nothing better.
fn takes_gzip(request: &HttpRequest) -> bool {
    let values = request.headers().get_all(header::ACCEPT_ENCODING).filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.trim().parse::<f32>().ok());
        matches!(name.trim(), "gzip" | "*") && weight.is_none_or(|weight| weight > 0.0)
    })
}

// === impl Answer ===

impl Answer {
    /// The same with one more header.
    pub(super) fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.0.headers_mut().insert(name, HeaderValue::from_static(value));
        self
    }

    pub(super) fn finish(self) -> HttpResponse {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::{BodySize, MessageBody as _};
    use actix_web::test::TestRequest;

    use super::*;

    fn answer(headers: &[(&str, &str)]) -> HttpResponse {
        let packed = Packed::new(vec![b'a'; 1000], "text/plain");
        let request =
            headers.iter().fold(TestRequest::default(), |request, header| request.append_header(*header));
        packed.answer(&request.to_http_request()).finish()
    }

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for taken in ["gzip", "br, gzip;q=0.5", "*", "gzip;q=1"] {
            let answer = answer(&[("Accept-Encoding", taken)]);
            assert!(answer.headers().contains_key(header::CONTENT_ENCODING), "{taken}");
        }
        for refused in ["", "br", "gzip;q=0", "identity"] {
            let answer = answer(&[("Accept-Encoding", refused)]);
            assert!(!answer.headers().contains_key(header::CONTENT_ENCODING), "{refused}");
            assert_eq!(answer.body().size(), BodySize::Sized(1000), "{refused}");
        }
    }

    #[test]
    fn who_has_it_is_told_so() {
        let tag = answer(&[]).headers().get(header::ETAG).unwrap().to_str().unwrap().to_owned();
        for known in [tag.as_str(), tag.trim_start_matches("W/"), "*", &format!("\"x\", {tag}")] {
            assert_eq!(answer(&[("If-None-Match", known)]).status(), 304, "{known}");
        }
        assert_eq!(answer(&[("If-None-Match", "\"x\"")]).status(), 200);
    }

    #[test]
    fn what_is_unpacked_is_what_was_packed() {
        let packed = Packed::new(vec![b'b'; 5000], "text/plain");
        assert_eq!(*Packed::of_gzip(packed.gzip.clone(), "text/plain").plain(), *packed.plain());
    }
}
