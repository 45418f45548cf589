//! Slows down those who guess tokens: per client address, a burst of wrong ones, then one a second.
//!
//! A right token is never counted and never refused, so that nobody can be locked out by a neighbour's guesses.
//! Without a token there is nothing to guess; such requests are not counted either.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Wrong tokens at once that are answered without delay. The original's dashboard sends two at once when its user
/// presses Enter.
const BURST: u32 = 10;

/// After this time one more wrong token is answered.
const REFILL: Duration = Duration::from_secs(1);

/// Most addresses that are remembered; beyond, the one that is next to be forgotten anyway goes first.
const MAX_ADDRESSES: usize = 4096;

/// Remembers who sent wrong tokens.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    debts: Mutex<HashMap<IpAddr, Debt>>,
}

/// What an address owes for its wrong tokens.
#[derive(Debug, Clone, Copy)]
struct Debt {
    /// When all of them will have been worked off, one each [`REFILL`].
    until: Instant,
    /// Whether the address was refused meanwhile.
    is_refused: bool,
}

/// A wrong token that came too soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooSoon {
    /// How long to wait for the next one.
    pub(super) wait: Duration,
    /// Whether it is the first one of a series: worth a line in the log.
    pub(super) is_first: bool,
}

// === impl Limiter ===

impl Limiter {
    /// Counts a wrong token.
    pub(super) fn count(&self, address: IpAddr, now: Instant) -> Result<(), TooSoon> {
        let address = neighbourhood(address);
        // Whoever panicked with the lock left a map that is as good as any.
        let mut debts = self.debts.lock().unwrap_or_else(PoisonError::into_inner);
        let none = Debt { until: now, is_refused: false };
        let known = debts.get(&address).copied().filter(|debt| debt.until > now).unwrap_or(none);
        let until = known.until + REFILL;
        let excess = until.saturating_duration_since(now).checked_sub(REFILL * BURST);
        if let Some(wait) = excess.filter(|wait| !wait.is_zero()) {
            debts.insert(address, Debt { is_refused: true, ..known });
            return Err(TooSoon { wait, is_first: !known.is_refused });
        }
        if debts.len() >= MAX_ADDRESSES && !debts.contains_key(&address) {
            make_room(&mut debts, now);
        }
        debts.insert(address, Debt { until, ..known });
        Ok(())
    }
}

/// Whose addresses count together: an IPv6 host has a network of 64 bits to itself.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
    }
}

/// Forgets those who owe nothing, or else the one who owes least.
fn make_room(debts: &mut HashMap<IpAddr, Debt>, now: Instant) {
    debts.retain(|_, debt| debt.until > now);
    if debts.len() >= MAX_ADDRESSES
        && let Some(least) = debts.iter().min_by_key(|(_, debt)| debt.until).map(|(address, _)| *address)
    {
        debts.remove(&least);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn a_burst_passes_and_then_one_a_second() {
        let limiter = Limiter::default();
        let start = Instant::now();
        for _ in 0..BURST {
            assert_eq!(limiter.count(address(1), start), Ok(()));
        }
        let too_soon = |is_first| Err(TooSoon { wait: Duration::from_secs(1), is_first });
        assert_eq!(limiter.count(address(1), start), too_soon(true));
        // Refused ones do not count.
        assert_eq!(limiter.count(address(1), start), too_soon(false));
        assert_eq!(limiter.count(address(1), start + Duration::from_secs(1)), Ok(()));
        assert!(limiter.count(address(1), start + Duration::from_secs(1)).is_err());
        // Another address has its own burst.
        assert_eq!(limiter.count(address(2), start), Ok(()));
    }

    #[test]
    fn after_a_while_the_burst_is_whole_again() {
        let limiter = Limiter::default();
        let start = Instant::now();
        for _ in 0..BURST {
            limiter.count(address(1), start).unwrap();
        }
        let later = start + Duration::from_secs(10);
        for _ in 0..BURST {
            assert_eq!(limiter.count(address(1), later), Ok(()));
        }
        assert!(limiter.count(address(1), later).is_err());
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_count_together_and_mapped_ones_as_ipv4() {
        let parse = |text: &str| neighbourhood(text.parse().unwrap());
        assert_eq!(parse("2001:db8::1"), parse("2001:db8::ffff:1:2:3"));
        assert_ne!(parse("2001:db8::1"), parse("2001:db8:0:1::1"));
        assert_eq!(parse("::ffff:192.0.2.1"), address(1));
    }

    #[test]
    fn the_memory_is_bounded_and_keeps_those_who_owe_most() {
        let limiter = Limiter::default();
        let start = Instant::now();
        for _ in 0..BURST {
            limiter.count(address(1), start).unwrap();
        }
        for n in 0..2 * u32::try_from(MAX_ADDRESSES).unwrap() {
            limiter.count(IpAddr::from((0x0a00_0000 + n).to_be_bytes()), start).unwrap();
        }
        assert!(limiter.debts.lock().unwrap().len() <= MAX_ADDRESSES);
        assert!(limiter.count(address(1), start).is_err());
    }
}
