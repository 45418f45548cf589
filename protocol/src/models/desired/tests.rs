use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::object::ApiFormat;

mod crowding;

const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
const ONE: Limits = Limits { pulls_per_backend: 1, pulls: 2, ..LIMITS };
const LIMITS: Limits = Limits {
    pulls_per_backend: 3,
    pulls: 8,
    loads_per_backend: 1,
    refresh_before: crate::time::Timespan::from_micros(120_000_000),
};

fn id(id: &str) -> BackendId {
    id.parse().unwrap()
}

fn disk(names: &[&str]) -> Disk {
    let models: Vec<_> = names.iter().map(|name| json!({"name": name, "digest": "d"})).collect();
    Disk::read(ApiFormat::Ollama, &Bytes::from(json!({ "models": models }).to_string())).unwrap()
}

fn memory(models: &[(&str, i64)]) -> Memory {
    let models: Vec<_> = models
        .iter()
        .map(|(name, seconds)| {
            let expires_at = Timestamp::from_micros(NOW.as_micros() + seconds * 1_000_000);
            json!({"name": name, "expires_at": expires_at})
        })
        .collect();
    Memory::read(&Bytes::from(json!({ "models": models }).to_string())).unwrap()
}

/// Backends with everything known of them.
struct World {
    backends: Vec<(BackendId, Disk, Memory)>,
    desired: Desired,
    ledger: Ledger,
}

impl World {
    fn new(backends: &[(&str, &[&str])]) -> Self {
        let known = |(name, models): &(&str, &[&str])| (id(name), disk(models), Memory::default());
        let backends = backends.iter().map(known).collect();
        Self { backends, desired: Desired::default(), ledger: Ledger::default() }
    }

    fn wants(mut self, backend: &str, wish: Wish, models: &[&str]) -> Self {
        self.desired.add(&id(backend), wish, models.iter().copied(), true);
        self
    }

    fn situations(&self) -> Vec<Situation<'_>> {
        self.backends
            .iter()
            .map(|(backend, disk, memory)| Situation {
                backend,
                available: true,
                manageable: true,
                disk: Some(disk),
                memory: Some(memory),
            })
            .collect()
    }

    fn plan(&self, limits: &Limits, now: Timestamp) -> Plan {
        plan(&self.desired, &self.situations(), &self.ledger, limits, 1, now)
    }

    fn begin(&mut self, plan: &Plan) {
        for action in &plan.actions {
            assert!(self.ledger.begin(action), "{action:?} runs already");
        }
    }

    fn fail(&mut self, action: &Action, message: &str) -> Failure {
        let disk = &self.backends.iter().find(|(backend, ..)| *backend == action.backend).unwrap().1;
        self.ledger.failed(action, message, Some(disk), 1, NOW, u64::MAX)
    }
}

fn pull(backend: &str, model: &str) -> Action {
    Action { backend: id(backend), kind: ActionKind::Pull, model: model.to_owned() }
}

fn standings(plan: &Plan) -> Vec<(&str, Standing)> {
    plan.verdicts.iter().map(|verdict| (verdict.model.as_str(), verdict.standing.clone())).collect()
}

#[test]
fn what_is_missing_is_pulled_once_and_any_tag_will_do() {
    let world = World::new(&[("b1", &["all-minilm:33m"]), ("b2", &[])])
        .wants("b1", Wish::Required, &["all-minilm", "LLAMA3.2", "library/llama3.2"])
        .wants("b2", Wish::Required, &["m", "m:7b"]);
    let plan = world.plan(&LIMITS, NOW);
    assert_eq!(plan.actions, [pull("b1", "LLAMA3.2"), pull("b2", "m:7b")]);
    assert_eq!(
        standings(&plan),
        [
            ("LLAMA3.2", Standing::Begins(ActionKind::Pull)),
            ("all-minilm", Standing::Fulfilled),
            ("m:7b", Standing::Begins(ActionKind::Pull)),
            ("m", Standing::Begins(ActionKind::Pull)),
        ]
    );
}

