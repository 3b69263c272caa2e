//! One run: brings everything up, breaks it as planned, and has it judged.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use chameleon_model::Stamp;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tempfile::TempDir;
use test_kit::eventually;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::content::Scope;
use crate::judge::{Judge, is_beyond};
use crate::plan::{Fault, REPLICAS, Round, Step, Which};
use crate::postgres::Postgres;
use crate::proxy::Proxy;
use crate::readers::{At, Reader, polls, roamers, watches};
use crate::server::Server;
use crate::shared::{LIMIT, Shared};
use crate::writers::Writer;

/// How many write at once.
const WRITERS: u64 = 4;

/// How many watches of the SDK there are.
const ROAMERS: usize = 2;

/// A copy that lags further is taken anew before it is promoted unseen, because writers have to go
/// all the way again; and so is one of another epoch, because there the tag alone tells.
const UNSEEN_LAG: u64 = 150;

pub(crate) struct Run {
    shared: Arc<Shared>,
    random: StdRng,
    /// Fields end in their order: first who uses the others.
    _tasks: JoinSet<()>,
    servers: Vec<Server>,
    proxies: Vec<Proxy>,
    judge: Judge,
    postgres: Postgres,
    _folder: TempDir,
    /// The readers of everything, one at each replica, and the others.
    readers: Vec<Arc<Reader>>,
    last_writer: Writer,
    /// The state that the copy holds.
    copied: Option<Stamp>,
    /// The state of the copy that was promoted since everybody agreed.
    promoted: Option<Stamp>,
    /// Replicas that have a fault, and the number of the fault before which it ends.
    afflicted: Vec<(Which, usize)>,
    /// How many faults there were, by kind.
    faults: BTreeMap<&'static str, usize>,
}

impl Run {
    pub(crate) async fn start(seed: u64) -> Self {
        let folder = TempDir::with_prefix("chameleon-faults-").unwrap();
        let postgres = Postgres::start().await;
        let shared = Arc::new(Shared::default());
        let judge = Judge::new(&postgres.url(postgres.addr), &shared).await;
        // A run starts it again and again, and somebody may build another one meanwhile.
        let program = folder.path().join("config-server");
        std::fs::copy(env!("CARGO_BIN_EXE_config-server"), &program).unwrap();
        let (mut proxies, mut servers) = (Vec::new(), Vec::new());
        for which in 0..REPLICAS {
            let proxy = Proxy::start(postgres.addr).await;
            let url = postgres.url(proxy.addr);
            let mut server = Server::new(&format!("replica-{which}"), url, &program, folder.path());
            server.run().await;
            proxies.push(proxy);
            servers.push(server);
        }
        let grpc: Vec<_> = servers.iter().map(|server| server.grpc).collect();
        let (mut tasks, mut readers) = (JoinSet::new(), Vec::new());
        for (which, server) in servers.iter().enumerate() {
            let name = format!("the watch of all at {which}");
            let reader = Reader::new(name, Scope::All, &shared);
            readers.push(Arc::clone(&reader));
            tasks.spawn(watches::run(reader, server.grpc));
        }
        for (which, server) in servers.iter().enumerate() {
            let name = format!("the watch of a folder at {which}");
            let reader = Reader::new(name, Scope::Folder, &shared);
            readers.push(Arc::clone(&reader));
            tasks.spawn(watches::run(reader, server.grpc));
            let name = format!("the long poll at {which}");
            let reader = Reader::new(name, Scope::Small, &shared);
            readers.push(Arc::clone(&reader));
            tasks.spawn(polls::run(reader, server.http));
        }
        for number in 0..ROAMERS {
            let reader = Reader::new(format!("roaming watch {number}"), Scope::Small, &shared);
            readers.push(Arc::clone(&reader));
            let mut addresses: Vec<_> = grpc.iter().map(ToString::to_string).collect();
            addresses.rotate_left(number);
            tasks.spawn(roamers::run(reader, addresses));
        }
        for index in 1..=WRITERS {
            tasks.spawn(Writer::new(seed, index, &grpc, &shared).run());
        }
        Self {
            random: StdRng::seed_from_u64(seed),
            last_writer: Writer::new(seed, WRITERS + 1, &grpc, &shared),
            shared,
            _tasks: tasks,
            servers,
            proxies,
            judge,
            postgres,
            _folder: folder,
            readers,
            copied: None,
            promoted: None,
            afflicted: Vec::new(),
            faults: BTreeMap::new(),
        }
    }

