//! Frames to bytes: chunked coding, and the ways of delivery (in drops, split, coalesced) that faults ask for.

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::simulated::fault::SplitUnit;
use crate::simulated::fault_book::{Delivery, Drip, Split};
use crate::simulated::link::{ClientGone, Link};

/// Coalesced frames above this are sent before the end.
const GATHER_LIMIT_BYTES: usize = 1024 * 1024;

/// How payload becomes body bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Chunked,
    /// As it is: delimited by length or by closing.
    Plain,
}

/// The sending side of one answer.
pub(super) struct Wire<'c> {
    pub link: &'c mut Link,
    delivery: Delivery,
    coding: Coding,
    /// A head not sent yet.
    head: BytesMut,
    /// Payload not sent yet, when frames are coalesced.
    gathered: BytesMut,
}

impl<'c> Wire<'c> {
    pub(super) fn new(link: &'c mut Link, delivery: Delivery) -> Self {
        Self { link, delivery, coding: Coding::Plain, head: BytesMut::new(), gathered: BytesMut::new() }
    }

    pub(super) fn coding(&self) -> Coding {
        self.coding
    }

    /// Takes the head; it goes out with what comes next.
    pub(super) fn begin(&mut self, coding: Coding, head: &[u8]) {
        self.coding = coding;
        self.head.extend_from_slice(head);
    }

    /// Sends the payload of one frame.
    pub(super) async fn frame(&mut self, payload: &Bytes) -> Result<(), ClientGone> {
        if payload.is_empty() {
            return Ok(());
        }
        if self.delivery.coalesce {
            self.gathered.extend_from_slice(payload);
            return if self.gathered.len() > GATHER_LIMIT_BYTES { self.flush().await } else { Ok(()) };
        }
        if let Some(split) = self.delivery.split {
            return self.split_frame(split, payload).await;
        }
        let body = self.coded(payload);
        self.body(&body).await
    }

    /// Sends bytes as they are.
    pub(super) async fn raw(&mut self, bytes: &[u8]) -> Result<(), ClientGone> {
        self.flush().await?;
        self.link.send(bytes).await
    }

    /// Sends what is held back.
    pub(super) async fn flush(&mut self) -> Result<(), ClientGone> {
        let gathered = self.gathered.split();
        let body = if gathered.is_empty() { BytesMut::new() } else { self.coded(&gathered) };
        self.body(&body).await
    }

    /// Ends the body, with the coalesced frames in the same write.
    pub(super) async fn finish(&mut self) -> Result<(), ClientGone> {
        let gathered = self.gathered.split();
        let mut body = if gathered.is_empty() { BytesMut::new() } else { self.coded(&gathered) };
        if self.coding == Coding::Chunked {
            body.extend_from_slice(format!("0{}\r\n", self.delivery.extension).as_bytes());
            for (name, value) in &self.delivery.trailers {
                body.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            }
            body.extend_from_slice(b"\r\n");
        }
        self.body(&body).await
    }

    async fn split_frame(&mut self, split: Split, payload: &Bytes) -> Result<(), ClientGone> {
        let Some(at) = cut_point(split.offset, payload.len()) else {
            let body = self.coded(payload);
            return self.body(&body).await;
        };
        let (first, second) = match split.unit {
            SplitUnit::Chunks => (self.coded(&payload[..at]), self.coded(&payload[at..])),
            SplitUnit::Writes => {
                let mut whole = self.coded(payload);
                let overhead = match self.coding {
                    Coding::Chunked => whole.len() - payload.len() - 2,
                    Coding::Plain => 0,
                };
                let first = whole.split_to(overhead + at);
                (first, whole)
            }
        };
        self.body(&first).await?;
        self.link.watched(tokio::time::sleep(split.gap)).await?;
        self.body(&second).await
    }

    fn coded(&self, payload: &[u8]) -> BytesMut {
        let mut coded = BytesMut::with_capacity(payload.len() + 32);
        match self.coding {
            Coding::Plain => coded.extend_from_slice(payload),
            Coding::Chunked => {
                coded.extend_from_slice(
                    format!("{:x}{}\r\n", payload.len(), self.delivery.extension).as_bytes(),
                );
                coded.extend_from_slice(payload);
                coded.extend_from_slice(b"\r\n");
            }
        }
        coded
    }

    /// Puts body bytes, and the head before them, on the wire.
    async fn body(&mut self, bytes: &[u8]) -> Result<(), ClientGone> {
        let head = self.head.split();
        let Some(drip) = self.delivery.drip else {
            if head.is_empty() {
                return if bytes.is_empty() { Ok(()) } else { self.link.send(bytes).await };
            }
            let together = [head.as_ref(), bytes].concat();
            return self.link.send(&together).await;
        };
        if drip.head {
            self.drip(drip, &head).await?;
        } else if !head.is_empty() {
            self.link.send(&head).await?;
        }
        self.drip(drip, bytes).await
    }

    async fn drip(&mut self, drip: Drip, bytes: &[u8]) -> Result<(), ClientGone> {
        for drop in bytes.chunks(drip.bytes) {
            self.link.send(drop).await?;
            self.link.watched(tokio::time::sleep(drip.interval)).await?;
        }
        Ok(())
    }
}

/// Where a payload is cut so that both parts have bytes; nothing when it is too short.
fn cut_point(offset: i64, length: usize) -> Option<usize> {
    let last = length.checked_sub(1).filter(|last| *last > 0)?;
    let distance = usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX);
    let at = if offset < 0 { length.saturating_sub(distance) } else { distance };
    Some(at.clamp(1, last))
}

/// Now, as `Date` wants it.
pub(super) fn http_date() -> String {
    Timestamp::now().to_zoned(TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_leaves_bytes_on_both_sides() {
        assert_eq!(cut_point(3, 10), Some(3));
        assert_eq!(cut_point(-1, 10), Some(9));
        assert_eq!(cut_point(99, 10), Some(9));
        assert_eq!(cut_point(0, 10), Some(1));
        assert_eq!(cut_point(1, 1), None);
        assert_eq!(cut_point(1, 0), None);
    }
}
