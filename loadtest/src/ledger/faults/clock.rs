//! A clock that jumps: libfaketime in front of one process's C library.
//!
//! Comes in: seconds. Goes out: an environment for the process, and jumps while it runs. Always true:
//! only the wall clock jumps; waits and timeouts go by the monotonic clock, as they do when an
//! administrator sets the time. Not here: what depends on the clock.

use std::path::{Path, PathBuf};

/// The library looks at its file once a second, but by a clock that has just jumped; a busy machine
/// answers late.
pub const NOTICED_AFTER_MS: u64 = 15_000;
/// Where Debian puts it, below the folder of each architecture.
const LIBRARIES: &str = "/usr/lib";
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// The file that says how far off the clock is.
pub struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// `None` where the library is not installed.
    pub fn new(folder: &Path) -> Option<Self> {
        let architectures = std::fs::read_dir(LIBRARIES).ok()?.flatten();
        let library = architectures.map(|entry| entry.path().join(LIBRARY)).find(|library| library.exists())?;
        let clock = Self { library, file: folder.join("clock") };
        clock.set(0).ok()?;
        Some(clock)
    }

    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_CACHE_DURATION", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// Lets the clock be off by that much.
    pub fn set(&self, seconds: i64) -> std::io::Result<()> {
        // A whole file in place of another: the library would read half a number.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}\n"))?;
        std::fs::rename(&new, &self.file)
    }
}
