//! Who did what, or was refused it: the records of the audit, and how they are asked for.

use std::fmt;
use std::net::IpAddr;

use uuid::{Builder, Uuid};

use crate::{
    Key, MAX_KEY_BYTES, Prefix, Revision, Scope, SessionId, SourceName, Timestamp, TokenName,
};

/// Names a record. Ids rise with the time at which the record's event began, over all servers as far
/// as their clocks agree: each is a UUID of version 7, made at the record's [`at`](AuditRecord::at).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuditId(pub Uuid);

impl AuditId {
    /// The smallest id of the millisecond of `at`; the first or the last one for what is before or
    /// after all that an id can tell.
    #[must_use]
    pub fn first_at(Timestamp(micros): Timestamp) -> Self {
        const LAST: u64 = (1 << 48) - 1;
        let millis = u64::try_from(micros / 1_000).unwrap_or(0).min(LAST);
        Self(Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid())
    }
}

impl fmt::Display for AuditId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One thing that somebody did or was refused, or several that are alike. Holds neither a value nor a
/// secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its name.
    pub id: AuditId,
    /// When it happened, by the server's clock; of several the first.
    pub at: Timestamp,
    /// The token's name; empty where none was needed or valid.
    pub who: String,
    /// The dialect it was asked in: `grpc`, `consul`, `api`, `http`; empty for the server itself.
    pub dialect: String,
    /// The other end of the connection, where it is known.
    pub peer: Option<IpAddr>,
    /// What was done or asked for.
    pub action: AuditAction,
    /// With what.
    pub target: AuditTarget,
    /// What became of it.
    pub outcome: AuditOutcome,
    /// How many equal ones it stands for; at least 1.
    pub times: u64,
    /// More in words, such as why it was refused; may be empty.
    pub detail: String,
}

/// Declares an enum whose variants have a name for storage and the wire.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            /// One that a later version has written.
            Unknown,
        }

        impl $name {
            /// All that this version knows.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name for people, storage and the wire.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Unknown => "unknown",
                }
            }

            /// What is called `name`; [`Self::Unknown`] if nothing is.
            pub fn from_name(name: &str) -> Self {
                match name {
                    $($text => Self::$variant,)*
                    _ => Self::Unknown,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

named! {
    /// What was done or asked for.
    AuditAction {
        /// A call was made with a token that is not valid, or without one.
        Enter = "enter",
        /// Reading or watching.
        Read = "read",
        /// Writing, where it is not told apart further.
        Write = "write",
        /// Writing what a git source owns.
        Override = "override",
        /// Writing a key.
        Put = "put",
        /// Deleting a key, or all keys under a prefix.
        Delete = "delete",
        /// Taking a key's lock.
        Lock = "lock",
        /// Giving a key's lock back.
        Unlock = "unlock",
        /// Opening a session.
        OpenSession = "open_session",
        /// Ending a session.
        EndSession = "end_session",
        /// Using somebody else's session.
        UseSession = "use_session",
        /// Moving a git source to a commit.
        MoveSource = "move_source",
        /// Managing tokens, where it is not told apart further.
        ManageTokens = "manage_tokens",
        /// Creating a token.
        CreateToken = "create_token",
        /// Giving a token a new secret.
        RotateToken = "rotate_token",
        /// Ending a token.
        RevokeToken = "revoke_token",
        /// Holding a key against its git source.
        Hold = "hold",
        /// Giving a key back to its git source.
        Release = "release",
        /// The server itself has lost records.
        Lose = "lose",
    }
}

named! {
    /// How an outcome is called.
    AuditVerdict {
        /// It was done.
        Done = "done",
        /// It was committed at a revision.
        Committed = "committed",
        /// Everything was so already.
        Unchanged = "unchanged",
        /// A condition was not met.
        NotMet = "not_met",
        /// Documents would have been broken.
        Faulty = "faulty",
        /// The server or its database failed.
        Failed = "failed",
        /// The client went before the outcome, which the history tells.
        Left = "left",
        /// The token does not allow it.
        Refused = "refused",
        /// There was no valid token.
        TurnedAway = "turned_away",
        /// Nobody knows any more.
        Lost = "lost",
    }
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuditOutcome {
    /// In a word.
    pub verdict: AuditVerdict,
    /// The state's revision that it led to or found, where there is one.
    pub revision: Option<Revision>,
}

impl From<AuditVerdict> for AuditOutcome {
    fn from(verdict: AuditVerdict) -> Self {
        Self {
            verdict,
            revision: None,
        }
    }
}

/// What a record is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuditTarget {
    /// The server as a whole.
    Nothing,
    /// One key.
    Key(Key),
    /// Keys under a prefix.
    Prefix(Prefix),
    /// A token.
    Token(TokenName),
    /// A git source.
    Source(SourceName),
    /// A session.
    Session(SessionId),
}

impl AuditTarget {
    /// The keys under `prefix`. Of a prefix that is longer than any key only the beginning is told.
    pub fn under(prefix: &Prefix) -> Self {
        let text = prefix.as_str();
        let end = text.floor_char_boundary(MAX_KEY_BYTES);
        Self::Prefix(Prefix::new(&text[..end]))
    }

    /// The kind's name and the text, for storage and the wire.
    pub fn parts(&self) -> (&'static str, String) {
        match self {
            Self::Nothing => ("", String::new()),
            Self::Key(key) => ("key", key.to_string()),
            Self::Prefix(prefix) => ("prefix", prefix.to_string()),
            Self::Token(name) => ("token", name.to_string()),
            Self::Source(name) => ("source", name.to_string()),
            Self::Session(id) => ("session", id.to_string()),
        }
    }

    /// What has these parts; [`Self::Nothing`] if nothing has, as where a later version wrote them.
    pub fn from_parts(kind: &str, text: &str) -> Self {
        let target = match kind {
            "key" => Key::new(text).ok().map(Self::Key),
            "prefix" => Some(Self::Prefix(Prefix::new(text))),
            "token" => TokenName::new(text).ok().map(Self::Token),
            "source" => Some(Self::Source(text.into())),
            "session" => (text.parse().ok()).map(|id| Self::Session(SessionId(id))),
            _ => None,
        };
        target.unwrap_or(Self::Nothing)
    }
}

impl fmt::Display for AuditTarget {
    /// A prefix with `*` behind it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, text) = self.parts();
        f.write_str(&text)?;
        f.write_str(if kind == "prefix" { "*" } else { "" })
    }
}

/// Which records are wanted; those that every field lets pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Only what this token did or was refused.
    pub who: Option<String>,
    /// Only what concerns this key, also through a prefix.
    pub key: Option<Key>,
    /// Only what concerns keys under this prefix.
    pub prefix: Option<Prefix>,
    /// Only what was refused, or only what was not; records that were lost are told in any case.
    pub refused: Option<bool>,
    /// Only what happened at this time or later.
    pub since: Option<Timestamp>,
    /// Only records before this one.
    pub before: Option<AuditId>,
    /// At most so many; 0 for the server's default.
    pub limit: u32,
}

