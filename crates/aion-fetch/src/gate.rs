//! How many requests one host gets at a time, and how soon after one another.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The gates of all hosts.
#[derive(Debug)]
pub struct Gates {
    per_host: usize,
    interval: Duration,
    hosts: Mutex<HashMap<String, Arc<Gate>>>,
}

#[derive(Debug)]
struct Gate {
    state: Mutex<State>,
    left: Condvar,
}

#[derive(Debug)]
struct State {
    inside: usize,
    /// The next request starts no sooner than this.
    next: Instant,
}

/// Leave to ask a host; given back when dropped.
#[derive(Debug)]
pub struct Pass {
    gate: Arc<Gate>,
}

impl Gates {
    /// Gates that let `per_host` requests to a host run at a time, and start two of them no less
    /// than `interval` apart.
    pub fn new(per_host: usize, interval: Duration) -> Self {
        Gates {
            per_host,
            interval,
            hosts: Mutex::default(),
        }
    }

    /// Waits for leave to ask `host`.
    pub fn enter(&self, host: &str) -> Pass {
        let gate = self.gate(host);
        let mut state = locked(&gate.state);
        while state.inside >= self.per_host {
            state = gate
                .left
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.inside += 1;
        drop(state);
        let pass = Pass { gate };
        // A pause that another request is told to make meanwhile holds for this one as well.
        loop {
            let mut state = locked(&pass.gate.state);
            let now = Instant::now();
            if state.next <= now {
                state.next = now + self.interval;
                drop(state);
                return pass;
            }
            let wait = state.next - now;
            drop(state);
            thread::sleep(wait);
        }
    }

    /// Starts no request to `host` before `pause` is over.
    pub fn hold(&self, host: &str, pause: Duration) {
        let gate = self.gate(host);
        let mut state = locked(&gate.state);
        state.next = state.next.max(Instant::now() + pause);
    }

    fn gate(&self, host: &str) -> Arc<Gate> {
        let mut hosts = locked(&self.hosts);
        let gate = hosts.entry(host.to_owned()).or_insert_with(|| {
            let state = State {
                inside: 0,
                next: Instant::now(),
            };
            Arc::new(Gate {
                state: Mutex::new(state),
                left: Condvar::new(),
            })
        });
        Arc::clone(gate)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        locked(&self.gate.state).inside -= 1;
        self.gate.left.notify_one();
    }
}

/// The content of a lock. No code panics while it holds one, so a poisoned one is whole.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn no_more_than_the_limit_are_inside() {
        let gates = Gates::new(2, Duration::ZERO);
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        let pass = gates.enter("a");
                        let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        thread::sleep(Duration::from_millis(1));
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(pass);
                    }
                });
            }
        });
        assert_eq!(most.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn starts_are_apart_and_hosts_do_not_wait_for_each_other() {
        let gates = Gates::new(8, Duration::from_millis(20));
        let start = Instant::now();
        for _ in 0..4 {
            drop(gates.enter("a"));
        }
        assert!(start.elapsed() >= Duration::from_millis(60));
        gates.hold("a", Duration::from_secs(60));
        let start = Instant::now();
        drop(gates.enter("b"));
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}
