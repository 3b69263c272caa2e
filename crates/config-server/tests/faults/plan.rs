//! Which faults come in which order: all of it follows from one seed.

use std::fmt;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// How many replicas of the server there are.
pub(crate) const REPLICAS: usize = 3;

/// One of the replicas.
pub(crate) type Which = usize;

/// Something that breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// One connection of a replica to Postgres is reset.
    CutOne(Which),
    /// All connections of a replica to Postgres are reset; new ones are accepted.
    CutAll(Which),
    /// All connections of all replicas are reset.
    CutEverybody,
    /// A replica does not reach Postgres for some time.
    Away(Which),
    /// Nothing passes between a replica and Postgres for some time, without a word.
    Pause(Which),
    /// A replica's commit is done, and its connection reset before the answer.
    LoseAnswer(Which),
    /// A replica hears of no commit for some time.
    Swallow(Which),
    /// A replica is killed by SIGKILL, and started again after some time.
    KillReplica(Which),
    /// All of Postgres is killed by SIGKILL, and started again.
    KillPostgres,
    /// One process of Postgres is killed by SIGKILL, upon which it restarts all others.
    KillBackend,
    /// Postgres is stopped and started again, and its data is copied meanwhile.
    Copy,
    /// Postgres is killed, and the copy takes its place before everybody's eyes.
    Promote,
    /// The same, while the replicas that know better are away; the other one is new, and writers
    /// take the copy beyond where the others are before these come back.
    PromoteUnseen(Which),
}

impl Fault {
    /// Its kind, for people.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::CutOne(_) => "cut one connection",
            Self::CutAll(_) => "cut a replica's connections",
            Self::CutEverybody => "cut all connections",
            Self::Away(_) => "keep a replica from Postgres",
            Self::Pause(_) => "pause the network of a replica",
            Self::LoseAnswer(_) => "lose the answer to a COMMIT",
            Self::Swallow(_) => "swallow NOTIFY",
            Self::KillReplica(_) => "SIGKILL a replica",
            Self::KillPostgres => "SIGKILL Postgres",
            Self::KillBackend => "SIGKILL one process of Postgres",
            Self::Copy => "restart Postgres, and copy its data",
            Self::Promote => "promote a lagging copy",
            Self::PromoteUnseen(_) => "promote a lagging copy unseen",
        }
    }

    /// Says whether the database is another one afterwards.
    pub(crate) fn promotes(self) -> bool {
        matches!(self, Self::Promote | Self::PromoteUnseen(_))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CutOne(which)
            | Self::CutAll(which)
            | Self::Away(which)
            | Self::Pause(which)
            | Self::LoseAnswer(which)
            | Self::Swallow(which)
            | Self::KillReplica(which) => write!(f, "{} ({which})", self.kind()),
            Self::PromoteUnseen(which) => {
                write!(f, "{} (but by {which}, which is new)", self.kind())
            }
            _ => f.write_str(self.kind()),
        }
    }
}

/// A fault with how long it is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) fault: Fault,
    /// A fault that lasts ends after so many more steps.
    pub(crate) lasts: usize,
    /// So many tries of writers end before the next step.
    pub(crate) tries: u64,
}

/// Steps after which everything is healed, and everybody compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Round {
    pub(crate) steps: Vec<Step>,
    /// The replica that is away during the last write, and sees no other afterwards.
    pub(crate) misses_the_last: Option<Which>,
}

/// The rounds that `seed` stands for, with `faults` faults in all.
pub(crate) fn draw(seed: u64, faults: usize) -> Vec<Round> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut rounds = Vec::new();
    let mut left = faults;
    let mut copied = false;
    while left > 0 {
        let count = random.random_range(6..=12).min(left);
        left -= count;
        let mut promoted = false;
        let steps = (0..count).map(|_| {
            let fault = fault(&mut random, copied, promoted);
            if fault == Fault::Copy {
                copied = true;
            }
            if fault.promotes() {
                promoted = true;
                // Some copies are promoted twice.
                copied = random.random_ratio(1, 4);
            }
            Step {
                fault,
                lasts: random.random_range(1..=4),
                tries: random.random_range(4..=25),
            }
        });
        rounds.push(Round {
            steps: steps.collect(),
            misses_the_last: random
                .random_bool(0.5)
                .then(|| random.random_range(0..REPLICAS)),
        });
    }
    rounds
}

fn fault(random: &mut StdRng, copied: bool, promoted: bool) -> Fault {
    let which = random.random_range(0..REPLICAS);
    loop {
        return match random.random_range(0..100) {
            0..14 => Fault::CutOne(which),
            14..24 => Fault::CutAll(which),
            24..28 => Fault::CutEverybody,
            28..36 => Fault::Away(which),
            36..44 => Fault::Pause(which),
            44..58 => Fault::LoseAnswer(which),
            58..68 => Fault::Swallow(which),
            68..78 => Fault::KillReplica(which),
            78..83 => Fault::KillPostgres,
            83..87 => Fault::KillBackend,
            87..92 if !copied => Fault::Copy,
            92..95 if copied && !promoted => Fault::Promote,
            95..100 if copied && !promoted => Fault::PromoteUnseen(which),
            _ => continue,
        };
    }
}

#[test]
fn a_seed_is_a_plan() {
    let plan = draw(7, 300);
    assert_eq!(plan, draw(7, 300));
    assert_ne!(plan, draw(8, 300));
    let steps: Vec<_> = plan.iter().flat_map(|round| &round.steps).collect();
    assert_eq!(steps.len(), 300);
    for round in &plan {
        let promoted = round.steps.iter().filter(|step| step.fault.promotes());
        assert!(promoted.count() <= 1, "{round:?}");
    }
}
