use super::{Verdict, check_affected, check_folder, check_own_document};
use crate::document::{Profile, Profiles};
use std::collections::BTreeMap;

const SCHEMA: &str = "\
required: [host]
x-sum: { of: [aMapPercentage, bMapPercentage], equals: 100 }
properties:
  host: { type: string }
  port: { type: integer }
";

fn profiles() -> Profiles {
    Profiles::new(["dev", "beta", "prod"]).unwrap()
}

fn folder(files: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
        .collect()
}

fn lines(verdict: &Verdict) -> Vec<String> {
    verdict.to_string().lines().map(str::to_owned).collect()
}

fn check(files: &[(&str, &str)], expected: &[&str]) {
    assert_eq!(
        lines(&check_folder(&folder(files), &profiles(), None)),
        expected
    );
}

const GOOD: &[(&str, &str)] = &[
    ("application.yml", "host: a.example\n"),
    ("application-prod.yml", "port: 80\n"),
    ("location.yml", "aMapPercentage: 100\n"),
    (
        "location-beta.yml",
        "b-map-percentage: 10\nAMapPercentage: 90\n",
    ),
    ("location-prod.yml", "port: ${APP_PORT}\n"),
    ("schemas/location.schema.yml", SCHEMA),
    (".gitkeep", "\0 not yaml"),
];

fn good_with(changes: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    GOOD.iter().chain(changes).copied().collect()
}

#[test]
fn a_good_folder_is_good() {
    check(GOOD, &[]);
    check(&[], &[]);
}

#[test]
fn bad_files_say_what_and_where() {
    check(
        &good_with(&[
            ("location-beta.yaml", "a: 1\n"),
            ("other.properties", "a=1\n"),
            ("location-prod.yml", "port: yes\nx: ${A\n"),
            ("mail.yml", "a: ${A\nb: ${B:007}\n"),
        ]),
        &[
            "location-beta.yaml: is not named `*.yml`; rename it to `location-beta.yml`",
            "location-prod.yml:1:7: port: plain `yes` is a boolean to some readers and text to others; quote it",
            "mail.yml:1:4: a: a placeholder has no `}`; close it, or write `$${` for a plain `${`",
            "mail.yml:2:4: b: what stands for `B` is a number that starts with zero; put it in quotes there",
            "other.properties: `other.properties` is not YAML; rewrite it as YAML and rename it to `other.yml`",
        ],
    );
}

#[test]
fn merged_documents_are_held_to_the_schema() {
    check(
        &good_with(&[("location-beta.yml", "aMapPercentage: 90\n")]),
        &[
            "location-beta.yml:1:1: `aMapPercentage` 90 + `bMapPercentage` absent is 90, must be 100; change them together",
        ],
    );
    check(
        &good_with(&[
            ("application-prod.yml", "port: high\n"),
            ("location-prod.yml", ""),
        ]),
        &["application-prod.yml:1:7: port: must be an integer, is a text"],
    );
    // One fault in a shared layer is told once, whatever the number of profiles.
    check(
        &good_with(&[("application.yml", "host: 1\n")]),
        &["application.yml:1:7: host: must be a text, is an integer"],
    );
    check(
        &good_with(&[("application.yml", "")]),
        &[
            "location-beta.yml:1:1: `host` is required; add it",
            "location-prod.yml:1:1: `host` is required; add it",
        ],
    );
}

#[test]
fn a_service_without_own_profiles_exists_in_all() {
    let files = &[
        ("application-dev.yml", "port: x\n"),
        ("mail.yml", "a: 1\n"),
        (
            "schemas/mail.schema.yml",
            "properties: { port: { type: integer } }\n",
        ),
    ];
    check(
        files,
        &["application-dev.yml:1:7: port: must be an integer, is a text"],
    );
    check(
        &[("schemas/mail.schema.yml", "required: [port]\n")],
        &[
            "schemas/mail.schema.yml: has no document to describe; add `mail.yml`, or remove this schema too",
        ],
    );
    let verdict = check_folder(
        &folder(&[("mail.yml", "port: x\n"), files[2]]),
        &Profiles::default(),
        None,
    );
    assert_eq!(
        lines(&verdict),
        ["mail.yml:1:7: port: must be an integer, is a text"]
    );
}

#[test]
fn the_base_service_may_have_a_schema() {
    check(
        &[
            ("application-dev.yml", "port: x\n"),
            ("schemas/application.schema.yml", SCHEMA),
        ],
        &[
            "application-dev.yml:1:1: `aMapPercentage` absent + `bMapPercentage` absent is 0, must be 100; change them together",
            "application-dev.yml:1:1: `host` is required; add it",
            "application-dev.yml:1:7: port: must be an integer, is a text",
        ],
    );
}

#[test]
fn broken_schemas_are_told_and_hide_nothing_else() {
    check(
        &good_with(&[
            ("schemas/location.schema.yml", "type: 1\n"),
            ("schemas/x.json", "{}"),
            ("mail.yml", "- 1\n"),
        ]),
        &[
            "mail.yml:1:1: the top level must be a mapping; write `name: value` lines",
            "schemas/location.schema.yml:1:1: type: is no valid schema: value is not valid under any of the schemas listed in the 'anyOf' keyword; correct it",
            "schemas/x.json: is not named like a schema; rename it to `schemas/x.schema.yml`",
        ],
    );
}

