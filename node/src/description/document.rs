//! The whole document.

use serde_json::Value;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApiBuilder, ServerBuilder};

use super::client;
use super::entry::Api;
use super::failures::Audience;
use super::tidy::tidy;

/// What comes before the operations.
const INTRODUCTION: &str = "One API for many LLM servers. Clients use Ollama's, OpenAI's and Anthropic's API below `/api` \
and `/v1`, admins the one below `/v1.0`.\n\n\
* Every `GET` also takes `HEAD`, and every path `OPTIONS`.\n\
* Each answer has an id in `X-OllamaFlow-Request`; give it when you report a problem.\n\
* Admin objects have their revision as `ETag`; give it back in `If-Match` to change only what you have seen.\n\
* Names of properties are read in any case; unknown ones are refused, unless the header `X-OllamaFlow-Lenient` is there.\n\
* If the node has an admin address of its own (`Admin.Listen`), clients' routes are not served there, and admin routes \
nowhere else.";

/// Headings, in their order.
const TAGS: [(&str, &str); 10] = [
    (
        "Ollama",
        "Ollama's API. Backends of other kinds are asked in their own API, and the answer is translated.",
    ),
    ("OpenAI", "OpenAI's API, as engines serve it."),
    ("Anthropic", "Anthropic's Messages API."),
    ("Frontends", "Virtual servers: which backends serve whom, and how one is chosen."),
    ("Backends", "Servers of models, and their health."),
    ("Models", "Which model is where, and why it is not where it should be."),
    ("Catalog", "All frontends and backends at once, and their history."),
    ("Access", "Who may administer, and who may use models."),
    ("Cluster", "Nodes, leader and backups."),
    ("Node", "The node itself: probes, metrics, logging, sessions."),
];

/// The document of these admin operations and of all clients' routes.
pub fn document(mut api: Api) -> Value {
    let mut all = Api::default();
    client::describe(&mut all);
    std::mem::swap(&mut all, &mut api);
    // Clients' routes first: they are what most readers look for.
    let (mut paths, mut schemas) = (api.paths, api.schemas);
    paths.merge(all.paths);
    schemas.extend(all.schemas);
    let mut components = ComponentsBuilder::new();
    for (name, schema) in schemas {
        components = components.schema(name, schema);
    }
    for (name, response) in Audience::ALL.map(Audience::response) {
        components = components.response(name, response);
    }
    for (name, scheme) in schemes() {
        components = components.security_scheme(name, scheme);
    }
    let license =
        LicenseBuilder::new().name(env!("CARGO_PKG_LICENSE")).identifier(Some(env!("CARGO_PKG_LICENSE")));
    let info = InfoBuilder::new()
        .title("OllamaFlow")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(INTRODUCTION))
        .license(Some(license.build()));
    let tags = TAGS.map(|(name, text)| TagBuilder::new().name(name).description(Some(text)).build());
    let server = ServerBuilder::new().url("/").description(Some("The node that serves this description"));
    let document = OpenApiBuilder::new()
        .info(info.build())
        .servers(Some([server.build()]))
        .tags(Some(tags))
        .paths(paths)
        .components(Some(components.build()))
        .build();
    // Values that derive `Serialize` and hold no maps with other keys than strings: this cannot fail.
    let mut document = serde_json::to_value(&document).unwrap_or_default();
    tidy(&mut document);
    document
}

fn schemes() -> [(&'static str, SecurityScheme); 3] {
    let bearer = |text: &str| {
        let mut http = Http::new(HttpAuthScheme::Bearer);
        http.description = Some(text.to_owned());
        SecurityScheme::Http(http)
    };
    [
        (
            "adminToken",
            bearer(
                "An admin token: of the settings file (`AdminBearerTokens`), or made by `PUT /v1.0/tokens`.",
            ),
        ),
        ("clientKey", bearer("The key of a client. Without one where the frontend asks for none.")),
        (
            "anthropicKey",
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
                "x-api-key",
                "The key of a client, as Anthropic's clients send it.",
            ))),
        ),
    ]
}
