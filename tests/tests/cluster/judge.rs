//! The judge of [`register`](super::register) is judged: made-up histories, right and wrong.

use super::register::Op::{self, Read, Swap, Write};
use super::register::Ret::{self, Stale, Value, Written};
use super::register::{History, Register};

use self::Step::{Asks, Hears, HearsNothingDone};

/// A history from a script: who, what, and the answer or none.
fn history(script: &[(u64, Step)]) -> History {
    let history = History::default();
    for (thread, step) in script {
        match *step {
            Asks(op) => history.invoked(*thread, op),
            Hears(ret) => history.returned(*thread, ret),
            HearsNothingDone => history.withdrawn(*thread),
        }
    }
    history
}

#[derive(Clone, Copy)]
enum Step {
    Asks(Op),
    Hears(Ret),
    HearsNothingDone,
}

/// The verdict on a script for a register that begins with 0 at revision 10.
fn verdict(script: &[(u64, Step)]) -> bool {
    history(script).is_linearizable(Register::new(0, 10)).unwrap()
}

#[test]
fn operations_after_each_other_are_linearizable() {
    assert!(verdict(&[
        (1, Asks(Write(1))),
        (1, Hears(Written(11))),
        (2, Asks(Read)),
        (2, Hears(Value { value: 1, revision: 11 })),
        (2, Asks(Swap { at: 11, value: 2 })),
        (2, Hears(Written(14))),
        (1, Asks(Swap { at: 11, value: 3 })),
        (1, Hears(Stale)),
    ]));
}

#[test]
fn a_stale_read_is_not_linearizable() {
    assert!(!verdict(&[
        (1, Asks(Write(1))),
        (1, Hears(Written(11))),
        (2, Asks(Read)),
        (2, Hears(Value { value: 0, revision: 10 })),
    ]));
}

#[test]
fn a_read_during_a_write_may_see_either_value() {
    for seen in [Value { value: 0, revision: 10 }, Value { value: 1, revision: 11 }] {
        assert!(verdict(&[(1, Asks(Write(1))), (2, Asks(Read)), (2, Hears(seen)), (1, Hears(Written(11))),]));
    }
}

#[test]
fn a_lost_acknowledged_write_is_not_linearizable() {
    assert!(!verdict(&[
        (1, Asks(Write(1))),
        (1, Hears(Written(11))),
        (1, Asks(Write(2))),
        (1, Hears(Written(12))),
        (2, Asks(Read)),
        (2, Hears(Value { value: 1, revision: 11 })),
    ]));
}

#[test]
fn a_write_that_is_made_twice_is_not_linearizable() {
    assert!(!verdict(&[
        (1, Asks(Write(1))),
        (1, Hears(Written(11))),
        (1, Asks(Write(2))),
        (1, Hears(Written(12))),
        (2, Asks(Read)),
        (2, Hears(Value { value: 1, revision: 13 })),
    ]));
}

#[test]
fn two_swaps_at_one_revision_are_not_linearizable() {
    assert!(!verdict(&[
        (1, Asks(Swap { at: 10, value: 1 })),
        (2, Asks(Swap { at: 10, value: 2 })),
        (1, Hears(Written(11))),
        (2, Hears(Written(12))),
    ]));
}

#[test]
fn a_write_without_an_answer_may_be_made_late_or_never() {
    let reads = |seen: Ret| {
        verdict(&[
            (1, Asks(Write(1))),
            (2, Asks(Read)),
            (2, Hears(Value { value: 0, revision: 10 })),
            (3, Asks(Read)),
            (3, Hears(seen)),
        ])
    };
    assert!(reads(Value { value: 1, revision: 11 }));
    assert!(reads(Value { value: 0, revision: 10 }));
    assert!(!reads(Value { value: 2, revision: 11 }));
}

#[test]
fn a_write_that_was_withdrawn_must_not_appear() {
    assert!(!verdict(&[
        (1, Asks(Write(1))),
        (1, HearsNothingDone),
        (1, Asks(Read)),
        (1, Hears(Value { value: 1, revision: 11 })),
    ]));
}

#[test]
fn a_history_as_long_as_those_of_the_suite_gets_its_verdict() {
    // Four clients in turn, every write overlapping with the next read of each; two writes stay without an answer.
    let recorded = History::default();
    recorded.invoked(100, Write(1000));
    recorded.invoked(101, Swap { at: 17, value: 1001 });
    let mut held = Value { value: 0, revision: 10 };
    for round in 0..5 {
        let (value, revision) = (round + 1, 11 + round);
        recorded.invoked(1, Write(value));
        for reader in 2..=4 {
            recorded.invoked(reader, Read);
        }
        recorded.returned(2, held);
        held = Value { value, revision };
        recorded.returned(3, held);
        recorded.returned(1, Written(revision));
        recorded.returned(4, held);
    }
    assert_eq!(recorded.is_linearizable(Register::new(0, 10)), Ok(true));
    recorded.invoked(2, Read);
    recorded.returned(2, Value { value: 3, revision: 13 });
    assert_eq!(recorded.is_linearizable(Register::new(0, 10)), Ok(false));
}
