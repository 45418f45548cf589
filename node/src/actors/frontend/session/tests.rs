//! Sessions: how long they last, what ends them, and that there are never too many.

use super::*;

const EXPIRY: Duration = Duration::from_secs(60);

fn client(text: &str) -> ClientKey {
    ClientKey::new(text.as_bytes())
}

fn backend(id: &str) -> BackendId {
    BackendId::try_from(id).unwrap()
}

fn later(now: Moment, seconds: u64) -> Moment {
    let utc = Timestamp::from_micros(now.utc.as_micros() + i64::try_from(seconds).unwrap() * 1_000_000);
    Moment { steady: now.steady + Duration::from_secs(seconds), utc }
}

#[test]
fn a_client_stays_with_its_backend_for_as_long_as_it_comes_back_in_time() {
    let (sessions, start) = (Sessions::default(), Moment::now());
    assert_eq!(sessions.find(&client("a"), EXPIRY, start), None);
    sessions.bind(&client("a"), &backend("one"), EXPIRY, start);
    for seconds in [59, 118, 177] {
        assert_eq!(sessions.find(&client("a"), EXPIRY, later(start, seconds)), Some(backend("one")));
    }
    assert_eq!(sessions.find(&client("a"), EXPIRY, later(start, 237)), None, "a minute of silence ends it");
    assert_eq!(sessions.list(start), []);
}

#[test]
fn looking_does_not_prolong_a_session() {
    let (sessions, start) = (Sessions::default(), Moment::now());
    sessions.bind(&client("a"), &backend("one"), EXPIRY, start);
    assert_eq!(sessions.peek(&client("a"), later(start, 59)), Some(backend("one")));
    assert_eq!(sessions.list(later(start, 59)).len(), 1);
    assert_eq!(sessions.peek(&client("a"), later(start, 60)), None);
    assert_eq!(sessions.list(later(start, 60)), []);
}

#[test]
fn a_new_expiration_time_counts_from_the_next_request_on() {
    let (sessions, start) = (Sessions::default(), Moment::now());
    sessions.bind(&client("a"), &backend("one"), EXPIRY, start);
    assert!(sessions.find(&client("a"), Duration::from_secs(10), start).is_some());
    assert!(sessions.find(&client("a"), EXPIRY, later(start, 10)).is_none());
}

#[test]
fn a_client_that_another_backend_has_answered_is_bound_anew() {
    let (sessions, start) = (Sessions::default(), Moment::now());
    sessions.bind(&client("a"), &backend("one"), EXPIRY, start);
    sessions.bind(&client("a"), &backend("one"), EXPIRY, later(start, 1));
    let (one, moved) = (sessions.list(later(start, 1)), later(start, 2));
    assert_eq!((one[0].created_utc, one[0].last_used_utc), (start.utc, later(start, 1).utc));
    sessions.bind(&client("a"), &backend("two"), EXPIRY, moved);
    let expected = SessionView {
        client: "a".to_owned(),
        backend: backend("two"),
        created_utc: moved.utc,
        last_used_utc: moved.utc,
        expires_utc: later(moved, 60).utc,
    };
    assert_eq!(sessions.list(moved), [expected]);
}

#[test]
fn sessions_of_removed_backends_end_and_others_stay() {
    let (sessions, now) = (Sessions::default(), Moment::now());
    for (text, id) in [("a", "one"), ("b", "two"), ("c", "one")] {
        sessions.bind(&client(text), &backend(id), EXPIRY, now);
    }
    sessions.end_of(|id| *id != backend("one"));
    let left: Vec<String> = sessions.list(now).into_iter().map(|session| session.client).collect();
    assert_eq!(left, ["b"]);
    sessions.clear();
    assert_eq!(sessions.list(now), []);
}

#[test]
fn when_the_table_is_full_the_client_that_was_away_for_longest_goes() {
    let (sessions, now) = (Sessions::default(), Moment::now());
    let bind = |index: usize| sessions.bind(&client(&index.to_string()), &backend("one"), EXPIRY, now);
    (0..MOST_SESSIONS.get()).for_each(bind);
    assert!(sessions.find(&client("0"), EXPIRY, now).is_some());
    bind(MOST_SESSIONS.get());
    assert_eq!(sessions.list(now).len(), MOST_SESSIONS.get());
    assert!(sessions.peek(&client("0"), now).is_some(), "it has just been here");
    assert!(sessions.peek(&client("1"), now).is_none());
}

#[test]
fn keys_are_the_same_on_every_node_and_in_every_version() {
    // The published test vectors' function; a change would move every client of a running cluster.
    assert_eq!(client("").hash(), 0x2d06_8005_38d3_94c2);
    assert_eq!(client("10.0.0.1").hash(), client("10.0.0.1").hash());
    assert_ne!(client("10.0.0.1").hash(), client("10.0.0.2").hash());
}

#[test]
fn what_is_shown_of_a_client_is_short_and_says_nothing_of_hidden_ones() {
    let long = "ü".repeat(1_000);
    assert_eq!(client(&long).text(), "ü".repeat(128));
    assert_ne!(client(&long).hash(), client(&long[2..]).hash(), "all of it counts");
    assert_eq!(ClientKey::new(b"\xff\xfe").text(), "\u{fffd}\u{fffd}");
    let hidden = ClientKey::hidden(b"Bearer secret");
    assert!(!hidden.text().contains("secret"));
    assert_eq!(hidden.hash(), client("Bearer secret").hash());
}
