//! What the kernel and tools say about a process and about the machine. In: process ids; out: numbers. Knows nothing of
//! proxies or of the load.

pub(crate) mod instructions;
pub(crate) mod machine;
pub(crate) mod process;
pub(crate) mod syscalls;
