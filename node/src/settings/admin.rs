//! Settings of the admin API.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ListenAddress, ListenTarget};

/// The admin API.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Admin {
    /// An address of its own for the admin API, written `HOST:PORT`; none to serve it where clients are served.
    #[serde(serialize_with = "text", deserialize_with = "address")]
    pub listen: Option<ListenAddress>,
}

// === Admin ===

impl Admin {
    /// Where the admin API listens, if it does so on its own.
    pub fn listen_target(&self) -> Option<ListenTarget> {
        self.listen.as_ref().map(|listen| ListenTarget::new(&listen.host, listen.port))
    }
}

// === rules ===

#[expect(clippy::ref_option, reason = "the signature that serde's `serialize_with` calls")]
fn text<S: Serializer>(address: &Option<ListenAddress>, serializer: S) -> Result<S::Ok, S::Error> {
    address.as_ref().map(ToString::to_string).serialize(serializer)
}

/// An address to listen on; an empty text counts as absent.
fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ListenAddress>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty());
    text.map(|text| text.parse().map_err(Error::custom)).transpose()
}
