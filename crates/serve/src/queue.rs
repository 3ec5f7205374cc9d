//! Who answers next: as many sequences at once as the engine runs well, and the others in turn, one
//! client after the other, so that a client with a hundred requests does not stand before one with one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::error::ServeError;

/// The queue.
#[derive(Debug)]
pub struct FairQueue {
    capacity: usize,
    most_waiting: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    waiting: BTreeMap<String, VecDeque<Waiter>>,
    /// Clients that wait, the next one first.
    turns: VecDeque<String>,
}

#[derive(Debug)]
struct Waiter {
    weight: usize,
    ready: oneshot::Sender<Permit>,
}

/// A place among those that are answered; it is free again when this is dropped.
#[derive(Debug)]
pub struct Permit {
    queue: Arc<FairQueue>,
    weight: usize,
}

/// A place in the queue; dropping it gives it up.
#[derive(Debug)]
pub struct Ticket {
    queue: Arc<FairQueue>,
    ready: oneshot::Receiver<Permit>,
}

impl FairQueue {
    /// A queue of which `capacity` sequences run at once and `most_waiting` requests wait.
    pub fn new(capacity: usize, most_waiting: usize) -> Arc<Self> {
        Arc::new(Self { capacity: capacity.max(1), most_waiting, state: Mutex::default() })
    }

    /// Joins the queue with a request of `weight` sequences. One that is larger than the whole capacity
    /// runs alone.
    ///
    /// # Errors
    /// When too many wait already.
    pub fn join(self: &Arc<Self>, client: &str, weight: usize) -> Result<Ticket, ServeError> {
        let (ready, receiver) = oneshot::channel();
        {
            let mut state = self.lock();
            let waiting = state.count();
            let at_once = waiting == 0 && state.running + weight <= self.capacity;
            if waiting >= self.most_waiting && !at_once {
                return Err(ServeError::Overloaded { waiting });
            }
            let line = state.waiting.entry(client.to_owned()).or_default();
            line.push_back(Waiter { weight: weight.max(1), ready });
            if line.len() == 1 {
                state.turns.push_back(client.to_owned());
            }
        }
        self.admit();
        Ok(Ticket { queue: self.clone(), ready: receiver })
    }

    /// Sequences that run.
    pub fn running(&self) -> usize {
        self.lock().running
    }

    /// Requests that wait.
    pub fn waiting(&self) -> usize {
        self.lock().count()
    }

    /// Lets in whoever has a place. A waiter that left meanwhile gives its permit back at once, which
    /// comes here again.
    fn admit(self: &Arc<Self>) {
        loop {
            let Some(waiter) = self.lock().next(self.capacity) else { return };
            let permit = Permit { queue: self.clone(), weight: waiter.weight };
            // Dropped here, outside the lock, where nobody takes it.
            let _ = waiter.ready.send(permit);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&self) -> usize {
        self.waiting.values().map(VecDeque::len).sum()
    }

    /// Takes the next waiter, if there is room, and counts it as running.
    fn next(&mut self, capacity: usize) -> Option<Waiter> {
        let client = self.turns.front()?.clone();
        let weight = self.waiting.get(&client)?.front()?.weight;
        if self.running > 0 && self.running + weight > capacity {
            return None;
        }
        self.turns.pop_front();
        let line = self.waiting.get_mut(&client)?;
        let waiter = line.pop_front()?;
        match line.is_empty() {
            true => drop(self.waiting.remove(&client)),
            false => self.turns.push_back(client),
        }
        self.running += waiter.weight;
        Some(waiter)
    }

    /// Forgets those who left.
    fn prune(&mut self) {
        self.waiting.retain(|_, line| {
            line.retain(|waiter| !waiter.ready.is_closed());
            !line.is_empty()
        });
        let waiting = &self.waiting;
        self.turns.retain(|client| waiting.contains_key(client));
    }
}

impl Ticket {
    /// Waits for its turn. May be dropped and called again.
    pub async fn turn(&mut self) -> Permit {
        match (&mut self.ready).await {
            Ok(permit) => permit,
            // The queue keeps a waiter until it lets it in, so this is after the permit was taken.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.ready.close();
        // A permit that was sent and never taken.
        drop(self.ready.try_recv());
        self.queue.lock().prune();
        self.queue.admit();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.queue.lock().running -= self.weight;
        self.queue.admit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_ready(ticket: &mut Ticket) -> Option<Permit> {
        ticket.ready.try_recv().ok()
    }

    #[test]
    fn clients_take_turns_whoever_came_first() {
        let queue = FairQueue::new(1, 10);
        let mut first = queue.join("a", 1).unwrap();
        let running = is_ready(&mut first).unwrap();
        let mut many: Vec<Ticket> = (0..3).map(|_| queue.join("a", 1).unwrap()).collect();
        let mut other = queue.join("b", 1).unwrap();
        assert!(many.iter_mut().all(|ticket| is_ready(ticket).is_none()) && is_ready(&mut other).is_none());
        drop(running);
        let running = is_ready(&mut many[0]).expect("the next of a");
        drop(running);
        let running = is_ready(&mut other).expect("b comes before the third of a");
        drop(running);
        assert!(is_ready(&mut many[1]).is_some());
    }

    #[test]
    fn a_full_queue_turns_away_and_one_who_leaves_makes_room() {
        let queue = FairQueue::new(2, 1);
        let mut first = queue.join("a", 2).unwrap();
        let running = is_ready(&mut first).unwrap();
        let waiting = queue.join("a", 1).unwrap();
        assert!(matches!(queue.join("b", 1), Err(ServeError::Overloaded { waiting: 1 })));
        drop(waiting);
        let mut next = queue.join("b", 1).unwrap();
        assert_eq!((queue.running(), queue.waiting()), (2, 1));
        drop(running);
        let permit = is_ready(&mut next).unwrap();
        assert_eq!((queue.running(), queue.waiting()), (1, 0));
        drop(permit);
        assert_eq!(queue.running(), 0);
    }

    #[test]
    fn a_request_larger_than_the_capacity_runs_alone() {
        let queue = FairQueue::new(2, 10);
        let mut large = queue.join("a", 5).unwrap();
        let mut small = queue.join("b", 1).unwrap();
        let permit = is_ready(&mut large).unwrap();
        assert!(is_ready(&mut small).is_none());
        drop(permit);
        assert!(is_ready(&mut small).is_some());
    }

    #[test]
    fn a_permit_that_nobody_took_is_not_lost() {
        let queue = FairQueue::new(1, 10);
        let granted = queue.join("a", 1).unwrap();
        let mut next = queue.join("a", 1).unwrap();
        drop(granted);
        assert!(is_ready(&mut next).is_some());
    }
}
