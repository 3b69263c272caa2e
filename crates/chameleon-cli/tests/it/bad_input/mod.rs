//! Whatever is wrong is told in clear lines with the right status, and the last good state goes on
//! being served.
//!
//! One table, in groups; `docs/reference/bad-input.md` is the same table for people.

mod act;
mod page;
mod table;

use test_kit::{FaultProxy, eventually, postgres};

use crate::rig::{Rig, Serving};
use act::{Act, Told, perform};

/// One row of the table.
struct Case {
    /// The row's heading on the page.
    name: &'static str,
    act: Act,
    /// The status, as the page says it.
    status: &'static str,
    /// What is told; what differs from time to time is written like `<port>`.
    lines: &'static [&'static str],
    after: After,
}

/// What the instances say afterwards. They serve as before, whatever they say.
#[derive(Clone, Copy)]
enum After {
    /// They have the newest state of what they read.
    Current,
    /// They have refused the newest state, and say this.
    Rejecting(&'static str),
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes() {
    check_all(table::PUSHES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_instances_can_see() {
    check_all(table::SEEN_BY_INSTANCES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests() {
    check_all(table::REQUESTS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn starts() {
    check_all(table::STARTS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_away() {
    let database = postgres::database().await;
    let proxy = FaultProxy::start(database.server_address()).await;
    let rig = Rig::start(Some(database.url_through(&proxy))).await;
    for case in table::OUTAGES {
        proxy.cut().await;
        check_while_it_lasts(&rig, case).await;
        proxy.heal();
        eventually("the server has its database back", async || {
            let status = rig.stack.api().status().await.ok()?;
            status.store_available.then_some(())
        })
        .await;
        if matches!(case.act, Act::Push(_)) {
            // Nobody has to push again what was pushed meanwhile.
            rig.settled("a").await;
        }
        rig.moves_on(case.name).await;
    }
    rig.stop().await;
}

#[test]
fn the_page_has_all_rows_and_no_others() {
    let groups = [
        table::PUSHES,
        table::SEEN_BY_INSTANCES,
        table::REQUESTS,
        table::STARTS,
        table::OUTAGES,
    ];
    let names: Vec<_> = groups
        .iter()
        .copied()
        .flatten()
        .map(|case| case.name)
        .collect();
    assert_eq!(page::headings(), names);
}

/// Checks a group on one platform, one row after the other; a good push follows each.
async fn check_all(cases: &[Case]) {
    let rig = Rig::start(None).await;
    for case in cases {
        check_while_it_lasts(&rig, case).await;
        rig.moves_on(case.name).await;
    }
    rig.stop().await;
}

async fn check_while_it_lasts(rig: &Rig, case: &Case) {
    let Case {
        name,
        status,
        lines,
        ..
    } = case;
    let before = rig.serving().await;
    let Told {
        status: got,
        lines: told,
    } = perform(rig, &case.act).await;
    assert_eq!(got, *status, "{name}: {told:#?}");
    assert_eq!(told, *lines, "{name}");
    assert_eq!(serving_after(rig, case).await, before, "{name}");
    page::assert_told(case);
}

/// What is served once the instances have said what they make of it.
async fn serving_after(rig: &Rig, case: &Case) -> Serving {
    match case.after {
        After::Current => {
            for instance in rig.instances().await {
                let name = &instance.identity.instance;
                assert!(
                    instance.current,
                    "{}: {name}: {:?}",
                    case.name, instance.rejected
                );
            }
        }
        After::Rejecting(reason) => {
            let what = format!("{}: both instances say `{reason}`", case.name);
            eventually(&what, async || {
                let instances = rig.instances().await;
                let said =
                    |one: &chameleon_client::Instance| one.rejected.as_deref() == Some(reason);
                instances.iter().all(said).then_some(())
            })
            .await;
        }
    }
    rig.serving().await
}
