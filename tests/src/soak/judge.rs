//! What an answer was: the whole of what was asked for, a clear error, or a violation. Pure.

use serde_json::Value;

use super::order::{Api, Order};
use crate::client::End;

/// How a request ended, as its client sees it: exactly one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// The whole answer, word for word.
    Done,
    /// A status of 400 or more, or an error frame, in the protocol of the client.
    Failed,
    /// An answer that is no stream, or an error, and was cut: nothing can be told any more, but the framing shows it.
    Cut,
    /// The client left.
    Gone,
}

/// What came.
#[derive(Debug, Clone)]
pub(super) struct Answer<'a> {
    pub status: u16,
    pub body: &'a [u8],
    pub end: End,
}

/// What the frames of a stream add up to.
#[derive(Debug, Default)]
struct Told {
    text: String,
    /// A frame that was cut, and can only be followed by the error that says so.
    broken: Option<String>,
    failed: bool,
    ended: bool,
}

/// Judges an answer that was read to its end. An error is a violation.
pub(super) fn judge(order: &Order, answer: &Answer<'_>) -> Result<Class, String> {
    match answer.status {
        200 if order.stream => stream(order, answer),
        200 => whole(order, answer),
        400.. => refusal(order, answer),
        other => Err(format!("status {other}")),
    }
}

fn refusal(order: &Order, answer: &Answer<'_>) -> Result<Class, String> {
    if answer.end != End::Complete {
        return Ok(Class::Cut);
    }
    let body = parsed(answer.body).map_err(|e| format!("status {}: {e}", answer.status))?;
    match error_of(order.api, &body) {
        Some(_) => Ok(Class::Failed),
        None => Err(format!("status {} with an error of another protocol: {body}", answer.status)),
    }
}

fn whole(order: &Order, answer: &Answer<'_>) -> Result<Class, String> {
    if answer.end != End::Complete {
        return Ok(Class::Cut);
    }
    let body = parsed(answer.body)?;
    let said = text_of(order.api, &body).ok_or_else(|| format!("no answer: {body}"))?;
    if !is_last(order.api, &body) {
        return Err(format!("an answer that says it is not the end: {body}"));
    }
    if said == order.text { Ok(Class::Done) } else { Err(format!("{said:?} instead of {:?}", order.text)) }
}

fn stream(order: &Order, answer: &Answer<'_>) -> Result<Class, String> {
    let native = matches!(order.api, Api::Chat | Api::Generate);
    let body = std::str::from_utf8(answer.body).map_err(|e| e.to_string())?;
    let told = if native { lines(order.api, body) } else { events(order.api, body) }?;
    if !order.text.starts_with(&told.text) {
        return Err(format!("{:?} instead of {:?}", told.text, order.text));
    }
    match (told.failed, told.ended) {
        (true, _) => Ok(Class::Failed),
        (false, true) if told.text != order.text => Err(format!("complete with {:?} only", told.text)),
        (false, true) if answer.end != End::Complete => {
            Err(format!("marked as complete and cut: {:?}", answer.end))
        }
        (false, true) => Ok(Class::Done),
        (false, false) => {
            Err(format!("ended without an end marker or an error: {:?} after {:?}", answer.end, tail(body)))
        }
    }
}

/// The end of a body, to be shown.
fn tail(body: &str) -> String {
    body.chars().skip(body.chars().count().saturating_sub(200)).collect()
}

fn lines(api: Api, body: &str) -> Result<Told, String> {
    let mut told = Told::default();
    for line in body.split_terminator('\n') {
        told.take(api, line)?;
    }
    Ok(told)
}

fn events(api: Api, body: &str) -> Result<Told, String> {
    let mut told = Told::default();
    for event in body.split("\n\n") {
        for data in event.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim_start) {
            if data == "[DONE]" {
                told.end()?;
            } else {
                told.take(api, data)?;
            }
        }
    }
    Ok(told)
}

