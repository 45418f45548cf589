//! What this node logs, and changing that while it runs. Other nodes are asked and told by themselves, and a restart is by
//! the settings again.

use actix_web::{HttpRequest, HttpResponse, web};
use ollamaflow_protocol::object::lenient::ObjectError;
use ollamaflow_protocol::object::{JsonPath, Parsed};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::auth::Caller;
use super::failure::Failure;
use super::write::Writing;
use super::{AdminState, answer, body};
use crate::description::{Api, Entry, Method};
use crate::telemetry::{Level, LevelError, Logs};

/// What is logged, where to, and what was lost.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = Logging)]
struct Shown<'a> {
    minimum_severity: u8,
    /// What decides instead, if anything does.
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<String>,
    access_log: bool,
    /// What severity or filter come to.
    effective_filter: String,
    format: &'static str,
    console: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    servers: Vec<&'a str>,
    lost: Vec<Loss>,
}

/// Lines that did not get to a sink.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = LostLines)]
struct Loss {
    sink: &'static str,
    full: u64,
    failed: u64,
}

/// What a body says of a property.
#[derive(Debug, Default, PartialEq)]
enum Said<T> {
    /// Nothing: it stays.
    #[default]
    Nothing,
    /// Null: it is what the node was started with.
    Null,
    /// It is this.
    This(T),
}

/// The body of a change.
#[derive(Debug, Default, PartialEq, ToSchema)]
#[schema(as = LoggingChange, rename_all = "PascalCase")]
struct Wanted {
    /// From 0, everything, to 7, nothing.
    #[schema(value_type = Option<u8>, required = false, minimum = 0, maximum = 7)]
    minimum_severity: Said<u8>,
    /// Directives such as `info,ollamaflow::actors=debug`, which decide in place of the severity.
    #[schema(value_type = Option<String>, required = false, max_length = 1024)]
    filter: Said<String>,
    /// Whether each request has its line.
    #[schema(value_type = Option<bool>, required = false)]
    access_log: Said<bool>,
}

/// The highest severity, which logs nothing.
const MAX_SEVERITY: u8 = 7;

/// Longest filter.
const MAX_FILTER: usize = 1024;

/// `GET /v1.0/logging`.
pub(super) async fn show(state: web::Data<AdminState>) -> Result<HttpResponse, Failure> {
    answer::ok(&Shown::of(&state.logs))
}

/// `PUT /v1.0/logging`.
pub(super) async fn change(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<AdminState>,
) -> Result<HttpResponse, Failure> {
    let body = body::read(&request, payload, body::OBJECT_BYTES, state.read_timeout).await?;
    let writing = Writing::of(&request, &state)?;
    let document: Value = serde_json::from_slice(&body).map_err(|e| ObjectError::syntax(&e))?;
    let wanted = writing.accept(Wanted::read(&document)?)?;
    let level = wanted.over(state.logs.level(), state.logs.initial_level());
    if writing.is_rehearsal() {
        state.logs.check(&level)?;
        return Ok(answer::validated(answer::ok(&Shown::of(&state.logs))?));
    }
    state.logs.set_level(level)?;
    let Caller(by) = Caller::of(&request)?;
    // Of a severity that is seen whatever is logged, unless nothing is.
    tracing::warn!(by, filter = state.logs.directives(), "what is logged has been changed");
    answer::ok(&Shown::of(&state.logs))
}

// === impl Shown ===

impl<'a> Shown<'a> {
    fn of(logs: &'a Logs) -> Self {
        let Level { minimum_severity, filter, access_log } = logs.level();
        let lost = logs.losses().map(|(sink, lost)| Loss { sink, full: lost.full, failed: lost.failed });
        Self {
            minimum_severity,
            filter,
            access_log,
            effective_filter: logs.directives(),
            format: logs.format(),
            console: logs.has_console(),
            file: logs.file(),
            servers: logs.servers().collect(),
            lost: lost.into(),
        }
    }
}

// === impl Wanted ===

