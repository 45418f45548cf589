use super::*;

const LIMITS: BreakerLimits = BreakerLimits {
    error_percent: 50,
    minimum_requests: 10,
    window: Duration::from_secs(30),
    connect_failures: 3,
    open: Duration::from_secs(5),
};

fn record(breaker: &mut Breaker, outcome: Recorded, now: Instant) -> Option<BreakerChange> {
    breaker.record(Admission::Normal, outcome, &LIMITS, now)
}

fn closed() -> (Breaker, Instant) {
    let now = Instant::now();
    (Breaker::new(now), now)
}

fn open() -> (Breaker, Instant) {
    let (mut breaker, now) = closed();
    for _ in 0..LIMITS.connect_failures {
        record(&mut breaker, Recorded::ConnectFailure, now);
    }
    assert_eq!(breaker.state(now), BreakerState::Open { until: now + LIMITS.open });
    (breaker, now)
}

/// An open breaker at the moment at which the trial may go.
fn half_open() -> (Breaker, Instant) {
    let (mut breaker, opened) = open();
    let now = opened + LIMITS.open;
    assert_eq!(breaker.state(now), BreakerState::HalfOpen);
    assert_eq!(breaker.try_admit(now), Admission::Trial);
    (breaker, now)
}

#[test]
fn the_limits_are_properties_of_the_backend() {
    let mut backend = Backend::new("b".parse().unwrap());
    backend.circuit_breaker_open_ms = 70;
    let limits = BreakerLimits::of(&backend);
    assert_eq!((limits.error_percent, limits.minimum_requests, limits.connect_failures), (50, 10, 5));
    assert_eq!((limits.window, limits.open), (Duration::from_secs(30), Duration::from_millis(70)));
}

#[test]
fn it_opens_at_the_ratio_and_not_before_the_minimum() {
    let (mut breaker, now) = closed();
    for _ in 0..5 {
        assert_eq!(record(&mut breaker, Recorded::Success, now), None);
    }
    for _ in 0..4 {
        assert_eq!(record(&mut breaker, Recorded::Failure, now), None);
    }
    let until = now + LIMITS.open;
    assert_eq!(record(&mut breaker, Recorded::Failure, now), Some(BreakerChange::Opened { until }));
    assert_eq!(breaker.try_admit(now), Admission::Refused { until: Some(until) });
}

#[test]
fn below_the_ratio_it_stays_closed() {
    let (mut breaker, now) = closed();
    for _ in 0..100 {
        assert_eq!(record(&mut breaker, Recorded::Success, now), None);
        assert_eq!(record(&mut breaker, Recorded::Success, now), None);
        assert_eq!(record(&mut breaker, Recorded::Failure, now), None);
    }
    assert_eq!(breaker.try_admit(now), Admission::Normal);
}

#[test]
fn old_failures_leave_the_window() {
    let (mut breaker, now) = closed();
    for second in 0..100 {
        // Three failures in any window, with one more each eleven seconds: never the minimum.
        let at = now + Duration::from_secs(11 * second);
        assert_eq!(record(&mut breaker, Recorded::Failure, at), None);
    }
}

#[test]
fn failed_connections_open_it_when_nothing_comes_between() {
    let (mut breaker, now) = closed();
    for _ in 0..3 {
        for _ in 1..LIMITS.connect_failures {
            assert_eq!(record(&mut breaker, Recorded::ConnectFailure, now), None);
        }
        assert_eq!(record(&mut breaker, Recorded::Neutral, now), None);
        for _ in 0..5 {
            assert_eq!(record(&mut breaker, Recorded::Success, now), None);
        }
    }
    for _ in 1..LIMITS.connect_failures {
        assert_eq!(record(&mut breaker, Recorded::ConnectFailure, now), None);
    }
    assert!(record(&mut breaker, Recorded::ConnectFailure, now).is_some());
}

#[test]
fn zero_is_never() {
    let (mut breaker, now) = closed();
    let limits = BreakerLimits { error_percent: 0, connect_failures: 0, ..LIMITS };
    for outcome in [Recorded::Failure, Recorded::ConnectFailure].repeat(100) {
        assert_eq!(breaker.record(Admission::Normal, outcome, &limits, now), None);
    }
}

#[test]
fn an_open_breaker_forgets_the_requests_that_were_on_their_way() {
    let (mut breaker, now) = open();
    let state = breaker.state(now);
    for outcome in [Recorded::Success, Recorded::Failure, Recorded::ConnectFailure, Recorded::Neutral] {
        assert_eq!(record(&mut breaker, outcome, now), None);
        assert_eq!(breaker.state(now), state);
    }
}

