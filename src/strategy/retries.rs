//! How often a Codex sends a refused request again, and how long it waits in between (codex.md 4.3).
//!
//! Nothing here waits: time is a [`Clock`] that the run owns. Lab runs show the boundary: 0.8.0, 0.20.0 and 0.45.0 repeat a
//! request that earned a 400 until the stream budget is spent, the TypeScript client, 0.100.0 and 0.169.0 do not.

use std::time::Duration;

use super::as_client::before_normalize;
use crate::clock::Clock;
use crate::rollout::{Era, Rollout};

/// `stream_max_retries` unless the user's configuration, which no rollout holds, says otherwise.
const STREAM_MAX_RETRIES: u32 = 5;
/// The first pause; each further one is twice as long. The real one varies by a tenth.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// What a client spends on a request that is refused with a 400.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Budget {
    repeats: u32,
}

impl Budget {
    /// The budget of the client that wrote a rollout.
    pub(super) fn of(rollout: &Rollout) -> Self {
        let repeats = match rollout.era {
            Era::E1 | Era::E2 => STREAM_MAX_RETRIES,
            Era::E3 if before_normalize(rollout) => STREAM_MAX_RETRIES,
            Era::E0 | Era::E3 | Era::E4 => 0,
        };
        Self { repeats }
    }

    /// Spends it: lets the pauses pass on `clock` and returns how many further requests were sent.
    pub(super) fn spend(self, clock: &mut dyn Clock) -> u32 {
        for repeat in 0..self.repeats {
            clock.sleep(FIRST_PAUSE * 2_u32.pow(repeat));
        }
        self.repeats
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::FixedClock;

    #[test]
    fn an_old_client_repeats_a_refused_request_with_growing_pauses() {
        let mut clock = FixedClock::default();
        let old = Budget::of(&Rollout::new(Era::E2));
        assert_eq!(old.spend(&mut clock), 5);
        assert_eq!(
            clock.now(),
            Duration::from_millis(200 + 400 + 800 + 1600 + 3200)
        );
    }

    #[test]
    fn a_new_client_takes_a_refusal_as_final() {
        let mut clock = FixedClock::default();
        assert_eq!(Budget::of(&Rollout::new(Era::E4)).spend(&mut clock), 0);
        assert_eq!(clock.now(), Duration::ZERO);
    }
}
