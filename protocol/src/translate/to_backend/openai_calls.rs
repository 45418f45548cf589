//! Which tool call of a conversation each result answers. OpenAI's API goes by ids, which Ollama's clients may leave out.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};

use crate::translate::chat::{Message, ToolCall};
use crate::translate::{Occasion, Refused};

/// The calls of a conversation so far. What it takes is linear in their number.
#[derive(Debug)]
pub(super) struct Calls<'c> {
    occasion: Occasion,
    made: Vec<Call<'c>>,
    /// Those with ids of their own; of several with one id the latest.
    by_id: HashMap<&'c str, usize>,
    by_name: HashMap<&'c str, Vec<Turn>>,
    /// No call before this one waits for its result.
    answered: usize,
    /// How many ids were made up.
    named: u32,
}

#[derive(Debug)]
struct Call<'c> {
    id: Cow<'c, str>,
    is_answered: bool,
}

/// The calls of one tool in one message.
#[derive(Debug)]
struct Turn {
    message: usize,
    calls: VecDeque<usize>,
}

// === impl Calls ===

impl<'c> Calls<'c> {
    pub(super) fn new(occasion: Occasion) -> Self {
        Self {
            occasion,
            made: Vec::new(),
            by_id: HashMap::new(),
            by_name: HashMap::new(),
            answered: 0,
            named: 0,
        }
    }

