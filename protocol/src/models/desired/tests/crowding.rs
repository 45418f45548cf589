//! More models to be in memory than fit there.

use std::collections::VecDeque;

use super::*;
use crate::cluster::{Work, WorkKey};

/// An engine that keeps so many models in memory, and drives out the one that was used least recently.
struct Engine {
    world: World,
    loaded: VecDeque<String>,
    room: usize,
    works: BTreeMap<String, Work>,
    now: Timestamp,
    loads: usize,
    revision: u64,
}

impl Engine {
    fn new(room: usize, preload: &[&str], others: &[&str]) -> Self {
        let names: Vec<&str> = preload.iter().chain(others).copied().collect();
        let world = World::new(&[("b1", &names)]).wants("b1", Wish::Preload, preload);
        let (works, loaded) = (BTreeMap::new(), VecDeque::new());
        Self { world, loaded, room, works, now: NOW, loads: 0, revision: 1 }
    }

    fn memory(&self) -> Memory {
        // Those that are refreshed never leave by themselves.
        let models: Vec<_> = self.loaded.iter().map(|name| (name.as_str(), 86_400 * 300)).collect();
        memory(&models)
    }

    /// A client or a load uses the model.
    fn uses(&mut self, model: &str) {
        self.loaded.retain(|loaded| loaded != model);
        if self.loaded.len() >= self.room {
            self.loaded.pop_front();
        }
        self.loaded.push_back(model.to_owned());
    }

    fn plan(&mut self) -> Plan {
        self.world.backends[0].2 = self.memory();
        let ledger = Ledger::of_works(self.works.values());
        plan(&self.world.desired, &self.world.situations(), &ledger, &LIMITS, self.revision, self.now)
    }

    /// As the leader does it, each second.
    fn second(&mut self) {
        for action in self.plan().actions {
            assert_eq!(action.kind, ActionKind::Load);
            let model = canonical(&action.model);
            let before = self.memory();
            self.uses(&model);
            self.loads += 1;
            let former = self.works.remove(&model).and_then(|work| work.failure).map(|it| it.attempts);
            if let Some(crowd) = crowd(&before, &self.memory(), self.now) {
                let failure = crowded(former.unwrap_or(0), crowd, self.revision, self.now, u64::MAX / 2);
                let key = WorkKey { backend: id("b1"), kind: ActionKind::Load, model: model.clone() };
                let work = Work { key, name: action.model, hold: None, failure: Some(failure) };
                self.works.insert(model, work);
            }
        }
        self.now = Timestamp::from_micros(self.now.as_micros() + 1_000_000);
    }
}

#[test]
fn preloaded_models_that_do_not_fit_together_come_to_rest_and_it_is_told_why() {
    for (room, most) in [(3, 5), (2, 8), (1, 10)] {
        let mut engine = Engine::new(room, &["p1:1", "p2:1", "p3:1", "p4:1", "p5:1"], &[]);
        (0..60).for_each(|_| engine.second());
        let after_a_minute = engine.loads;
        assert!(after_a_minute <= most, "{after_a_minute} loads with room for {room}");
        (0..86_400).step_by(60).for_each(|_| {
            engine.now = Timestamp::from_micros(engine.now.as_micros() + 60_000_000);
            engine.second();
        });
        assert_eq!(engine.loads, after_a_minute, "one takes the place of the other no more");
        let plan = engine.plan();
        let crowded: Vec<_> = standings(&plan)
            .into_iter()
            .filter_map(|(_, standing)| match standing {
                Standing::Crowded { why } => Some(why),
                _ => None,
            })
            .collect();
        assert_eq!(crowded.len(), 5 - room, "{plan:?}");
        let mut beside: Vec<_> = engine.loaded.iter().map(String::as_str).collect();
        beside.sort_unstable();
        assert!(crowded[0].contains(&format!("does not fit beside {}", beside.join(", "))), "{crowded:?}");
    }
}

#[test]
fn room_or_another_configuration_ends_it() {
    let mut engine = Engine::new(2, &["p1:1", "p2:1", "p3:1"], &[]);
    (0..10).for_each(|_| engine.second());
    assert_eq!(engine.plan().actions, []);
    engine.revision = 2;
    assert_eq!(engine.plan().actions.len(), 1);
    engine.revision = 1;
    engine.loaded.pop_front();
    assert_eq!(engine.plan().actions.len(), 1, "a model has left");
}

#[test]
fn clients_models_are_driven_out_more_seldom_each_time() {
    let mut engine = Engine::new(1, &["p1:1"], &["work:1"]);
    let mut times = Vec::new();
    for second in 0..3600 {
        let before = engine.loads;
        engine.second();
        if engine.loads > before {
            times.push(second);
        }
        engine.uses("work:1");
    }
    assert!((3..=7).contains(&times.len()), "{times:?}");
    let waits: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).skip(1).collect();
    assert!(waits.windows(2).all(|pair| pair[1] > pair[0]), "{times:?}");
    let standing = standings(&engine.plan()).pop().unwrap().1;
    assert!(
        matches!(&standing, Standing::Waits { why, .. } if why.contains("fit beside work:1")),
        "{standing:?}"
    );
}

#[test]
fn what_was_unloaded_or_lost_with_its_backend_is_loaded_again_at_once() {
    let mut engine = Engine::new(3, &["p1:1", "p2:1"], &[]);
    (0..5).for_each(|_| engine.second());
    assert_eq!((engine.loads, engine.works.len()), (2, 0));
    engine.loaded.clear();
    (0..5).for_each(|_| engine.second());
    assert_eq!((engine.loads, engine.loaded.len()), (4, 2));
}

#[test]
fn what_has_cost_others_their_place_is_kept_as_any_other() {
    let mut engine = Engine::new(1, &["p1:1", "p2:1"], &[]);
    (0..10).for_each(|_| engine.second());
    let kept = engine.loaded[0].clone();
    assert!(engine.works.contains_key(&kept));
    engine.world.backends[0].2 = memory(&[(&kept, 60)]);
    let ledger = Ledger::of_works(engine.works.values());
    let plan = plan(&engine.world.desired, &engine.world.situations(), &ledger, &LIMITS, 1, NOW);
    let load = Action { kind: ActionKind::Load, ..pull("b1", &kept) };
    assert_eq!(plan.actions, [load], "before it leaves");
}

#[test]
fn only_models_whose_time_was_not_over_were_driven_out() {
    let before = memory(&[("over", -5), ("out", 300), ("stays", 300)]);
    let after = memory(&[("stays", 300), ("new", 600)]);
    let crowd = crowd(&before, &after, NOW).unwrap();
    assert_eq!((crowd.out, crowd.count), (vec!["out:latest".to_owned()], 2));
    assert_eq!(super::crowd(&memory(&[("over", -5)]), &after, NOW), None);
}