#[test]
fn half_open_lets_exactly_one_through() {
    let (mut breaker, now) = half_open();
    assert_eq!(breaker.try_admit(now), Admission::Refused { until: None });
    assert_eq!(breaker.state(now), BreakerState::HalfOpen);
    // The end of another request, sent long ago, is not the trial's.
    assert_eq!(record(&mut breaker, Recorded::Success, now), None);
    assert_eq!(breaker.try_admit(now), Admission::Refused { until: None });
}

#[test]
fn a_good_trial_closes_and_clears() {
    let (mut breaker, now) = half_open();
    assert_eq!(
        breaker.record(Admission::Trial, Recorded::Success, &LIMITS, now),
        Some(BreakerChange::Closed)
    );
    assert_eq!(breaker.try_admit(now), Admission::Normal);
    for _ in 1..LIMITS.minimum_requests {
        assert_eq!(record(&mut breaker, Recorded::Failure, now), None, "the past counted");
    }
}

#[test]
fn a_bad_trial_opens_again() {
    for outcome in [Recorded::Failure, Recorded::ConnectFailure] {
        let (mut breaker, now) = half_open();
        let until = now + LIMITS.open;
        let change = breaker.record(Admission::Trial, outcome, &LIMITS, now);
        assert_eq!(change, Some(BreakerChange::Opened { until }));
        assert_eq!(breaker.try_admit(until), Admission::Trial);
    }
}

#[test]
fn a_trial_that_tells_nothing_is_given_back() {
    let (mut breaker, now) = half_open();
    assert_eq!(breaker.record(Admission::Trial, Recorded::Neutral, &LIMITS, now), None);
    assert_eq!(breaker.peek(now), Admission::Trial);
    assert_eq!(breaker.try_admit(now), Admission::Trial);
}

#[test]
fn the_cell_says_what_the_breaker_says() {
    let (cell, now) = (BreakerCell::default(), Instant::now());
    assert_eq!(cell.try_admit(now), Admission::Normal);
    for _ in 0..LIMITS.connect_failures {
        assert!(cell.is_closed());
        cell.record(Admission::Normal, Recorded::ConnectFailure, &LIMITS, now);
    }
    assert!(!cell.is_closed());
    let until = now + LIMITS.open;
    assert_eq!(cell.peek(now), Admission::Refused { until: Some(until) });
    assert_eq!(cell.state(until).name(), "HalfOpen");
    assert_eq!(cell.state(now).name(), "Open");
    assert_eq!(cell.try_admit(until), Admission::Trial);
    cell.record(Admission::Trial, Recorded::Success, &LIMITS, until);
    assert!(cell.is_closed());
    assert_eq!(cell.state(until).name(), "Closed");
}

#[test]
fn a_reset_closes_and_the_trial_of_before_does_no_harm() {
    let (cell, now) = (BreakerCell::new(), Instant::now());
    for _ in 0..LIMITS.connect_failures {
        cell.record(Admission::Normal, Recorded::ConnectFailure, &LIMITS, now);
    }
    assert_eq!(cell.try_admit(now + LIMITS.open), Admission::Trial);
    cell.reset(now);
    assert!(cell.is_closed());
    assert_eq!(cell.record(Admission::Trial, Recorded::Failure, &LIMITS, now), None);
    assert!(cell.is_closed());
}

#[test]
fn of_many_at_once_one_is_the_trial() {
    let (cell, now) = (BreakerCell::new(), Instant::now());
    for _ in 0..LIMITS.connect_failures {
        cell.record(Admission::Normal, Recorded::ConnectFailure, &LIMITS, now);
    }
    let later = now + LIMITS.open;
    let trials: usize = std::thread::scope(|scope| {
        let ask = || (0..100).filter(|_| cell.try_admit(later) == Admission::Trial).count();
        let askers: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        askers.into_iter().map(|asker| asker.join().unwrap()).sum()
    });
    assert_eq!(trials, 1);
}

#[test]
fn a_trial_that_dies_after_its_answer_began_opens_the_circuit_that_it_closed() {
    let (mut breaker, now) = half_open();
    breaker.record(Admission::Trial, Recorded::Success, &LIMITS, now);
    assert_eq!(breaker.try_admit(now), Admission::Normal, "others need not wait for its end");
    let change = breaker.record(Admission::Proven, Recorded::Failure, &LIMITS, now);
    assert_eq!(change, Some(BreakerChange::Opened { until: now + LIMITS.open }));
    assert_eq!(breaker.record(Admission::Proven, Recorded::Success, &LIMITS, now), None);
}
