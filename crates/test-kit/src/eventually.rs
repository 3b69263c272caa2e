//! The one place that polls.

use std::time::{Duration, Instant};

/// Long enough for a loaded machine; a test that passes never waits for it.
const LIMIT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(10);

/// Asks `probe` until it answers `Some`, and returns that.
///
/// For states that cannot be awaited; whatever has an event should be awaited instead. `what` is
/// the statement that becomes true, such as `the second replica serves revision 3`.
///
/// # Panics
/// If it has not become true after 30 s by the wall clock, also where tokio's is paused.
pub async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        let answer = tokio::time::timeout_at(deadline.into(), probe()).await;
        match answer {
            Ok(Some(value)) => return value,
            _ if Instant::now() >= deadline => {
                panic!("not true after {} s: {what}", LIMIT.as_secs())
            }
            Ok(None) | Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_answer_is_returned() {
        let mut asked = 0;
        let answer = eventually("asked three times", async || {
            asked += 1;
            (asked == 3).then_some("yes")
        });
        assert_eq!(answer.await, "yes");
        assert_eq!(asked, 3);
    }
}
