//! Who may do what: rights on keys, and the tokens that carry them.

use std::fmt;
use std::str::FromStr;

use crate::{Key, KeyError, Prefix, Timestamp};

/// What may be done with a key. Each right includes the ones before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// Read, watch, and see the past.
    Read,
    /// Write, delete and lock what no git source owns.
    Write,
    /// Write also what a git source owns.
    Override,
}

impl Right {
    /// All rights in their order.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Override];

    /// The right's name for people, storage and the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Override => "override",
        }
    }
}

/// Where a rule holds: at one key, or at every key under a prefix that ends in `/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(Place);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Place {
    Key(Key),
    Under(Prefix),
}

impl Scope {
    /// The prefix that `text` names if it ends in `/`, else the key.
    ///
    /// # Errors
    /// No key can be, or begin, so.
    pub fn new(text: &str) -> Result<Self, KeyError> {
        let key = Key::new(text)?;
        Ok(Self(if text.ends_with('/') {
            Place::Under(Prefix::new(text))
        } else {
            Place::Key(key)
        }))
    }

    /// The key or prefix as it is written.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Place::Key(key) => key.as_str(),
            Place::Under(prefix) => prefix.as_str(),
        }
    }

    /// The one key, if it is one.
    pub fn key(&self) -> Option<&Key> {
        match &self.0 {
            Place::Key(key) => Some(key),
            Place::Under(_) => None,
        }
    }

    /// The prefix, if it is one.
    pub fn prefix(&self) -> Option<&Prefix> {
        match &self.0 {
            Place::Key(_) => None,
            Place::Under(prefix) => Some(prefix),
        }
    }

    /// Says whether `key` lies in it.
    pub fn covers(&self, key: &Key) -> bool {
        match &self.0 {
            Place::Key(own) => own == key,
            Place::Under(prefix) => prefix.covers(key),
        }
    }

    /// Says whether every key that begins with `prefix` lies in it.
    pub fn covers_all_under(&self, prefix: &Prefix) -> bool {
        let own = self.prefix().map(Prefix::as_str);
        own.is_some_and(|own| prefix.as_str().starts_with(own))
    }

    /// Says whether every key in it begins with `prefix`.
    pub fn lies_under(&self, prefix: &Prefix) -> bool {
        self.as_str().starts_with(prefix.as_str())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

/// A right on a part of the keyspace, written `write:config/team-a/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// What is allowed.
    pub right: Right,
    /// Where.
    pub scope: Scope,
}

/// Why a text is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// It does not begin with a right.
    #[error(
        "`{text}` is no rule; write `read:`, `write:` or `override:`, then a key or a prefix that \
         ends in `/`, for example `read:config/location/`"
    )]
    Right {
        /// The text.
        text: String,
    },
    /// What follows the right is neither a key nor a prefix.
    #[error("rule `{text}`: {reason}")]
    Scope {
        /// The text, escaped.
        text: String,
        /// What is wrong with it.
        reason: KeyError,
    },
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let parts = text.split_once(':').and_then(|(name, scope)| {
            let right = Right::ALL.into_iter().find(|right| right.name() == name)?;
            Some((right, scope))
        });
        let Some((right, scope)) = parts else {
            let text = text.escape_debug().to_string();
            return Err(RuleError::Right { text });
        };
        match Scope::new(scope) {
            Ok(scope) => Ok(Self { right, scope }),
            Err(reason) => Err(RuleError::Scope {
                text: text.escape_debug().to_string(),
                reason,
            }),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.right.name(), self.scope)
    }
}

/// All that somebody may do: what no rule allows is forbidden.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant(Vec<Rule>);

impl Grant {
    /// What `rules` allow together.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        Self(rules.into_iter().collect())
    }

    /// The rules as they were given.
    pub fn rules(&self) -> &[Rule] {
        &self.0
    }

    /// Says whether it allows `right` on `key`.
    pub fn allows(&self, right: Right, key: &Key) -> bool {
        self.scopes(right).any(|scope| scope.covers(key))
    }

    /// Says whether it allows `right` on every key that begins with `prefix`, also on those that
    /// do not exist yet.
    pub fn allows_all_under(&self, right: Right, prefix: &Prefix) -> bool {
        self.scopes(right)
            .any(|scope| scope.covers_all_under(prefix))
    }

    /// Where it allows `right`.
    pub fn scopes(&self, right: Right) -> impl Iterator<Item = &Scope> {
        let rules = self.0.iter().filter(move |rule| rule.right >= right);
        rules.map(|rule| &rule.scope)
    }
}

/// The longest name of a token, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// The name of a token: what the history and the audit call who used it.
///
/// Letters, digits, `.`, `_` and `-`, so that it cannot be mistaken for more than a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenName(String);

