//! What the load generator and the upstream agree on, carried through the proxy under test inside ordinary HTTP:
//! the header that tells the upstream how to behave ([`script`]) and the send stamp in each chunk ([`stamp`]).
//! Neither side knows the other; both know only this.

pub(crate) mod script;
pub(crate) mod stamp;
