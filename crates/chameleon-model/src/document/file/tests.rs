use super::{FileName, Profile, Profiles, Service, layer_keys, split_key};

fn profiles() -> Profiles {
    Profiles::new(["prod", "beta", "eu-prod", "dev", "beta"]).unwrap()
}

#[test]
fn stems_are_split_at_the_longest_declared_profile() {
    let cases = [
        ("location.yml", "location", None),
        ("location-beta.yml", "location", Some("beta")),
        ("location-api-beta.yml", "location-api", Some("beta")),
        ("location-eu-prod.yml", "location", Some("eu-prod")),
        ("location-qa.yml", "location-qa", None),
        ("beta.yml", "beta", None),
        ("application-dev.yml", "application", Some("dev")),
    ];
    for (name, service, profile) in cases {
        let file = FileName::parse(name, &profiles()).unwrap().unwrap();
        assert_eq!(file.service().as_str(), service, "{name}");
        assert_eq!(file.profile().map(Profile::as_str), profile, "{name}");
        assert_eq!(file.to_string(), name);
    }
    let schema = FileName::parse("schemas/location.schema.yml", &profiles())
        .unwrap()
        .unwrap();
    assert_eq!(
        schema,
        FileName::Schema {
            service: Service::new("location").unwrap()
        }
    );
    assert_eq!(schema.to_string(), "schemas/location.schema.yml");
    assert_eq!(FileName::parse(".gitkeep", &profiles()).unwrap(), None);
}

#[test]
fn wrong_names_say_what_to_do() {
    let cases = [
        (
            "location-beta.yaml",
            "is not named `*.yml`; rename it to `location-beta.yml`",
        ),
        (
            "location.YML",
            "is not named `*.yml`; rename it to `location.yml`",
        ),
        (
            "location.properties",
            "`location.properties` is not YAML; rewrite it as YAML and rename it to `location.yml`",
        ),
        (
            "README.md",
            "`README.md` is not a document; rename it to `README.yml` or move it out of the folder",
        ),
        (
            "Location.yml",
            "`Location` is no name of a service; use lower-case letters, digits and `-`, and start with a letter or digit",
        ),
        (
            "sub/location.yml",
            "lies in a folder of its own; documents lie in the folder itself, schemas in `schemas/`",
        ),
        (
            "schemas/location.json",
            "is not named like a schema; rename it to `schemas/location.schema.yml`",
        ),
    ];
    for (name, expected) in cases {
        assert_eq!(
            FileName::parse(name, &profiles()).unwrap_err().to_string(),
            expected,
            "{name}"
        );
    }
    let error = FileName::parse("location-beta.yaml", &profiles()).unwrap_err();
    assert_eq!(error.profile, Some(Profile::new("beta").unwrap()));
}

#[test]
fn names_are_checked() {
    assert!(Service::new("location-2").is_ok());
    for name in ["", "-a", "A", "a_b", "a.b", "a/b", "ä"] {
        assert!(Service::new(name).is_err(), "{name}");
        assert!(Profile::new(name).is_err(), "{name}");
    }
}

#[test]
fn four_layers_lowest_first() {
    let keys = layer_keys(
        "",
        &Service::new("location").unwrap(),
        &Profile::new("beta").unwrap(),
    );
    assert_eq!(
        keys,
        [
            "config/application.yml",
            "config/application-beta.yml",
            "config/location.yml",
            "config/location-beta.yml"
        ]
    );
}

#[test]
fn keys_outside_of_folders_are_nobodys() {
    for key in [
        "config/",
        "config",
        "state/x",
        "myconfig/x.yml",
        "config/a/",
    ] {
        assert_eq!(split_key(key), None, "{key}");
    }
}
