//! Frozen types as bytes, on the disk and between nodes: a version byte and bincode.

use bincode::Options as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// The version that is written, and the only one that is read. It changes with a release that reads both.
const VERSION: u8 = 1;

/// Longest encoding of one value: a snapshot with its history, and room for more.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Why bytes are not a value.
#[derive(Debug, Error)]
pub enum CodecError {
    /// A newer version of this program wrote them.
    #[error("the data has the encoding {0}, but this version knows {VERSION} only: update this node")]
    Version(u8),
    /// There are none.
    #[error("the data is empty")]
    Empty,
    /// They are not what they should be.
    #[error("the data is damaged: {0}")]
    Malformed(#[source] bincode::Error),
}

/// The bytes of a value.
pub fn encode(value: &impl Serialize) -> Result<Vec<u8>, CodecError> {
    let mut bytes = vec![VERSION];
    options().serialize_into(&mut bytes, value).map_err(CodecError::Malformed)?;
    Ok(bytes)
}

/// The value of bytes that [`encode`] wrote; nothing may follow them.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    match bytes.split_first() {
        None => Err(CodecError::Empty),
        Some((&VERSION, rest)) => options().deserialize(rest).map_err(CodecError::Malformed),
        Some((&other, _)) => Err(CodecError::Version(other)),
    }
}

fn options() -> impl bincode::Options {
    bincode::DefaultOptions::new().with_fixint_encoding().with_limit(MAX_BYTES).reject_trailing_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_is_decoded() {
        let value = (7_u64, Some("text".to_owned()), vec![1_u8, 2]);
        assert_eq!(decode::<(u64, Option<String>, Vec<u8>)>(&encode(&value).unwrap()).unwrap(), value);
    }

    #[test]
    fn other_versions_empty_data_and_trailing_bytes_are_refused() {
        let mut bytes = encode(&7_u64).unwrap();
        bytes.push(0);
        assert!(matches!(decode::<u64>(&bytes), Err(CodecError::Malformed(_))));
        assert!(matches!(decode::<u64>(&[9, 0]), Err(CodecError::Version(9))));
        assert!(matches!(decode::<u64>(&[]), Err(CodecError::Empty)));
    }
}
