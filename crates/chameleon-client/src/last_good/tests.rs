use tempfile::TempDir;

use super::*;

fn keys(profile: &str) -> [Key; 4] {
    ["application", "application-x", "location", profile]
        .map(|name| Key::new(&format!("config/{name}.yml")).unwrap())
}

fn file(folder: &TempDir) -> LastGoodFile {
    LastGoodFile::new(folder.path(), "location", "beta", &keys("location-beta")).unwrap()
}

fn documents() -> Documents {
    Documents {
        stamp: Stamp {
            epoch: Epoch(2),
            revision: Revision(7),
            tag: Tag(u64::MAX),
        },
        values: [
            None,
            Some("".into()),
            Some("timeout: 1\n# ü \"quoted\"\n".into()),
            Some("key: ${APP_KEY}\n".into()),
        ],
    }
}

#[test]
fn what_is_saved_is_loaded_and_replaced_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = file(&folder);
    assert_eq!(file.load().unwrap(), None);
    file.save(&documents()).unwrap();
    assert_eq!(file.load().unwrap(), Some(documents()));
    let newer = Documents {
        values: [const { None }; 4],
        ..documents()
    };
    file.save(&newer).unwrap();
    assert_eq!(file.load().unwrap(), Some(newer));
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "no draft is left"
    );
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let file = file(&folder);
    file.save(&documents()).unwrap();
    let mode = fs::metadata(file.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_damaged_file_is_refused_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let file = file(&folder);
    file.save(&documents()).unwrap();
    let good = fs::read_to_string(file.path()).unwrap();
    for (text, reason) in [
        (
            good.replace("\"revision\":7", "\"revision\":8"),
            "its checksum does not match; it is damaged",
        ),
        (
            good[..good.len() - 5].to_owned(),
            "its checksum does not match; it is damaged",
        ),
        (String::new(), "it does not start as such a file does"),
        ("{}".to_owned(), "it does not start as such a file does"),
        (
            good.replacen("good 1", "good 9", 1),
            "its format is `9`, this program knows 1",
        ),
    ] {
        fs::write(file.path(), text).unwrap();
        let error = file.load().unwrap_err().to_string();
        let path = file.path().display();
        assert_eq!(
            error,
            format!("last-known-good file `{path}` is not used: {reason}")
        );
    }
}

#[test]
fn the_file_of_another_prefix_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    file(&folder).save(&documents()).unwrap();
    let other = LastGoodFile::new(folder.path(), "location", "beta", &keys("other")).unwrap();
    let error = other.load().unwrap_err().to_string();
    assert!(
        error.contains("another service, profile or prefix"),
        "{error}"
    );
}

#[test]
fn a_folder_that_cannot_be_written_is_found_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let in_the_way = folder.path().join("file");
    fs::write(&in_the_way, "").unwrap();
    assert!(LastGoodFile::new(&in_the_way, "location", "beta", &keys("a")).is_err());
}
