//! Query parameters as Consul reads them: several count by presence, whatever their value.

use axum::http::Uri;

use super::duration;
use super::error::Refused;

/// The decoded parameters of a request. Where one comes twice, the first counts.
#[derive(Debug)]
pub(super) struct Query {
    parameters: Vec<(String, String)>,
}

/// A wait for a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait {
    /// The index that has to be overtaken.
    pub(super) index: u64,
    /// How long at most.
    pub(super) limit: std::time::Duration,
}

impl Query {
    pub(super) fn of(uri: &Uri) -> Self {
        let pairs = uri.query().unwrap_or_default().split('&');
        let parameters = pairs
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(name), decode(value))
            })
            .collect();
        Self { parameters }
    }

    /// Says whether `name` is there, with any value or none.
    pub(super) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// The value of `name`, empty or not.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let mut found = self.parameters.iter().filter(|(given, _)| given == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// The value of `name` unless it is empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.value(name).filter(|value| !value.is_empty())
    }

    /// The number under `name`; an empty value counts as none.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Refused> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Refused::bad(format!(
                "Invalid {name}: `{text}` is no number from 0 on"
            ))),
        }
    }

    /// The wait that is asked for; none without an index.
    pub(super) fn wait(&self) -> Result<Option<Wait>, Refused> {
        let limit = match self.text("wait") {
            Some(text) => duration::parse(text).ok_or_else(|| {
                Refused::bad(format!("Invalid wait time: `{text}`; write 55s or 5m"))
            })?,
            None => std::time::Duration::ZERO,
        };
        let index = self.number("index")?.filter(|index| *index > 0);
        Ok(index.map(|index| Wait {
            index,
            limit: duration::bounded(limit),
        }))
    }

    /// Fails for parameters that contradict each other or ask for another datacenter.
    pub(super) fn check_consistency(&self) -> Result<(), Refused> {
        if self.has("consistent") && (self.has("stale") || self.has("cached")) {
            return Err(Refused::bad(
                "Cannot specify ?stale or ?cached with ?consistent, conflicting semantics.",
            ));
        }
        self.check_datacenter()
    }

    /// Fails for another datacenter than the one there is.
    pub(super) fn check_datacenter(&self) -> Result<(), Refused> {
        match self.text("dc") {
            None | Some("dc1") => Ok(()),
            Some(_) => Err(Refused::internal("No path to datacenter")),
        }
    }
}

fn decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy();
    decoded.into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn query(text: &str) -> Query {
        Query::of(&format!("/v1/kv/a?{text}").parse().unwrap())
    }

    #[test]
    fn presence_counts_and_not_the_value() {
        for text in [
            "recurse",
            "recurse=",
            "recurse=1",
            "recurse=true",
            "recurse=false",
            "&recurse&",
        ] {
            assert!(query(text).has("recurse"), "{text}");
        }
        assert!(!query("recursed").has("recurse"));
        assert!(!query("").has(""));
        assert_eq!(
            query("separator=%2F+x&separator=y").value("separator"),
            Some("/ x")
        );
        assert_eq!(query("token=").text("token"), None);
    }

    #[test]
    fn a_wait_needs_an_index() {
        assert_eq!(query("wait=5s").wait().unwrap(), None);
        assert_eq!(query("index=0&wait=5s").wait().unwrap(), None);
        assert_eq!(query("index=").wait().unwrap(), None);
        let wait = query("index=18446744073709551615&wait=5s")
            .wait()
            .unwrap()
            .unwrap();
        assert_eq!((wait.index, wait.limit), (u64::MAX, Duration::from_secs(5)));
        let wait = query("index=7").wait().unwrap().unwrap();
        assert_eq!(wait.limit, Duration::from_mins(5));
        for bad in [
            "index=-1",
            "index=x",
            "index=1&wait=5",
            "index=1&wait=x",
            "wait=x",
        ] {
            let error = query(bad).wait().unwrap_err();
            assert!(error.text().starts_with("Invalid "), "{bad}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        assert!(query("stale").check_consistency().is_ok());
        assert!(query("consistent=").check_consistency().is_ok());
        assert!(query("stale&consistent").check_consistency().is_err());
        assert!(query("cached&consistent").check_consistency().is_err());
        assert!(query("dc=dc1").check_consistency().is_ok());
        let error = query("dc=mars").check_consistency().unwrap_err();
        assert_eq!(error.text(), "No path to datacenter");
    }
}
