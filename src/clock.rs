//! Time as a parameter.
//!
//! Nothing below the verbs asks the machine for the time; whoever needs it is handed a [`Clock`]. Replays run on a
//! [`FixedClock`], so that waiting for a retry costs nothing and the same session gives the same bytes twice.

use std::time::Duration;

/// Where the time comes from.
pub trait Clock {
    /// Time since the Unix epoch.
    fn now(&self) -> Duration;

    /// Lets `time` pass; a fixed clock only moves its hand.
    fn sleep(&mut self, time: Duration);
}

/// A clock that stands still until someone sleeps on it.
#[derive(Clone, Debug, Default)]
pub struct FixedClock {
    now: Duration,
}

impl FixedClock {
    /// A clock that shows `now`.
    pub fn at(now: Duration) -> Self {
        Self { now }
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Duration {
        self.now
    }

    fn sleep(&mut self, time: Duration) {
        self.now += time;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeping_on_a_fixed_clock_takes_no_time_and_shows() {
        let mut clock = FixedClock::at(Duration::from_secs(5));
        clock.sleep(Duration::from_hours(1));
        assert_eq!(clock.now(), Duration::from_secs(3605));
    }
}
