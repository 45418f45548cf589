//! The single place where settings are read: layers on top of each other, then types, then what belongs together.

use std::path::PathBuf;

use ollamaflow_protocol::catalog::Catalog;
use ollamaflow_protocol::object::lenient::{self, Parsed};
use ollamaflow_protocol::object::{Backend, JsonPath, ObjectError, Segment};
use ollamaflow_protocol::time::Timestamp;
use serde_json::Value;

use super::cluster::{ClusterPlan, ClusterSettings};
use super::environment::{self, Variable};
use super::layers::{Layers, Origin, Origins};
use super::outcome::{Loaded, Problem, SettingsError};
use super::sources::{ClusterFlags, Flags, Sources};
use super::{Settings, file, inert, standard};
use crate::clock::now;

/// Stands for the place of settings that a program has made itself.
const GIVEN: &str = "the given settings";

/// Reads the settings. Nothing is logged; the file is written only on a first run.
pub fn load(sources: Sources) -> Result<Loaded, SettingsError> {
    load_for(sources, ClusterSettings::plan)
}

/// Reads the settings of a node that is to be talked to. Its part in the cluster is left out: it may be said by flags
/// and variables that only the node was given.
pub fn load_for_client(sources: Sources) -> Result<Loaded, SettingsError> {
    load_for(sources, |_| Ok(ClusterPlan::default()))
}

/// Checks settings that a program has made itself, for a node inside it. There is no file, no variable or flag counts, and
/// lists that are empty stay so.
pub fn check_given(mut settings: Settings) -> Result<Loaded, SettingsError> {
    let mut report = Report { file: GIVEN.to_owned(), problems: Vec::new(), notices: Vec::new() };
    // Bounds of single values are those of a file, so they are read as if they stood in one. Secrets are hidden there, and checked
    // below where they matter before they are used.
    let document = serde_json::to_value(&settings).unwrap_or_default();
    let schema = lenient::schema(&Settings::default());
    let origins = Layers::new(&schema, document.clone()).origins;
    let read = lenient::read_all::<Settings>(&document);
    for error in &read.errors {
        report.problem(&Origin::Default, error);
    }
    let mut broken = check(&mut settings, now());
    broken.extend(
        super::webserver::faulty_token(&settings.admin_bearer_tokens)
            .map(|reason| ObjectError::new(JsonPath::root().property("AdminBearerTokens"), reason)),
    );
    let cluster = settings.cluster.plan().map_err(|errors| broken.extend(errors)).ok();
    for error in broken.iter().filter(|error| !is_known(error, &read.errors)) {
        report.problem(&Origin::Default, error);
    }
    let Some(cluster) = cluster.filter(|_| report.problems.is_empty()) else {
        return Err(SettingsError::Invalid(report.problems));
    };
    let catalog = report.catalog(&settings, &origins)?;
    let file = PathBuf::from(GIVEN);
    Ok(Loaded { settings, origins, notices: Vec::new(), cluster, catalog, file, first_run: None })
}

fn load_for(
    sources: Sources,
    plan: impl Fn(&ClusterSettings) -> Result<ClusterPlan, Vec<ObjectError>>,
) -> Result<Loaded, SettingsError> {
    let Sources { file: path, missing_file, environment, flags, now } = sources;
    let contents = file::read(&path, missing_file)?;
    let mut report = Report { file: path.display().to_string(), problems: Vec::new(), notices: Vec::new() };
    let document = report.parse(contents.text.as_deref());

    let schema = lenient::schema(&Settings::default());
    let mut layers = Layers::new(&schema, document);
    for (name, path, value) in standard::variables(&environment) {
        layers.set(&path, value, Origin::Env(name.to_owned()));
    }
    for (name, variable) in environment::variables(&schema, &environment) {
        match variable {
            Variable::Setting(property, value) => layers.set(&property.path, value, Origin::Env(name)),
            Variable::Unusable(property, reason) => {
                report.problem(&Origin::Env(name), &ObjectError::new(property.path.clone(), reason));
            }
            Variable::Unknown => report.notices.push(format!("environment variable {name} names no setting")),
        }
    }
    for (setting, value, flag) in flag_values(flags) {
        layers.set(&setting, value, Origin::Flag(flag.to_owned()));
    }
    seed(&mut layers);

    let read = lenient::read_all::<Settings>(&layers.document);
    for error in &read.errors {
        report.problem(layers.origins.of(error.path()), error);
    }
    let Some(Parsed { value: mut settings, unknown }) = read.parsed else {
        return Err(SettingsError::Invalid(report.problems));
    };
    for path in unknown.iter().filter(|path| !is_runtime_property(path)) {
        report.notices.push(format!("{path} ({}) is unknown and left out", layers.origins.of(path)));
    }
    let mut broken = check(&mut settings, now);
    let cluster = plan(&settings.cluster).map_err(|errors| broken.extend(errors)).ok();
    for error in broken.iter().filter(|error| !is_known(error, &read.errors)) {
        report.problem(layers.origins.of(error.path()), error);
    }
    report.notices.extend(inert::notices(&settings, &layers.origins));
    if settings.admin_bearer_tokens.is_empty() {
        report.notices.push("AdminBearerTokens is empty: no admin call can succeed".to_owned());
    }
    let Some(cluster) = cluster.filter(|_| report.problems.is_empty()) else {
        return Err(SettingsError::Invalid(report.problems));
    };
    let catalog = report.catalog(&settings, &layers.origins)?;
    let (notices, first_run) = (report.notices, contents.first_run);
    Ok(Loaded { settings, origins: layers.origins, notices, cluster, catalog, file: path, first_run })
}

