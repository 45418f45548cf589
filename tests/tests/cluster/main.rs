//! The cluster
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failed unwrap fails the test, which is what is wanted; what is printed is shown with it"
)]

mod judge;
mod register;
