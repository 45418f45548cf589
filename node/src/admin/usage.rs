//! `GET /v1.0/usage`: what virtual keys have used, by key, model and day, of the whole cluster or of this node.

use actix_web::{HttpRequest, HttpResponse, web};
use ollamaflow_protocol::usage::{Counts, Day, UsageFilter, UsageRow};
use serde::Serialize;
use utoipa::ToSchema;

use super::failure::Failure;
use super::{AdminState, answer, query};
use crate::clock::now;
use crate::description::{Api, Entry, Method};
use crate::keys::{self, ClusterUsage, NodeAnswer, UsageError};

/// Days that are shown if none are named.
const USUAL_DAYS: i32 = 31;

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = Usage)]
struct Shown {
    from: Day,
    to: Day,
    /// Whether every node has told, and all of it is here.
    complete: bool,
    total: Counts,
    rows: Vec<UsageRow>,
    nodes: Vec<NodeAnswer>,
}

/// `GET /v1.0/usage`.
pub(super) async fn list(
    request: HttpRequest,
    state: web::Data<AdminState>,
) -> Result<HttpResponse, Failure> {
    let filter = filter(&request)?;
    let (from, to) = (filter.from, filter.to);
    let only_here = query::flag(&request, "local")?;
    let usage = keys::ask_all(&state.cluster, &state.usage, filter, only_here).await;
    let ClusterUsage { rows, nodes } = usage.map_err(|error| match error {
        UsageError::Busy | UsageError::Stopping => Failure::NotNow(error.to_string()),
        error => {
            tracing::error!(%error, "usage cannot be told");
            Failure::Unreadable(error.to_string())
        }
    })?;
    let mut total = Counts::default();
    for row in &rows.rows {
        total.add(&row.counts);
    }
    let complete = !rows.truncated && nodes.iter().all(|node| node.answered);
    answer::ok(&Shown { from, to, complete, total, rows: rows.rows, nodes })
}

fn filter(request: &HttpRequest) -> Result<UsageFilter, Failure> {
    let day = |name: &str| -> Result<Option<Day>, Failure> {
        let text = query::text(request, name)?.filter(|text| !text.is_empty());
        text.map(|text| text.parse::<Day>())
            .transpose()
            .map_err(|error| Failure::Invalid(format!("the query parameter {name} {error}")))
    };
    let (only, from, to) = (day("day")?, day("from")?, day("to")?);
    if only.is_some() && (from.is_some() || to.is_some()) {
        return Err(Failure::Invalid("the query has a day, so leave from and to out".to_owned()));
    }
    let to = only.or(to).unwrap_or_else(|| Day::of(now()));
    let from = only.or(from).unwrap_or_else(|| to.before(USUAL_DAYS - 1));
    if from > to {
        return Err(Failure::Invalid(format!("the query asks for days from {from} to {to}: exchange them")));
    }
    let name = |name| query::text(request, name).map(|text| text.filter(|text| !text.is_empty()));
    Ok(UsageFilter { key: name("key")?, model: name("model")?, from, to })
}

/// Describes the operation here.
pub(super) fn describe(api: &mut Api) {
    api.add(
        Entry::admin(Method::Get, "/usage", "listUsage", "What keys have used, by key, model and day")
            .tag("Access")
            .says("Of all nodes; of the last 31 days unless days are named.")
            .query::<String>("key", "Only that of this key")
            .query::<String>("model", "Only that of this model")
            .query::<Day>("day", "Only that of this day")
            .query::<Day>("from", "From this day on")
            .query::<Day>("to", "Up to this day")
            .query::<bool>("local", "Only what the node has counted that answers")
            .fails(&[503])
            .answers::<Shown>(200, "The counts, newest days first"),
    );
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn asked(query: &str) -> Result<UsageFilter, Failure> {
        filter(&TestRequest::with_uri(&format!("/v1.0/usage{query}")).to_http_request())
    }

    #[test]
    fn days_are_one_or_a_span_or_the_last_month() {
        let span = |query| asked(query).map(|it| (it.from.to_string(), it.to.to_string())).unwrap();
        let days = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        assert_eq!(span("?day=2026-02-03"), days("2026-02-03", "2026-02-03"));
        assert_eq!(span("?from=2026-02-03&to=2026-02-05"), days("2026-02-03", "2026-02-05"));
        assert_eq!(span("?to=2026-01-31"), days("2026-01-01", "2026-01-31"));
        assert_eq!(asked("").unwrap().to, Day::of(now()));
        for bad in ["?day=x", "?day=2026-02-03&to=2026-02-04", "?from=2026-02-03&to=2026-02-01"] {
            assert!(asked(bad).is_err(), "{bad}");
        }
    }
}
