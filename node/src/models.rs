//! Models at the backends: who may work on which, and what is done so that each backend has what it should.
//!
//! In: the applied state of the cluster and what the backends' actors publish. Out: calls to backends, each under a claim
//! that all nodes agree on.
//!
//! ```text
//! catalog, works (replicated) --+
//!                               +-> outlook -> plan -> reconciler -> claim -> deed -> call -> backend
//! views of the backends --------+        \-> matrix, for the admin API
//! ```

mod call;
mod claim;
mod deed;
mod notes;
mod outlook;
mod reconciler;
mod roll;

pub use self::claim::{Claim, ClaimError, Claims, Holding, LEASE, LeaseLost};
pub use self::notes::heed;
pub use self::outlook::Outlook;
pub use self::reconciler::Reconciling;
