//! How fast each client of a frontend may send: so many requests per second, and bursts of as many.
//!
//! Each has a token bucket of its own. Bounded: when too many clients are known, the one that was not here for longest is
//! forgotten, which can only be to its favour.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;

use crate::actors::backend::rate::RateLimit;

/// Clients that one frontend remembers.
const MOST_CLIENTS: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// The clients of one frontend. The lock is held for a moment, by requests of limited frontends only.
#[derive(Debug)]
pub struct ClientLimits {
    buckets: Mutex<LruCache<IpAddr, RateLimit>>,
}

// === impl ClientLimits ===

impl ClientLimits {
    /// Counts a request of `client`, of which `per_second` are allowed; 0 for any number. `Err` is how long the client
    /// is to wait: the request does not count then.
    pub fn try_take(&self, client: IpAddr, per_second: u32, now: Instant) -> Result<(), Duration> {
        if per_second == 0 {
            return Ok(());
        }
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.get_or_insert(whole(client), || RateLimit::since(now)).try_take(per_second, now)
    }
}

impl Default for ClientLimits {
    fn default() -> Self {
        // `LruCache::new` reserves its whole table, which most frontends never need.
        let mut buckets = LruCache::unbounded();
        buckets.resize(MOST_CLIENTS);
        Self { buckets: Mutex::new(buckets) }
    }
}

/// Who shares a limit: of IPv6 the network of 64 bits, since whoever has one address has all of them.
fn whole(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn taken(limits: &ClientLimits, client: IpAddr, per_second: u32, now: Instant) -> usize {
        (0..1_000).take_while(|_| limits.try_take(client, per_second, now).is_ok()).count()
    }

    #[test]
    fn a_burst_of_a_seconds_worth_is_allowed_and_then_one_request_per_interval() {
        let (limits, start) = (ClientLimits::default(), Instant::now());
        assert_eq!(taken(&limits, client(1), 4, start), 4);
        assert_eq!(limits.try_take(client(1), 4, start), Err(Duration::from_millis(250)));
        assert_eq!(taken(&limits, client(1), 4, start + Duration::from_millis(249)), 0);
        assert_eq!(taken(&limits, client(1), 4, start + Duration::from_millis(250)), 1);
        assert_eq!(taken(&limits, client(1), 4, start + Duration::from_millis(750)), 2);
        assert_eq!(
            taken(&limits, client(1), 4, start + Duration::from_secs(60)),
            4,
            "patience is not saved up"
        );
    }

    #[test]
    fn one_per_second_is_one_per_second() {
        let (limits, start) = (ClientLimits::default(), Instant::now());
        assert_eq!(taken(&limits, client(1), 1, start), 1);
        assert_eq!(limits.try_take(client(1), 1, start), Err(Duration::from_secs(1)));
        assert_eq!(taken(&limits, client(1), 1, start + Duration::from_secs(1)), 1);
    }

    #[test]
    fn refused_requests_do_not_lengthen_the_wait() {
        let (limits, start) = (ClientLimits::default(), Instant::now());
        assert_eq!(taken(&limits, client(1), 2, start), 2);
        for _ in 0..100 {
            assert_eq!(limits.try_take(client(1), 2, start), Err(Duration::from_millis(500)));
        }
    }

    #[test]
    fn clients_do_not_count_for_each_other() {
        let (limits, now) = (ClientLimits::default(), Instant::now());
        assert_eq!(taken(&limits, client(1), 3, now), 3);
        assert_eq!(taken(&limits, client(2), 3, now), 3);
    }

    #[test]
    fn no_limit_and_one_beyond_the_clock_let_everything_through() {
        let (limits, now) = (ClientLimits::default(), Instant::now());
        assert_eq!(taken(&limits, client(1), 0, now), 1_000);
        assert_eq!(taken(&limits, client(2), u32::MAX, now), 1_000);
    }

    #[test]
    fn no_more_clients_are_remembered_than_there_is_room_for() {
        let (limits, now) = (ClientLimits::default(), Instant::now());
        for index in 0..20_000_u32 {
            assert!(limits.try_take(IpAddr::from(index.to_be_bytes()), 1, now).is_ok());
        }
        assert_eq!(limits.buckets.lock().unwrap().len(), MOST_CLIENTS.get());
    }
}
