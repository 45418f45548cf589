use super::*;

/// Tells `a` and `b` of every scope, and looks into `in`.
#[derive(Default)]
struct Told(Vec<String>);

impl Members for Told {
    fn interest(&self, _: Scope, key: &[u8]) -> Interest {
        match key {
            b"a" | b"b" | b"\0" => Interest::Value,
            b"in" => Interest::Inside(Scope::Usage),
            _ => Interest::None,
        }
    }

    fn member(&mut self, scope: Scope, key: &[u8], value: &[u8]) {
        let [key, value] = [key, value].map(String::from_utf8_lossy);
        self.0.push(format!("{scope:?} {key} {value}"));
    }
}

fn told(text: &str) -> Vec<String> {
    let walk = |size| {
        let (mut walk, mut told) = (Walk::default(), Told::default());
        text.as_bytes().chunks(size).for_each(|piece| walk.push(piece, &mut told));
        told.0
    };
    let whole = walk(text.len().max(1));
    for size in 1..text.len() {
        assert_eq!(walk(size), whole, "{text} in pieces of {size}");
    }
    whole
}

#[test]
fn members_are_told_as_they_are_written() {
    assert_eq!(
        told(r#" { "a" : 1 , "x" : {"a":2} , "b":"t\"e\u0041" , "a":[3,{"a":4}],"b":{} } "#),
        ["Top a 1", "Top b \"t\\\"e\\u0041", "Top a [", "Top b {"]
    );
    assert!(told(r#"[{"a":1},"a",{"b":2}]"#).is_empty());
    assert!(told(r#"{"x":"a","y":"\"a\":1,","aa":1,"\u0061":1}"#).is_empty());
}

#[test]
fn objects_are_looked_into_as_deep_as_there_are_scopes() {
    assert_eq!(
        told(r#"{"in":{"a":1,"in":{"b":2,"in":{"a":3}},"b":4},"in":5,"in":[{"a":6}],"a":7}"#),
        ["Usage a 1", "Usage b 2", "Usage b 4", "Top a 7"]
    );
}

#[test]
fn a_value_is_told_when_it_is_whole() {
    assert!(told(r#"{"a":12"#).is_empty());
    assert_eq!(told(r#"{"a":12}"#), ["Top a 12"]);
    assert_eq!(told("{\"a\":12\n                          }"), ["Top a 12"]);
    assert_eq!(told(r#"{"a":18446744073709551615,"b":184467440737095516150}"#).last().unwrap(), "Top b \0");
}

#[test]
fn broken_text_joins_nothing_that_was_apart() {
    assert_eq!(told("{\"a\":1 2,\"b\":tr\nue}"), ["Top a 1 2", "Top b tr ue"]);
    assert_eq!(told(r#"{"a":1"2"}"#), ["Top a 1\"2"]);
    assert!(told(r#"{a:1,"x"a:2,"a""x":3,"a",4}"#).is_empty());
    assert_eq!(told(r#"}]],{"a":1}}}{"b":2}"#), ["Top a 1", "Top b 2"]);
}

#[test]
fn only_an_object_that_was_opened_is_closed() {
    let is_closed = |text: &str| {
        let mut walk = Walk::default();
        walk.push(text.as_bytes(), &mut Told::default());
        walk.is_closed()
    };
    for closed in ["{}", " {\"a\":{}} ", "{}x", "]}{}"] {
        assert!(is_closed(closed), "{closed}");
    }
    for open in ["", "}", "{", "{\"a\":{}", "[{}]", "{]", "\"{}\""] {
        assert!(!is_closed(open), "{open}");
    }
}

#[test]
fn depth_costs_nothing() {
    let deep = format!("{{\"x\":{},\"a\":1}}", "[".repeat(100_000) + &"]".repeat(100_000));
    let (mut walk, mut members) = (Walk::default(), Told::default());
    walk.push(deep.as_bytes(), &mut members);
    assert_eq!(members.0, ["Top a 1"]);
    assert!(walk.is_closed());
}

#[test]
fn marks_are_found_wherever_they_stand() {
    for at in 0..4 * BLOCK {
        let mut text = vec![b'1'; 5 * BLOCK];
        text[at] = b']';
        assert_eq!(next_mark(&text), Some(at));
        assert_eq!(next_mark(&text[..at]), None);
    }
}

#[test]
fn plain_members_are_told_as_all_others() {
    assert_eq!(
        told("{\"x\":\"\\n\",\"a\":\"t\", \"y\" : null ,\"b\": 1 ,\r\n\"a\":true,\"b\":\"u\"}"),
        ["Top a \"t", "Top b 1", "Top a true", "Top b \"u"]
    );
    assert_eq!(told(r#"{"x\\":"\\","a":"\\","b":2,"a\":1,"b":3,"#), ["Top a \"\\\\", "Top b 2"]);
    assert_eq!(
        told(r#"{"a":"12345678901234567890","a":"1234567890123456789",}"#),
        ["Top a \0", "Top a \"1234567890123456789"]
    );
    assert_eq!(told(r#"{"a-key-of-more-than-twenty-bytes":1,"b":2,}"#), ["Top \0 1", "Top b 2"]);
}

proptest::proptest! {
    /// `told` walks through the text whole and in pieces of every size.
    #[test]
    fn no_cut_changes_what_is_told(text in r#"\{(["\\,:{}\[\] \nab1]|"a"|"in":|\\"){0,24}"#) {
        told(&text);
    }
}
