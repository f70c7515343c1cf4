//! When a request is worth another attempt, and after which pause.

use std::time::{Duration, SystemTime};

use aion_data::fnv::fnv1a;

use crate::date;
use crate::services::Politeness;

/// Statuses that say that the service is busy or briefly broken, not that the question is wrong.
const PASSING: [u16; 7] = [408, 425, 429, 500, 502, 503, 504];

/// Whether an answer with this status may be another one later.
pub fn is_passing(status: u16) -> bool {
    PASSING.contains(&status)
}

/// The pause before the attempt after number `attempt` (from 1): exponential, with a jitter of half
/// to one and a half of it, so that many clients do not come back together. The jitter follows from
/// the address, so that a run repeats.
pub fn pause(politeness: &Politeness, attempt: u32, address: &str) -> Duration {
    let doubled = politeness.backoff_s * 2f64.powi(attempt.saturating_sub(1).min(30) as i32);
    let spread = 0.5 + fraction(address, attempt);
    Duration::from_secs_f64((doubled * spread).min(politeness.longest_wait_s))
}

/// The pause that a `Retry-After` header asks for: seconds, or a date. `None` where it says neither.
pub fn asked_for(header: &str, now: SystemTime) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let until = date::from_http(header)?;
    Some(until.duration_since(now).unwrap_or_default())
}

/// A number in [0, 1) that looks random: FNV-1a of the text, mixed as SplitMix64 does.
fn fraction(text: &str, salt: u32) -> f64 {
    let hash = fnv1a(text).wrapping_add(u64::from(salt));
    let mut mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::services::Services;

    #[test]
    fn pauses_grow_within_their_spread_up_to_the_longest() {
        let politeness = Services::built_in().expect("settings").politeness;
        for attempt in 1..40 {
            let nominal = politeness.backoff_s * 2f64.powi(attempt as i32 - 1);
            let pause = pause(&politeness, attempt, "http://a").as_secs_f64();
            let longest = politeness.longest_wait_s;
            assert!(pause >= (0.5 * nominal).min(longest) && pause <= (1.5 * nominal).min(longest));
        }
        let pauses: Vec<Duration> = (0..20)
            .map(|n| pause(&politeness, 1, &format!("http://a/{n}")))
            .collect();
        assert!(pauses.windows(2).any(|pair| pair[0] != pair[1]));
        assert_eq!(pause(&politeness, 1, "http://a/0"), pauses[0]);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(asked_for(" 120 ", now), Some(Duration::from_secs(120)));
        let later = asked_for("Sun, 06 Nov 1994 08:49:47 GMT", now);
        assert_eq!(later, Some(Duration::from_secs(10)));
        let past = asked_for("Sun, 06 Nov 1994 08:49:07 GMT", now);
        assert_eq!(past, Some(Duration::ZERO));
        assert_eq!(asked_for("soon", now), None);
        assert_eq!(asked_for("-3", now), None);
    }
}
