//! What a plain scalar means, and which ones mean different things to different readers.

use serde_json::{Number, Value};

/// A plain scalar that YAML readers do not agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Switch,
    LeadingZero,
    Underscore,
    Sexagesimal,
    MergeKey,
    NotFinite,
    TooLarge,
}

impl Refusal {
    /// Explains the refusal of `text` in a file.
    pub(super) fn of(self, text: &str) -> String {
        let (what, cure) = self.parts();
        format!("plain `{text}` {what}; {cure}")
    }

    /// Returns what is wrong and what to do, without the text: it may be a secret.
    pub(super) fn parts(self) -> (&'static str, &'static str) {
        match self {
            Self::Switch => (
                "is a boolean to some readers and text to others",
                "quote it",
            ),
            Self::LeadingZero => ("is a number that starts with zero", "quote it"),
            Self::Underscore => ("is a number to some readers and text to others", "quote it"),
            Self::Sexagesimal => (
                "is a number in base 60 to some readers and text to others",
                "quote it",
            ),
            Self::MergeKey => (
                "merges mappings for some readers only",
                "write the fields out, or quote it",
            ),
            Self::NotFinite => ("is not a finite number", "write a finite one, or quote it"),
            Self::TooLarge => ("does not fit a number of 64 bits", "quote it"),
        }
    }
}

/// Types a plain scalar by YAML's core schema.
pub(super) fn plain(text: &str) -> Result<Value, Refusal> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        "<<" => return Err(Refusal::MergeKey),
        _ => {}
    }
    if ["yes", "no", "on", "off"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word))
    {
        return Err(Refusal::Switch);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(
        unsigned,
        ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN"
    ) {
        return Err(Refusal::NotFinite);
    }
    if !unsigned.starts_with(|letter: char| letter.is_ascii_digit() || letter == '.') {
        return Ok(Value::from(text));
    }
    number(text, unsigned)
}

fn number(text: &str, unsigned: &str) -> Result<Value, Refusal> {
    if is_sexagesimal(unsigned) {
        return Err(Refusal::Sexagesimal);
    }
    if let Some(digits) = unsigned
        .strip_prefix("0x")
        .filter(|digits| is_radix(digits, 16))
    {
        if digits.contains('_') {
            return Err(Refusal::Underscore);
        }
        // Readers of YAML 1.1 and 1.2 differ about the sign of a hexadecimal number.
        if unsigned.len() != text.len() {
            return Err(Refusal::LeadingZero);
        }
        return u64::from_str_radix(digits, 16)
            .map(Value::from)
            .map_err(|_| Refusal::TooLarge);
    }
    if unsigned
        .strip_prefix("0o")
        .is_some_and(|digits| is_radix(digits, 8))
        || unsigned
            .strip_prefix("0b")
            .is_some_and(|digits| is_radix(digits, 2))
    {
        return Err(Refusal::LeadingZero);
    }
    let Some(kind) = decimal(unsigned) else {
        return Ok(Value::from(text));
    };
    if unsigned.contains('_') {
        return Err(Refusal::Underscore);
    }
    let mut start = unsigned.bytes();
    if start.next() == Some(b'0') && start.next().is_some_and(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::LeadingZero);
    }
    let number = match kind {
        Decimal::Integer => integer(text.strip_prefix('+').unwrap_or(text)),
        Decimal::Float => text.parse().ok().and_then(Number::from_f64),
    };
    number.map(Value::Number).ok_or(Refusal::TooLarge)
}

fn integer(text: &str) -> Option<Number> {
    let unsigned = text.parse::<u64>().map(Number::from);
    unsigned
        .or_else(|_| text.parse::<i64>().map(Number::from))
        .ok()
}

fn is_radix(digits: &str, radix: u32) -> bool {
    digits.contains(|letter: char| letter.is_digit(radix))
        && digits
            .chars()
            .all(|letter| letter == '_' || letter.is_digit(radix))
}

