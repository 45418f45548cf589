//! The store against openraft's suite, reopening, damage, failing disks and `kill -9`.

mod faults;
mod suite;

pub(super) use self::faults::Faults;
