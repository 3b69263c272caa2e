//! The token that a client shows to the server.

use std::fmt;
use std::path::PathBuf;

use tonic::metadata::{Ascii, MetadataValue};

use super::ApiError;

/// Where the access token comes from.
#[derive(Clone)]
pub struct Token(Source);

#[derive(Clone)]
enum Source {
    Value(String),
    File(PathBuf),
}

impl Token {
    /// A token that is known by now.
    pub fn value(secret: impl Into<String>) -> Self {
        Self(Source::Value(secret.into()))
    }

    /// A token in a file, read again for every call and every new watch stream, so that a rotated
    /// token needs no restart. White space around it does not count.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Source::File(path.into()))
    }

    /// The `authorization` header's value.
    pub(super) async fn header(&self) -> Result<MetadataValue<Ascii>, ApiError> {
        let (origin, secret) = match &self.0 {
            Source::Value(secret) => ("the given token".to_owned(), secret.clone()),
            Source::File(path) => {
                let secret = tokio::fs::read_to_string(path).await;
                let secret = secret.map_err(|source| ApiError::TokenFile {
                    path: path.clone(),
                    source,
                })?;
                (format!("token file `{}`", path.display()), secret)
            }
        };
        let secret = secret.trim();
        if secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ApiError::TokenText { origin });
        }
        let mut header = MetadataValue::try_from(format!("Bearer {secret}"))
            .map_err(|_| ApiError::TokenText { origin })?;
        header.set_sensitive(true);
        Ok(header)
    }
}

impl fmt::Debug for Token {
    /// Leaves the secret out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Value(_) => f.write_str("Token(…)"),
            Source::File(path) => write!(f, "Token({})", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_read_again_and_trimmed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let token = Token::file(&path);
        let error = token.header().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("token file `{}` can't be read", path.display())
        );
        for secret in ["first", "second"] {
            std::fs::write(&path, format!("{secret}\n")).unwrap();
            let header = token.header().await.unwrap();
            assert_eq!(header.to_str().unwrap(), format!("Bearer {secret}"));
        }
    }

    #[tokio::test]
    async fn what_is_no_token_is_refused_without_being_shown() {
        for text in ["", " \n", "two words", "zwölf"] {
            let token = Token::value(text);
            let error = token.header().await.unwrap_err().to_string();
            assert_eq!(
                error,
                "the given token holds no token: it must be one line of visible ASCII characters"
            );
        }
        let shown = format!("{:?}", Token::value("hush"));
        assert!(!shown.contains("hush"), "{shown}");
    }
}