impl Told {
    fn take(&mut self, api: Api, frame: &str) -> Result<(), String> {
        if self.failed || self.ended {
            return Err(format!("a frame after the last one: {frame}"));
        }
        let value = match parsed(frame.as_bytes()) {
            Ok(value) => value,
            Err(e) if self.broken.is_some() => return Err(e),
            Err(e) => {
                self.broken = Some(e);
                return Ok(());
            }
        };
        if error_of(api, &value).is_some() {
            self.failed = true;
            return Ok(());
        }
        if let Some(broken) = self.broken.take() {
            return Err(format!("goes on after a broken frame: {broken}"));
        }
        self.text.push_str(text_of(api, &value).unwrap_or_default());
        if matches!(api, Api::Chat | Api::Generate) && is_last(api, &value) {
            self.ended = true;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        if self.failed || self.ended || self.broken.is_some() {
            return Err("an end marker after the last frame".to_owned());
        }
        self.ended = true;
        Ok(())
    }
}

fn parsed(text: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(text).map_err(|e| format!("{e} in {:?}", String::from_utf8_lossy(text)))
}

fn error_of(api: Api, value: &Value) -> Option<&str> {
    match api {
        Api::Chat | Api::Generate => value["error"].as_str(),
        Api::OpenAiChat => value["error"]["message"].as_str(),
    }
}

/// The text of a frame or of a whole answer.
fn text_of(api: Api, value: &Value) -> Option<&str> {
    let choice = &value["choices"][0];
    match api {
        Api::Chat => value["message"]["content"].as_str(),
        Api::Generate => value["response"].as_str(),
        Api::OpenAiChat => {
            choice["delta"]["content"].as_str().or_else(|| choice["message"]["content"].as_str())
        }
    }
}

/// Whether it says that nothing follows.
fn is_last(api: Api, value: &Value) -> bool {
    match api {
        Api::Chat | Api::Generate => value["done"] == true,
        Api::OpenAiChat => value["choices"][0]["finish_reason"].is_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(api: Api, stream: bool) -> Order {
        Order { api, stream, text: "one two".to_owned(), leave: None, host: "plain" }
    }

    fn judged(api: Api, stream: bool, status: u16, body: &str, end: End) -> Result<Class, String> {
        judge(&order(api, stream), &Answer { status, body: body.as_bytes(), end })
    }

    const ONE: &str = "{\"message\":{\"content\":\"one\"},\"done\":false}\n";
    const TWO: &str = "{\"message\":{\"content\":\" two\"},\"done\":false}\n";
    const LAST: &str = "{\"message\":{\"content\":\"\"},\"done\":true}\n";
    const ERROR: &str = "{\"error\":\"gone\"}\n";

    #[test]
    fn a_stream_is_done_with_all_its_text_and_its_marker() {
        let stream = |body: &[&str], end| judged(Api::Chat, true, 200, &body.concat(), end);
        assert_eq!(stream(&[ONE, TWO, LAST], End::Complete), Ok(Class::Done));
        assert_eq!(stream(&[ONE, ERROR], End::Complete), Ok(Class::Failed));
        assert_eq!(stream(&[ONE, "{\"mess\n", ERROR], End::Complete), Ok(Class::Failed), "cut in a frame");
        assert!(stream(&[ONE, "{\"mess\n"], End::Complete).is_err());
        assert!(stream(&[ONE, "{\"mess\n", TWO, LAST], End::Complete).is_err());
        for body in
            [&[ONE, TWO][..], &[ONE, LAST], &[TWO, LAST], &[ONE, TWO, LAST, LAST], &[ONE, ERROR, LAST]]
        {
            assert!(stream(body, End::Complete).is_err(), "{body:?}");
        }
        assert!(stream(&[ONE, TWO, LAST], End::Reset).is_err());
        assert!(stream(&[], End::Complete).is_err());
    }

    #[test]
    fn events_are_judged_as_lines_are() {
        let chunk =
            |text: &str| format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
        let stream = |parts: &[&str]| judged(Api::OpenAiChat, true, 200, &parts.concat(), End::Complete);
        let (one, two) = (chunk("one"), chunk(" two"));
        assert_eq!(stream(&[&one, ": a comment\n\n", &two, "data: [DONE]\n\n"]), Ok(Class::Done));
        assert_eq!(stream(&[&one, "data: {\"error\":{\"message\":\"x\"}}\n\n"]), Ok(Class::Failed));
        assert!(stream(&[&one, "data: [DONE]\n\n"]).is_err());
        assert!(stream(&[&one, &two]).is_err());
        assert!(stream(&[&one, ERROR]).is_err(), "an error of another protocol");
    }

    #[test]
    fn a_whole_answer_is_done_a_cut_one_shows_it() {
        let body = "{\"response\":\"one two\",\"done\":true}";
        assert_eq!(judged(Api::Generate, false, 200, body, End::Complete), Ok(Class::Done));
        assert_eq!(judged(Api::Generate, false, 200, &body[..9], End::Truncated), Ok(Class::Cut));
        let other = "{\"response\":\"one\",\"done\":true}";
        assert!(judged(Api::Generate, false, 200, other, End::Complete).is_err());
        assert!(judged(Api::Generate, false, 200, &body[..9], End::Complete).is_err());
    }

    #[test]
    fn a_refusal_speaks_the_protocol_of_its_client() {
        let native = "{\"error\":\"busy\"}";
        assert_eq!(judged(Api::Chat, true, 503, native, End::Complete), Ok(Class::Failed));
        assert!(judged(Api::OpenAiChat, true, 503, native, End::Complete).is_err());
        assert_eq!(judged(Api::Chat, true, 503, native, End::Truncated), Ok(Class::Cut));
        assert!(judged(Api::Chat, true, 204, "", End::Complete).is_err());
    }
}
