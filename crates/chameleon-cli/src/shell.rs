//! Words of a shell's command line.

/// `text` as one word, as a person would type it: quoted only if a shell would read it otherwise.
pub(crate) fn word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./:@%+,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_shell() {
        for text in [
            "plain",
            "two words",
            "it's",
            "$HOME `x` \"y\"",
            "a*b?[c]{d,e}",
            "~",
            "#no",
            "a<b>c|d&e;f(g)!",
            "한글/경로",
            "",
        ] {
            let output = std::process::Command::new("sh")
                .args(["-c", &format!("printf %s {}", word(text))])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
        }
    }

    #[test]
    fn plain_words_stay_as_they_are() {
        assert_eq!(word(".chameleon/repo"), ".chameleon/repo");
        assert_eq!(word("two words"), "'two words'");
    }
}
