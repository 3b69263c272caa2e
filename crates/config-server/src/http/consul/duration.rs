//! Go's notation of durations, and Consul's bounds of a wait.

use std::time::Duration;

const DEFAULT: Duration = Duration::from_mins(5);
const MAX: Duration = Duration::from_mins(10);

/// The wait that Consul makes of `asked`: 5 min for none, 10 min at most.
pub(super) fn bounded(asked: Duration) -> Duration {
    if asked.is_zero() {
        DEFAULT
    } else {
        asked.min(MAX)
    }
}

/// Spreads the ends of long polls: up to a sixteenth more.
pub(super) fn jittered(limit: Duration) -> Duration {
    limit + (limit / 16).mul_f64(rand::random())
}

/// Reads `1m30s`, `1.5h`, `20ms`; a negative duration is none at all. Fails without a unit.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = (rest.find(|letter: char| letter.is_ascii_digit() || letter == '.'))
            .unwrap_or(rest.len());
        seconds += number * unit(&rest[..end])?;
        rest = &rest[end..];
    }
    if negative {
        return Some(Duration::ZERO);
    }
    Duration::try_from_secs_f64(seconds).ok()
}

/// Prints in whole seconds where that is exact, as clients write their times to live.
pub(super) fn print(duration: Duration) -> String {
    if duration.subsec_nanos() == 0 {
        format!("{}s", duration.as_secs())
    } else {
        format!("{}ms", duration.as_millis())
    }
}

fn unit(name: &str) -> Option<f64> {
    Some(match name {
        "ns" => 1e-9,
        "us" | "µs" | "μs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_does() {
        for (text, millis) in [
            ("10s", 10_000),
            ("5m", 300_000),
            ("20ms", 20),
            ("15000ms", 15_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("2000us", 2),
            ("2000µs", 2),
            ("3000000ns", 3),
            ("0", 0),
            ("0s", 0),
            ("-5s", 0),
            ("+1s", 1000),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "", "5", "s", "1x", "1 s", "1s2", "-", "1..2s", "1sm", "1e3s",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn waits_are_bounded_and_spread() {
        let seconds = Duration::from_secs;
        assert_eq!(bounded(Duration::ZERO), seconds(300));
        assert_eq!(bounded(seconds(7)), seconds(7));
        assert_eq!(bounded(seconds(7000)), seconds(600));
        for _ in 0..100 {
            assert!((seconds(16)..=seconds(17)).contains(&jittered(seconds(16))));
        }
    }
}