impl Wanted {
    /// Reads a body. By hand, since null means something else here than elsewhere.
    fn read(document: &Value) -> Result<Parsed<Self>, Failure> {
        let Value::Object(properties) = document else {
            return Err(Failure::Invalid("the body must be a JSON object".to_owned()));
        };
        let (mut value, mut unknown) = (Self::default(), Vec::new());
        for (name, given) in properties {
            match name.to_ascii_lowercase().as_str() {
                "minimumseverity" => {
                    value.minimum_severity = read(given, name, "a number from 0 to 7", |value| {
                        u8::try_from(value.as_u64()?).ok().filter(|severity| *severity <= MAX_SEVERITY)
                    })?;
                }
                "filter" => {
                    value.filter = read(given, name, "a text of at most 1024 characters", |value| {
                        value.as_str().filter(|text| text.len() <= MAX_FILTER).map(str::to_owned)
                    })?;
                }
                "accesslog" => value.access_log = read(given, name, "true or false", Value::as_bool)?,
                _ => unknown.push(JsonPath::root().property(name)),
            }
        }
        Ok(Parsed { value, unknown })
    }

    /// The level that this comes to.
    fn over(self, current: Level, initial: &Level) -> Level {
        let Level { minimum_severity, mut filter, access_log } = current;
        if self.minimum_severity != Said::Nothing {
            // Whoever names a severity wants it to be heard.
            filter = None;
        }
        match self.filter {
            Said::Nothing => {}
            Said::Null => filter.clone_from(&initial.filter),
            Said::This(text) => filter = Some(text).filter(|text| !text.trim().is_empty()),
        }
        Level {
            minimum_severity: self.minimum_severity.over(minimum_severity, initial.minimum_severity),
            filter,
            access_log: self.access_log.over(access_log, initial.access_log),
        }
    }
}

// === impl Said ===

impl<T> Said<T> {
    fn over(self, current: T, initial: T) -> T {
        match self {
            Self::Nothing => current,
            Self::Null => initial,
            Self::This(value) => value,
        }
    }
}

/// What a property's value says.
fn read<T>(
    value: &Value,
    name: &str,
    what: &str,
    parse: impl Fn(&Value) -> Option<T>,
) -> Result<Said<T>, Failure> {
    if value.is_null() {
        return Ok(Said::Null);
    }
    parse(value).map(Said::This).ok_or_else(|| Failure::Invalid(format!("{name} must be {what}")))
}

impl From<LevelError> for Failure {
    fn from(error: LevelError) -> Self {
        match error {
            LevelError::Filter(e) => Self::Invalid(e.to_string()),
            LevelError::Foreign => Self::Conflict(error.to_string()),
        }
    }
}

/// Describes the operations here.
pub(super) fn describe(api: &mut Api) {
    let entry = |method, id, summary| Entry::admin(method, "/logging", id, summary).tag("Node");
    api.add(entry(Method::Get, "getLogging", "Show what this node logs").answers::<Shown<'_>>(200, "It"));
    api.add(
        entry(Method::Put, "changeLogging", "Change what this node logs")
            .says("Until it is restarted. Null takes back what it was started with.")
            .query::<bool>("validate", "Answer as if, and change nothing")
            .takes_strictly::<Wanted>(serde_json::json!({ "MinimumSeverity": 1 }))
            .answers::<Shown<'_>>(200, "As it is now"),
    );
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn level(minimum_severity: u8, filter: Option<&str>, access_log: bool) -> Level {
        Level { minimum_severity, filter: filter.map(str::to_owned), access_log }
    }

    #[test]
    fn what_is_not_named_stays_and_null_is_the_beginning() {
        let initial = level(1, None, true);
        let after =
            |current: &Level, body: Value| Wanted::read(&body).unwrap().value.over(current.clone(), &initial);
        let noisy = level(0, Some("debug"), false);
        assert_eq!(after(&noisy, json!({})), noisy);
        assert_eq!(after(&noisy, json!({ "minimumseverity": 3 })), level(3, None, false));
        assert_eq!(after(&noisy, json!({ "MinimumSeverity": null, "AccessLog": null })), initial);
        assert_eq!(after(&noisy, json!({ "Filter": null })), level(0, None, false));
        assert_eq!(
            after(&initial, json!({ "Filter": "warn", "AccessLog": false })),
            level(1, Some("warn"), false)
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for body in [
            json!([]),
            json!({ "MinimumSeverity": 8 }),
            json!({ "MinimumSeverity": "1" }),
            json!({ "Filter": 1 }),
            json!({ "AccessLog": "yes" }),
        ] {
            assert!(Wanted::read(&body).is_err(), "{body}");
        }
        assert_eq!(Wanted::read(&json!({ "Level": 1 })).unwrap().unknown.len(), 1);
    }
}
