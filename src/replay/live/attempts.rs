//! How often a request is sent, and how long is waited in between.

use std::time::Duration;

use super::word::Again;

/// The longest pause, whatever an endpoint asks for: one minute.
pub const LONGEST: Duration = Duration::from_secs(60);

/// What may be spent on one request.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Further requests where none was answered: no connection, 408, 429, 5xx.
    pub requests: u32,
    /// Further requests where the answer broke off.
    pub streams: u32,
    /// The first pause; each further one is twice as long.
    pub backoff: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            requests: 4,
            streams: 2,
            backoff: Duration::from_millis(200),
        }
    }
}

/// What is left of it.
#[derive(Clone, Copy, Debug)]
pub struct Purse {
    budget: Budget,
    requests: u32,
    streams: u32,
}

impl Purse {
    /// All of it.
    pub fn new(budget: Budget) -> Self {
        Self {
            budget,
            requests: 0,
            streams: 0,
        }
    }

    /// The pause before the next sending; `None` if there is none. An endpoint that asks for a pause gets it, up to
    /// [`LONGEST`].
    pub fn spend(&mut self, again: Again, asked: Option<Duration>) -> Option<Duration> {
        let (spent, limit) = match again {
            Again::No => return None,
            Again::Request => (&mut self.requests, self.budget.requests),
            Again::Stream => (&mut self.streams, self.budget.streams),
        };
        if *spent >= limit {
            return None;
        }
        let doubled = self.budget.backoff.saturating_mul(1 << (*spent).min(16));
        *spent += 1;
        Some(asked.unwrap_or(doubled).min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_end() {
        let mut purse = Purse::new(Budget {
            requests: 2,
            streams: 1,
            backoff: Duration::from_millis(100),
        });
        let ms = Duration::from_millis;
        assert_eq!(purse.spend(Again::No, None), None);
        assert_eq!(purse.spend(Again::Request, None), Some(ms(100)));
        assert_eq!(purse.spend(Again::Request, Some(ms(7))), Some(ms(7)));
        assert_eq!(purse.spend(Again::Request, None), None);
        assert_eq!(
            purse.spend(Again::Stream, Some(Duration::from_hours(1))),
            Some(LONGEST)
        );
        assert_eq!(purse.spend(Again::Stream, None), None);
    }
}
