use super::{Document, MAX_DOCUMENT_BYTES};
use crate::document::{Path, Position};
use proptest::prelude::*;
use serde_json::{Value, json};

fn value(text: &str) -> Value {
    Document::parse("x.yml", text.as_bytes())
        .unwrap()
        .value()
        .clone()
}

/// The faults of `text`, printed one per line.
fn faults(text: impl AsRef<[u8]>) -> String {
    let faults = Document::parse("x.yml", text.as_ref()).unwrap_err();
    faults
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn good_documents_are_read() {
    let cases = [
        ("", json!({})),
        ("# nothing but a comment\n", json!({})),
        ("---\n", json!({})),
        ("{}\n", json!({})),
        (
            "a: 1\nb: [1, 'x', ~]\n",
            json!({"a": 1, "b": [1, "x", null]}),
        ),
        ("'yes': 'no'\n", json!({"yes": "no"})),
        (
            "a: &x { b: 1 }\nc: *x\n",
            json!({"a": {"b": 1}, "c": {"b": 1}}),
        ),
        (
            "a: !!str 12\nb: !!int 12\nc: !!float 1.5\nd: !!map {}\n",
            json!({"a": "12", "b": 12, "c": 1.5, "d": {}}),
        ),
        (
            "a: |\n  two\n  lines\nb: >-\n  one\n  line\n",
            json!({"a": "two\nlines\n", "b": "one line"}),
        ),
        (
            "a: \"${APP_KEY}\"\nb: ${APP_KEY:x}\n",
            json!({"a": "${APP_KEY}", "b": "${APP_KEY:x}"}),
        ),
        ("\"<<\": 1\n", json!({"<<": 1})),
        (
            "a: 0x1F\nb: 1e3\nc: -0.0\nd: +7\ne: 18446744073709551615\n",
            json!({"a": 31, "b": 1000.0, "c": -0.0, "d": 7, "e": u64::MAX}),
        ),
        ("---\na: 1\n...\n", json!({"a": 1})),
        ("a: 1\r\nb: 2\r\n", json!({"a": 1, "b": 2})),
    ];
    for (text, expected) in cases {
        assert_eq!(value(text), expected, "{text}");
    }
}

#[test]
fn scalars_that_readers_differ_about_are_refused() {
    let cases = [
        (
            "a: yes\n",
            "x.yml:1:4: a: plain `yes` is a boolean to some readers and text to others; quote it",
        ),
        (
            "off: 1\n",
            "x.yml:1:1: plain `off` is a boolean to some readers and text to others; quote it",
        ),
        (
            "zip: 01234\n",
            "x.yml:1:6: zip: plain `01234` is a number that starts with zero; quote it",
        ),
        (
            "n: 1_000\n",
            "x.yml:1:4: n: plain `1_000` is a number to some readers and text to others; quote it",
        ),
        (
            "t: 12:30\n",
            "x.yml:1:4: t: plain `12:30` is a number in base 60 to some readers and text to others; quote it",
        ),
        (
            "a: &x { b: 1 }\nc:\n  <<: *x\n",
            "x.yml:3:3: c: plain `<<` merges mappings for some readers only; write the fields out, or quote it",
        ),
        (
            "a: .inf\n",
            "x.yml:1:4: a: plain `.inf` is not a finite number; write a finite one, or quote it",
        ),
        (
            "a: 99999999999999999999\n",
            "x.yml:1:4: a: plain `99999999999999999999` does not fit a number of 64 bits; quote it",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(faults(text), expected, "{text}");
    }
}

#[test]
fn bad_documents_say_where_what_and_what_to_do() {
    let cases = [
        (
            "a: 1\nb: 2\na: 3\n",
            "x.yml:3:1: `a` is written twice, first in line 1; keep one",
        ),
        (
            "m:\n  aMap: 1\n  a-map: 2\n",
            "x.yml:3:3: m: `a-map` and `aMap` in line 2 are the same name; keep one",
        ),
        ("1: x\n", "x.yml:1:1: the name `1` is not text; quote it"),
        (
            "a: 1\n~: x\n",
            "x.yml:2:1: the name `~` is not text; quote it",
        ),
        (
            "[a, b]: x\n",
            "x.yml:1:1: a name must be text, not a mapping or a list; quote it",
        ),
        (
            "a: &k b\n*k : x\n",
            "x.yml:2:1: a name must be text, not an alias; write it out",
        ),
        (
            "a: !vault x\n",
            "x.yml:1:4: a: the tag `!vault` is not read here; leave it out",
        ),
        (
            "a: !!binary aGk=\n",
            "x.yml:1:4: a: the tag `!!binary` is not read here; leave it out",
        ),
        (
            "a: !!int x\n",
            "x.yml:1:4: a: `x` is not what its tag `!!int` says; drop the tag",
        ),
        (
            "- a\n- b\n",
            "x.yml:1:1: the top level must be a mapping; write `name: value` lines",
        ),
        (
            "just text\n",
            "x.yml:1:1: the top level must be a mapping; write `name: value` lines",
        ),
        (
            "a: 1\n---\nb: 2\n",
            "x.yml:2:1: a second document starts here; keep one document per file",
        ),
        (
            "a: &x [1, *x]\n",
            "x.yml:1:11: a[1]: an alias stands inside the value it names; write it out",
        ),
        (
            "&a: ",
            "x.yml:1:1: YAML readers differ about this value; quote it",
        ),
        (
            "\u{feff}a: 1\n",
            "x.yml:1:1: starts with a byte order mark; save the file as UTF-8 without one",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(faults(text), expected, "{text}");
    }
    assert_eq!(
        faults(b"a: 1\nb: \xff\n"),
        "x.yml:2:4: is not UTF-8; save the file as UTF-8"
    );
    assert_eq!(
        faults("a: 1\nb: x\u{7}\n"),
        "x.yml:2:5: the character U+0007 is not allowed in YAML; write it as `\\u0007` in double quotes"
    );
}

#[test]
fn errors_of_syntax_name_their_place() {
    for (text, start) in [
        ("a: [1, 2\nb: 3\n", "x.yml:2:"),
        ("a: 'x\n", "x.yml:"),
        ("a: 1\n b: 2\n", "x.yml:2:"),
        ("a: *nobody\n", "x.yml:1:"),
        ("a:\n\t- b\n", "x.yml:2:"),
    ] {
        let shown = faults(text);
        assert!(
            shown.starts_with(start) && shown.contains("is not YAML: "),
            "{text}: {shown}"
        );
        assert!(shown.ends_with("; correct the syntax"), "{shown}");
    }
}

#[test]
fn all_faults_are_collected() {
    let shown = faults("a: yes\nb:\n  - no\n  - 007\nc: !x 1\nc: 2\n");
    let paths: Vec<_> = shown
        .lines()
        .map(|line| line.split(": ").nth(1).unwrap())
        .collect();
    assert_eq!(
        paths,
        [
            "a",
            "b[0]",
            "b[1]",
            "c",
            "`c` is written twice, first in line 5; keep one"
        ]
    );
}

#[test]
fn bounds_hold() {
    let deep = format!("a: {}{}\n", "[".repeat(64), "]".repeat(64));
    assert_eq!(faults(&deep).split_once(": a").unwrap().0, "x.yml:1:67");
    assert!(faults(&deep).ends_with("is nested deeper than 64 levels; flatten it"));
    value(&format!("a: {}{}\n", "[".repeat(63), "]".repeat(63)));

    let mut laughs = vec!["a0: &a0 [x, x, x, x, x, x, x, x, x, x]".to_owned()];
    for level in 1..9 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        laughs.push(format!("a{level}: &a{level} [{aliases}]"));
    }
    let shown = faults(laughs.join("\n"));
    assert!(
        shown.ends_with("aliases add more than 10000 values; write less by alias"),
        "{shown}"
    );

    let text = "x".repeat(64 * 1024);
    let copies = ["*t"; 10].join(", ");
    let shown = faults(format!("a: &t {text}\nb: [{copies}]\n"));
    assert!(
        shown.ends_with("b[9]: aliases add more than 10000 values; write less by alias"),
        "{shown}"
    );

    let large = format!("a: {}\n", "x".repeat(MAX_DOCUMENT_BYTES));
    assert_eq!(
        faults(&large),
        "x.yml: has 524292 bytes, 524288 are allowed; split it or leave something out"
    );
}

#[test]
fn positions_point_at_values_and_names() {
    let text =
        "top: 1\nmaps:\n  a: { timeout: 800ms }\n  b:\n    - x\n    - y: 2\nc: &k 3\nd: *k\n";
    let document = Document::parse("x.yml", text.as_bytes()).unwrap();
    for (path, line, column) in [
        ("top", 1, 6),
        ("maps", 3, 3),
        ("maps.a.timeout", 3, 17),
        ("maps.A.time-out", 3, 17),
        ("maps.b[1].y", 6, 10),
        ("d", 8, 4),
    ] {
        let path: Path = path.parse().unwrap();
        assert_eq!(
            document.position_of(&path),
            Some(Position { line, column }),
            "{path}"
        );
    }
    let key = |path: &str| document.key_position_of(&path.parse().unwrap());
    assert_eq!(key("maps"), Some(Position { line: 2, column: 1 }));
    assert_eq!(key("maps.b[0]"), None);
    assert_eq!(document.position_of(&Path::root().name("nothing")), None);
}

#[test]
fn debug_output_holds_no_values() {
    let document = Document::parse("x.yml", b"secret: hunter2\n").unwrap();
    assert!(!format!("{document:?}").contains("hunter2"));
}

proptest! {
    /// The strict reader never panics, and what it accepts is what serde_yaml reads.
    #[test]
    fn nothing_is_read_differently_by_serde_yaml(text in "([a-c]{1,2}|[-0-9_.:eExoyn~ ]{0,4}|[\\[\\]{},&*!|>'\"#\n ?-]|: |\n|- ){0,12}") {
        if let Ok(document) = Document::parse("x.yml", text.as_bytes()) {
            match serde_yaml::from_str::<Value>(&text) {
                Ok(second) if !second.is_null() => prop_assert_eq!(document.value(), &second),
                _ => prop_assert_eq!(document.value(), &json!({})),
            }
        }
    }
}
