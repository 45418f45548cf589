//! Models at the backends: who may work on which, and what is done so that each backend has what it should.
//!
//! In: the applied state of the cluster and what the backends' actors publish. Out: calls to backends, each under a claim
//! that all nodes agree on.

mod claim;

pub use self::claim::{Claim, ClaimError, Claims, Holding, LEASE, LeaseLost};
