//! What a client asks for: an API, a text that no other request has, and whether and when the client leaves.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::Request;

/// The model that all backends have.
pub(super) const MODEL: &str = "m";

/// Hosts of the two frontends.
pub(super) const HOSTS: [&str; 2] = ["plain", "resuming"];

/// Words of a text, at least. Each is a frame.
pub(super) const FEWEST_WORDS: u64 = 8;

/// Words of a text, at least and at most.
const WORDS: std::ops::Range<u64> = FEWEST_WORDS..33;

/// One in so many clients leaves early.
const LEAVERS: u32 = 8;

/// Clients that leave before the head do so after this time: long enough for the node to have read the request, without
/// which it could not have counted it.
const BEFORE_HEAD_MS: std::ops::Range<u64> = 150..700;

/// The API that is spoken. Plain completions are not among them: there an engine goes on after a text and echoes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Api {
    Chat,
    Generate,
    OpenAiChat,
}

/// When a client leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// After this time, if the head has not come by then.
    BeforeHead(Duration),
    /// After so many pieces of the answer, by a reset or by closing.
    AfterPieces { count: u64, by_reset: bool },
}

/// A request and what is expected of its answer.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub api: Api,
    pub stream: bool,
    /// What is asked and, since the backends echo, the whole answer.
    pub text: String,
    pub leave: Option<Leave>,
    pub host: &'static str,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { api, stream, text, leave, host } = self;
        let words = text.split(' ').count();
        write!(f, "{api:?} at {host}, stream {stream}, {words} words, leaves {leave:?}")
    }
}

impl Order {
    /// The order of this number.
    pub(super) fn draw(number: u64, dice: &mut fastrand::Rng) -> Self {
        let api = match dice.u8(0..10) {
            0..4 => Api::Chat,
            4..6 => Api::Generate,
            _ => Api::OpenAiChat,
        };
        let words: Vec<String> = (0..dice.u64(WORDS)).map(|place| format!("w{number}.{place}")).collect();
        let leave = (dice.u32(0..LEAVERS) == 0).then(|| {
            if dice.bool() {
                Leave::BeforeHead(Duration::from_millis(dice.u64(BEFORE_HEAD_MS)))
            } else {
                Leave::AfterPieces { count: dice.u64(0..6), by_reset: dice.bool() }
            }
        });
        Self {
            api,
            stream: dice.u8(0..4) > 0,
            text: words.join(" "),
            leave,
            host: HOSTS[dice.usize(0..HOSTS.len())],
        }
    }

    /// As it is sent.
    pub(super) fn request(&self) -> Request {
        let messages = || json!([{ "role": "user", "content": self.text }]);
        let (path, mut body): (_, Value) = match self.api {
            Api::Chat => ("/api/chat", json!({ "messages": messages() })),
            Api::Generate => ("/api/generate", json!({ "prompt": self.text })),
            Api::OpenAiChat => ("/v1/chat/completions", json!({ "messages": messages() })),
        };
        body["model"] = json!(MODEL);
        body["stream"] = json!(self.stream);
        Request::post(path).host(self.host).json(&body)
    }
}
