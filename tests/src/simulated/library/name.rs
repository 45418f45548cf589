//! Names of models and digests of blobs, as Ollama compares them. Pure.

use sha2::{Digest, Sha256};

/// The name with its tag: `m` is `m:latest`.
pub(in crate::simulated) fn tagged(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains(':') { name.to_owned() } else { format!("{name}:latest") }
}

/// The form in which names are compared: lower case, tagged, without the default host and namespace.
pub(in crate::simulated) fn canonical(name: &str) -> String {
    let name = tagged(&name.trim().to_lowercase());
    let name = name.strip_prefix("registry.ollama.ai/").unwrap_or(&name);
    name.strip_prefix("library/").unwrap_or(name).to_owned()
}

/// The digest's hexadecimal digits, if it is `sha256:` (or `sha256-`) and 64 of them.
pub(in crate::simulated) fn hex_of(digest: &str) -> Option<&str> {
    let hex = digest.strip_prefix("sha256:").or_else(|| digest.strip_prefix("sha256-"))?;
    (hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(hex)
}

/// The digest of some bytes as Ollama writes it: `sha256:` and 64 hexadecimal digits.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    digest_text(&Sha256::digest(bytes))
}

/// A finished hash as Ollama writes it.
pub(in crate::simulated) fn digest_text(hash: &[u8]) -> String {
    format!("sha256:{}", hex::encode(hash))
}

/// FNV-1a: stable over builds and machines, unlike the standard library's hasher.
pub(in crate::simulated) fn fingerprint(text: &str) -> u64 {
    fingerprint_on(0xcbf2_9ce4_8422_2325, text)
}

/// The fingerprint of a text that goes on, from that of its beginning.
pub(in crate::simulated) fn fingerprint_on(beginning: u64, text: &str) -> u64 {
    text.bytes().fold(beginning, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_a_name_are_one_model() {
        for name in
            ["llama3.2", "LLAMA3.2:latest", "library/llama3.2", "registry.ollama.ai/library/llama3.2:latest"]
        {
            assert_eq!(canonical(name), "llama3.2:latest");
        }
        assert_eq!(canonical("host:5000/ns/m"), "host:5000/ns/m:latest");
        assert_ne!(canonical("m:7b"), canonical("m"));
    }

    #[test]
    fn digests_are_those_of_sha_256() {
        let of_nothing = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256(""), of_nothing);
        assert_eq!(hex_of(of_nothing).map(str::len), Some(64));
        assert_eq!(hex_of("sha256:00"), None);
    }
}
