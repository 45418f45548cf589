//! The trouble: backends that die and come back, and faults that change all the time, until the weather clears up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;

use super::order;
use super::world::World;
use crate::simulated::{EndBy, Fault, FaultKind};

/// Time between two changes.
const CHANGE_MS: std::ops::Range<u64> = 60..250;

/// How long a backend that was killed stays dead.
const DEATH_MS: std::ops::Range<u64> = 100..1200;

/// Backends that are dead at once, at most.
const DEAD_AT_ONCE: usize = 2;

/// Changing weather, on a thread of its own: orders to simulated backends are waited for.
pub(super) struct Weather {
    clears: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Begins.
#[expect(clippy::panic, reason = "without a thread there is no soak")]
pub(super) fn start(world: Arc<World>, seed: u64) -> Weather {
    let clears = Arc::new(AtomicBool::new(false));
    let until = Arc::clone(&clears);
    let thread = std::thread::Builder::new()
        .name("weather".to_owned())
        .spawn(move || rage(&world, &until, fastrand::Rng::with_seed(seed)))
        .unwrap_or_else(|e| panic!("no thread for the weather: {e}"));
    Weather { clears, thread }
}

impl Weather {
    /// Ends it: all backends run and work.
    pub(super) async fn clear_up(self) {
        self.clears.store(true, Ordering::Relaxed);
        drop(tokio::task::spawn_blocking(move || self.thread.join()).await);
    }
}

fn rage(world: &World, clears: &AtomicBool, mut dice: fastrand::Rng) {
    // Who is dead, and until when.
    let mut dead: Vec<(usize, Instant)> = Vec::new();
    while !clears.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(dice.u64(CHANGE_MS)));
        dead.retain(|(index, until)| {
            let stays = Instant::now() < *until;
            if !stays {
                world.backends[*index].restart();
            }
            stays
        });
        let index = dice.usize(0..world.backends.len());
        let is_dead = dead.iter().any(|(other, _)| *other == index);
        if is_dead {
            continue;
        }
        if dead.len() < DEAD_AT_ONCE && dice.u8(0..4) == 0 {
            world.backends[index].stop();
            world.count_kill();
            dead.push((index, Instant::now() + Duration::from_millis(dice.u64(DEATH_MS))));
        } else {
            world.backends[index].set_faults(faults(&mut dice));
        }
    }
    for (index, _) in dead {
        world.backends[index].restart();
    }
    world.backends.iter().for_each(crate::simulated::SimulatedBackend::clear_faults);
}

/// The faults of the next moments: mostly some of each kind, sometimes many of one, sometimes none.
fn faults(dice: &mut fastrand::Rng) -> Vec<Fault> {
    let all = kinds(dice);
    match dice.u8(0..6) {
        0 | 1 => Vec::new(),
        2 => vec![all[dice.usize(0..all.len())].clone().probability(0.5)],
        _ => all.into_iter().map(|fault| fault.probability(0.012)).collect(),
    }
}

fn kinds(dice: &mut fastrand::Rng) -> Vec<Fault> {
    // Before the end of each text.
    let mut frames = || dice.u64(1..order::FEWEST_WORDS);
    let busy = |status| FaultKind::Answer {
        status,
        headers: vec![("Retry-After".to_owned(), "1".to_owned())],
        // The words of neither API would do for both, and a backend's words are passed on.
        body: None,
        body_base64: None,
    };
    let kinds = [
        FaultKind::CloseBeforeHeaders { by: EndBy::Reset },
        FaultKind::CloseBeforeHeaders { by: EndBy::Fin },
        FaultKind::CloseOnReuse { by: EndBy::Reset },
        FaultKind::StaleKeepAlive { after_ms: 0 },
        FaultKind::HangBeforeHeaders { for_ms: None },
        FaultKind::HangBeforeHeaders { for_ms: Some(300) },
        FaultKind::HangAfterHeaders { for_ms: None },
        FaultKind::HangMidStream { after_frames: frames(), for_ms: None },
        FaultKind::HangMidStream { after_frames: frames(), for_ms: Some(200) },
        FaultKind::ResetAfter { frames: 0 },
        FaultKind::ResetAfter { frames: frames() },
        FaultKind::CloseAfter { frames: frames() },
        FaultKind::EndWithoutMarker { after_frames: Some(frames()) },
        FaultKind::EndWithoutMarker { after_frames: None },
        FaultKind::error_frame(frames()),
        FaultKind::BadChunkHeader { after_frames: frames() },
        FaultKind::TruncatedLength { missing: 10 },
        FaultKind::SlowBytes { interval_ms: 2, bytes: 40, head: true },
        FaultKind::split_frames(9),
        FaultKind::Coalesce,
        FaultKind::status(500),
        FaultKind::status(502),
        busy(429),
        busy(503),
        FaultKind::status(400),
        FaultKind::Interim { statuses: vec![103] },
        FaultKind::ChunkExtras {
            extension: ";a=b".to_owned(),
            trailers: vec![("X-End".to_owned(), json!(1).to_string())],
        },
    ];
    // Its words are those of one API only.
    let early = FaultKind::EarlyResponse { status: 413, linger: true }.path("/api/");
    kinds.into_iter().map(Fault::from).chain([early]).collect()
}
