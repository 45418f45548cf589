//! Who may use the admin API: whoever has one of its tokens.

use actix_web::dev::ServiceRequest;
use actix_web::http::header;
use actix_web::web;
use ollamaflow_protocol::object::Secret;
use subtle::{Choice, ConstantTimeEq as _};

use super::AdminState;

/// Whether the request has `Authorization: Bearer` and a token of the node.
pub(super) fn is_authorized(request: &ServiceRequest) -> bool {
    let Some(state) = request.app_data::<web::Data<AdminState>>() else { return false };
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
    let Some(given) = given else { return false };
    // Every token is compared, each in constant time: the answer's delay tells nothing about any of them.
    let is_token = |found, token: &Secret| found | token.expose().as_bytes().ct_eq(given);
    state.tokens.iter().fold(Choice::from(0), is_token).into()
}

/// The token of a bearer value; the scheme's name is case-insensitive (RFC 9110 section 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::bearer;

    #[test]
    fn the_scheme_is_read_in_any_case_and_the_token_exactly() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bearer  Abc "), Some(&b"Abc"[..]));
        for value in [&b"Bearer "[..], b"Bearer", b"Basic abc", b"", b"abc"] {
            assert_eq!(bearer(value), None);
        }
    }
}
