//! An answer that comes line by line: the progress of a pull, the words of a model.

use std::time::Duration;

use awc::ClientResponse;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;

use super::{RemoteError, broken, unusable};

/// Longest silence within an answer. A node bounds that of a backend itself; this is for one that has vanished.
const SILENCE: Duration = Duration::from_secs(600);

/// Longest line; more than any backend sends in one.
const MAX_LINE: usize = 8 * 1024 * 1024;

/// The lines of an answer, as they come.
pub(in crate::cli) struct Lines {
    response: ClientResponse,
    url: String,
    /// What has come and was not given out.
    held: BytesMut,
    is_ended: bool,
}

// === Lines ===

impl Lines {
    pub(super) fn new(response: ClientResponse, url: String) -> Self {
        Self { response, url, held: BytesMut::new(), is_ended: false }
    }

    /// The value of a header.
    pub(in crate::cli) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// The next line that is not empty, without its end; none after the last.
    pub(in crate::cli) async fn next(&mut self) -> Result<Option<Bytes>, RemoteError> {
        loop {
            while let Some(line) = self.take() {
                if !line.trim_ascii().is_empty() {
                    return Ok(Some(line));
                }
            }
            if self.is_ended {
                return Ok(None);
            }
            if self.held.len() > MAX_LINE {
                return Err(unusable(&self.url, "a line of it is too long"));
            }
            let silent = |_| RemoteError::Silent { url: self.url.clone(), seconds: SILENCE.as_secs() };
            let next = actix_web::rt::time::timeout(SILENCE, self.response.next()).await.map_err(silent)?;
            match next {
                Some(piece) => {
                    self.held.extend_from_slice(&piece.map_err(|error| broken(&self.url, &error))?);
                }
                None => self.is_ended = true,
            }
        }
    }

    /// A line that is there; at the end also one without a line break.
    fn take(&mut self) -> Option<Bytes> {
        match self.held.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                let mut line = self.held.split_to(end + 1);
                line.truncate(end);
                Some(line.freeze())
            }
            None if self.is_ended && !self.held.is_empty() => Some(self.held.split().freeze()),
            None => None,
        }
    }
}
