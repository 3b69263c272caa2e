//! A repository's address, with what must never be shown kept apart.

use std::fmt;

use base64::Engine as _;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret as _, SecretString};

/// Where a repository is: a URL, `user@host:path`, or a path on this machine.
///
/// Credentials in an `https` URL are taken out of it. They reach git through its environment, so
/// that neither a process list nor an error nor [`Display`](fmt::Display) shows them.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    shown: String,
    /// `user:password`.
    credentials: Option<SecretString>,
}

impl Address {
    /// Checks an address; its error says what is wrong without showing credentials.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("is empty; give a URL or a path".to_owned());
        }
        if text.starts_with('-') || text.chars().any(char::is_control) {
            return Err("is no address of a repository; give a URL or a path".to_owned());
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Self::without_scheme(text);
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, host) = authority
            .rsplit_once('@')
            .map_or((None, authority), |(user, host)| (Some(user), host));
        match (scheme, user) {
            ("http" | "https", Some(user)) => Ok(Self {
                shown: format!("{scheme}://{host}{path}"),
                credentials: Some(decoded(user)?.into()),
            }),
            ("ssh", Some(user)) if user.contains(':') => {
                Err("has a password, which ssh does not take; use a key".to_owned())
            }
            ("http" | "https" | "ssh" | "file" | "git", _) => Ok(Self::plain(text)),
            _ => Err(format!(
                "has the unknown scheme `{scheme}`; use https, ssh or a path"
            )),
        }
    }

    fn without_scheme(text: &str) -> Result<Self, String> {
        let start = text.split('/').next().unwrap_or_default();
        if start.contains("::") {
            return Err("names a transport helper; use https, ssh or a path".to_owned());
        }
        if start.contains(':') {
            return Ok(Self::plain(text));
        }
        // Git runs in another folder than this process.
        let path = std::path::absolute(text).map_err(|error| error.to_string())?;
        Ok(Self::plain(&path.to_string_lossy()))
    }

    fn plain(text: &str) -> Self {
        Self {
            shown: text.to_owned(),
            credentials: None,
        }
    }

    /// The address without credentials.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// The header by which an HTTP server is shown the credentials.
    pub(crate) fn authorization(&self) -> Option<SecretString> {
        let credentials = self.credentials.as_ref()?.expose_secret();
        let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
        Some(format!("Authorization: Basic {encoded}").into())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

fn decoded(user: &str) -> Result<String, String> {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let decode = |text| {
        percent_decode_str(text)
            .decode_utf8()
            .map_err(|_| "has credentials that are not UTF-8; percent-encode them".to_owned())
    };
    Ok(format!("{}:{}", decode(name)?, decode(password)?))
}

/// `text` with the user part of every URL in it replaced, because a server may answer with one.
pub(crate) fn redacted(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let end = after
            .find(|letter: char| letter == '/' || letter == '\'' || letter.is_whitespace())
            .unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((_, host)) => {
                shown.push_str("***@");
                shown.push_str(host);
            }
            None => shown.push_str(authority),
        }
        rest = tail;
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_never_shown() {
        let address = Address::parse("https://bot:s3cret%40x@git.example/shop.git").unwrap();
        assert_eq!(address.to_string(), "https://git.example/shop.git");
        assert!(!format!("{address:?}").contains("s3cret"));
        let header = address.authorization().unwrap();
        assert_eq!(
            header.expose_secret(),
            "Authorization: Basic Ym90OnMzY3JldEB4"
        );
        assert_eq!(
            redacted("fatal: unable to access 'https://bot:s3cret@git.example/x': no, http://a/b"),
            "fatal: unable to access 'https://***@git.example/x': no, http://a/b"
        );
    }

    #[test]
    fn every_usual_form_is_taken_as_it_is() {
        for text in [
            "https://git.example/shop.git",
            "ssh://git@git.example:2222/shop.git",
            "git@git.example:shop.git",
            "file:///srv/git/shop.git",
            "/srv/git/shop.git",
        ] {
            let address = Address::parse(text).expect(text);
            assert_eq!(address.shown(), text);
            assert!(address.authorization().is_none());
        }
        let relative = Address::parse("shop.git").unwrap();
        assert!(std::path::Path::new(relative.shown()).is_absolute());
    }

    #[test]
    fn dangerous_and_broken_forms_say_what_to_do() {
        for (text, reason) in [
            ("", "is empty; give a URL or a path"),
            (
                "--upload-pack=x",
                "is no address of a repository; give a URL or a path",
            ),
            (
                "ext::sh -c x",
                "names a transport helper; use https, ssh or a path",
            ),
            (
                "ftp://x/y",
                "has the unknown scheme `ftp`; use https, ssh or a path",
            ),
            (
                "ssh://git:pw@x/y",
                "has a password, which ssh does not take; use a key",
            ),
        ] {
            assert_eq!(Address::parse(text).unwrap_err(), reason);
        }
    }
}
