//! Nothing is lost, whatever breaks: writers, readers and three replicas on a real Postgres, with
//! faults drawn from a seed.
//!
//! Writers retry under the same request id until their transaction is acknowledged; readers watch
//! by gRPC and by Consul's long polls. Between each replica and Postgres there is a proxy that cuts,
//! pauses, swallows notices of commits and loses answers to them. Replicas and Postgres are killed
//! by SIGKILL, and a copy of the database that lags takes its place. After every few faults all is
//! healed, and what everybody saw and was told is held against the database:
//!
//! * every acknowledged write is there once, but for those that a promoted copy lacks, which are
//!   counted;
//! * within an epoch, no reader sees a revision twice or goes back, and a new epoch begins where a
//!   copy was promoted, and only there;
//! * every state that was seen is one that the database had, whole transactions only;
//! * every reader ends at the final state.
//!
//! Run it by `cargo xtask faults`. One seed is one plan: `CHAMELEON_FAULTS_SEED` (drawn if it is not
//! set, and printed) and `CHAMELEON_FAULTS`, how many (300). The plan is the same each time; what
//! runs at the same moment is not.

mod content;
mod framing;
mod judge;
mod ledger;
mod plan;
mod postgres;
mod proxy;
mod readers;
mod run;
mod server;
mod shared;
mod writers;

use std::str::FromStr;

use run::Run;

const SEED: &str = "CHAMELEON_FAULTS_SEED";
const FAULTS: &str = "CHAMELEON_FAULTS";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes and PostgreSQL's programs: cargo xtask faults"]
async fn nothing_is_lost() {
    let seed = variable(SEED).unwrap_or_else(|| rand::random_range(0..1_000_000));
    let faults = variable(FAULTS).unwrap_or(300);
    let named = Named(format!("{SEED}={seed} {FAULTS}={faults}"));
    eprintln!("{}", named.0);
    let mut run = Run::start(seed).await;
    if let Err(wrong) = run.play(&plan::draw(seed, faults)).await {
        panic!("{wrong}");
    }
    eprintln!("{} passes:\n{}", named.0, run.summary());
}

/// How to do the same again; said with every failure.
struct Named(String);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} fails", self.0);
        }
    }
}

fn variable<T: FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    let value = text.parse();
    Some(value.unwrap_or_else(|_| panic!("{name}: `{text}` is not a number")))
}
