//! Work that gives way to texts: reading, building and freeing tables of up to a million keywords.
//!
//! Comes in: work of seconds. Goes out: its result. Always true: it has a thread of its own, which gets a tenth of a
//! processor's time where texts want all of it, and all of it where they do not.
//! Not here: how long its result is waited for.
//!
//! On Linux niceness is a thread's own, and counts among threads of one control group, as a pod's container is. Where
//! none is set and the kernel groups tasks by their session (`sched_autogroup_enabled`, for desktops), it counts within
//! a session only: brokers that share the machine then lose half a processor to it.

use rustix::process::nice;
use tokio::sync::oneshot;

const NICENESS: i32 = 10;

/// What became of the work; an error where no thread was to be had, or the work panicked.
pub fn giving_way<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
    let (tell, told) = oneshot::channel();
    let work = move || {
        // Where it may not, it works all the same.
        let _ = nice(NICENESS);
        // Nobody may wait for it any more.
        let _ = tell.send(work());
    };
    // Without a thread nothing is told, as when it panics.
    let _ = std::thread::Builder::new().name("routes".to_owned()).spawn(work);
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_work_is_nicer_than_who_waits_for_it() {
        let here = nice(0).expect("a niceness");
        let there = giving_way(|| nice(0)).await.expect("told").expect("a niceness");
        assert_eq!(there, (here + NICENESS).min(19));
        assert_eq!(nice(0).expect("a niceness"), here);
    }

    #[tokio::test]
    async fn of_work_that_panics_nothing_is_told() {
        assert!(giving_way(|| assert!(std::hint::black_box(false), "a fault")).await.is_err());
    }
}