    /// Does all that is planned.
    ///
    /// # Errors
    /// With what is wrong, as soon as it is found.
    pub(crate) async fn play(&mut self, rounds: &[Round]) -> Result<(), String> {
        let started = Instant::now();
        let mut count = 0;
        // Everybody agrees at first.
        self.settle(None).await;
        self.verdict("before the first fault")?;
        for (number, round) in rounds.iter().enumerate() {
            for step in &round.steps {
                count += 1;
                self.end_faults(|_, until| until <= count).await;
                self.apply(*step, count).await;
                *self.faults.entry(step.fault.kind()).or_default() += 1;
                if !self.shared.tries(step.tries).await {
                    self.shared.complaints.add("writers are stuck".to_owned());
                }
                self.verdict(&format!("after fault {count}, {}", step.fault))?;
            }
            self.settle(round.misses_the_last).await;
            self.verdict(&format!("after fault {count}, when all was healed"))?;
            let (acknowledged, lacking) = self.shared.ledger.counts();
            eprintln!(
                "round {:>3}: {count:>4} faults, {acknowledged:>6} writes acknowledged, \
                 {lacking:>5} in no promoted copy, {:>7} states seen, {:>5.1} s",
                number + 1,
                self.judge.states,
                started.elapsed().as_secs_f64(),
            );
        }
        Ok(())
    }

    /// What was done, for people.
    pub(crate) fn summary(&self) -> String {
        let mut text = String::new();
        for (kind, count) in &self.faults {
            let _ = writeln!(text, "{count:>5}  {kind}");
        }
        let losses = self.proxies.iter().map(Proxy::losses);
        let (swallowed, lost) = losses.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let (acknowledged, lacking) = self.shared.ledger.counts();
        let _ = write!(
            text,
            "{swallowed} notices swallowed, {lost} answers lost, {} copies promoted\n\
             {acknowledged} writes acknowledged; {lacking} of them were lacking in a promoted copy, \
             none is lost\n\
             {} states seen and found as in the database, {} refused by readers of a new server on \
             a promoted copy",
            self.shared.promotions(),
            self.judge.states,
            self.shared.refused(),
        );
        text
    }

    async fn apply(&mut self, step: Step, count: usize) {
        match step.fault {
            Fault::CutOne(which) => self.proxies[which].cut_one(&mut self.random),
            Fault::CutAll(which) => self.proxies[which].cut_all(),
            Fault::CutEverybody => self.proxies.iter().for_each(Proxy::cut_all),
            Fault::Away(which) => {
                self.afflict(which, count + step.lasts).await;
                self.proxies[which].take_away().await;
            }
            Fault::Pause(which) => {
                self.afflict(which, count + step.lasts).await;
                self.proxies[which].pause();
            }
            Fault::Swallow(which) => {
                self.afflict(which, count + step.lasts).await;
                self.proxies[which].swallow();
            }
            Fault::KillReplica(which) => {
                self.afflict(which, count + step.lasts).await;
                self.servers[which].kill();
            }
            Fault::LoseAnswer(which) => {
                self.end_faults(|one, _| one == which).await;
                let mut lost = self.proxies[which].lose_answer();
                if timeout(LIMIT, lost.changed()).await.is_err() {
                    let complaint = format!("replica {which} does not commit");
                    self.shared.complaints.add(complaint);
                }
            }
            Fault::KillPostgres => {
                self.postgres.kill();
                self.postgres.run().await;
            }
            Fault::KillBackend => {
                let random = &mut self.random;
                self.postgres
                    .kill_backend(|count| random.random_range(0..count));
                self.postgres.recovered().await;
            }
            Fault::Copy => self.copy().await,
            Fault::Promote => self.promote().await,
            Fault::PromoteUnseen(which) => self.promote_unseen(which).await,
        }
    }

    /// Makes `which` ready for a fault that lasts; one replica always has none.
    async fn afflict(&mut self, which: Which, until: usize) {
        self.end_faults(|one, _| one == which).await;
        if self.afflicted.len() + 1 == REPLICAS {
            let (longest, _) = self.afflicted[0];
            self.end_faults(|one, _| one == longest).await;
        }
        self.afflicted.push((which, until));
    }

    /// Ends the faults of the replicas for which `ends` says so.
    async fn end_faults(&mut self, ends: impl Fn(Which, usize) -> bool) {
        for (which, until) in std::mem::take(&mut self.afflicted) {
            if !ends(which, until) {
                self.afflicted.push((which, until));
                continue;
            }
            self.proxies[which].heal();
            if !self.servers[which].runs() {
                self.servers[which].run().await;
            }
        }
    }

    async fn copy(&mut self) {
        self.end_faults(|_, _| true).await;
        for proxy in &self.proxies {
            proxy.take_away().await;
        }
        self.postgres.copy().await;
        // Nobody can have written yet.
        self.copied = Some(self.judge.load().await.stamp());
        self.proxies.iter().for_each(Proxy::heal);
    }