/// Tells whether YAML 1.1 reads the text as `hours:minutes:seconds`.
fn is_sexagesimal(text: &str) -> bool {
    let whole = text.split_once('.').map_or(text, |(whole, fraction)| {
        if fraction
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'_')
        {
            whole
        } else {
            ""
        }
    });
    let mut parts = whole.split(':');
    let first = parts.next().unwrap_or_default();
    let mut rest = parts.peekable();
    first.starts_with(|letter: char| letter.is_ascii_digit())
        && first
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'_')
        && rest.peek().is_some()
        && rest.all(|part| matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']))
}

enum Decimal {
    Integer,
    Float,
}

/// Recognises `[0-9_]* (. [0-9_]*)? (e [+-]? [0-9]+)?` with at least one digit before the exponent.
fn decimal(unsigned: &str) -> Option<Decimal> {
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    if let Some(exponent) = exponent {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
    }
    let dots = mantissa.bytes().filter(|byte| *byte == b'.').count();
    let has_digit = mantissa.bytes().any(|byte| byte.is_ascii_digit());
    let all_known = mantissa
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'_'));
    if !has_digit || !all_known || dots > 1 {
        return None;
    }
    Some(if dots == 0 && exponent.is_none() {
        Decimal::Integer
    } else {
        Decimal::Float
    })
}

#[cfg(test)]
mod tests {
    use super::{Refusal, plain};
    use serde_json::{Value, json};

    #[test]
    fn core_scalars_are_typed() {
        let cases = [
            ("", Value::Null),
            ("~", Value::Null),
            ("NULL", Value::Null),
            ("nUll", json!("nUll")),
            ("True", json!(true)),
            ("FALSE", json!(false)),
            ("y", json!("y")),
            ("0", json!(0)),
            ("-0", json!(0)),
            ("+12", json!(12)),
            ("-12", json!(-12)),
            ("18446744073709551615", json!(u64::MAX)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("0.5", json!(0.5)),
            (".5", json!(0.5)),
            ("-1.", json!(-1.0)),
            ("1e3", json!(1000.0)),
            ("0x1F", json!(31)),
            ("0xZZ", json!("0xZZ")),
            ("1.2.3", json!("1.2.3")),
            ("800ms", json!("800ms")),
            ("010-1234", json!("010-1234")),
            ("127.0.0.1:80", json!("127.0.0.1:80")),
            ("8080:80", json!("8080:80")),
            ("2026-01-02", json!("2026-01-02")),
            ("1_a", json!("1_a")),
            ("_1", json!("_1")),
            (".", json!(".")),
            ("..", json!("..")),
            ("e5", json!("e5")),
            ("inf", json!("inf")),
            ("-", json!("-")),
        ];
        for (text, expected) in cases {
            assert_eq!(plain(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn scalars_that_readers_differ_about_are_refused() {
        let cases = [
            ("yes", Refusal::Switch),
            ("No", Refusal::Switch),
            ("ON", Refusal::Switch),
            ("oFF", Refusal::Switch),
            ("007", Refusal::LeadingZero),
            ("-01", Refusal::LeadingZero),
            ("00.5", Refusal::LeadingZero),
            ("0o17", Refusal::LeadingZero),
            ("0b101", Refusal::LeadingZero),
            ("-0x1F", Refusal::LeadingZero),
            ("1_000", Refusal::Underscore),
            ("1_000.5", Refusal::Underscore),
            ("0x_1F", Refusal::Underscore),
            ("1:30", Refusal::Sexagesimal),
            ("190:20:30.15", Refusal::Sexagesimal),
            ("-1:30", Refusal::Sexagesimal),
            ("<<", Refusal::MergeKey),
            (".inf", Refusal::NotFinite),
            ("-.INF", Refusal::NotFinite),
            (".NaN", Refusal::NotFinite),
            ("18446744073709551616", Refusal::TooLarge),
            ("1e999", Refusal::TooLarge),
        ];
        for (text, expected) in cases {
            assert_eq!(plain(text), Err(expected), "{text}");
        }
    }
}