#[test]
fn limits_hold_and_every_backend_gets_its_first_before_any_gets_its_second() {
    let mut world = World::new(&[("b1", &[]), ("b2", &[]), ("b3", &[])]);
    for backend in ["b1", "b2", "b3"] {
        world = world.wants(backend, Wish::Required, &["x", "y"]);
    }
    let plan = world.plan(&Limits { pulls: 4, ..LIMITS }, NOW);
    assert_eq!(plan.actions, [pull("b1", "x"), pull("b2", "x"), pull("b3", "x"), pull("b1", "y")]);
    let first = world.plan(&ONE, NOW);
    assert_eq!(first.actions, [pull("b1", "x"), pull("b2", "x")]);
    world.begin(&first);
    world.ledger.progressed(&pull("b1", "x"), 40);
    let second = world.plan(&ONE, NOW);
    assert_eq!(second.actions, []);
    assert_eq!(
        standings(&second)[..3],
        [
            ("x", Standing::Running(ActionKind::Pull, Some(40))),
            ("y", Standing::Queued(ActionKind::Pull)),
            ("x", Standing::Running(ActionKind::Pull, None)),
        ]
    );
    world.ledger.abandoned(&pull("b1", "x"));
    assert_eq!(world.plan(&ONE, NOW).actions, [pull("b1", "x")]);
}

#[test]
fn no_more_than_eight_pulls_run_in_all_and_three_at_a_backend() {
    let names = ["b1", "b2", "b3", "b4"];
    let mut world = World::new(&names.map(|name| (name, &[][..])));
    for backend in names {
        world = world.wants(backend, Wish::Required, &["v", "w", "x", "y", "z"]);
    }
    let limits = Limits::default();
    let first = world.plan(&limits, NOW);
    let at = |backend: &str| first.actions.iter().filter(|action| action.backend == id(backend)).count();
    assert_eq!(names.map(at), [2, 2, 2, 2]);
    world.begin(&first);
    assert_eq!(world.plan(&limits, NOW).actions, []);
    world.ledger.abandoned(&first.actions[0]);
    assert_eq!(world.plan(&limits, NOW).actions.len(), 1);
    let alone = World::new(&[("b1", &[])]).wants("b1", Wish::Required, &["v", "w", "x", "y", "z"]);
    assert_eq!(alone.plan(&limits, NOW).actions.len(), 3);
}

#[test]
fn what_fails_at_the_same_time_is_not_tried_again_at_the_same_time() {
    let wait = |random| failure(0, "reset", None, 1, NOW, random).until_utc.since(NOW).as_micros();
    let waits: Vec<_> = (0..16).map(|sixteenth| wait(u64::MAX / 16 * sixteenth)).collect();
    assert!(waits.windows(2).all(|pair| pair[0] < pair[1]), "{waits:?}");
    assert!(waits[0] >= 15_000_000 && waits[15] <= 30_000_000 && waits[15] - waits[0] > 13_000_000);
}

#[test]
fn failures_are_tried_again_later_each_time() {
    let mut world = World::new(&[("b1", &[])]).wants("b1", Wish::Required, &["m"]);
    let mut waits = Vec::new();
    for _ in 0..10 {
        world.ledger.begin(&pull("b1", "m"));
        assert_eq!(world.fail(&pull("b1", "m"), "connection reset"), Failure::Transient);
        let plan = world.plan(&LIMITS, NOW);
        let [(_, Standing::Waits { until, why })] = &standings(&plan)[..] else { panic!("{plan:?}") };
        assert_eq!((why.as_str(), plan.actions.len()), ("connection reset", 0));
        waits.push(until.since(NOW).as_micros() / 1_000_000);
        assert_eq!(world.plan(&LIMITS, *until).actions, [pull("b1", "m")]);
    }
    assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1800, 1800, 1800, 1800]);
    world.ledger.retry(Some(&id("b2")));
    assert_eq!(world.plan(&LIMITS, NOW).actions, []);
    world.ledger.retry(Some(&id("b1")));
    assert_eq!(world.plan(&LIMITS, NOW).actions, [pull("b1", "m")]);
}

