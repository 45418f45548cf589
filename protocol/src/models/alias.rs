//! Other names for models: what a client calls `gpt-4o` is `llama3.1:70b` at the backends, or another model at each.
//!
//! In: the name that a client wrote, and the backend that its request goes to. Out: the name that the backend gets, and
//! the one that the answer is to show. Names are compared as models are ([`crate::model::same_model`]).
//!
//! An alias is resolved in *one* step: its target is sent as it is written, even if that is an alias as well. So an alias
//! may hide the model that it is named after (`"llama3": "llama3:70b"`), and there are no circles. A backend for which an
//! alias has no target cannot be asked for it.

mod body;
mod echo;
mod form;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{self, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{AdditionalProperties, Object, ObjectBuilder, OneOfBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

pub use self::body::{AliasError, named};
pub use self::echo::{Echo, Framing};
pub use self::form::{model_of_form, models_of_form, named_in_form};

use super::inventory::MAX_NAME;
use crate::id::BackendId;
use crate::model::canonical;

/// Most aliases of a frontend.
pub const MAX_ALIASES: usize = 1000;
/// Most names in a list of models of a frontend.
pub const MAX_NAMES: usize = 1000;
/// Most backends for which one alias has names of their own.
const MAX_TARGETS: usize = 1000;
/// Stands for the backends that are not named.
const ANY: &str = "*";

/// The property `ModelAliases` of a frontend: an object with aliases as keys, and as values the name of a model, or an
/// object with ids of backends (or `*` for all others) as keys and names of models as values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelAliases {
    /// By canonical name. Shared with the requests that ask for them.
    aliases: BTreeMap<String, Arc<Alias>>,
}

/// One alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// As the operator wrote it: so it is listed.
    pub name: String,
    target: Target,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Everywhere(Name),
    ByBackend { named: BTreeMap<BackendId, Name>, others: Option<Name> },
}

/// The name of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    written: String,
    /// Each request looks for it at each backend.
    canonical: String,
}

/// What a request asks for that does not simply name its model: an alias, or nothing where there is a default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renaming {
    asked: Name,
    is_default: bool,
    /// There if the name is one.
    alias: Option<Arc<Alias>>,
}

// === impl ModelAliases ===

impl ModelAliases {
    /// Whether there are none: most frontends have none, and nothing has to be done for them.
    pub fn is_empty(&self) -> bool {
        self.aliases.is_empty()
    }

    /// The aliases, by canonical name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Alias)> {
        self.aliases.iter().map(|(canonical, alias)| (canonical.as_str(), &**alias))
    }

    /// The alias of a canonical name, if it is one.
    pub fn find_canonical(&self, canonical: &str) -> Option<&Alias> {
        self.aliases.get(canonical).map(|alias| &**alias)
    }

    /// What a request asks for. `asked` is the name in the request, if there is one, and `default` the frontend's
    /// `DefaultModel`, which may be an alias. `None` for a request that simply names its model, or that names none where
    /// there is no default: it goes on as it is.
    pub fn renaming(&self, asked: Option<&str>, default: Option<&str>) -> Option<Renaming> {
        let is_name = |name: &&str| !name.trim().is_empty();
        let written = asked.filter(is_name);
        if self.aliases.is_empty() && (written.is_some() || default.is_none()) {
            return None;
        }
        let asked = Name::new(written.or(default.filter(is_name))?.to_owned());
        let alias = self.aliases.get(&asked.canonical).cloned();
        let is_default = written.is_none();
        (is_default || alias.is_some()).then_some(Renaming { asked, is_default, alias })
    }
}

// === impl Renaming ===

impl Renaming {
    /// The name that answers show: what the client asked for, be it by asking for nothing.
    pub fn asked(&self) -> &str {
        &self.asked.written
    }

    /// Whether the request names no model, and the default stands for it.
    pub fn is_default(&self) -> bool {
        self.is_default
    }

    /// The alias, if the name is one.
    pub fn alias(&self) -> Option<&Alias> {
        self.alias.as_deref()
    }

    /// The name that the backend gets; `None` if it cannot be asked, since the alias has no target there.
    pub fn target(&self, backend: &BackendId) -> Option<&str> {
        self.name(backend).map(|name| name.written.as_str())
    }

    /// Canonical form of [`target`](Self::target).
    pub fn canonical_target(&self, backend: &BackendId) -> Option<&str> {
        self.name(backend).map(|name| name.canonical.as_str())
    }

    fn name(&self, backend: &BackendId) -> Option<&Name> {
        match &self.alias {
            Some(alias) => alias.name_at(backend),
            None => Some(&self.asked),
        }
    }
}

// === impl Alias ===

impl Alias {
    /// What the alias means at `backend`; `None` if it is no alias there.
    pub fn target(&self, backend: &BackendId) -> Option<&str> {
        self.name_at(backend).map(|name| name.written.as_str())
    }

    /// All that it means, at whichever backend.
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        let (one, many) = match &self.target {
            Target::Everywhere(target) => (Some(target), None),
            Target::ByBackend { named, others } => (others.as_ref(), Some(named)),
        };
        one.into_iter().chain(many.into_iter().flat_map(BTreeMap::values)).map(|name| name.written.as_str())
    }

    fn name_at(&self, backend: &BackendId) -> Option<&Name> {
        match &self.target {
            Target::Everywhere(target) => Some(target),
            Target::ByBackend { named, others } => named.get(backend).or(others.as_ref()),
        }
    }
}

