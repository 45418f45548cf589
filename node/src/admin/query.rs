//! Parameters in the query of an admin request. Unknown ones are passed over, as the original does.

use actix_web::HttpRequest;
use actix_web::web::Query;
use ollamaflow_protocol::cluster::ClusterState;

use super::AdminState;
use super::failure::Failure;

/// Most parameters that are looked at.
const MAX_PARAMETERS: usize = 64;

/// Whether the parameter `name` says yes.
pub(super) fn flag(request: &HttpRequest, name: &str) -> Result<bool, Failure> {
    match parameter(request, name)?.as_deref() {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1" | "") => Ok(true),
        Some(_) => Err(Failure::Invalid(format!("the query parameter {name} must be true or false"))),
    }
}

/// The state that a read shows: that of this node, if it has one yet, or with `consistency=linearizable` one that has everything that
/// was confirmed before the request came.
pub(super) async fn state(request: &HttpRequest, admin: &AdminState) -> Result<ClusterState, Failure> {
    match parameter(request, "consistency")?.as_deref() {
        None | Some("local") => Ok(admin.cluster.known_state()?),
        Some("linearizable") => Ok(admin.cluster.linearizable().await?),
        Some(_) => {
            Err(Failure::Invalid("the query parameter consistency must be local or linearizable".to_owned()))
        }
    }
}

/// What the parameter `name` says, if it is there.
pub(super) fn text(request: &HttpRequest, name: &str) -> Result<Option<String>, Failure> {
    parameter(request, name)
}

/// The last value of a parameter.
fn parameter(request: &HttpRequest, name: &str) -> Result<Option<String>, Failure> {
    let parameters = Query::<Vec<(String, String)>>::from_query(request.query_string());
    let Ok(Query(parameters)) = parameters else {
        return Err(Failure::Invalid("the query of the request's address cannot be read".to_owned()));
    };
    let mut matching = parameters.into_iter().take(MAX_PARAMETERS).filter(|(known, _)| known == name);
    Ok(matching.next_back().map(|(_, value)| value))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn force(query: &str) -> Option<bool> {
        flag(&TestRequest::with_uri(&format!("/x{query}")).to_http_request(), "force").ok()
    }

    #[test]
    fn a_flag_is_on_off_or_an_error() {
        for query in ["?force=true", "?force=1", "?force", "?a=b&force=true", "?force=false&force=true"] {
            assert_eq!(force(query), Some(true), "{query}");
        }
        for query in ["", "?", "?force=false", "?force=0", "?Force=true", "?forced=true"] {
            assert_eq!(force(query), Some(false), "{query}");
        }
        assert_eq!(force("?force=yes"), None);
    }
}
