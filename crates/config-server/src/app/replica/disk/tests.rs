use chameleon_model::{Known, Operation, Origin, SourceUpdate, Tag, Transaction, decide};
use uuid::Uuid;

use super::*;

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn tokens() -> Vec<Token> {
    let token = |name: &str, replaced, expires| Token {
        name: TokenName::new(name).unwrap(),
        grant: Grant::new(["read:shared/", "override:a/b.yml"].map(|rule| rule.parse().unwrap())),
        hash: TokenHash([7; 32]),
        replaced,
        created: Timestamp(5),
        created_by: "bootstrap".to_owned(),
        expires,
    };
    let replaced = Some((TokenHash([8; 32]), Timestamp(9)));
    vec![
        token("a", None, None),
        token("b", replaced, Some(Timestamp(10))),
    ]
}

/// A state with everything in it that a store can hold.
fn contents() -> Contents {
    let session = |number, ttl, behavior| Session {
        id: SessionId(Uuid::from_u128(number)),
        name: "rail \u{1f682}".to_owned(),
        behavior,
        ttl,
        lock_delay: Duration::from_millis(1_500),
        opened_by: "team-a".to_owned(),
        create_revision: Revision::ZERO,
    };
    let holder = session(1, None, SessionBehavior::Delete);
    let put = |text: &str, value: &'static [u8], flags| Operation::Put {
        key: key(text),
        value: value.into(),
        flags,
    };
    let source = SourceUpdate {
        name: "main".into(),
        expected: None,
        commit: "c0ffee".into(),
        profiles: vec!["beta".to_owned(), "prod".to_owned()],
    };
    let operations = vec![
        put("a b,\u{e7}/\u{fc}", b"\xff\x00\n", u64::MAX),
        put("config/location.yml", b"a: 1\n", 0),
        put("empty", b"", 1),
        put("gone", b"x", 0),
        Operation::OpenSession(holder.clone()),
        Operation::OpenSession(session(
            2,
            Some(Duration::from_secs(15)),
            SessionBehavior::Release,
        )),
        Operation::Lock {
            key: key("lock"),
            value: "held".into(),
            flags: 0,
            session: holder.id,
        },
        put("large", &[7; 300], 0),
    ];
    let transactions = [
        (operations, None),
        (vec![put("config/location.yml", b"a: 2\n", 0)], Some(source)),
        (vec![Operation::Delete { key: key("gone") }], None),
        (vec![put("config/location.yml", b"a: 3\n", 0)], None),
    ];
    let group = (transactions.into_iter())
        .map(|(operations, source)| Transaction {
            operations,
            source,
            origin: Origin::default(),
            ..Transaction::default()
        })
        .collect();
    let known = Known {
        now: Timestamp(1_700_000_000_000_000),
        ..Known::default()
    };
    let decided = decide(&Snapshot::default(), group, known, || Tag(u64::MAX - 5));
    let mut sources = Sources::new();
    for commit in &decided.commits {
        super::super::move_marker(&mut sources, commit);
    }
    assert_eq!((decided.commits.len(), sources.len()), (4, 1));
    assert_eq!(decided.snapshot.holds().count(), 1);
    Contents {
        snapshot: decided.snapshot,
        sources,
    }
}

fn assert_same(one: &Contents, other: &Contents) {
    let all = Prefix::all();
    let (left, right) = (&one.snapshot, &other.snapshot);
    assert_eq!(left.stamp(), right.stamp());
    assert_eq!(left.floor(), right.floor());
    assert_eq!(left.sessions_index(), right.sessions_index());
    assert!(left.under(&all).eq(right.under(&all)));
    assert!(left.deleted_under(&all).eq(right.deleted_under(&all)));
    assert!(left.sessions().eq(right.sessions()));
    assert!(left.holds().eq(right.holds()));
    assert_eq!(one.sources, other.sources);
}

fn saved() -> (tempfile::TempDir, SnapshotFile, Contents) {
    let folder = tempfile::tempdir().unwrap();
    let file = SnapshotFile::new(&folder.path().join("made/on/the/way/snapshot"));
    let contents = contents();
    file.save(&contents.snapshot, &contents.sources, &tokens())
        .unwrap();
    (folder, file, contents)
}

fn reason(file: &SnapshotFile) -> String {
    file.load().expect_err("it can't be used").to_string()
}

#[test]
fn everything_comes_back_as_it_was() {
    let (_folder, file, contents) = saved();
    let kept = file.load().unwrap().unwrap();
    assert_same(&kept.contents, &contents);
    assert_eq!(kept.tokens, tokens());
    assert_eq!(
        kept.contents.snapshot.deleted_under(&Prefix::all()).count(),
        1
    );

    let empty = Contents::default();
    file.save(&empty.snapshot, &empty.sources, &[]).unwrap();
    assert_same(&file.load().unwrap().unwrap().contents, &empty);
}

#[test]
fn the_age_is_what_the_database_confirmed() {
    let (_folder, file, _) = saved();
    file.confirm(Duration::from_hours(2)).unwrap();
    let age = file.load().unwrap().unwrap().age;
    assert!(age >= Duration::from_hours(2), "{age:?}");
}

#[test]
fn without_a_file_nothing_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = SnapshotFile::new(&folder.path().join("none"));
    assert!(file.load().unwrap().is_none());
}

#[cfg(unix)]
#[test]
fn only_its_owner_reads_it_and_a_draft_left_behind_is_replaced() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_folder, file, contents) = saved();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(file.path()), 0o600);
    let draft = file.path().with_extension("draft");
    fs::write(&draft, "half a sta").unwrap();
    file.save(&contents.snapshot, &contents.sources, &tokens())
        .unwrap();
    assert!(!draft.exists());
    assert_eq!(mode(file.path()), 0o600);
    assert!(file.load().unwrap().is_some());
}

#[test]
fn what_is_damaged_anywhere_is_not_used() {
    let (_folder, file, _) = saved();
    let good = fs::read(file.path()).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fs::write(file.path(), &bad).unwrap();
        assert!(file.load().is_err(), "byte {at} is another");
        fs::write(file.path(), &good[..at]).unwrap();
        assert!(file.load().is_err(), "cut off before byte {at}");
    }
    fs::write(file.path(), [&good[..], b"more"].concat()).unwrap();
    assert!(file.load().is_err(), "something follows");
}

#[test]
fn what_it_is_not_is_said() {
    let (_folder, file, _) = saved();
    let good = fs::read(file.path()).unwrap();
    let path = file.path().display().to_string();
    fs::write(file.path(), "SQLite format 3\0").unwrap();
    assert_eq!(
        reason(&file),
        format!(
            "snapshot `{path}` is not used: it does not start as such a file does; the next one \
             will replace it"
        )
    );
    let later = [b"chameleon-snapshot 2\n", &good[21..]].concat();
    fs::write(file.path(), later).unwrap();
    assert!(reason(&file).contains("its format is `2`, this program knows 1"));
    let mut flipped = good;
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    fs::write(file.path(), flipped).unwrap();
    assert!(reason(&file).contains("its checksum does not match"));
    fs::remove_file(file.path()).unwrap();
    fs::create_dir(file.path()).unwrap();
    assert!(
        reason(&file).contains("Is a directory"),
        "{}",
        reason(&file)
    );
}
