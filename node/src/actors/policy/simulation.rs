//! The policies against each other, on simulated backends with too little memory: a discrete-event simulation with its
//! own clock and a seeded generator, so that each run is the same.
//!
//! A backend is what Ollama's scheduler is: it takes requests in order, has room for some models, unloads the least
//! recently used one that nobody uses, loads one at a time, and whoever comes later waits behind it.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "small numbers"
)]

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};
use std::time::Duration;

use super::{
    Candidate, Choice, Situation, Warmth, least_connections, least_latency, model_affinity, prefix_affinity,
    random,
};

const MODELS: usize = 6;
const ROOM: usize = 2;
const PATIENCE: u64 = 3_000;
/// Milliseconds from a free slot and a loaded model to the first token.
const PROMPT: u64 = 300;

type Policy = fn(&Situation<'_>, u64) -> Option<Choice>;

/// What came out of a run.
#[derive(Debug)]
struct Report {
    loads: u32,
    p50: u64,
    p99: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    Loaded { server: usize, model: usize },
    Done { server: usize, model: usize, taken: u64 },
    Patience,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    model: usize,
    arrived: u64,
    taken: u64,
    service: u64,
}

struct Resident {
    model: usize,
    used: u64,
    users: u32,
    is_ready: bool,
}

struct Server {
    capacity: u32,
    in_flight: u32,
    residents: Vec<Resident>,
    pending: VecDeque<Request>,
    service: Option<f64>,
    load_times: [Option<Duration>; MODELS],
    first_token: Option<f64>,
    turn: u64,
}

struct World {
    policy: Option<Policy>,
    random: fastrand::Rng,
    now: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    scheduled: u64,
    servers: Vec<Server>,
    queue: VecDeque<Request>,
    mean_gap: f64,
    to_come: u32,
    loads: u32,
    first_tokens: Vec<u64>,
}

/// Runs `requests` through a policy, or through a plain rotation.
fn run(policy: Option<Policy>, per_second: f64, requests: u32, seed: u64) -> Report {
    let server = |capacity| Server {
        capacity,
        in_flight: 0,
        residents: Vec::new(),
        pending: VecDeque::new(),
        service: None,
        load_times: [None; MODELS],
        first_token: None,
        turn: 0,
    };
    let mut world = World {
        policy,
        random: fastrand::Rng::with_seed(seed),
        now: 0,
        events: BinaryHeap::new(),
        scheduled: 0,
        servers: [4, 3, 4, 2].map(server).into(),
        queue: VecDeque::new(),
        mean_gap: 1_000.0 / per_second,
        to_come: requests,
        loads: 0,
        first_tokens: Vec::new(),
    };
    world.schedule(0, Event::Arrival);
    while let Some(Reverse((at, _, event))) = world.events.pop() {
        world.now = at;
        world.happen(event);
    }
    assert_eq!(world.first_tokens.len(), requests as usize, "each request is answered once");
    world.first_tokens.sort_unstable();
    let quantile = |percent: usize| world.first_tokens[world.first_tokens.len() * percent / 100];
    Report { loads: world.loads, p50: quantile(50), p99: quantile(99) }
}

fn load_time(model: usize) -> u64 {
    [8_000, 5_000, 12_000, 15_000, 10_000, 20_000][model]
}

// === impl World ===

impl World {
    fn schedule(&mut self, after: u64, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse((self.now + after, self.scheduled, event)));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrival => self.arrive(),
            Event::Loaded { server, model } => {
                let load = Duration::from_millis(load_time(model));
                self.servers[server].load_times[model] = Some(load);
                self.servers[server].resident(model).unwrap().is_ready = true;
                self.advance(server);
            }
            Event::Done { server, model, taken } => {
                let now = self.now;
                let one = &mut self.servers[server];
                one.in_flight -= 1;
                let resident = one.resident(model).unwrap();
                (resident.users, resident.used) = (resident.users - 1, now);
                average(&mut one.service, now - taken);
                self.advance(server);
            }
            Event::Patience => {}
        }
        self.dispatch();
    }

    fn arrive(&mut self) {
        // Popular models first, in proportion to 1, 1/2, 1/3...
        let harmonic: f64 = (1..=MODELS).map(|rank| 1.0 / rank as f64).sum();
        let mut left = self.random.f64() * harmonic;
        let model = (0..MODELS - 1).find(|&model| {
            left -= 1.0 / (model + 1) as f64;
            left < 0.0
        });
        let service = self.random.u64(3_000..8_000);
        let model = model.unwrap_or(MODELS - 1);
        self.queue.push_back(Request { model, arrived: self.now, taken: 0, service });
        self.schedule(PATIENCE, Event::Patience);
        self.to_come -= 1;
        if self.to_come > 0 {
            let gap = -self.mean_gap * (1.0 - self.random.f64()).ln();
            self.schedule(gap as u64, Event::Arrival);
        }
    }

    /// Gives waiting requests to servers, the first come first.
    fn dispatch(&mut self) {
        let mut place = 0;
        while let Some(&request) = self.queue.get(place) {
            let Some(server) = self.choose(&request) else {
                place += 1;
                continue;
            };
            self.queue.remove(place);
            let one = &mut self.servers[server];
            one.in_flight += 1;
            one.turn += 1;
            one.pending.push_back(Request { taken: self.now, ..request });
            self.advance(server);
        }
    }

    fn choose(&mut self, request: &Request) -> Option<usize> {
        let free = |one: &&usize| self.servers[**one].in_flight < self.servers[**one].capacity;
        let places: Vec<usize> = (0..self.servers.len()).collect();
        let (ready, busy): (Vec<usize>, Vec<usize>) = places.iter().partition(free);
        let Some(policy) = self.policy else {
            return ready.into_iter().min_by_key(|&one| self.servers[one].turn);
        };
        let ids = ["gpu-1", "gpu-2", "gpu-3", "gpu-4"];
        let view = |&one: &usize| self.servers[one].view(ids[one], request.model);
        let situation = Situation {
            ready: &ready.iter().map(view).collect::<Vec<_>>(),
            busy: &busy.iter().map(view).collect::<Vec<_>>(),
            patience: Duration::from_millis((request.arrived + PATIENCE).saturating_sub(self.now)),
            key: Some(request.model as u64),
        };
        match policy(&situation, self.random.u64(..))? {
            Choice::Take { index, .. } => Some(ready[index]),
            Choice::Wait => {
                assert!(!situation.patience.is_zero(), "waited without patience");
                None
            }
        }
    }

    /// Starts what a server can start.
    fn advance(&mut self, server: usize) {
        while let Some(&request) = self.servers[server].pending.front() {
            let now = self.now;
            let one = &mut self.servers[server];
            match one.resident(request.model) {
                Some(resident) if !resident.is_ready => return,
                Some(resident) => {
                    (resident.users, resident.used) = (resident.users + 1, now);
                    one.pending.pop_front();
                    let first_token = now + PROMPT - request.arrived;
                    average(&mut one.first_token, now + PROMPT - request.taken);
                    self.first_tokens.push(first_token);
                    let done = Event::Done { server, model: request.model, taken: request.taken };
                    self.schedule(PROMPT + request.service, done);
                }
                None => {
                    if !one.make_room() {
                        return;
                    }
                    one.residents.push(Resident {
                        model: request.model,
                        used: now,
                        users: 0,
                        is_ready: false,
                    });
                    self.loads += 1;
                    self.schedule(load_time(request.model), Event::Loaded { server, model: request.model });
                    return;
                }
            }
        }
    }
}

