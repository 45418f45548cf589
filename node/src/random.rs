//! Random numbers that nobody can guess, from the operating system.

use std::io;

use ollamaflow_protocol::object::Secret;

/// 128 bits: no two are ever the same.
///
/// # Errors
/// The operating system gives none.
pub fn number() -> io::Result<u128> {
    let mut bytes = [0; size_of::<u128>()];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(u128::from_be_bytes(bytes))
}

/// A token of 256 bits, out of reach of guessing, as 64 hexadecimal digits.
///
/// # Errors
/// The operating system gives no random numbers.
pub fn token() -> io::Result<Secret> {
    Ok(Secret::new(format!("{:032x}{:032x}", number()?, number()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_64_hexadecimal_digits_and_each_is_another() {
        let token = token().unwrap();
        assert_eq!(token.expose().len(), 64);
        assert!(token.expose().bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(token, super::token().unwrap());
    }
}
