//! Header names of OllamaFlow's own contract and the hop-by-hop rule of HTTP.
//!
//! Names are lower case: the form in which HTTP libraries keep and compare them.

/// Response (and upstream request) header: the id of this request on this node.
pub const REQUEST_ID: &str = "x-ollamaflow-request";
/// Response header: identifier of the backend that gave the answer.
pub const BACKEND: &str = "x-ollamaflow-backend";
/// Response header: the model that the backend was asked for, where that is not what the client named: an alias was resolved,
/// or the frontend's default model stands for none.
pub const MODEL: &str = "x-ollamaflow-model";
/// Response header: `True` or `False`, whether the frontend keeps a client on one backend.
pub const STICKY: &str = "x-ollamaflow-sticky";
/// Response header: how many backends the request was sent to.
pub const ATTEMPTS: &str = "x-ollamaflow-attempts";
/// Response header: how long the request waited for a free backend, in milliseconds.
pub const QUEUE_MS: &str = "x-ollamaflow-queue-ms";
/// Response header: what decided for the backend: a policy and its reason, such as `ModelAffinity; loaded`.
pub const DECISION: &str = "x-ollamaflow-decision";
/// Response header of frontends with `ResumeStreams`: `true` or `false`, whether the stream goes on at another backend
/// if its own dies. Whether it did is told at its end, by the last object or a comment.
pub const RESUMED: &str = "x-ollamaflow-resumed";
/// Response header: `none` if the request went to the backend as the client wrote it; else what it became and why, such
/// as `/v1/messages to /api/chat; api`.
pub const TRANSLATION: &str = "x-ollamaflow-translation";
/// Response header: what of the client's request has no counterpart in the backend's API and was left out,
/// comma-separated.
pub const DROPPED: &str = "x-ollamaflow-dropped";
/// Response header: `true` if the numbers in the answer are an estimate.
pub const ESTIMATE: &str = "x-ollamaflow-estimate";
/// Response header of lists that are made of those of many backends: the backends that are down or could not be asked,
/// comma-separated. Of these, what was known last is listed.
pub const MISSING: &str = "x-ollamaflow-missing";
/// Request header: labels that a backend must have; comma-separated and repeated headers both mean AND.
pub const LABEL: &str = "x-ollamaflow-label";
/// Request header: the backends that a change of models is for, by identifier; comma-separated, and may be repeated.
pub const BACKEND_FILTER: &str = "x-ollamaflow-backend-filter";
/// Response header of requests that go to several backends: what became of it at each, such as
/// `b1=done, b2=failed, b3=skipped`. Of a stream: what was to be done when it began.
pub const BACKENDS: &str = "x-ollamaflow-backends";
/// Response header: why a model that was pulled is not among the frontend's `RequiredModels`.
pub const UNRECORDED: &str = "x-ollamaflow-unrecorded";

/// Response header of the admin API: the id of the node that answers, `none` before it has one.
pub const NODE: &str = "x-ollamaflow-node";
/// Response header of the admin API: the revision of the cluster's state that the node has applied.
pub const REVISION: &str = "x-ollamaflow-revision";
/// Response header of the admin API: the id of the leader that the node follows, `none` without one.
pub const LEADER: &str = "x-ollamaflow-leader";
/// Response header of the admin API: `true` for the answer to a write that was checked and not made.
pub const VALIDATED: &str = "x-ollamaflow-validated";
/// Request header of the admin API, with any value: properties that nobody knows are left out and not refused.
pub const LENIENT: &str = "x-ollamaflow-lenient";

/// Whether a header belongs to one connection and must not be forwarded (RFC 9110 section 7.6.1, and the
/// non-standard names that intermediaries agree on). `name` is lower case.
///
/// `expect` is here too: the listener has already answered `100 Continue` when a body is read.
pub fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "expect"
    )
}

/// The media type of a `Content-Type` value, without its parameters; its case is the sender's.
pub fn media_type(content_type: &str) -> &str {
    let end = memchr::memchr(b';', content_type.as_bytes()).unwrap_or(content_type.len());
    content_type[..end].trim_ascii()
}

/// The header names that a `Connection` value lists, lower-cased: they are hop-by-hop for this message.
pub fn connection_options(value: &str) -> impl Iterator<Item = String> {
    value.split(',').map(|option| option.trim().to_ascii_lowercase()).filter(|option| !option.is_empty())
}

/// Labels of one `X-OllamaFlow-Label` header value, in order, empty ones dropped.
///
/// Bytes, since a header value need not be text: a label that cannot be read must match nothing, and never be
/// left out of what is demanded.
pub fn labels(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|label| !label.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_options_are_split_trimmed_and_lower_cased() {
        let options: Vec<String> = connection_options("Keep-Alive, X-Private ,,close").collect();
        assert_eq!(options, ["keep-alive", "x-private", "close"]);
    }

    #[test]
    fn content_headers_are_end_to_end() {
        for name in ["content-type", "content-encoding", "set-cookie", "authorization", "retry-after"] {
            assert!(!is_hop_by_hop(name), "{name}");
        }
    }

    #[test]
    fn labels_of_one_value_are_split_at_commas() {
        assert_eq!(labels(b" eu, gpu ,,").collect::<Vec<_>>(), [&b"eu"[..], b"gpu"]);
        assert_eq!(labels("größe,eu".as_bytes()).next(), Some("größe".as_bytes()));
        assert_eq!(labels(b"\xff").count(), 1);
    }
}
