//! One operation of the API, written down in a few words.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn, ParameterStyle};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, Object, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Content, ContentBuilder, Paths, Ref, RefOr, Required, Schema};

pub use utoipa::openapi::HttpMethod as Method;

use super::failures::Audience;

/// What is described so far.
#[derive(Default)]
pub struct Api {
    pub(super) paths: Paths,
    pub(super) schemas: BTreeMap<String, RefOr<Schema>>,
}

/// An operation: a method of a path.
pub struct Entry {
    method: Method,
    path: String,
    audience: Audience,
    operation: OperationBuilder,
    body: Option<RequestBody>,
    answers: BTreeMap<String, RefOr<Response>>,
    /// Answers of several types, which are complete only at the end.
    open: BTreeMap<u16, ResponseBuilder>,
    schemas: Schemas,
}

type Schemas = Vec<(String, RefOr<Schema>)>;

// === impl Api ===

impl Api {
    /// Adds an operation.
    pub fn add(&mut self, entry: Entry) {
        let Entry { method, path, audience, operation, body, mut answers, open, schemas } = entry;
        self.schemas.extend(schemas);
        self.schemas.extend(audience.schemas());
        for (status, answer) in open {
            answers.insert(status.to_string(), answer.build().into());
        }
        let mut responses = utoipa::openapi::ResponsesBuilder::new();
        for (status, answer) in answers {
            responses = responses.response(status, answer);
        }
        let operation = operation.request_body(body).responses(responses.build());
        self.paths.add_path_operation(path, vec![method], operation);
    }
}

// === impl Entry ===

impl Entry {
    /// An operation of admins, which needs a token; `path` stands below `/v1.0`, with its parameters in braces, and `id` is
    /// its unique name.
    pub fn admin(method: Method, path: &str, id: &str, summary: &str) -> Self {
        let entry = Self::new(Audience::Admin, method, format!("/v1.0{path}"), id, summary);
        let token = SecurityRequirement::new("adminToken", std::iter::empty::<&str>());
        Self { operation: entry.operation.security(token), ..entry }.fails(&[401, 429])
    }

    /// An operation for anyone; `audience` decides the form of errors.
    pub fn new(audience: Audience, method: Method, path: impl Into<String>, id: &str, summary: &str) -> Self {
        Self {
            method,
            path: path.into(),
            audience,
            operation: OperationBuilder::new().operation_id(Some(id)).summary(Some(summary)),
            body: None,
            answers: BTreeMap::new(),
            open: BTreeMap::new(),
            schemas: Vec::new(),
        }
    }

    /// Under which heading it stands.
    #[must_use]
    pub fn tag(self, tag: &str) -> Self {
        Self { operation: self.operation.tag(tag), ..self }
    }

    /// What there is to say beyond the summary.
    #[must_use]
    pub fn says(self, text: &str) -> Self {
        Self { operation: self.operation.description(Some(text)), ..self }
    }

    /// What may be needed to be let in: names of the document's security schemes, each of which alone will do. An empty
    /// name stands for nothing.
    #[must_use]
    pub fn secured_by(mut self, schemes: &[&str]) -> Self {
        for scheme in schemes {
            let requirement = if scheme.is_empty() {
                SecurityRequirement::default()
            } else {
                SecurityRequirement::new(*scheme, std::iter::empty::<&str>())
            };
            self.operation = self.operation.security(requirement);
        }
        self
    }

    // --- what it takes ---

