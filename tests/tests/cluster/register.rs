//! The register by which linearizability is judged: one object with a revision, and what it may answer to a write, to
//! a write on condition and to a read. And the judge, which is `stateright`'s.
//!
//! In: a recorded history. Out: whether there is an order of its operations that explains every answer and respects
//! which operation ended before which other one began.

use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use stateright::semantics::{ConsistencyTester as _, LinearizabilityTester, SequentialSpec};

use self::Op::{Read, Swap, Write};
use self::Ret::{Stale, Value, Written};

/// How long the judge may think. Its search is exponential at worst; histories are kept short for it.
const VERDICT_PATIENCE: Duration = Duration::from_secs(120);

/// What a client asks of the register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Write this value.
    Write(u64),
    /// Write this value if the register is at this revision.
    Swap {
        /// The revision it must have.
        at: u64,
        /// The value.
        value: u64,
    },
    /// Read value and revision.
    Read,
}

/// What it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ret {
    /// The write made this revision.
    Written(u64),
    /// The register is at another revision.
    Stale,
    /// What it holds.
    Value {
        /// The value.
        value: u64,
        /// The revision at which it was written.
        revision: u64,
    },
}

/// The register. Revisions grow with every write, by how much is not said: other objects have a part in them.
#[derive(Debug, Clone)]
pub struct Register {
    value: u64,
    revision: Revision,
}

/// The revision of the register, as far as answers have told it.
#[derive(Debug, Clone, Copy)]
enum Revision {
    Exactly(u64),
    /// A write whose answer was never seen made it.
    Above(u64),
}

impl Register {
    /// A register that holds this.
    pub fn new(value: u64, revision: u64) -> Self {
        Self { value, revision: Revision::Exactly(revision) }
    }

    fn write(&mut self, value: u64, revision: Revision) {
        *self = Self { value, revision };
    }
}

impl Revision {
    fn lower_bound(self) -> u64 {
        match self {
            Self::Exactly(revision) | Self::Above(revision) => revision,
        }
    }

    fn may_be(self, revision: u64) -> bool {
        match self {
            Self::Exactly(exact) => exact == revision,
            Self::Above(bound) => revision > bound,
        }
    }
}

impl SequentialSpec for Register {
    type Op = Op;
    type Ret = Ret;

    /// For operations whose answer was never seen.
    fn invoke(&mut self, op: &Op) -> Ret {
        let bound = self.revision.lower_bound();
        match *op {
            Write(value) => self.write(value, Revision::Above(bound)),
            Swap { at, value } if self.revision.may_be(at) => self.write(value, Revision::Above(at)),
            Swap { .. } => return Stale,
            Read => return Value { value: self.value, revision: bound },
        }
        Written(bound)
    }

    fn is_valid_step(&mut self, op: &Op, ret: &Ret) -> bool {
        match (*op, *ret) {
            (Write(value), Written(revision)) if revision > self.revision.lower_bound() => {
                self.write(value, Revision::Exactly(revision));
                true
            }
            (Swap { at, value }, Written(revision)) if self.revision.may_be(at) && revision > at => {
                self.write(value, Revision::Exactly(revision));
                true
            }
            (Swap { at, .. }, Stale) => !matches!(self.revision, Revision::Exactly(exact) if exact == at),
            (Read, Value { value, revision }) if value == self.value && self.revision.may_be(revision) => {
                self.revision = Revision::Exactly(revision);
                true
            }
            _ => false,
        }
    }
}

// === History ===

/// What happened, in the order in which it happened.
#[derive(Debug, Default)]
pub struct History(Mutex<Vec<Event>>);

#[derive(Debug, Clone, Copy)]
enum Event {
    Invoked {
        thread: u64,
        op: Op,
    },
    Returned {
        thread: u64,
        ret: Ret,
    },
    /// The operation took no effect and never will.
    Withdrawn {
        thread: u64,
    },
}

impl History {
    /// A client is about to ask. A client whose operation has not ended must not ask again: it goes on as another one.
    pub fn invoked(&self, thread: u64, op: Op) {
        self.push(Event::Invoked { thread, op });
    }

    /// It was answered.
    pub fn returned(&self, thread: u64, ret: Ret) {
        self.push(Event::Returned { thread, ret });
    }

    /// It was told that nothing was done.
    pub fn withdrawn(&self, thread: u64) {
        self.push(Event::Withdrawn { thread });
    }

    fn push(&self, event: Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many operations were answered.
    pub fn answers(&self) -> usize {
        self.events().iter().filter(|event| matches!(event, Event::Returned { .. })).count()
    }

    /// Whether the history is linearizable for a register that begins like this. An error tells why there is no verdict.
    pub fn is_linearizable(&self, register: Register) -> Result<bool, String> {
        let events = self.events();
        // What is explained without the operations that were never answered is explained with them, and much sooner.
        let answered = judge(&without_unanswered(&events), register.clone());
        if answered == Ok(true) { answered } else { judge(&events, register) }
    }
}

fn judge(events: &[Event], register: Register) -> Result<bool, String> {
    let mut tester = LinearizabilityTester::new(register);
    for (place, event) in events.iter().enumerate() {
        match *event {
            Event::Invoked { thread, .. } if end(&events[place + 1..], thread) == End::Withdrawn => {}
            Event::Invoked { thread, op } => drop(tester.on_invoke(thread, op)?),
            Event::Returned { thread, ret } => drop(tester.on_return(thread, ret)?),
            Event::Withdrawn { .. } => {}
        }
    }
    let (sender, verdict) = mpsc::channel();
    std::thread::spawn(move || sender.send(tester.is_consistent()));
    let late = |_| format!("no verdict within {VERDICT_PATIENCE:?} on {} events", events.len());
    verdict.recv_timeout(VERDICT_PATIENCE).map_err(late)
}

fn without_unanswered(events: &[Event]) -> Vec<Event> {
    let kept = events.iter().enumerate().filter(|(place, event)| match **event {
        Event::Invoked { thread, .. } => end(&events[place + 1..], thread) == End::Answered,
        Event::Returned { .. } | Event::Withdrawn { .. } => true,
    });
    kept.map(|(_, event)| *event).collect()
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Answered,
    Withdrawn,
    Never,
}

/// How the operation ends that this client has under way before `later`.
fn end(later: &[Event], client: u64) -> End {
    let end = later.iter().find_map(|event| match *event {
        Event::Returned { thread, .. } if thread == client => Some(End::Answered),
        Event::Withdrawn { thread } if thread == client => Some(End::Withdrawn),
        _ => None,
    });
    end.unwrap_or(End::Never)
}
