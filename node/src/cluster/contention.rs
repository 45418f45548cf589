//! Changes that are worked out anew because what they are based on was changed meanwhile.

use std::time::Duration;

use actix_web::rt::time::sleep;

/// How often a change is made at most.
const MAX_ATTEMPTS: u32 = 8;

/// The attempts at one change.
#[derive(Debug)]
pub struct Contention {
    lost: u32,
    first_pause: Duration,
}

// === impl Contention ===

impl Contention {
    /// Nothing was tried yet. `first_pause` is the longest pause after the first lost attempt; it doubles with each.
    pub fn pausing(first_pause: Duration) -> Self {
        Self { lost: 0, first_pause }
    }

    /// An attempt was lost to another write. Answers after a pause whether there is to be another one.
    pub async fn lose(&mut self) -> bool {
        self.lost += 1;
        if self.lost >= MAX_ATTEMPTS {
            return false;
        }
        // Those who lost to the same write must not meet again.
        sleep(self.first_pause.mul_f64(f64::from(1 << (self.lost - 1)) * fastrand::f64())).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn a_change_is_tried_eight_times_and_no_more() {
        let mut contention = Contention::pausing(Duration::ZERO);
        let mut attempts = 1;
        while contention.lose().await {
            attempts += 1;
        }
        assert_eq!(attempts, 8);
        assert!(!contention.lose().await);
    }
}
