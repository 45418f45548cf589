//! The way to an actor, which counts what it has not taken yet: actix tells nobody how full a mailbox is.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use actix::dev::ToEnvelope;
use actix::prelude::*;

/// How many messages wait for an actor. It belongs to the handle: actors come and go.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting(Arc<AtomicU32>);

/// An actor that gets letters with such messages.
pub(super) trait Takes<M>: Actor {
    /// What it does with one.
    fn take(&mut self, message: M, ctx: &mut Self::Context);
}

/// The address of an actor.
pub(super) struct Mailbox<A: Actor> {
    address: Addr<A>,
    waiting: Waiting,
}

/// A message, counted until the actor takes it or it is lost with the actor.
pub(super) struct Letter<M> {
    message: M,
    place: Place,
}

struct Place(Waiting);

// === impl Waiting ===

impl Waiting {
    pub(super) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    fn place(&self) -> Place {
        self.0.fetch_add(1, Ordering::Relaxed);
        Place(self.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Mailbox ===

impl<A: Actor> Mailbox<A> {
    pub(super) fn new(address: Addr<A>, waiting: &Waiting) -> Self {
        Self { address, waiting: waiting.clone() }
    }

    /// Whether the actor lives.
    pub(super) fn is_open(&self) -> bool {
        self.address.connected()
    }

    /// Tells the actor, however full its mailbox is.
    pub(super) fn tell<M>(&self, message: M)
    where
        M: Send + 'static,
        A: Takes<M> + Handler<Letter<M>>,
        A::Context: ToEnvelope<A, Letter<M>>,
    {
        self.address.do_send(Letter::new(message, &self.waiting));
    }

    /// Tells the actor unless its mailbox is full; whether it was told.
    pub(super) fn try_tell<M>(&self, message: M) -> bool
    where
        M: Send + 'static,
        A: Takes<M> + Handler<Letter<M>>,
        A::Context: ToEnvelope<A, Letter<M>>,
    {
        self.address.try_send(Letter::new(message, &self.waiting)).is_ok()
    }
}

impl<A: Actor> fmt::Debug for Mailbox<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

// === impl Letter ===

impl<M> Letter<M> {
    pub(super) fn new(message: M, waiting: &Waiting) -> Self {
        Self { message, place: waiting.place() }
    }

    /// The actor takes it.
    pub(super) fn open(self) -> M {
        drop(self.place);
        self.message
    }
}

impl<M: 'static> Message for Letter<M> {
    type Result = ();
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Reader;

    struct News;

    impl Actor for Reader {
        type Context = Context<Self>;
    }

    impl Takes<News> for Reader {
        fn take(&mut self, _: News, ctx: &mut Context<Self>) {
            ctx.stop();
        }
    }

    impl<M: 'static> Handler<Letter<M>> for Reader
    where
        Self: Takes<M>,
    {
        type Result = ();

        fn handle(&mut self, letter: Letter<M>, ctx: &mut Context<Self>) {
            self.take(letter.open(), ctx);
        }
    }

    #[actix_rt::test]
    async fn letters_wait_until_the_actor_takes_them_or_is_gone() {
        let waiting = Waiting::default();
        let mailbox = Mailbox::new(Reader.start(), &waiting);
        for number in 1..=3 {
            mailbox.tell(News);
            assert_eq!(waiting.count(), number, "the actor has not run yet");
        }
        // The first one ends it, and the others are lost with it.
        while mailbox.is_open() || waiting.count() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(!mailbox.try_tell(News));
        assert_eq!(waiting.count(), 0);
    }
}