fn average(mean: &mut Option<f64>, sample: u64) {
    let sample = sample as f64 / 1_000.0;
    *mean = Some(mean.map_or(sample, |mean| mean * 0.9 + sample * 0.1));
}

// === impl Server ===

impl Server {
    fn resident(&mut self, model: usize) -> Option<&mut Resident> {
        self.residents.iter_mut().find(|one| one.model == model)
    }

    /// Unloads a model that nobody uses, if there is no room.
    fn make_room(&mut self) -> bool {
        if self.residents.iter().any(|one| !one.is_ready) {
            return false;
        }
        if self.residents.len() < ROOM {
            return true;
        }
        let idle = self.residents.iter().enumerate().filter(|(_, one)| one.users == 0);
        let Some(victim) = idle.min_by_key(|(_, one)| one.used).map(|(index, _)| index) else { return false };
        self.residents.remove(victim);
        true
    }

    /// What the node knows: what is in memory, and what it has sent there.
    fn view<'a>(&self, id: &'a str, model: usize) -> Candidate<'a> {
        let mut known: BTreeSet<usize> = self.residents.iter().map(|one| one.model).collect();
        known.extend(self.pending.iter().map(|one| one.model));
        let measured = self.load_times.iter().flatten();
        let any = measured.clone().sum::<Duration>().checked_div(measured.count() as u32);
        Candidate {
            id,
            weight: 1,
            in_flight: self.in_flight,
            capacity: self.capacity,
            first_token: self.first_token.map(Duration::from_secs_f64),
            service: self.service.map(Duration::from_secs_f64),
            warmth: if known.contains(&model) { Warmth::Loaded } else { Warmth::OnDisk },
            load_time: self.load_times[model].or(any),
            residents: known.len() as u32,
            key: None,
        }
    }
}

#[test]
fn model_affinity_needs_at_most_a_third_of_the_loads_and_has_the_best_slowest_answers() {
    // With all models in place the servers' slots are good for 2.2 requests a second, at which all of them are busy.
    for per_second in [0.1, 0.5, 0.8, 1.4] {
        for seed in [1, 2] {
            let affinity = run(Some(model_affinity), per_second, 300, seed);
            let rotation = run(None, per_second, 300, seed);
            let what = format!("{per_second} a second, seed {seed}: {affinity:?} against {rotation:?}");
            assert!(affinity.loads * 3 <= rotation.loads, "{what}");
            assert!(affinity.p50 <= rotation.p50, "{what}");
            for other in [random as Policy, least_connections, least_latency, prefix_affinity] {
                let other = run(Some(other), per_second, 300, seed);
                assert!(affinity.p99 < other.p99.min(rotation.p99), "{what} and {other:?}");
            }
        }
    }
}
