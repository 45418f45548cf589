//! One request and the head of its response on one connection, both directions at the same time.
//!
//! In go a connection, a request head and a body; out comes a [`Response`], or a [`Failure`] that says whether a byte of
//! an answer had arrived. Reading does not wait for the upload: a server that answers early (413, 429) is heard, the
//! rest of the body is not sent, and the connection is not used again.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http::Method;

use super::body::RequestBody;
use super::client::Shared;
use super::decode::{Head, HeadDecoder};
use super::error::SendError;
use super::head::RequestHead;
use super::io::Io;
use super::response::{Intake, Response, ResponseBody};
use super::target::Target;
use super::upload::{Upload, UploadError};

/// Why there is no response.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: SendError,
    /// The connection failed before a byte of an answer: if it was a reused one, it had most likely been closed while
    /// it was idle, and the server has not seen the request.
    pub(super) stale: bool,
}

/// Sends the request over `io` and waits for the response head.
pub(super) async fn exchange(
    shared: &Rc<Shared>,
    target: &Target,
    io: Io,
    reused: bool,
    head: &RequestHead,
    body: &mut RequestBody,
) -> Result<Response, Failure> {
    let mut exchange = Exchange {
        shared,
        io,
        upload: Upload::new(target, head, body),
        sending: Sending::Going,
        decoder: HeadDecoder::new(head.method() == Method::HEAD, shared.limits),
    };
    let (head, intake) = poll_fn(|cx| exchange.poll(cx)).await?;
    let reusable = head.framing.reusable && matches!(exchange.sending, Sending::Done);
    let pool_key = reusable.then(|| target.id());
    let body = ResponseBody::new(head.framing.kind, exchange.io, intake, pool_key, Rc::clone(shared));
    Ok(Response { status: head.status, headers: head.headers, body, reused })
}

struct Exchange<'a> {
    shared: &'a Rc<Shared>,
    io: Io,
    upload: Upload<'a>,
    sending: Sending,
    decoder: HeadDecoder,
}

enum Sending {
    Going,
    Done,
    /// Writing failed; an answer may have been sent before that, so reading goes on until the connection says more.
    Broken(io::Error),
}

impl Exchange<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Head, Intake), Failure>> {
        if let Sending::Going = self.sending {
            match self.upload.poll(cx, &mut self.io) {
                Poll::Ready(Ok(())) => self.sending = Sending::Done,
                Poll::Ready(Err(UploadError::Write(error))) => self.sending = Sending::Broken(error),
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Err(Failure { error: error.into(), stale: false }));
                }
                Poll::Pending => {}
            }
        }
        self.poll_head(cx)
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Head, Intake), Failure>> {
        let mut scratch = self.shared.scratch.borrow_mut();
        loop {
            let count = match ready!(self.io.poll_read(cx, &mut scratch)) {
                Ok(count) if count > 0 => count,
                Ok(_) => return Poll::Ready(Err(self.closed(None))),
                Err(error) => return Poll::Ready(Err(self.closed(Some(error)))),
            };
            match self.decoder.decode(&scratch[..count]) {
                Ok((used, Some(head))) => {
                    let intake =
                        Intake::begin(head.framing.kind, self.shared.limits, &mut scratch[used..count]);
                    return Poll::Ready(Ok((head, intake)));
                }
                Ok((_, None)) => {}
                Err(fault) => return Poll::Ready(Err(Failure { error: fault.into(), stale: false })),
            }
        }
    }

    /// The connection ended or failed before the head was complete.
    fn closed(&mut self, error: Option<io::Error>) -> Failure {
        let error = error.filter(|error| error.kind() != io::ErrorKind::UnexpectedEof);
        if self.decoder.has_begun() {
            return Failure { error: error.map_or(SendError::TruncatedHead, SendError::Read), stale: false };
        }
        let error = match (std::mem::replace(&mut self.sending, Sending::Done), error) {
            (Sending::Broken(error), _) => SendError::Write(error),
            (_, Some(error)) => SendError::Read(error),
            (_, None) => SendError::ClosedBeforeHead,
        };
        Failure { error, stale: true }
    }
}