#[test]
fn some_failures_are_final_until_circumstances_change() {
    let later = Timestamp::from_micros(NOW.as_micros() + 86_400_000_000);
    let mut world = World::new(&[("b1", &["old"])]).wants("b1", Wish::Required, &["a", "b"]);
    let missing = world.fail(&pull("b1", "a"), "pull model manifest: file does not exist");
    let full = world.fail(&pull("b1", "b"), "write /x: no space left on device");
    assert_eq!((missing, full), (Failure::NotFound, Failure::DiskFull));
    let plan = world.plan(&LIMITS, later);
    assert_eq!(plan.actions, []);
    assert!(standings(&plan).iter().all(|(_, standing)| matches!(standing, Standing::Final { .. })));
    let changed = |world: &World, revision| {
        super::plan(&world.desired, &world.situations(), &world.ledger, &LIMITS, revision, NOW).actions
    };
    assert_eq!(changed(&world, 2), [pull("b1", "a"), pull("b1", "b")]);
    world.backends[0].1 = disk(&[]);
    assert_eq!(changed(&world, 1), [pull("b1", "b")], "room is of no use to what does not exist");
}

#[test]
fn nothing_is_begun_where_nothing_can_be_known_or_done() {
    let world = World::new(&[("off", &[]), ("new", &[]), ("vllm", &["a"])])
        .wants("off", Wish::Required, &["m"])
        .wants("new", Wish::Forbidden, &["m"])
        .wants("vllm", Wish::Required, &["m"])
        .wants("vllm", Wish::Preload, &["a"])
        .wants("vllm", Wish::Forbidden, &["a"])
        .wants("gone", Wish::Required, &["m"]);
    let mut situations = world.situations();
    situations[0].available = false;
    situations[1].disk = None;
    situations[2].manageable = false;
    let plan = plan(&world.desired, &situations, &world.ledger, &LIMITS, 1, NOW);
    assert_eq!(plan.actions, []);
    assert_eq!(
        standings(&plan),
        [
            ("m", Standing::Unavailable),
            ("m", Standing::Unknown),
            ("a", Standing::Fulfilled),
            ("a", Standing::Fulfilled),
            ("a", Standing::Contradicted),
            ("m", Standing::CannotPull),
        ]
    );
}

