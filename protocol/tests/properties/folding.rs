//! A stream says what the whole answer says.

use std::collections::HashSet;

use ollamaflow_protocol::wire::Ending;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::NOW;
use crate::client::{Folded, Pair, pairs};
use crate::damage::damage;
use crate::upstream::{Call, Script, script};

fn streamed(pair: Pair, script: &Script) -> Folded {
    let asked = pair.ask(true);
    let (mut answer, mut out) = (asked.answer, Vec::new());
    answer.push(&script.stream(asked.operation), NOW, &mut out);
    answer.finish(NOW, &mut out);
    assert_eq!(answer.ending(), Ending::Complete, "{pair:?}: {}", out.escape_ascii());
    let folded = pair.fold(&out);
    let usage = answer.usage();
    assert_eq!(
        (usage.prompt, usage.completion),
        (folded.prompt_tokens, folded.completion_tokens),
        "{pair:?}"
    );
    folded
}

fn whole(pair: Pair, script: &Script) -> Folded {
    let mut asked = pair.ask(false);
    let stream = script.stream(asked.operation);
    let body = asked.answer.whole(Script::media_type(asked.operation), &stream, NOW);
    pair.whole(&body.unwrap_or_else(|e| panic!("{pair:?}: {e}")))
}

/// A client's calls against the backend's: an id that the backend did not give is made, another one for each call.
fn assert_calls(pair: Pair, found: &[Call], expected: &[&Call]) {
    assert_eq!(found.len(), expected.len(), "{pair:?}");
    let mut made = HashSet::new();
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!((&found.name, &found.arguments), (&expected.name, &expected.arguments), "{pair:?}");
        match &expected.id {
            Some(id) => assert_eq!(found.id.as_ref(), Some(id), "{pair:?}"),
            None => assert!(found.id.is_some() && made.insert(&found.id), "{pair:?}"),
        }
    }
}

/// What a stream and a whole answer have in common.
///
/// An answer that ends for no reason just stops, or calls: upstream says so in streams of chats, and nothing in whole
/// answers. And in the Responses API it gives no text beside calls, but for what a stream has told before the first one.
fn common(pair: Pair, mut folded: Folded) -> Folded {
    let reason = if folded.calls.is_empty() { "stop" } else { "tool_calls" };
    folded.reason.get_or_insert_with(|| reason.to_owned());
    if pair.has_text_or_calls(&folded) {
        folded.content.clear();
    }
    folded
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_stream_put_together_is_the_whole_answer(script in script()) {
        for pair in pairs() {
            let script = if pair.has_calls() { script.clone() } else { script.clone().without_calls() };
            let streamed = streamed(pair, &script);
            let whole = whole(pair, &script);
            prop_assert_eq!(common(pair, streamed.clone()), common(pair, whole.clone()), "{:?}", pair);
                if !pair.has_text_or_calls(&whole) {
                prop_assert_eq!(&whole.content, &script.content(), "{:?}", pair);
            }
            if pair.has_thinking() {
                prop_assert_eq!(&whole.thinking, &script.thinking(), "{:?}", pair);
            }
            assert_calls(pair, &whole.calls, &script.calls());
            prop_assert_eq!(whole.prompt_tokens, Some(script.prompt_tokens.into()), "{:?}", pair);
            prop_assert_eq!(whole.completion_tokens, Some(script.completion_tokens.into()), "{:?}", pair);
            prop_assert!(whole.reason.is_some(), "{:?}", pair);
        }
    }

    #[test]
    fn a_stream_that_breaks_breaks_as_a_whole_answer_too(script in script(), damages in vec(damage(), 1..4)) {
        for pair in pairs() {
            let asked = pair.ask(true);
            let mut stream = script.stream(asked.operation);
            for damage in &damages {
                damage.apply(&mut stream);
            }
            let (mut answer, mut out) = (asked.answer, Vec::new());
            answer.push(&stream, NOW, &mut out);
            answer.finish(NOW, &mut out);
            let whole = pair.ask(false).answer.whole(Script::media_type(asked.operation), &stream, NOW);
            let ending = if whole.is_ok() { Ending::Complete } else { Ending::Failed };
            prop_assert_eq!(answer.ending(), ending, "{:?}", pair);
            if let Ok(body) = whole {
                let (streamed, whole) = (pair.fold(&out), pair.whole(&body));
                prop_assert_eq!(common(pair, streamed), common(pair, whole), "{:?}", pair);
            }
        }
    }
}