/// What is found on the way.
struct Report {
    /// The file, for people.
    file: String,
    problems: Vec<Problem>,
    notices: Vec<String>,
}

// === Report ===

impl Report {
    fn problem(&mut self, origin: &Origin, error: &ObjectError) {
        let source_name = match origin {
            Origin::File | Origin::Default => self.file.clone(),
            other => other.to_string(),
        };
        self.problems.push(Problem { origin: origin.clone(), source_name, sentence: error.to_string() });
    }

    /// The objects, which have to fit each other.
    fn catalog(&mut self, settings: &Settings, origins: &Origins) -> Result<Catalog, SettingsError> {
        let catalog = Catalog::from_objects(settings.frontends.clone(), settings.backends.clone());
        catalog.map_err(|violations| {
            for violation in violations {
                let error = ObjectError::new(violation.path(), violation.to_string());
                self.problem(origins.of(error.path()), &error);
            }
            SettingsError::Invalid(std::mem::take(&mut self.problems))
        })
    }

    /// The document of the file; an empty one without a file or with one that is no JSON.
    fn parse(&mut self, text: Option<&[u8]>) -> Value {
        let Some(text) = text else { return Value::Object(serde_json::Map::new()) };
        // Some editors start a UTF-8 file with a byte order mark, which JSON does not know.
        let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
        serde_json::from_slice(text).unwrap_or_else(|error| {
            self.problem(&Origin::File, &ObjectError::syntax(&error));
            Value::Object(serde_json::Map::new())
        })
    }
}

// === steps ===

fn flag_values(flags: Flags) -> Vec<(JsonPath, Value, &'static str)> {
    let mut values = Vec::new();
    if let Some(listen) = flags.listen {
        let webserver = JsonPath::root().property("Webserver");
        values.push((webserver.property("Hostname"), listen.host.into(), "--listen"));
        values.push((webserver.property("Port"), listen.port.into(), "--listen"));
    }
    for (name, value, flag) in [
        ("DataDirectory", flags.data_directory.map(Value::from), "--data-directory"),
        ("TrustedProxies", flags.trusted_proxies.map(Value::from), "--trusted-proxies"),
        ("ShutdownGraceMs", flags.shutdown_grace_ms.map(Value::from), "--shutdown-grace-ms"),
        ("ShutdownSettleMs", flags.shutdown_settle_ms.map(Value::from), "--shutdown-settle-ms"),
    ] {
        values.extend(value.map(|value| (JsonPath::root().property(name), value, flag)));
    }
    if let Some(endpoint) = flags.otlp_endpoint {
        let setting = JsonPath::root().property("Tracing").property("Endpoint");
        values.push((setting, endpoint.into(), "--otlp-endpoint"));
    }
    let ClusterFlags { listen, advertise, peers, join, secret, secret_file } = flags.cluster;
    let secret = secret.map(|secret| secret.expose().to_owned());
    for (name, value, flag) in [
        ("Listen", listen.map(Value::from), "--cluster-listen"),
        ("Advertise", advertise.map(Value::from), "--advertise"),
        ("Peers", peers.map(Value::from), "--peers"),
        ("Join", join.map(Value::from), "--join"),
        ("Secret", secret.map(Value::from), "--cluster-secret"),
        ("SecretFile", secret_file.map(Value::from), "--cluster-secret-file"),
    ] {
        let setting = JsonPath::root().property("Cluster").property(name);
        values.extend(value.map(|value| (setting, value, flag)));
    }
    values
}

/// Adds the first objects where no layer has any; an empty list counts as a decision and is left alone.
fn seed(layers: &mut Layers) {
    let Value::Object(first) = file::first_objects() else { return };
    let given = |name: &String| *layers.origins.of(&JsonPath::root().property(name)) != Origin::Default;
    if first.keys().any(given) {
        return;
    }
    for (name, value) in first {
        layers.set(&JsonPath::root().property(&name), value, Origin::Default);
    }
}

/// Whether this is a live property of a backend, which files may hold and which means nothing there.
fn is_runtime_property(path: &JsonPath) -> bool {
    match path.segments() {
        [Segment::Property(list), Segment::Item(_), Segment::Property(name)] => {
            list == "Backends" && Backend::is_runtime_property(name)
        }
        _ => false,
    }
}

/// Whether a property has been found faulty already.
fn is_known(error: &ObjectError, earlier: &[ObjectError]) -> bool {
    earlier.iter().any(|earlier| error.path().is_within(earlier.path()))
}

/// Rules that the types of the single settings do not carry; also completes the objects.
fn check(settings: &mut Settings, now: Timestamp) -> Vec<ObjectError> {
    let mut errors = Vec::new();
    let frontends = JsonPath::root().property("Frontends");
    for (index, frontend) in settings.frontends.iter_mut().enumerate() {
        errors.extend(frontend.complete(now).err().map(|error| error.under(&frontends.item(index))));
    }
    let backends = JsonPath::root().property("Backends");
    for (index, backend) in settings.backends.iter_mut().enumerate() {
        errors.extend(backend.complete(now).err().map(|error| error.under(&backends.item(index))));
    }
    for (path, reason) in inert::refusals(settings) {
        let path = path.split('.').fold(JsonPath::root(), |path, name| path.property(name));
        errors.push(ObjectError::new(path, reason));
    }
    errors
}