#[test]
fn preloaded_models_are_pulled_loaded_and_kept_in_memory() {
    let mut world = World::new(&[("b1", &["a:latest", "b:7b", "c"])]).wants(
        "b1",
        Wish::Preload,
        &["a", "b", "c", "missing"],
    );
    world.backends[0].2 = memory(&[("a", 3600), ("b:7b", 60)]);
    let load = |model: &str| Action { kind: ActionKind::Load, ..pull("b1", model) };
    let first = world.plan(&LIMITS, NOW);
    assert_eq!(first.actions, [load("b:7b"), pull("b1", "missing")]);
    let preloads = |plan: &Plan| {
        let preloads = plan.verdicts.iter().filter(|verdict| verdict.wish == Wish::Preload);
        preloads.map(|verdict| verdict.standing.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        preloads(&first),
        [
            Standing::Fulfilled,
            Standing::Begins(ActionKind::Load),
            Standing::Queued(ActionKind::Load),
            Standing::AwaitsPull,
        ]
    );
    world.begin(&first);
    assert_eq!(world.plan(&LIMITS, NOW).actions, []);
    world.backends[0].2 = memory(&[("a", 3600), ("b:7b", 300)]);
    world.ledger.succeeded(&load("b:7b"));
    assert_eq!(world.plan(&LIMITS, NOW).actions, [load("c")]);
}

#[test]
fn forbidden_models_are_deleted_only_if_told_and_nobody_wants_them() {
    let delete = |model: &str| Action { kind: ActionKind::Delete, ..pull("b1", model) };
    let mut world = World::new(&[("b1", &["a:1b", "a:7b", "b:latest"])])
        .wants("b1", Wish::Required, &["a:7b"])
        .wants("b1", Wish::Forbidden, &["a", "c"]);
    world.desired.add(&id("b1"), Wish::Forbidden, ["b"], false);
    let plan = world.plan(&LIMITS, NOW);
    assert_eq!(plan.actions, [delete("a:1b")]);
    assert_eq!(
        standings(&plan),
        [
            ("a:7b", Standing::Fulfilled),
            ("a", Standing::Begins(ActionKind::Delete)),
            ("a", Standing::Contradicted),
            ("b", Standing::Tolerated),
            ("c", Standing::Fulfilled),
        ]
    );
    world.begin(&plan);
    assert_eq!(world.plan(&LIMITS, NOW).actions, []);
}

#[test]
fn messages_are_understood() {
    for (message, expected) in [
        ("pull model manifest: file does not exist", Failure::NotFound),
        ("model 'x' not found", Failure::NotFound),
        ("write: No space left on device", Failure::DiskFull),
        ("There is not enough space on the disk.", Failure::DiskFull),
        ("dial tcp: lookup registry.ollama.ai: no such host", Failure::Transient),
        ("connection reset", Failure::Transient),
    ] {
        assert_eq!(Failure::of(message), expected, "{message}");
    }
}

#[derive(Clone, Debug)]
enum Event {
    Plan,
    Succeed(usize),
    Fail(usize, &'static str),
    Wait(i64),
    Abandon(usize),
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Plan),
        3 => any::<usize>().prop_map(Event::Succeed),
        2 => (any::<usize>(), prop_oneof![Just("reset"), Just("not found"), Just("disk full")])
            .prop_map(|(at, message)| Event::Fail(at, message)),
        1 => (1i64..3600).prop_map(Event::Wait),
        1 => any::<usize>().prop_map(Event::Abandon),
    ]
}

fn any_wishes() -> impl Strategy<Value = Vec<(usize, Wish, String, bool)>> {
    let wish = prop_oneof![3 => Just(Wish::Required), 2 => Just(Wish::Preload), 1 => Just(Wish::Forbidden)];
    proptest::collection::vec((0usize..3, wish, "(library/)?[abAB](:[12]|:latest)?", any::<bool>()), 0..14)
}