// === impl Name ===

impl Name {
    fn new(written: String) -> Self {
        Self { canonical: canonical(&written), written }
    }
}

// === reading and writing ===

impl PartialSchema for ModelAliases {
    fn schema() -> RefOr<Schema> {
        let name = || ObjectBuilder::new().schema_type(SchemaType::new(Type::String));
        let by_backend = ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::Object))
            .additional_properties(Some(AdditionalProperties::<Schema>::from(Schema::from(name().build()))));
        let target = OneOfBuilder::new().item(name()).item(by_backend).build();
        let aliases: Object = ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::Object))
            .description(Some(
                "Aliases as keys; as values the name of a model, or an object with ids of backends (`*` for all \
                 others) as keys and names of models as values.",
            ))
            .additional_properties(Some(AdditionalProperties::<Schema>::from(Schema::from(target))))
            .build();
        Schema::from(aliases).into()
    }
}

impl ToSchema for ModelAliases {}

impl Serialize for ModelAliases {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.aliases.len()))?;
        for alias in self.aliases.values() {
            map.serialize_entry(&alias.name, &alias.target)?;
        }
        map.end()
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Everywhere(target) => serializer.serialize_str(&target.written),
            Self::ByBackend { named, others } => {
                let mut map = serializer.serialize_map(None)?;
                for (backend, target) in named {
                    map.serialize_entry(backend, &target.written)?;
                }
                if let Some(target) = others {
                    map.serialize_entry(ANY, &target.written)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for ModelAliases {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Aliases;

        impl<'de> Visitor<'de> for Aliases {
            type Value = ModelAliases;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with names of models")
            }

            fn visit_unit<E: de::Error>(self) -> Result<ModelAliases, E> {
                Ok(ModelAliases::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ModelAliases, A::Error> {
                let mut aliases = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    check_name(&name, || "as a key".to_owned())?;
                    if aliases.len() == MAX_ALIASES {
                        return Err(de::Error::custom(format_args!(
                            "must have at most {MAX_ALIASES} aliases"
                        )));
                    }
                    let target = map.next_value_seed(TargetOf(&name))?;
                    let key = canonical(&name);
                    let alias = Arc::new(Alias { name, target });
                    if let Some(other) = aliases.insert(key, alias) {
                        return Err(de::Error::custom(format_args!(
                            "must name each alias once, but {:?} has a second spelling",
                            other.name
                        )));
                    }
                }
                Ok(ModelAliases { aliases })
            }
        }

        deserializer.deserialize_any(Aliases)
    }
}

/// Reads the target of an alias; errors name the alias.
struct TargetOf<'n>(&'n str);

impl<'de> de::DeserializeSeed<'de> for TargetOf<'_> {
    type Value = Target;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Target, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TargetOf<'_> {
    type Value = Target;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name of a model for {:?}, or an object with one for each backend", self.0)
    }

    fn visit_str<E: de::Error>(self, target: &str) -> Result<Target, E> {
        check_name(target, || format!("for {:?}", self.0))?;
        Ok(Target::Everywhere(Name::new(target.to_owned())))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Target, A::Error> {
        let alias = self.0;
        let (mut named, mut others) = (BTreeMap::new(), None);
        while let Some(key) = map.next_key::<String>()? {
            if named.len() == MAX_TARGETS {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                return Err(de::Error::custom(format_args!(
                    "must have at most {MAX_TARGETS} backends for {alias:?}"
                )));
            }
            let target: String = map.next_value()?;
            check_name(&target, || format!("for {alias:?} at {key:?}"))?;
            let target = Name::new(target);
            if key == ANY {
                others = Some(target);
                continue;
            }
            let backend = BackendId::try_from(key.as_str()).map_err(|error| {
                de::Error::custom(format_args!(
                    "must have backend ids or {ANY} as keys for {alias:?}, but has {key:?}, which {error}"
                ))
            })?;
            named.insert(backend, target);
        }
        if named.is_empty() && others.is_none() {
            return Err(de::Error::custom(format_args!("must have a model for {alias:?}")));
        }
        Ok(Target::ByBackend { named, others })
    }
}

/// Reads the property `DefaultModel`: a name, or nothing.
pub(crate) fn default_model<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let Some(name) = Option::<String>::deserialize(deserializer)?.filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    check_name(&name, String::new)?;
    Ok(Some(name))
}

/// Reads a list of names of models, such as the property `PreloadModels`: at most [`MAX_NAMES`].
pub(crate) fn model_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    if names.len() > MAX_NAMES {
        return Err(de::Error::custom(format_args!("must have at most {MAX_NAMES} models")));
    }
    for name in &names {
        check_name(name, String::new)?;
    }
    Ok(names)
}

/// The same for `RequiredModels`, where clients of the original may send empty names: they are left out.
pub(crate) fn required_models<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let names: Vec<_> = names.into_iter().filter(|name| !name.trim().is_empty()).collect();
    model_names(de::value::SeqDeserializer::new(names.into_iter()))
}

fn check_name<E: de::Error>(name: &str, place: impl FnOnce() -> String) -> Result<(), E> {
    let is_good = !name.trim().is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control);
    if is_good {
        return Ok(());
    }
    let shown: String = name.chars().take(80).collect();
    let place = place();
    let gap = if place.is_empty() { "" } else { " " };
    Err(de::Error::custom(format_args!("must have the name of a model{gap}{place}, but has {shown:?}")))
}

#[cfg(test)]
mod tests;
