//! Query parameters as Consul reads them: several count by presence, whatever their value.

use std::borrow::Cow;

use axum::http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::answer::Layout;
use super::duration;
use super::error::Refused;

/// The name of the one datacenter there is.
pub(super) const DATACENTER: &str = "dc1";

/// What Go's `url.QueryEscape` leaves as it is, beside letters and digits.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// The decoded parameters of a request. Where one comes twice, the first counts.
#[derive(Debug)]
pub(super) struct Query<'a> {
    parameters: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// A wait for a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait {
    /// The index that has to be overtaken.
    pub(super) index: u64,
    /// How long at most.
    pub(super) limit: std::time::Duration,
}

impl<'a> Query<'a> {
    pub(super) fn of(uri: &'a Uri) -> Self {
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
        found.next().map(|(_, value)| value.as_ref())
    }

    /// The value of `name` unless it is empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.value(name).filter(|value| !value.is_empty())
    }

    /// The number under `name`, if it is there. Refusals have Go's words, as Consul's have.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Refused> {
        let Some(text) = self.value(name) else {
            return Ok(None);
        };
        let refused =
            |reason| Refused::internal(format!("strconv.ParseUint: parsing {text:?}: {reason}"));
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(refused("invalid syntax"));
        }
        let number = text.parse();
        number.map(Some).map_err(|_| refused("value out of range"))
    }

    /// How an answer is wanted.
    pub(super) fn layout(&self) -> Layout {
        if self.has("pretty") {
            Layout::Pretty
        } else {
            Layout::Compact
        }
    }

    /// All parameters, sorted and escaped as Go does it.
    fn encoded(&self) -> String {
        let escape = |text: &str| {
            let escaped = utf8_percent_encode(text, ESCAPED).to_string();
            escaped.replace("%20", "+")
        };
        let mut pairs: Vec<_> = self.parameters.iter().collect();
        pairs.sort_by_key(|(name, _)| name);
        let pairs =
            (pairs.into_iter()).map(|(name, value)| format!("{}={}", escape(name), escape(value)));
        pairs.collect::<Vec<_>>().join("&")
    }

    /// Fails if more than one of `names` is there.
    pub(super) fn exclude(&self, names: &[&str]) -> Result<(), Refused> {
        if names.iter().filter(|name| self.has(name)).count() > 1 {
            let text = format!("Conflicting flags: {}", self.encoded());
            return Err(Refused::bad(text));
        }
        Ok(())
    }

    /// The wait that is asked for; none without an index.
    pub(super) fn wait(&self) -> Result<Option<Wait>, Refused> {
        let limit = match self.text("wait") {
            Some(text) => duration::parse(text).ok_or_else(|| Refused::bad("Invalid wait time"))?,
            None => std::time::Duration::ZERO,
        };
        let index = match self.text("index") {
            Some(_) => (self.number("index")).map_err(|_| Refused::bad("Invalid index"))?,
            None => None,
        };
        let index = index.filter(|index| *index > 0);
        Ok(index.map(|index| Wait {
            index,
            limit: duration::bounded(limit),
        }))
    }

    /// Fails for parameters that contradict each other or ask for another datacenter.
    pub(super) fn check_consistency(&self) -> Result<(), Refused> {
        for other in ["stale", "cached"] {
            if self.has("consistent") && self.has(other) {
                return Err(Refused::bad(format!(
                    "Cannot specify ?{other} with ?consistent, conflicting semantics."
                )));
            }
        }
        if let Some(text) = self.text("max_stale")
            && duration::parse(text).is_none()
        {
            let text = format!("Invalid max_stale value {text:?}");
            return Err(Refused::bad(text));
        }
        self.check_datacenter()
    }

    /// Says whether an answer has to have all that any server acknowledged before.
    pub(super) fn is_consistent(&self) -> bool {
        self.has("consistent")
    }

    /// Fails for another datacenter than the one there is.
    pub(super) fn check_datacenter(&self) -> Result<(), Refused> {
        match self.text("dc") {
            None | Some(DATACENTER) => Ok(()),
            Some(_) => Err(Refused::internal("No path to datacenter")),
        }
    }
}

fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('+') {
        return percent_encoding::percent_decode_str(text).decode_utf8_lossy();
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy();
    Cow::Owned(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn query(text: &str) -> Query<'static> {
        let uri: Uri = format!("/v1/kv/a?{text}").parse().unwrap();
        let parameters = Query::of(&uri).parameters.into_iter();
        Query {
            parameters: parameters
                .map(|(name, value)| (name.into_owned().into(), value.into_owned().into()))
                .collect(),
        }
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
        for (wait, minutes) in [("index=7", 5), ("index=7&wait=99h", 10)] {
            let wait = query(wait).wait().unwrap().unwrap();
            assert_eq!(wait.limit, Duration::from_mins(minutes));
        }
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
    fn numbers_are_refused_in_the_words_of_go() {
        let given = query("cas=7&flags=18446744073709551615");
        assert_eq!(given.number("cas").unwrap(), Some(7));
        assert_eq!(given.number("flags").unwrap(), Some(u64::MAX));
        assert_eq!(given.number("index").unwrap(), None);
        for (text, reason) in [
            ("cas", r#"strconv.ParseUint: parsing "": invalid syntax"#),
            (
                "cas=%2B1",
                r#"strconv.ParseUint: parsing "+1": invalid syntax"#,
            ),
            (
                "cas=18446744073709551616",
                r#"strconv.ParseUint: parsing "18446744073709551616": value out of range"#,
            ),
        ] {
            assert_eq!(query(text).number("cas").unwrap_err().text(), reason);
        }
    }

    #[test]
    fn conflicts_show_all_parameters() {
        let names = ["cas", "acquire", "release"];
        query("cas=1&dc=dc1").exclude(&names).unwrap();
        let refused = query("release=a+b%2F&cas&dc=dc1").exclude(&names);
        assert_eq!(
            refused.unwrap_err().text(),
            "Conflicting flags: cas=&dc=dc1&release=a+b%2F"
        );
    }

    #[test]
    fn contradictions_are_refused() {
        assert!(query("stale").check_consistency().is_ok());
        assert!(query("consistent=").check_consistency().is_ok());
        assert!(query("stale&consistent").check_consistency().is_err());
        assert!(query("cached&consistent").check_consistency().is_err());
        assert!(query("max_stale=5s").check_consistency().is_ok());
        assert!(query("max_stale=5").check_consistency().is_err());
        assert!(query("dc=dc1").check_consistency().is_ok());
        let error = query("dc=mars").check_consistency().unwrap_err();
        assert_eq!(error.text(), "No path to datacenter");
    }
}