    async fn promote(&mut self) {
        self.end_faults(|_, _| true).await;
        let copied = self.everybody_beyond_copy().await;
        let before = self.judge.load().await.stamp();
        self.postgres.kill();
        self.shared.promote();
        self.promoted = Some(copied);
        self.postgres.promote().await;
        self.epoch_after(before).await;
    }

    async fn promote_unseen(&mut self, witness: Which) {
        self.end_faults(|_, _| true).await;
        let copied = self.everybody_beyond_copy().await;
        let head = self.judge.load().await.stamp();
        let close = copied.revision.0 + UNSEEN_LAG > head.revision.0;
        let copied = if head.epoch != copied.epoch || !close {
            self.copy().await;
            self.shared.tries(UNSEEN_LAG / 5).await;
            self.everybody_beyond_copy().await
        } else {
            copied
        };
        let others: Vec<_> = (0..REPLICAS).filter(|which| *which != witness).collect();
        self.servers[witness].kill();
        for other in &others {
            self.proxies[*other].take_away().await;
        }
        let before = self.judge.load().await.stamp();
        self.postgres.kill();
        self.shared.promote();
        self.promoted = Some(copied);
        self.postgres.promote().await;
        self.servers[witness].run().await;
        // Beyond what the others hold, also if one more was stored than they know.
        let beyond = before.revision.0 + 3;
        eventually("writers have passed the old history", async || {
            let head = self.judge.load().await.stamp();
            (head.revision.0 >= beyond).then_some(())
        })
        .await;
        for other in others {
            self.proxies[other].heal();
        }
        self.epoch_after(before).await;
    }

    /// Waits until every replica shows something that the copy lacks, and returns the copy's state.
    async fn everybody_beyond_copy(&self) -> Stamp {
        let copied = self.copied.expect("a plan copies before it promotes");
        for reader in &self.readers[..REPLICAS] {
            let mut view = reader.view();
            let beyond = view.wait_for(|view| is_beyond(view, copied));
            if timeout(LIMIT, beyond).await.is_err() {
                let complaint = format!("{} shows nothing new", reader.name);
                self.shared.complaints.add(complaint);
            }
        }
        copied
    }

    /// Waits until somebody who knew better has said so. If nobody does, that is found when all is
    /// healed, with what readers saw instead.
    async fn epoch_after(&self, before: Stamp) {
        let later = async {
            while self.judge.load().await.stamp().epoch <= before.epoch {
                self.shared.tries(1).await;
            }
        };
        let _ = timeout(LIMIT / 4, later).await;
    }

    /// Heals everything, has one last write, and everybody compared with the database. The replica
    /// `misses` the write while it is away, and hears of no other when it is back.
    async fn settle(&mut self, misses: Option<Which>) {
        self.end_faults(|_, _| true).await;
        self.proxies.iter().for_each(Proxy::heal);
        for server in &mut self.servers {
            if server.has_ended() {
                let complaint = format!("a replica has ended: {}", server.last_words());
                self.shared.complaints.add(complaint);
            }
        }
        let shared = Arc::clone(&self.shared);
        let Ok(_closed) = timeout(LIMIT, shared.gate.write()).await else {
            let complaint = "a write is not acknowledged although all is healed";
            return shared.complaints.add(complaint.to_owned());
        };
        let through = misses.map_or(0, |misses| (misses + 1) % REPLICAS);
        if let Some(misses) = misses {
            // It works before.
            self.write_last(misses).await;
            self.proxies[misses].take_away().await;
        }
        if let Some(last) = self.write_last(through).await
            && let Some(misses) = misses
        {
            let mut other = self.readers[through].view();
            let seen = other.wait_for(|view| view.at == Some(At::Stamp(last)));
            // That it is seen is judged below.
            let _ = timeout(LIMIT, seen).await;
            self.proxies[misses].heal();
        }
        let promoted = self.promoted.take();
        self.judge.settle(&self.readers, promoted).await;
        self.shared.settle();
    }

    async fn write_last(&mut self, through: Which) -> Option<Stamp> {
        let write = timeout(LIMIT, self.last_writer.write_to_all(through)).await;
        if write.is_err() {
            let complaint = format!("replica {through} stores nothing although all is healed");
            self.shared.complaints.add(complaint);
        }
        write.ok()
    }

    /// The complaints so far, with what else helps.
    fn verdict(&self, when: &str) -> Result<(), String> {
        let Some(complaints) = self.shared.complaints.first() else {
            return Ok(());
        };
        let mut text = format!("something is wrong {when}:\n  {complaints}\n");
        for (which, server) in self.servers.iter().enumerate() {
            let _ = write!(
                text,
                "replica {which} said last:\n{}\n",
                server.last_words()
            );
        }
        let _ = write!(text, "Postgres said last:\n{}", self.postgres.last_words());
        Err(text)
    }
}