    /// Takes the next call, which is in the `message`th message. Its id: its own, or a new one.
    pub(super) fn make(&mut self, message: usize, call: &'c ToolCall) -> Cow<'c, str> {
        let index = self.made.len();
        let id = match given(call.id.as_deref()) {
            Some(id) => {
                self.by_id.insert(id, index);
                Cow::Borrowed(id)
            }
            None => Cow::Owned(self.new_id()),
        };
        self.made.push(Call { id: id.clone(), is_answered: false });
        let turns = self.by_name.entry(&call.name).or_default();
        match turns.last_mut().filter(|turn| turn.message == message) {
            Some(turn) => turn.calls.push_back(index),
            None => turns.push(Turn { message, calls: VecDeque::from([index]) }),
        }
        id
    }

    /// Takes the result that is the `message`th message: the id of the call that it answers.
    ///
    /// One that does not say which is for the latest message that has a call of its tool without a result, and there for
    /// the first such call, since results come in the order of their calls; else for the oldest call without a result.
    pub(super) fn answer(&mut self, message: usize, result: &'c Message) -> Result<Cow<'c, str>, Refused> {
        if let Some(id) = given(result.tool_call_id.as_deref()) {
            if let Some(call) = self.by_id.get(id).and_then(|index| self.made.get_mut(*index)) {
                call.is_answered = true;
            }
            return Ok(Cow::Borrowed(id));
        }
        let index = given(result.tool_name.as_deref()).and_then(|name| self.latest(name));
        let index = index.unwrap_or_else(|| self.oldest());
        let unasked = || {
            Refused::field(format!("messages[{message}]"), "answers no tool call: tool_call_id is required")
        };
        let call = self.made.get_mut(index).ok_or_else(unasked)?;
        call.is_answered = true;
        Ok(call.id.clone())
    }

    fn latest(&mut self, name: &str) -> Option<usize> {
        let turns = self.by_name.get_mut(name)?;
        while let Some(turn) = turns.last_mut() {
            while let Some(index) = turn.calls.pop_front() {
                if self.made.get(index).is_some_and(|call| !call.is_answered) {
                    return Some(index);
                }
            }
            turns.pop();
        }
        None
    }

    /// The oldest call without a result; behind the last one if there is none.
    fn oldest(&mut self) -> usize {
        while self.made.get(self.answered).is_some_and(|call| call.is_answered) {
            self.answered += 1;
        }
        self.answered
    }

    fn new_id(&mut self) -> String {
        let number = self.named;
        self.named = number.saturating_add(1);
        self.occasion.call(number)
    }
}

fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::Timestamp;

    const OCCASION: Occasion = Occasion { now: Timestamp::EPOCH, nonce: 7 };

    fn call(id: Option<&str>, name: &str) -> ToolCall {
        ToolCall { id: id.map(str::to_owned), name: name.to_owned(), ..ToolCall::default() }
    }

    fn result(id: Option<&str>, name: Option<&str>) -> Message {
        Message {
            tool_call_id: id.map(str::to_owned),
            tool_name: name.map(str::to_owned),
            ..Message::default()
        }
    }

    /// The ids of the calls, and those that the results get, in a conversation of messages with calls and then results.
    fn matched(turns: &[Vec<ToolCall>], results: &[Message]) -> (Vec<String>, Vec<Option<String>>) {
        let mut calls = Calls::new(OCCASION);
        let mut ids = Vec::new();
        for (message, turn) in turns.iter().enumerate() {
            ids.extend(turn.iter().map(|call| calls.make(message, call).into_owned()));
        }
        let answers =
            results.iter().map(|result| calls.answer(9, result).ok().map(Cow::into_owned)).collect();
        (ids, answers)
    }

    #[test]
    fn ids_are_kept_and_missing_ones_made() {
        let turn = vec![call(Some("a"), "f"), call(None, "f"), call(Some(""), "f")];
        let (ids, _) = matched(&[turn], &[]);
        assert_eq!(ids, ["a".to_owned(), OCCASION.call(0), OCCASION.call(1)]);
    }

    #[test]
    fn a_result_with_an_id_keeps_it_and_takes_its_call() {
        let turn = vec![call(Some("a"), "f"), call(Some("b"), "f")];
        let results = [result(Some("a"), Some("f")), result(None, Some("f")), result(Some("z"), None)];
        let (_, answers) = matched(&[turn], &results);
        assert_eq!(answers, ["a", "b", "z"].map(|id| Some(id.to_owned())));
    }

    #[test]
    fn results_of_one_tool_answer_its_calls_in_their_order() {
        let turn = vec![call(None, "f"), call(None, "g"), call(None, "f")];
        let results = [result(None, Some("f")), result(None, Some("f")), result(None, Some("g"))];
        let (ids, answers) = matched(&[turn], &results);
        let [first, second, third] = [0, 2, 1].map(|index| Some(ids[index].clone()));
        assert_eq!(answers, [first, second, third]);
    }

    #[test]
    fn a_result_answers_the_latest_message_with_a_call_of_its_tool() {
        let turns =
            [vec![call(Some("old"), "f")], vec![call(Some("new"), "f")], vec![call(Some("other"), "g")]];
        let results = [result(None, Some("f")), result(None, Some("f"))];
        assert_eq!(matched(&turns, &results).1, [Some("new".to_owned()), Some("old".to_owned())]);
    }

    #[test]
    fn a_result_without_a_name_or_with_an_unknown_one_answers_the_oldest_call() {
        let turns = [vec![call(Some("a"), "f"), call(Some("b"), "g")], vec![call(Some("c"), "f")]];
        let results = [result(None, None), result(None, Some("h")), result(Some(""), Some(""))];
        assert_eq!(matched(&turns, &results).1, ["a", "b", "c"].map(|id| Some(id.to_owned())));
    }

    #[test]
    fn a_result_that_nobody_asked_for_is_refused_with_its_place() {
        let mut calls = Calls::new(OCCASION);
        let message = result(None, Some("f"));
        let refused = calls.answer(3, &message).unwrap_err();
        assert_eq!(refused.field.as_deref(), Some("messages[3]"));
        assert!(refused.message.contains("messages[3]"));
        let turn = call(None, "f");
        calls.make(4, &turn);
        assert!(calls.answer(5, &message).is_ok());
        assert!(calls.answer(6, &message).is_err());
    }

    proptest! {
        #[test]
        fn as_many_results_as_calls_answer_each_call_once(
            turns in proptest::collection::vec(proptest::collection::vec("[fgh]", 0..4), 0..5),
            names in proptest::collection::vec(proptest::option::of("[fghi]"), 20),
        ) {
            let turns: Vec<Vec<ToolCall>> =
                turns.iter().map(|turn| turn.iter().map(|name| call(None, name)).collect()).collect();
            let results: Vec<Message> = names.iter().map(|name| result(None, name.as_deref())).collect();
            let (mut ids, answers) = matched(&turns, &results);
            let mut answered: Vec<String> = answers.into_iter().flatten().collect();
            ids.sort_unstable();
            answered.sort_unstable();
            prop_assert_eq!(answered, ids);
        }
    }
}
