//! Transactions on their way to the store, bounded by number and by bytes.

use std::sync::Arc;
use std::time::Duration;

use chameleon_model::Transaction;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use super::Answered;
use crate::app::error::Error;

/// How many transactions may wait.
pub(super) const QUEUED: usize = 1024;

/// How many transactions are committed together at most.
const GROUP: usize = 256;

/// How many bytes are committed together at most, unless one transaction alone has more.
const GROUP_BYTES: usize = 16 * 1024 * 1024;

/// A permit stands for so many bytes: a semaphore's count is too small for bytes on 32 bits.
const PERMIT_BYTES: usize = 1024;

/// What writers may fill together.
#[derive(Debug)]
pub(super) struct Budget {
    permits: Arc<Semaphore>,
}

/// A part of the budget that one transaction has taken.
#[derive(Debug)]
pub(crate) struct Reservation {
    permits: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(bytes.div_ceil(PERMIT_BYTES))),
        }
    }

    pub(super) fn reservation(&self) -> Reservation {
        Reservation {
            permits: Arc::clone(&self.permits),
            held: None,
            bytes: 0,
        }
    }
}

impl Reservation {
    /// Takes room for `bytes` more.
    ///
    /// # Errors
    /// [`Error::Overloaded`] at once if others have taken it.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Error> {
        let before = self.bytes.div_ceil(PERMIT_BYTES);
        let after = (self.bytes + bytes).div_ceil(PERMIT_BYTES);
        let more = u32::try_from(after - before).map_err(|_| Error::Overloaded)?;
        let permit = (Arc::clone(&self.permits).try_acquire_many_owned(more))
            .map_err(|_| Error::Overloaded)?;
        match &mut self.held {
            Some(held) => held.merge(permit),
            held @ None => *held = Some(permit),
        }
        self.bytes += bytes;
        Ok(())
    }
}

/// A transaction that waits to be stored, with the one who waits for its outcome.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) transaction: Transaction,
    arrived: Instant,
    answer: oneshot::Sender<Result<Answered, Error>>,
    reservation: Reservation,
}

impl Pending {
    pub(super) fn new(
        transaction: Transaction,
        reservation: Reservation,
    ) -> (Self, oneshot::Receiver<Result<Answered, Error>>) {
        let (answer, outcome) = oneshot::channel();
        let pending = Self {
            transaction,
            arrived: Instant::now(),
            answer,
            reservation,
        };
        (pending, outcome)
    }

    /// How long ago it came.
    pub(super) fn waited(&self) -> Duration {
        self.arrived.elapsed()
    }

    /// Tells its writer, who may have gone.
    pub(super) fn answer(self, answered: Result<Answered, Error>) {
        let _ = self.answer.send(answered);
    }
}

/// `first` and whatever waits behind it, up to the bounds of one group; without those whose writer
/// has gone, so that an abandoned transaction is not applied later.
pub(super) fn take_group(first: Pending, queue: &mut mpsc::Receiver<Pending>) -> Vec<Pending> {
    let mut bytes = first.reservation.bytes;
    let mut taken = 1;
    let mut group = vec![first];
    while taken < GROUP && bytes < GROUP_BYTES {
        let Ok(next) = queue.try_recv() else { break };
        bytes += next.reservation.bytes;
        taken += 1;
        group.push(next);
    }
    group.retain(|pending| !pending.answer.is_closed());
    group
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_and_given_back() {
        let budget = Budget::new(4 * PERMIT_BYTES);
        let mut one = budget.reservation();
        one.grow(1).unwrap();
        one.grow(PERMIT_BYTES - 1).unwrap();
        one.grow(2 * PERMIT_BYTES).unwrap();
        let mut two = budget.reservation();
        two.grow(PERMIT_BYTES).unwrap();
        assert!(matches!(two.grow(1), Err(Error::Overloaded)));
        drop(one);
        two.grow(3 * PERMIT_BYTES).unwrap();
    }

    #[test]
    fn a_group_is_bounded_and_leaves_out_who_has_gone() {
        let budget = Budget::new(64 * 1024 * 1024);
        let (sender, mut queue) = mpsc::channel(QUEUED);
        let mut waiting = Vec::new();
        for size in [1, 1, GROUP_BYTES, 1] {
            let mut reservation = budget.reservation();
            reservation.grow(size).unwrap();
            let (pending, outcome) = Pending::new(Transaction::default(), reservation);
            sender.try_send(pending).unwrap();
            waiting.push(outcome);
        }
        drop(waiting.remove(1));
        let first = queue.try_recv().unwrap();
        assert_eq!(take_group(first, &mut queue).len(), 2);
        let last = queue.try_recv().unwrap();
        assert_eq!(take_group(last, &mut queue).len(), 1);
    }
}
