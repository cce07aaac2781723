//! The limit of open files: every connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the process's limit of open files to `wanted`, as far as its surroundings allow. How many it
/// may have then.
pub fn allow_open_files(wanted: usize) -> usize {
    let wanted = wanted as u64;
    let limit = getrlimit(Resource::Nofile);
    let is_enough = |most: Option<u64>| most.is_none_or(|most| most >= wanted);
    if is_enough(limit.current) {
        return usize::try_from(limit.current.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    }
    let raised = if is_enough(limit.maximum) { Some(wanted) } else { limit.maximum };
    // Refused, the old limit stands, and is what is told.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: raised, maximum: limit.maximum });
    let now = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(now).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_it_goes_and_never_lowered() {
        let before = allow_open_files(1);
        assert!(before > 1, "nothing is taken away");
        let most = getrlimit(Resource::Nofile).maximum.map_or(usize::MAX, |most| most as usize);
        assert_eq!(allow_open_files(before + 1), (before + 1).min(most));
    }
}