proptest! {
    #[test]
    fn plans_stay_within_limits_name_nothing_twice_and_come_to_rest(
        wishes in any_wishes(), events in proptest::collection::vec(any_event(), 0..40), pulls in 1usize..4,
        per_backend in 1usize..3,
    ) {
        let limits = Limits { pulls, pulls_per_backend: per_backend, ..LIMITS };
        let mut world = World::new(&[("b0", &["a:1"]), ("b1", &[]), ("b2", &["b"])]);
        for (backend, wish, model, delete) in &wishes {
            world.desired.add(&id(&format!("b{backend}")), *wish, [model.as_str()], *delete);
        }
        let mut now = NOW;
        let mut running: Vec<Action> = Vec::new();
        for event in events {
            match event {
                Event::Plan => {
                    let plan = world.plan(&limits, now);
                    for action in &plan.actions {
                        prop_assert!(world.ledger.begin(action), "{:?} runs already", action);
                        running.push(action.clone());
                    }
                    prop_assert_eq!(world.plan(&limits, now).actions, vec![], "a second plan begins nothing");
                    let is_pull = |action: &&Action| action.kind == ActionKind::Pull;
                    prop_assert!(running.iter().filter(is_pull).count() <= pulls);
                    for (backend, ..) in &world.backends {
                        let own = running.iter().filter(is_pull).filter(|action| action.backend == *backend);
                        let names: Vec<_> = own.map(|action| canonical(&action.model)).collect();
                        let unique: std::collections::BTreeSet<_> = names.iter().collect();
                        prop_assert!(names.len() <= per_backend && unique.len() == names.len());
                    }
                }
                Event::Succeed(at) if !running.is_empty() => {
                    let action = running.swap_remove(at % running.len());
                    let (_, disk, memory) =
                        world.backends.iter_mut().find(|(backend, ..)| *backend == action.backend).unwrap();
                    let mut names: Vec<_> = disk.models().iter().map(|model| model.name.clone()).collect();
                    match action.kind {
                        ActionKind::Pull => names.push(action.model.clone()),
                        ActionKind::Delete => names.retain(|name| *name != action.model),
                        ActionKind::Load => *memory = self::memory(&[(&action.model, 86_400 * 30)]),
                    }
                    *disk = self::disk(&names.iter().map(String::as_str).collect::<Vec<_>>());
                    world.ledger.succeeded(&action);
                }
                Event::Fail(at, message) if !running.is_empty() => {
                    let action = running.swap_remove(at % running.len());
                    world.fail(&action, message);
                }
                Event::Abandon(at) if !running.is_empty() => {
                    world.ledger.abandoned(&running.swap_remove(at % running.len()));
                }
                Event::Wait(seconds) => now = Timestamp::from_micros(now.as_micros() + seconds * 1_000_000),
                _ => {}
            }
        }
        let plan = world.plan(&limits, now);
        for action in &plan.actions {
            let wanted = world.desired.of(&action.backend).unwrap();
            prop_assert!(action.kind != ActionKind::Delete || !wanted.wants(&action.model));
            prop_assert!(
                plan.verdicts.iter().any(|verdict| verdict.backend == action.backend
                    && verdict.standing == Standing::Begins(action.kind)),
            );
        }
    }

    #[test]
    fn waits_grow_and_are_bounded(attempts in 1u32..100, random in any::<u64>()) {
        let mut world = World::new(&[("b1", &[])]).wants("b1", Wish::Required, &["m"]);
        for _ in 0..attempts.min(12) {
            world.ledger.failed(&pull("b1", "m"), "x", None, 1, NOW, random);
        }
        let plan = world.plan(&LIMITS, NOW);
        let Standing::Waits { until, .. } = standings(&plan)[0].1.clone() else { panic!("waits") };
        let wait = until.since(NOW).as_micros();
        let full = (30_000_000i64 << (attempts.min(12) - 1)).min(1_800_000_000);
        prop_assert!((full / 2..=full).contains(&wait), "{}", wait);
    }
}

#[test]
fn a_ledger_made_of_what_the_nodes_have_agreed_on_says_the_same() {
    use crate::cluster::{Hold, Work, WorkKey};
    let mut world = World::new(&[("b1", &[])]).wants("b1", Wish::Required, &["runs", "fails", "never"]);
    let at = |model: &str| WorkKey { backend: id("b1"), kind: ActionKind::Pull, model: canonical(model) };
    let work = |model: &str| Work { key: at(model), name: model.to_owned(), hold: None, failure: None };
    let hold = Hold { node: 1, token: 5, renewals: 3, since_utc: NOW, percent: Some(40) };
    let disk = world.backends[0].1.clone();
    let transient = failure(2, "connection refused", Some(&disk), 1, NOW, u64::MAX);
    let missing = failure(0, "pull model manifest: file does not exist", Some(&disk), 1, NOW, 0);
    assert_eq!((transient.attempts, missing.why), (3, Failure::NotFound));
    let works = [
        Work { hold: Some(hold), ..work("runs") },
        Work { failure: Some(transient.clone()), ..work("fails") },
        Work { failure: Some(missing.clone()), ..work("never") },
    ];
    world.ledger = Ledger::of_works(&works);
    let plan = world.plan(&LIMITS, NOW);
    assert_eq!(plan.actions, []);
    assert_eq!(
        standings(&plan),
        [
            ("fails", Standing::Waits { until: transient.until_utc, why: transient.message }),
            ("never", Standing::Final { why: missing.why, message: missing.message }),
            ("runs", Standing::Running(ActionKind::Pull, Some(40))),
        ]
    );
    assert_eq!(world.plan(&LIMITS, transient.until_utc).actions, [pull("b1", "fails")]);
}