    /// A parameter in the path, with an example of it.
    #[must_use]
    pub fn path(self, name: &str, text: &str, example: &str) -> Self {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some(text))
            .schema(Some(ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).min_length(Some(1))))
            .example(Some(example.into()));
        Self { operation: self.operation.parameter(parameter), ..self }
    }

    /// A parameter in the query, which may be left out.
    #[must_use]
    pub fn query<T: ToSchema>(mut self, name: &str, text: &str) -> Self {
        let schema = self.schema::<T>();
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Query)
            .required(Required::False)
            .style(Some(ParameterStyle::Form))
            .description(Some(text))
            .schema(Some(schema));
        Self { operation: self.operation.parameter(parameter), ..self }.fails(&[400])
    }

    /// A header, which may be left out.
    #[must_use]
    pub fn header(self, name: &str, text: &str, example: &str) -> Self {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(text))
            .schema(Some(
                ObjectBuilder::new()
                    .schema_type(SchemaType::new(Type::String))
                    .examples(Some([Value::from(example)])),
            ));
        Self { operation: self.operation.parameter(parameter), ..self }
    }

    /// A body in JSON, and an example of it.
    #[must_use]
    pub fn takes<T: ToSchema>(mut self, example: Value) -> Self {
        let content = ContentBuilder::new().schema(Some(self.schema::<T>())).example(Some(example)).build();
        self.takes_content("application/json", content, Required::True)
    }

    /// A body in JSON that may be left out.
    #[must_use]
    pub fn may_take<T: ToSchema>(mut self, example: Value) -> Self {
        let content = ContentBuilder::new().schema(Some(self.schema::<T>())).example(Some(example)).build();
        self.takes_content("application/json", content, Required::False)
    }

    /// A body of another type.
    #[must_use]
    pub fn takes_other(self, content_type: &str, schema: impl Into<RefOr<Schema>>) -> Self {
        self.takes_content(content_type, Content::new(Some(schema.into())), Required::True)
    }

    fn takes_content(mut self, content_type: &str, content: Content, required: Required) -> Self {
        let body = RequestBodyBuilder::new().content(content_type, content).required(Some(required)).build();
        self.body = Some(body);
        self.fails(&[400, 408, 413])
    }

    // --- what it answers ---

    /// A JSON object.
    #[must_use]
    pub fn answers<T: ToSchema>(mut self, status: u16, text: &str) -> Self {
        let schema = self.schema::<T>();
        self.content(status, text, "application/json", schema)
    }

    /// A JSON array.
    #[must_use]
    pub fn answers_list<T: ToSchema>(mut self, status: u16, text: &str) -> Self {
        let array = ArrayBuilder::new().items(self.schema::<T>()).build();
        self.content(status, text, "application/json", Schema::from(array).into())
    }

    /// A stream of JSON objects, a line each, as another form of an answer. The schema is that of each.
    #[must_use]
    pub fn streams_lines<T: ToSchema>(mut self, status: u16) -> Self {
        let content = Content::new(Some(self.schema::<T>()));
        self.stream(status, "application/x-ndjson", content)
    }

    /// A stream of server-sent events, as another form of an answer. The schema is that of the JSON in each.
    #[must_use]
    pub fn streams_events<T: ToSchema>(mut self, status: u16) -> Self {
        let data = self.event_data::<T>();
        self.stream(status, "text/event-stream", Content::new(Some(event(data))))
    }

    /// The same in the API of `OpenAI`, where `[DONE]` is the last one.
    #[must_use]
    pub fn streams_events_until_done<T: ToSchema>(mut self, status: u16) -> Self {
        let done = ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::String))
            .description(Some("The end"))
            .enum_values(Some(["[DONE]"]));
        let data = Schema::AnyOf(AnyOfBuilder::new().item(done).item(self.event_data::<T>()).build());
        self.stream(status, "text/event-stream", Content::new(Some(event(data))))
    }

    fn event_data<T: ToSchema>(&mut self) -> Schema {
        ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::String))
            .description(Some("What happened, in JSON"))
            .content_media_type("application/json")
            .content_schema(Some(self.schema::<T>()))
            .build()
            .into()
    }

    fn stream(mut self, status: u16, content_type: &str, content: Content) -> Self {
        let response = self.response(status);
        self.open.insert(status, response.content(content_type, content));
        self
    }

    /// Text, or bytes.
    #[must_use]
    pub fn answers_text(self, status: u16, text: &str, content_type: &str) -> Self {
        let schema = ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).build();
        self.content(status, text, content_type, Schema::from(schema).into())
    }

    /// No body.
    #[must_use]
    pub fn answers_nothing(mut self, status: u16, text: &str) -> Self {
        self.open.insert(status, ResponseBuilder::new().description(text));
        self
    }

    /// Errors, by their status: what each means is the same everywhere.
    #[must_use]
    pub fn fails(mut self, statuses: &[u16]) -> Self {
        for status in statuses {
            let failure = self.audience.failure(*status);
            self.fail(status.to_string(), failure);
        }
        self
    }

    /// Whatever a backend says: its errors keep their status.
    #[must_use]
    pub fn fails_as_backends_do(mut self) -> Self {
        let failure = self.audience.backends_failure();
        self.fail("default".to_owned(), failure);
        self
    }

    /// Whatever a backend says, of which nothing is known.
    #[must_use]
    pub fn answers_as_backends_do(mut self, text: &str) -> Self {
        let anything =
            ContentBuilder::new().schema(Some(Schema::Object(Object::with_type(SchemaType::AnyValue))));
        let response = ResponseBuilder::new().description(text).content("*/*", anything.build());
        self.answers = BTreeMap::from([("default".to_owned(), response.build().into())]);
        self
    }

    /// An answer to `HEAD` has no body.
    fn fail(&mut self, status: String, failure: Ref) {
        let answer = if matches!(self.method, Method::Head) {
            ResponseBuilder::new().description(failure.description).build().into()
        } else {
            failure.into()
        };
        self.answers.insert(status, answer);
    }

    fn content(mut self, status: u16, text: &str, content_type: &str, schema: RefOr<Schema>) -> Self {
        let response = self.response(status).description(text);
        self.open.insert(status, response.content(content_type, Content::new(Some(schema))));
        self
    }

    fn response(&mut self, status: u16) -> ResponseBuilder {
        self.open.remove(&status).unwrap_or_default()
    }

    /// The type by its name, if it has one in the document.
    fn schema<T: ToSchema>(&mut self) -> RefOr<Schema> {
        T::schemas(&mut self.schemas);
        let schema = T::schema();
        let is_plain = |schema: &Schema| match schema {
            Schema::Object(object) => {
                object.properties.is_empty()
                    && object.enum_values.is_none()
                    && object.additional_properties.is_none()
            }
            Schema::Array(_) => true,
            _ => false,
        };
        match schema {
            RefOr::T(schema) if is_plain(&schema) => schema.into(),
            schema => {
                let name = T::name();
                self.schemas.push((name.to_string(), schema));
                Ref::from_schema_name(name.into_owned()).into()
            }
        }
    }
}

