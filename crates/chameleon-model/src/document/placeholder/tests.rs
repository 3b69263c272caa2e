use super::{Allowed, Filled, Part, parts};
use crate::document::{Document, Merged, Path, print};
use proptest::prelude::*;
use serde_json::{Value, json};

fn merged(text: &str) -> Merged {
    Merged::of([&Document::parse("x.yml", text.as_bytes()).unwrap()])
}

fn environment(name: &str) -> Option<String> {
    let value = match name {
        "APP_PORT" => "8080",
        "APP_HOST" => "map.example",
        "APP_QUOTED" => "'0123'",
        "APP_ZEROS" => "0123",
        "APP_EMPTY" => "",
        "APP_SECRET" => " a: b # c",
        "APP_HALF" => "'a",
        "APP_NESTED" => "${APP_PORT}",
        "HOME" => "/root",
        _ => return None,
    };
    Some(value.to_owned())
}

fn resolve(scalar: &str) -> Result<Value, Vec<String>> {
    let text = print(&json!({ "a": scalar }));
    match merged(&text).resolve(&Allowed::default(), environment) {
        Ok(resolved) => Ok(resolved.value()["a"].clone()),
        Err(faults) => Err(faults.iter().map(ToString::to_string).collect()),
    }
}

#[test]
fn placeholders_are_filled_and_typed() {
    let cases = [
        ("plain $ and {x}", json!("plain $ and {x}")),
        ("${APP_PORT}", json!(8080)),
        ("${APP_HOST}", json!("map.example")),
        ("${APP_QUOTED}", json!("0123")),
        ("${APP_EMPTY}", json!(null)),
        ("${APP_SECRET}", json!(" a: b # c")),
        ("${APP_HALF}", json!("'a")),
        ("${APP_NESTED}", json!("${APP_PORT}")),
        (
            "http://${APP_HOST}:${APP_PORT}/",
            json!("http://map.example:8080/"),
        ),
        ("${APP_GONE:800ms}", json!("800ms")),
        ("${APP_GONE:true}", json!(true)),
        ("${APP_GONE:http://x:1}", json!("http://x:1")),
        ("${APP_GONE:}", json!(null)),
        ("x${APP_GONE:}", json!("x")),
        ("${APP_PORT:1}", json!(8080)),
        ("$${APP_PORT}", json!("${APP_PORT}")),
        ("a $${b} ${APP_PORT}", json!("a ${b} 8080")),
        ("$$${", json!("$${")),
    ];
    for (scalar, expected) in cases {
        assert_eq!(resolve(scalar), Ok(expected), "{scalar}");
    }
}

#[test]
fn bad_placeholders_say_what_to_do() {
    let cases = [
        (
            "${APP_GONE}",
            "`APP_GONE` is not set and has no default; set it, or write `${APP_GONE:default}`",
        ),
        (
            "${HOME}",
            "`HOME` is not a name that placeholders may read; allowed: `APP_*`",
        ),
        (
            "${HOME:x}",
            "`HOME` is not a name that placeholders may read; allowed: `APP_*`",
        ),
        (
            "${APP_ZEROS}",
            "what stands for `APP_ZEROS` is a number that starts with zero; put it in quotes there",
        ),
        (
            "${APP_PORT",
            "a placeholder has no `}`; close it, or write `$${` for a plain `${`",
        ),
        (
            "${a b}",
            "`a b` is no name of a variable; use letters, digits and `_`, or write `$${` for a plain `${`",
        ),
        (
            "${APP_A:${APP_B}}",
            "the default of `APP_A` holds a placeholder itself; write a plain value",
        ),
    ];
    for (scalar, expected) in cases {
        assert_eq!(
            resolve(scalar),
            Err(vec![format!("x.yml:1:4: a: {expected}")]),
            "{scalar}"
        );
    }
}

#[test]
fn all_faults_are_collected_with_their_places() {
    let document = merged("a: ${APP_A}\nb:\n  - ok\n  - x: ${APP_B}-${HOME}\n");
    let faults = document.resolve(&Allowed::default(), |_| None).unwrap_err();
    let shown: Vec<_> = faults
        .iter()
        .map(|fault| {
            fault
                .to_string()
                .split(" is not")
                .next()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(
        shown,
        [
            "x.yml:1:4: a: `APP_A`",
            "x.yml:4:8: b[1].x: `APP_B`",
            "x.yml:4:8: b[1].x: `HOME`"
        ]
    );
}

#[test]
fn checkers_use_defaults_and_know_what_is_open() {
    let defaulted =
        merged("a: ${HOME}\nb: ${APP_B:5}\nc: x-${APP_C}\nd: ${APP_D:007}\n").with_defaults();
    assert_eq!(defaulted.document.value()["a"], json!("${HOME}"));
    assert_eq!(defaulted.document.value()["b"], json!(5));
    let marks = |name: &str| {
        let marks = defaulted
            .document
            .provenance
            .marks
            .get(&Path::root().name(name))
            .unwrap();
        marks.filled.clone()
    };
    assert!(matches!(marks("a"), Some(Filled::Open)));
    assert!(matches!(marks("b"), Some(Filled::Typed(_))));
    assert!(matches!(marks("c"), Some(Filled::OpenText)));
    let reason = &defaulted.faults[0].reason;
    assert_eq!(
        reason,
        "what stands for `APP_D` is a number that starts with zero; put it in quotes there"
    );
}

#[test]
fn no_fault_and_no_debug_output_shows_a_value() {
    let resolved = merged("a: ${APP_SECRET}\n")
        .resolve(&Allowed::default(), environment)
        .unwrap();
    assert!(!format!("{resolved:?}").contains("a: b"));
    assert!(
        !resolve("${APP_ZEROS}")
            .unwrap_err()
            .concat()
            .contains("0123")
    );
}

proptest! {
    #[test]
    fn escaping_undoes_filling(text in r"(?s)(\$|\{|\}|[a-z:]|.){0,12}") {
        let escaped = text.replace("${", "$${");
        let whole: String = parts(&escaped)
            .unwrap()
            .into_iter()
            .map(|part| match part {
                Part::Text(text) => text,
                Part::Placeholder { .. } => panic!("`{escaped}` holds a placeholder"),
            })
            .collect();
        prop_assert_eq!(whole, text);
    }

    #[test]
    fn text_without_placeholders_is_left_alone(text in "[^$]{0,12}") {
        prop_assert_eq!(resolve(&text), Ok(json!(text)));
    }

    #[test]
    fn filled_text_is_never_filled_again(value in r"(\$\{APP_[AB]\}|\$|[a-z]){1,8}") {
        let document = merged("a: x${APP_A}y\n");
        let resolved = document.resolve(&Allowed::default(), |_| Some(value.clone())).unwrap();
        prop_assert_eq!(&resolved.value()["a"], &json!(format!("x{value}y")));
    }
}
