use chameleon_model::{Epoch, Revision, Tag};
use proptest::prelude::*;

use super::*;

fn stamp(epoch: u64, revision: u64) -> Stamp {
    Stamp {
        epoch: Epoch(epoch),
        revision: Revision(revision),
        tag: Tag(epoch * 1000 + revision),
    }
}

fn put(key: &str, value: &str) -> v1::Entry {
    v1::Entry {
        key: key.into(),
        value: value.to_owned().into(),
        ..v1::Entry::default()
    }
}

fn chunk(stamp: Stamp, base: Option<Stamp>, more: bool) -> v1::State {
    v1::State {
        stamp: Some(stamp.into()),
        base: base.map(Into::into),
        more,
        ..v1::State::default()
    }
}

/// Feeds chunks into a mirror that holds `a` and `b` at 1.5.
fn feed(chunks: Vec<v1::State>) -> (Mirror, Option<Broken>) {
    let mut mirror = Mirror::default();
    let mut assembly = Assembly::default();
    let mut first = chunk(stamp(1, 5), None, false);
    first.puts = vec![put("a", "1"), put("b", "2")];
    for chunk in std::iter::once(first).chain(chunks) {
        let taken = assembly.push(chunk).and_then(|update| match update {
            Some(update) => mirror.accept(&update),
            None => Ok(()),
        });
        if let Err(broken) = taken {
            return (mirror, Some(broken));
        }
    }
    (mirror, None)
}

fn content(mirror: &Mirror) -> Vec<(String, String)> {
    let text = |entry: &Entry| String::from_utf8(entry.value.to_vec()).unwrap();
    (mirror.entries().iter())
        .map(|(key, entry)| (key.to_string(), text(entry)))
        .collect()
}

#[test]
fn states_that_break_the_contract_leave_the_held_one() {
    let held = stamp(1, 5);
    let mut contradiction = chunk(stamp(1, 6), Some(held), false);
    contradiction.puts = vec![put("a", "9")];
    contradiction.deletes = vec!["a".into()];
    let mut no_key = chunk(stamp(1, 6), Some(held), false);
    no_key.puts = vec![put("", "9")];
    let mut first_half = chunk(stamp(1, 6), Some(held), true);
    first_half.puts = vec![put("a", "9")];
    for (chunks, message) in [
        (
            vec![first_half.clone(), chunk(stamp(1, 7), Some(held), false)],
            "a chunk of state 1.7.00000000000003ef was sent before state 1.6.00000000000003ee was whole",
        ),
        (
            vec![first_half, chunk(stamp(1, 6), None, false)],
            "a chunk of state 1.6.00000000000003ee was sent before state 1.6.00000000000003ee was whole",
        ),
        (
            vec![chunk(stamp(1, 7), Some(stamp(1, 6)), false)],
            "state 1.7.00000000000003ef changes state 1.6.00000000000003ee, which is not the held 1.5.00000000000003ed",
        ),
        (
            vec![chunk(stamp(1, 4), None, false)],
            "state 1.4.00000000000003ec is older than the held 1.5.00000000000003ed and of no later epoch; \
             the server lags behind, or its store was replaced",
        ),
        (
            vec![v1::State::default()],
            "a state without a stamp was sent",
        ),
        (
            vec![contradiction],
            "state 1.6.00000000000003ee both puts and deletes key `a`",
        ),
        (vec![no_key], "entry.key: missing key name"),
    ] {
        let (mirror, broken) = feed(chunks);
        let broken = broken.expect(message);
        assert_eq!(broken.to_string(), message);
        assert_eq!(mirror.stamp(), Some(held), "{message}");
        assert_eq!(
            content(&mirror),
            [("a".into(), "1".into()), ("b".into(), "2".into())]
        );
    }
}

#[test]
fn another_tag_at_the_held_revision_is_no_advance() {
    let mut foreign = stamp(1, 5);
    foreign.tag = Tag(42);
    let broken = feed(vec![chunk(foreign, None, false)]).1.unwrap();
    assert!(matches!(broken, Broken::Backwards { .. }), "{broken}");
}

#[test]
fn a_later_epoch_may_go_back_and_is_complete() {
    let mut restored = chunk(stamp(2, 3), None, false);
    restored.puts = vec![put("a", "0")];
    let (mirror, None) = feed(vec![restored]) else {
        panic!("a later epoch is accepted");
    };
    assert_eq!(content(&mirror), [("a".into(), "0".into())]);
    assert_eq!(mirror.stamp(), Some(stamp(2, 3)));
}

#[test]
fn nothing_applies_before_the_last_chunk() {
    let mut half = chunk(stamp(1, 6), None, true);
    half.puts = vec![put("z", "9")];
    let (mirror, None) = feed(vec![half]) else {
        panic!("half a state is no error");
    };
    assert_eq!(mirror.stamp(), Some(stamp(1, 5)));
    assert_eq!(content(&mirror).len(), 2);
}

type Content = BTreeMap<String, String>;

fn contents() -> impl Strategy<Value = Vec<Content>> {
    let content = prop::collection::btree_map("[a-f]", "[x-z]{0,2}", 0..6);
    prop::collection::vec(content, 1..6)
}

/// The chunks of `now`, complete or as a change of `before`, cut wherever `cuts` says.
fn chunks_of(
    now: (&Content, Stamp),
    before: Option<(&Content, Stamp)>,
    cuts: &[bool],
) -> Vec<v1::State> {
    let base = before.map(|(_, stamp)| stamp);
    let mut pieces = vec![chunk(now.1, base, true)];
    let mut cuts = cuts.iter().cycle();
    let mut cut = |pieces: &mut Vec<v1::State>| {
        if *cuts.next().unwrap() {
            pieces.push(chunk(now.1, base, true));
        }
    };
    for (key, value) in now.0 {
        if before.is_none_or(|(content, _)| content.get(key) != Some(value)) {
            cut(&mut pieces);
            pieces.last_mut().unwrap().puts.push(put(key, value));
        }
    }
    if let Some((content, _)) = before {
        for key in content.keys().filter(|key| !now.0.contains_key(*key)) {
            cut(&mut pieces);
            pieces.last_mut().unwrap().deletes.push(key.clone());
        }
    }
    pieces.last_mut().unwrap().more = false;
    pieces
}

proptest! {
    #[test]
    fn any_split_into_chunks_and_bases_yields_the_same_entries(
        contents in contents(),
        complete in prop::collection::vec(any::<bool>(), 6),
        cuts in prop::collection::vec(any::<bool>(), 1..12),
    ) {
        let mut mirror = Mirror::default();
        let mut assembly = Assembly::default();
        let mut before: Option<(&Content, Stamp)> = None;
        for (index, content) in contents.iter().enumerate() {
            let now = stamp(1, index as u64 + 1);
            let base = before.filter(|_| !complete[index]);
            let chunks = chunks_of((content, now), base, &cuts);
            let last = chunks.len() - 1;
            for (position, chunk) in chunks.into_iter().enumerate() {
                let update = assembly.push(chunk).unwrap();
                prop_assert_eq!(update.is_some(), position == last);
                if let Some(update) = update {
                    mirror.accept(&update).unwrap();
                }
            }
            let got: Content = self::content(&mirror).into_iter().collect();
            prop_assert_eq!(&got, content);
            prop_assert_eq!(mirror.stamp(), Some(now));
            before = Some((content, now));
        }
    }
}
