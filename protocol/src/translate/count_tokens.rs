//! `POST /v1/messages/count_tokens`, which no backend of ours answers.

use super::{Refused, from_client};

/// About how many tokens the request in `body` has: the estimate with which a streamed answer to it starts, a quarter
/// of its bytes of text. Only the backend's tokenizer knows the number, and it counts while it answers.
///
/// The body is that of `POST /v1/messages`, and need have no `max_tokens`. Refuses what that refuses of the model, the
/// messages and the tools; the rest of the body is not looked at.
pub fn count_tokens(body: &[u8]) -> Result<u64, Refused> {
    from_client::anthropic::estimate(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(body: &str) -> u64 {
        count_tokens(body.as_bytes()).unwrap()
    }

    #[test]
    fn four_bytes_are_a_token_and_there_is_always_one() {
        assert_eq!(count(r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#), 1);
        let long = "x".repeat(396);
        assert_eq!(
            count(&format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{long}"}}]}}"#)),
            100
        );
    }

    #[test]
    fn system_tools_calls_and_results_count() {
        let body = r#"{"model":"m","system":[{"type":"text","text":"abcd"}],
            "tools":[{"name":"f","description":"abc","input_schema":{"type":"object"}}],
            "messages":[{"role":"assistant","content":[
                {"type":"thinking","thinking":"abcd","signature":"not this"},
                {"type":"tool_use","id":"toolu_1","name":"f","input":{"a":1}}]},
              {"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":"r"}]}]}"#;
        // system 4, tool 1 + 3 + 17, roles 9 + 4, thinking 4
        let said = 4 + 21 + 13 + 4;
        let call = r#"{"type":"tool_use","id":"toolu_1","name":"f","input":{"a":1}}"#.len();
        let result = r#"{"type":"tool_result","tool_use_id":"toolu_1","content":"r"}"#.len();
        assert_eq!(count(body), u64::try_from((said + call + result) / 4).unwrap());
    }

    #[test]
    fn what_is_no_conversation_is_refused() {
        for (body, message) in [
            ("{}", "model is required"),
            (r#"{"model":"m","messages":[]}"#, "messages is required"),
            ("", "missing request body"),
        ] {
            assert_eq!(count_tokens(body.as_bytes()).unwrap_err().message, message);
        }
    }
}
