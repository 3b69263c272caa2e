//! Each state that must not be applied leaves the last good values, and the next good one recovers.

use chameleon_client::{ClientState, Live, Stamp};
use chameleon_model::Tag;
use chameleon_proto::v1;
use futures::future::join;

use crate::fake::{Fake, soon, stamp, state};
use crate::shares::{BETA, Shares, client, shares};

/// What the server sees of a bad state.
enum Seen {
    /// The outcome rejects it with this reason.
    Rejected(&'static str),
    /// The stream is given up, and a complete state asked for.
    Resubscribed,
}

fn deletes(mut state: v1::State, keys: &[&str]) -> v1::State {
    state.deletes = keys.iter().map(|key| format!("config/{key}")).collect();
    state
}

fn more(mut state: v1::State) -> v1::State {
    state.more = true;
    state
}

/// A name, what is sent while `held` is applied, and what comes of it.
fn cases(held: Stamp, next: Stamp) -> Vec<(&'static str, Vec<v1::State>, Seen)> {
    let change = |text: &str| state(next, Some(held), &[(BETA, text)]);
    vec![
        (
            "broken YAML",
            vec![change("aMapPercentage: 1\n  b: [\n")],
            Seen::Rejected("config/location-beta.yml:2:"),
        ),
        (
            "a wrong type",
            vec![change("aMapPercentage: many\n")],
            Seen::Rejected("config/location-beta.yml:1:17: aMapPercentage: must be u32"),
        ),
        (
            "shares that do not add up",
            vec![change(
                "timeout: 1\naMapPercentage: 90\nbMapPercentage: 20\n",
            )],
            Seen::Rejected(
                "config/location-beta.yml:2:1: aMapPercentage: shares add up to 110, must be 100",
            ),
        ),
        (
            "a missing placeholder",
            vec![change("aMapPercentage: ${APP_MISSING}\n")],
            Seen::Rejected(
                "config/location-beta.yml:1:17: aMapPercentage: `APP_MISSING` is not set and has no \
                 default",
            ),
        ),
        (
            "a placeholder that may not be read",
            vec![change("aMapPercentage: ${HOME}\n")],
            Seen::Rejected("`HOME` is not a name that placeholders may read; allowed: `APP_*`"),
        ),
        (
            "vanished documents, as a change",
            vec![deletes(state(next, Some(held), &[]), &[BETA])],
            Seen::Rejected("config/location-beta.yml: documents vanished"),
        ),
        (
            "vanished documents, as a complete state",
            vec![state(next, None, &[("application.yml", "a: 1\n")])],
            Seen::Rejected("config/location-beta.yml: documents vanished"),
        ),
        (
            "chunks of two states",
            vec![
                more(change("aMapPercentage: 1\n")),
                state(stamp(1, 7), Some(held), &[]),
            ],
            Seen::Resubscribed,
        ),
        (
            "a change of a state that is not held",
            vec![state(
                stamp(1, 8),
                Some(stamp(1, 7)),
                &[(BETA, "aMapPercentage: 1\n")],
            )],
            Seen::Resubscribed,
        ),
        (
            "an older revision of the same epoch",
            vec![state(stamp(1, 4), None, &[(BETA, &shares(10))])],
            Seen::Resubscribed,
        ),
        (
            "another state under the same revision",
            vec![state(
                Stamp {
                    tag: Tag(1),
                    ..held
                },
                None,
                &[(BETA, &shares(10))],
            )],
            Seen::Resubscribed,
        ),
        ("no stamp", vec![v1::State::default()], Seen::Resubscribed),
    ]
}

#[tokio::test]
async fn bad_states_leave_the_last_good_values() {
    let (held, next) = (stamp(1, 5), stamp(1, 6));
    for (name, bad, seen) in cases(held, next) {
        println!("case: {name}");
        let mut server = Fake::start().await;
        let address = server.address.clone();
        let connecting = client(&[&address]).connect();
        let (chameleon, mut connection) =
            join(connecting, server.serve(held, &[(BETA, &shares(70))])).await;
        let chameleon = chameleon.unwrap();
        let live: Live<Shares> = chameleon.bind("").unwrap();
        let mut changes = live.subscribe();
        connection.applied(held).await;

        for state in bad {
            connection.send(state).await;
        }
        let newest = stamp(1, 9);
        match seen {
            Seen::Rejected(expected) => {
                let reason = connection.rejected(next).await;
                assert!(reason.contains(expected), "{name}: {reason}");
                assert_eq!(chameleon.rejection().unwrap().stamp, next, "{name}");
                assert_eq!(chameleon.state(), ClientState::Ready, "{name}");
            }
            Seen::Resubscribed => {
                connection.ended().await;
                connection = server.accept().await;
                assert_eq!(connection.last(), None, "{name}");
            }
        }
        assert_eq!(live.load().a_map_percentage, 70, "{name}");
        assert_eq!(live.stamp(), held, "{name}");

        connection
            .send(state(newest, None, &[(BETA, &shares(20))]))
            .await;
        let change = soon(changes.next()).await.unwrap();
        assert_eq!(
            (change.old.a_map_percentage, change.new.a_map_percentage),
            (70, 20),
            "{name}"
        );
        connection.applied(newest).await;
        assert_eq!(chameleon.rejection(), None, "{name}");
    }
}

#[tokio::test]
async fn vanished_documents_are_applied_if_the_builder_allows_it() {
    let mut server = Fake::start().await;
    let address = server.address.clone();
    let connecting = client(&[&address]).allow_vanished(true).connect();
    let (chameleon, mut connection) = join(
        connecting,
        server.serve(stamp(1, 5), &[(BETA, &shares(70))]),
    )
    .await;
    let chameleon = chameleon.unwrap();
    let live: Live<Shares> = chameleon.bind("").unwrap();
    connection.applied(stamp(1, 5)).await;
    let gone = state(stamp(1, 6), Some(stamp(1, 5)), &[]);
    connection.send(deletes(gone, &[BETA])).await;
    connection.applied(stamp(1, 6)).await;
    assert_eq!(live.load().a_map_percentage, 100, "the type's default");
}

#[tokio::test]
async fn one_of_the_two_own_documents_is_enough() {
    let mut server = Fake::start().await;
    let address = server.address.clone();
    let puts = [
        ("location.yml", "aMapPercentage: 100\n"),
        (BETA, "aMapPercentage: 60\nbMapPercentage: 40\n"),
    ];
    let (chameleon, connection) = join(
        client(&[&address]).connect(),
        server.serve(stamp(1, 5), &puts),
    )
    .await;
    let live: Live<Shares> = chameleon.unwrap().bind("").unwrap();
    assert_eq!(live.load().a_map_percentage, 60);
    connection.ended().await;
}
