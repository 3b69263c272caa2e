//! The file of several sources.

use std::path::Path;

use serde::Deserialize;

use super::{SettingsError, SourceSettings, Sources};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    sources: Vec<SourceSettings>,
}

/// Reads the sources of a YAML file.
///
/// # Errors
/// Names the file, the line and the field that is wrong or not known.
pub fn read_sources(path: &Path) -> Result<Sources, SettingsError> {
    let place = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        SettingsError::new(format!("`{place}` (`--config`)"), error.to_string())
    })?;
    parse(&place, &text)
}

fn parse(place: &str, text: &str) -> Result<Sources, SettingsError> {
    let file: File = serde_yaml::from_str(text).map_err(|error| {
        let line = error.location().map_or(String::new(), |location| {
            format!(":{}:{}", location.line(), location.column())
        });
        // The place in front says it already.
        let reason = error.to_string();
        let reason = reason.split(" at line ").next().unwrap_or(&reason);
        SettingsError::new(format!("{place}{line}"), reason)
    })?;
    Sources::new(file.sources).map_err(|error| SettingsError::new(place, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_several_sources() {
        let text = "\
sources:
  - name: shop
    repository: https://git.example/shop.git
    only: [beta]
    pollInterval: 1m
  - name: pay
    repository: git@git.example:pay.git
    branch: live
    folder: deploy/config
    prefix: teams/pay/
    profiles: [eu, us]
    secret: s3cret
";
        let sources = parse("git-sync.yml", text).unwrap();
        let lines: Vec<_> = sources.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "shop: https://git.example/shop.git branch main folder config -> config/ (poll \
                 only, every 1m)",
                "pay: git@git.example:pay.git branch live folder deploy/config -> \
                 teams/pay/config/ (webhook and poll, every 30s)",
            ]
        );
        assert!(!format!("{sources:?}").contains("s3cret"));
    }

    #[test]
    fn the_readmes_example_can_be_used() {
        let readme = include_str!("../../README.md");
        let (_, rest) = readme.split_once("```yaml\n").unwrap();
        let (example, _) = rest.split_once("```").unwrap();
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), "s3cret").unwrap();
        let example = example.replace("/run/secrets/shop", &secret.path().to_string_lossy());
        assert_eq!(parse("README.md", &example).unwrap().iter().count(), 2);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, start) in [
            (
                "sources:\n  - name: shop\n    repo: x\n",
                "f.yml:3:5: sources[0]: unknown field `repo`, expected one of `name`, \
                 `repository`",
            ),
            (
                "source: []\n",
                "f.yml:1:1: unknown field `source`, expected `sources`",
            ),
            (
                "sources:\n  - name: shop\n    pollInterval: soon\n",
                "f.yml:3:19: sources[0].pollInterval: `soon` is no time; write it like `30s`",
            ),
            (
                "sources:\n  - name: shop\n",
                "f.yml: source `shop`: `repository` is empty",
            ),
        ] {
            let error = parse("f.yml", text).unwrap_err().to_string();
            assert!(error.starts_with(start), "{error}");
        }
        let error = read_sources(Path::new("/nowhere/f.yml")).unwrap_err();
        let error = error.to_string();
        assert!(
            error.starts_with("`/nowhere/f.yml` (`--config`): "),
            "{error}"
        );
    }
}