#[test]
fn faults_outside_of_the_filter_warn() {
    let files = good_with(&[
        ("location-prod.yml", "port: high\n"),
        ("location-dev.yaml", ""),
        ("mail-dev.yml", "a: yes\n"),
        ("location-beta.yml", "port: low\n"),
    ]);
    let only = [Profile::new("beta").unwrap()];
    let verdict = check_folder(&folder(&files), &profiles(), Some(&only));
    assert_eq!(
        lines(&verdict),
        [
            "location-beta.yml:1:7: port: must be an integer, is a text",
            "warning: location-dev.yaml: is not named `*.yml`; rename it to `location-dev.yml`",
            "warning: location-prod.yml:1:7: port: must be an integer, is a text",
            "warning: mail-dev.yml:1:4: a: plain `yes` is a boolean to some readers and text to others; quote it",
        ]
    );
    assert!(!verdict.is_good());
}

/// Checks a state in which `written` keys are new; deleted ones are told but not there.
fn affected(state: &[(&str, &str)], changed: &[&str]) -> Vec<String> {
    let state = folder(state);
    let keys = state.keys().map(String::as_str);
    lines(&check_affected(
        keys,
        changed.iter().copied(),
        |key| state.get(key),
        &profiles(),
    ))
}

#[test]
fn only_what_a_transaction_touches_is_checked() {
    let port = "properties: { port: { type: integer } }\nrequired: [port]\n";
    let state = &[
        ("config/application-beta.yml", "x: 1\n"),
        ("config/application.yml", "x: 1\n"),
        ("config/location-beta.yml", "port: x\n"),
        ("config/location-prod.yml", "port: y\n"),
        ("config/mail.yml", "port: 1\n"),
        ("config/schemas/location.schema.yml", port),
        ("config/schemas/mail.schema.yml", port),
        ("state/x", "anything"),
        ("teams/a/config/location-beta.yml", "port: z\n"),
        ("teams/a/config/schemas/location.schema.yml", port),
    ];
    let beta = "config/location-beta.yml:1:7: port: must be an integer, is a text";
    let prod = "config/location-prod.yml:1:7: port: must be an integer, is a text";
    let team = "teams/a/config/location-beta.yml:1:7: port: must be an integer, is a text";
    let cases: [(&[&str], &[&str]); 10] = [
        (&["config/location-beta.yml"], &[beta]),
        (&["config/location-prod.yml", "config/mail.yml"], &[prod]),
        (&["config/mail.yml"], &[]),
        (&["config/application.yml"], &[beta, prod]),
        (&["config/application-beta.yml"], &[beta]),
        (&["config/schemas/location.schema.yml"], &[beta, prod]),
        (&["teams/a/config/location-beta.yml"], &[team]),
        (&["config/gone-beta.yml", "config/location.yml"], &[]),
        (&["state/x", "nowhere"], &[]),
        (&[], &[]),
    ];
    for (changed, expected) in cases {
        assert_eq!(affected(state, changed), expected, "{changed:?}");
    }
}

#[test]
fn written_keys_are_checked_even_without_a_schema() {
    let state = &[
        ("config/location.yaml", "a: 1\n"),
        ("config/mail-beta.yml", "a: yes\n"),
        ("config/schemas/x.schema.yml", "type: 1\n"),
    ];
    assert_eq!(
        affected(state, &["config/location.yaml", "config/mail-beta.yml"]),
        [
            "config/location.yaml: is not named `*.yml`; rename it to `location.yml`",
            "config/mail-beta.yml:1:4: a: plain `yes` is a boolean to some readers and text to others; quote it",
        ]
    );
    assert_eq!(affected(state, &["config/schemas/x.schema.yml"]).len(), 1);
}

#[test]
fn deletes_are_never_refused() {
    let state = &[
        ("config/location-beta.yml", "x: 1\n"),
        ("config/schemas/location.schema.yml", "required: [port]\n"),
    ];
    assert_eq!(
        affected(state, &["config/location.yml", "config/application.yml"]),
        [""; 0]
    );
}

#[test]
fn own_documents_are_held_to_less() {
    let key = "config/location-beta.yml";
    let schema = ("config/schemas/location.schema.yml", SCHEMA.as_bytes());
    let own = |text: &str| lines(&check_own_document(key, text.as_bytes(), Some(schema)));
    assert!(own("aMapPercentage: 10\n").is_empty());
    assert_eq!(
        own("port: x\n"),
        ["config/location-beta.yml:1:7: port: must be an integer, is a text"]
    );
    assert_eq!(own("port: yes\n").len(), 1);
    assert_eq!(own("port: ${A\n").len(), 1 + 1);
    let broken = (
        "config/schemas/location.schema.yml",
        b"type: 1\n".as_slice(),
    );
    let verdict = check_own_document(key, b"port: 1\n", Some(broken));
    assert!(verdict.is_good());
    assert_eq!(verdict.warnings.len(), 1);
    assert!(!check_own_document(broken.0, broken.1, None).is_good());
    assert!(check_own_document("config/notes.txt", b"\xff", None).is_good());
}
