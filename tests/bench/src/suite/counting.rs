//! Deterministic costs: system calls and user instructions per request and per chunk, each as the difference of a longer
//! and a shorter run, so that start-up, warm-up and timers cancel out.

use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use super::Suite;
use crate::clock::CpuTime;
use crate::load::closed_loop;
use crate::load::request::{self, Api, SHORT_BODY_BYTES, SMALL_BODY_BYTES};
use crate::load::streams::{self, Shape};
use crate::measure::instructions::{self, Whose};
use crate::measure::syscalls::{self, SyscallCounts};
use crate::plan::{COUNTING_CONCURRENCY, COUNTING_STREAMS};
use crate::proxies::process::Running;
use crate::proxies::{Site, Target};
use crate::samples::{InstructionSample, Samples, SyscallSample};
use crate::summary::as_f64;
use crate::wire::script::Script;

/// How long a proxy may take until it relays under valgrind.
const SLOW_START: Duration = Duration::from_secs(90);

/// How long it may take to end: valgrind writes its files then.
const SLOW_STOP: Duration = Duration::from_secs(60);

/// One of the two kinds of work that are counted.
#[derive(Debug, Clone, Copy)]
enum Work {
    /// So many small requests.
    Requests(u64),
    /// So many chunks on each of [`COUNTING_STREAMS`] streams.
    Chunks(u32),
}

impl Suite {
    /// System calls of every proxy; one that cannot be traced becomes a note.
    pub(super) async fn count_syscalls(&self, proxies: &[Running], samples: &mut Samples) {
        for proxy in proxies.iter().filter(|proxy| proxy.target() != Target::Direct) {
            match self.syscall_sample(proxy).await {
                Ok(sample) => samples.syscalls.push(sample),
                Err(error) => {
                    samples.notes.push(format!("system calls of {}: {error}", proxy.target().label()));
                }
            }
        }
    }

    async fn syscall_sample(&self, proxy: &Running) -> io::Result<SyscallSample> {
        let scratch = tempfile::tempdir()?;
        let tree = proxy.tree().ok_or_else(|| io::Error::other("it has ended"))?;
        let trace = async |work: Work| -> io::Result<SyscallCounts> {
            let load = self.load(proxy.addr(), work);
            let (counts, done) = syscalls::during(tree.pids(), scratch.path(), load).await?;
            done.map(|()| counts)
        };
        let [few, many] = self.plan.traced_requests;
        let (shorter, longer) = (trace(Work::Requests(few)).await?, trace(Work::Requests(many)).await?);
        let per_request = SyscallCounts::per_unit(&longer, &shorter, many - few);

        let [few, many] = self.plan.traced_chunks;
        let (shorter, longer) = (trace(Work::Chunks(few)).await?, trace(Work::Chunks(many)).await?);
        let chunks = u64::from(many - few) * u64::from(COUNTING_STREAMS);
        let per_chunk = SyscallCounts::per_unit(&longer, &shorter, chunks);
        Ok(SyscallSample { target: proxy.target(), per_request, per_chunk })
    }

    /// Instructions of the chosen proxies; one that cannot be counted becomes a note.
    pub(super) async fn count_instructions(&self, samples: &mut Samples) {
        for &target in &self.callgrind {
            match self.instruction_sample(target).await {
                Ok(sample) => samples.instructions.push(sample),
                Err(error) => samples.notes.push(format!("instructions of {}: {error}", target.label())),
            }
        }
    }

    async fn instruction_sample(&self, target: Target) -> io::Result<InstructionSample> {
        // nginx's workers write their counts as another user.
        let scratch = tempfile::tempdir()?;
        std::fs::set_permissions(scratch.path(), Permissions::from_mode(0o777))?;
        let [few, many] = self.plan.counted_requests;
        let shorter = self.counted(target, scratch.path(), Work::Requests(few)).await?;
        let longer = self.counted(target, scratch.path(), Work::Requests(many)).await?;
        let per_request = as_f64(longer.saturating_sub(shorter)) / as_f64(many - few);

        let [few, many] = self.plan.counted_chunks;
        let shorter = self.counted(target, scratch.path(), Work::Chunks(few)).await?;
        let longer = self.counted(target, scratch.path(), Work::Chunks(many)).await?;
        let chunks = u64::from(many - few) * u64::from(COUNTING_STREAMS);
        let per_chunk = as_f64(longer.saturating_sub(shorter)) / as_f64(chunks);
        Ok(InstructionSample { target, per_request, per_chunk })
    }

    async fn counted(&self, target: Target, scratch: &Path, work: Work) -> io::Result<u64> {
        let load = async |addr| self.load(addr, work).await;
        counted(target, &self.site, scratch, Whose::All, load).await?;
        instructions::collect(scratch)
    }

    /// Exactly this work; an error if not all of it succeeded, since a count of failures means nothing.
    async fn load(&self, addr: SocketAddr, work: Work) -> io::Result<()> {
        match work {
            Work::Requests(requests) => small_requests(addr, self.api, requests).await,
            Work::Chunks(chunks) => {
                let script = Script::Stream { chunks, interval_us: self.plan.interval_us };
                let bytes = request::chat(self.api, script, SHORT_BODY_BYTES);
                let limit = 5 * self.plan.stream_limit(chunks);
                let shape = Shape { streams: COUNTING_STREAMS, chunks, spread: Duration::ZERO, limit };
                let outcome = streams::run(addr, &bytes, shape, &CpuTime::default).await;
                all(u64::from(COUNTING_STREAMS), outcome.complete)
            }
        }
    }
}

/// Counts all instructions of a proxy from its start to its end, with `load` in between, into `scratch`.
pub(crate) async fn counted(
    target: Target,
    site: &Site,
    scratch: &Path,
    whose: Whose,
    load: impl AsyncFnOnce(SocketAddr) -> io::Result<()>,
) -> io::Result<()> {
    let wrapper = instructions::wrapper(scratch, whose);
    let proxy = Running::start(target, site, &wrapper, SLOW_START)
        .await
        .map_err(|error| io::Error::other(error.to_string()))?;
    let done = load(proxy.addr()).await;
    if proxy.stop_within(SLOW_STOP).await { done } else { Err(io::Error::from(io::ErrorKind::TimedOut)) }
}

/// Exactly so many small requests.
pub(crate) async fn small_requests(addr: SocketAddr, api: Api, requests: u64) -> io::Result<()> {
    let bytes = request::chat(api, Script::Answer, SMALL_BODY_BYTES);
    let outcome = closed_loop::count(addr, bytes, COUNTING_CONCURRENCY, requests, &CpuTime::default).await;
    all(requests, outcome.completed)
}

fn all(wanted: u64, done: u64) -> io::Result<()> {
    if done == wanted { Ok(()) } else { Err(io::Error::other(format!("only {done} of {wanted} succeeded"))) }
}
