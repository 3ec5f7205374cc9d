//! A pass through a model on the threads of the pool.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a thread looks out for work: longer than any gap between two operations of a pass.
const LOOKOUT: Duration = Duration::from_micros(200);

/// Looks between two glances at the clock.
const LOOKS: usize = 16;

/// Runs `pass` inside the pool, where one operation after the other starts without a hand-over between
/// threads; for a single token that would take as long as the work.
///
/// Meanwhile the pool's other threads look out for work: left to themselves they fall asleep within
/// microseconds, and to wake one takes as long as a small product. None looks out for longer than
/// [`LOOKOUT`], so that whatever a thread had begun before goes on.
pub(crate) fn in_pool<R: Send>(pass: impl FnOnce() -> R + Send) -> R {
    let over = AtomicBool::new(false);
    rayon::scope(|scope| {
        let _end = Over(&over);
        // Thieves take the oldest job first: these before any part of the pass.
        for _ in 1..rayon::current_num_threads() {
            scope.spawn(|_| look_out(&over));
        }
        pass()
    })
}

/// Says that the pass is over, if by a panic.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does what there is to do in the pool until the pass is over or there was nothing for a while.
fn look_out(over: &AtomicBool) {
    let mut last = Instant::now();
    loop {
        for _ in 0..LOOKS {
            if over.load(Ordering::Relaxed) {
                return;
            }
            match rayon::yield_now() {
                Some(rayon::Yield::Executed) => last = Instant::now(),
                _ => spin_loop(),
            }
        }
        if last.elapsed() > LOOKOUT {
            return;
        }
    }
}