/// Whose eyes the records are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditReader {
    /// Somebody who may know everything.
    All,
    /// A token's: what it did or was refused itself, and what concerns keys in these scopes only.
    Token {
        /// The token's name.
        name: String,
        /// Where it may read.
        scopes: Vec<Scope>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_parts_are_read_back() {
        for &action in AuditAction::ALL {
            assert_eq!(AuditAction::from_name(action.name()), action);
        }
        for &verdict in AuditVerdict::ALL {
            assert_eq!(AuditVerdict::from_name(verdict.name()), verdict);
        }
        assert_eq!(AuditAction::from_name("fly"), AuditAction::Unknown);
        for target in [
            AuditTarget::Nothing,
            AuditTarget::Key(Key::new("a/x").unwrap()),
            AuditTarget::Prefix(Prefix::all()),
            AuditTarget::Token(TokenName::new("team-a").unwrap()),
            AuditTarget::Source("shop".into()),
            AuditTarget::Session(SessionId(Uuid::from_u128(7))),
        ] {
            let (kind, text) = target.parts();
            assert_eq!(AuditTarget::from_parts(kind, &text), target);
        }
        for (kind, text) in [
            ("key", ""),
            ("session", "x"),
            ("token", "a b"),
            ("moon", "x"),
        ] {
            assert_eq!(AuditTarget::from_parts(kind, text), AuditTarget::Nothing);
        }
    }

    #[test]
    fn an_id_is_as_late_as_its_time() {
        let at = |millis| Timestamp(millis * 1_000 + 999);
        let id = |millis: i64, random| {
            let millis = u64::try_from(millis).unwrap();
            AuditId(Builder::from_unix_timestamp_millis(millis, &[random; 10]).into_uuid())
        };
        for now in [0, 1, 1_790_000_000_000] {
            let first = AuditId::first_at(at(now));
            assert_eq!(first, id(now, 0));
            assert!(first <= id(now, 0) && id(now, 0xff) < AuditId::first_at(at(now + 1)));
        }
        let end = AuditId::first_at(Timestamp(i64::MAX));
        assert!(AuditId::first_at(at(1_790_000_000_000)) < end);
        assert_eq!(AuditId::first_at(Timestamp(i64::MIN)), id(0, 0));
    }

    #[test]
    fn a_prefix_that_no_key_has_is_told_in_part() {
        let long = Prefix::new(&format!("x{}", "가".repeat(MAX_KEY_BYTES)));
        let AuditTarget::Prefix(told) = AuditTarget::under(&long) else {
            panic!("it is a prefix");
        };
        assert!(told.as_str().len() <= MAX_KEY_BYTES && told.as_str().ends_with('가'));
        let whole = AuditTarget::under(&Prefix::new("a/"));
        assert_eq!(whole.to_string(), "a/*");
    }
}