impl TokenName {
    /// Checks `text` and makes it a name.
    ///
    /// # Errors
    /// The text is empty, too long, or has another character.
    pub fn new(text: &str) -> Result<Self, TokenNameError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if text.is_empty() || text.len() > MAX_NAME_BYTES || !text.bytes().all(plain) {
            let text = text.escape_debug().to_string();
            return Err(TokenNameError { text });
        }
        Ok(Self(text.to_owned()))
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no token's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no name of a token; use up to {MAX_NAME_BYTES} letters, digits, `.`, `_` and `-`"
)]
pub struct TokenNameError {
    text: String,
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The SHA-256 of a token's secret, which is all that is kept of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// What is known of a token that has not been revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is called; no other token ever has the same name.
    pub name: TokenName,
    /// What it allows.
    pub grant: Grant,
    /// The hash of its secret.
    pub hash: TokenHash,
    /// The hash of the secret that a rotation has replaced, and until when that one is valid.
    pub replaced: Option<(TokenHash, Timestamp)>,
    /// When it was created.
    pub created: Timestamp,
    /// Who created it.
    pub created_by: String,
    /// When it ends; never if absent.
    pub expires: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn grant(rules: &[&str]) -> Grant {
        Grant::new(rules.iter().map(|rule| rule.parse().unwrap()))
    }

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    #[test]
    fn each_right_includes_the_ones_before_and_holds_in_its_scope_only() {
        let team = grant(&["read:shared/", "write:team-a/", "override:team-a/main.yml"]);
        for (text, allowed) in [
            ("shared/x", [true, false, false]),
            ("team-a/x", [true, true, false]),
            ("team-a/", [true, true, false]),
            ("team-a/main.yml", [true, true, true]),
            ("team-a/main.yml.old", [true, true, false]),
            ("team-a", [false; 3]),
            ("team-ab/x", [false; 3]),
            ("team-b/x", [false; 3]),
        ] {
            let found = Right::ALL.map(|right| team.allows(right, &key(text)));
            assert_eq!(found, allowed, "{text}");
        }
    }

    #[test]
    fn all_under_a_prefix_takes_a_rule_for_all_of_it() {
        let team = grant(&["write:team-a/", "read:shared/one.yml"]);
        let all = |prefix: &str| team.allows_all_under(Right::Write, &Prefix::new(prefix));
        assert!(all("team-a/") && all("team-a/x") && all("team-a/x/"));
        assert!(!all("team-a") && !all("team-") && !all("") && !all("team-b/"));
        // Keys that begin with a key's name are others.
        assert!(!team.allows_all_under(Right::Read, &Prefix::new("shared/one.yml")));
    }

    #[test]
    fn what_is_no_rule_says_how_to_write_one() {
        for (text, part) in [
            ("config/", "`config/` is no rule; write `read:`"),
            ("admin:config/", "is no rule"),
            ("Read:config/", "is no rule"),
            ("read:", "rule `read:`: missing key name"),
            ("write:a/../b/", "has a `..` segment"),
            (
                "read:a\nb",
                "rule `read:a\\nb`: key `a\\nb` has a control character",
            ),
        ] {
            let error = text.parse::<Rule>().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_name_is_plain() {
        for good in ["team-a", "git-sync.prod", "A_1"] {
            assert_eq!(TokenName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a)", "ä", "a\n", &"x".repeat(65)] {
            let error = TokenName::new(bad).unwrap_err().to_string();
            assert!(error.contains("letters, digits"), "{error}");
            assert!(!error.contains('\n'), "{error:?}");
        }
    }

    #[test]
    fn a_hash_is_not_shown() {
        assert_eq!(format!("{:?}", TokenHash([7; 32])), "TokenHash(…)");
    }

    fn texts() -> impl Strategy<Value = String> {
        "[ab]{1,2}(/[ab]{0,2}){0,2}"
    }

    fn rules() -> impl Strategy<Value = Rule> {
        let right = prop::sample::select(&Right::ALL);
        (right, texts()).prop_map(|(right, text)| Rule {
            right,
            scope: Scope::new(&text).unwrap(),
        })
    }

    proptest! {
        #[test]
        fn rules_are_read_as_they_are_written(rule in rules()) {
            prop_assert_eq!(rule.to_string().parse::<Rule>().unwrap(), rule);
        }

        #[test]
        fn nothing_is_allowed_outside_of_all_scopes(
            rules in prop::collection::vec(rules(), 0..4),
            text in texts(),
        ) {
            let key = key(&text);
            let grant = Grant::new(rules.clone());
            for right in Right::ALL {
                let covered = rules.iter().any(|rule| {
                    let scope = rule.scope.as_str();
                    let inside = if scope.ends_with('/') {
                        text.starts_with(scope)
                    } else {
                        text == scope
                    };
                    inside && rule.right >= right
                });
                prop_assert_eq!(grant.allows(right, &key), covered);
            }
        }

        #[test]
        fn what_is_allowed_for_a_prefix_is_allowed_for_each_key_under_it(
            rules in prop::collection::vec(rules(), 0..4),
            start in "[ab/]{0,3}",
            rest in "[ab/]{1,3}",
        ) {
            let grant = Grant::new(rules);
            let prefix = Prefix::new(&start);
            let key = key(&format!("{start}{rest}"));
            for right in Right::ALL {
                let all = grant.allows_all_under(right, &prefix);
                prop_assert!(!all || grant.allows(right, &key));
            }
        }
    }
}