// === admin operations ===

impl Entry {
    /// A read of the replicated state.
    #[must_use]
    pub fn reads(self) -> Self {
        self.query::<Consistency>(
            "consistency",
            "How fresh: what this node has applied, or all that was confirmed before",
        )
        .fails(&[503])
    }

    /// A read that answers 304 to those who have it.
    #[must_use]
    pub fn reads_tagged(self) -> Self {
        self.reads()
            .header(
                "If-None-Match",
                "The entity tag of what the client has: 304 if that is still so",
                "\"12\"",
            )
            .answers_nothing(304, "It is as the client has it.")
    }

    /// A change of the replicated state.
    #[must_use]
    pub fn writes(self) -> Self {
        self.query::<bool>("validate", "Answer as if, and change nothing")
            .header("If-Match", "Only if this is its entity tag", "\"12\"")
            .fails(&[409, 412, 503])
    }

    /// A body in which unknown properties are refused, unless the client says that it does not mind.
    #[must_use]
    pub fn takes_strictly<T: ToSchema>(self, example: Value) -> Self {
        self.takes::<T>(example).lenient()
    }

    /// Unknown properties of the body are refused, unless the client says that it does not mind.
    #[must_use]
    pub fn lenient(self) -> Self {
        self.header(
            "X-OllamaFlow-Lenient",
            "Whatever its value: unknown properties are left out, and not refused",
            "1",
        )
    }
}

/// A server-sent event.
fn event(data: impl Into<RefOr<Schema>>) -> Schema {
    let kind = ObjectBuilder::new()
        .schema_type(SchemaType::new(Type::String))
        .description(Some("What kind of event it is, where the API names it"));
    ObjectBuilder::new()
        .schema_type(SchemaType::new(Type::Object))
        .property("event", kind)
        .property("data", data)
        .required("data")
        .build()
        .into()
}

/// How fresh a read is.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum Consistency {
    #[expect(dead_code, reason = "names of values of a query parameter")]
    Local,
    #[expect(dead_code, reason = "names of values of a query parameter")]
    Linearizable,
}
