//! A disk that can be filled: a small tmpfs of the data folder's own.
//!
//! Comes in: a folder. Goes out: it, mounted, and the power to leave no byte free in it.
//! Always true: mounts are made in a mount namespace of this program's own (see `enter_namespace`), so
//! none outlives it; without root there is no such disk, and that is said. Not here: what a full disk
//! must lead to.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// Said to the copy of this program that runs in the namespace.
pub const INSIDE: &str = "--in-own-namespace";
/// Written into the filler at once.
const BLOCK: usize = 64 * 1024;

/// A mounted disk.
pub struct Disk {
    folder: PathBuf,
}

/// Starts this program again in a mount namespace of its own; returns only where that cannot be had.
pub fn enter_namespace() -> std::io::Error {
    let own = match std::env::current_exe() {
        Ok(own) => own,
        Err(error) => return error,
    };
    let arguments = std::env::args_os().skip(1);
    Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--"])
        .arg(own)
        .args(arguments)
        .arg(INSIDE)
        .exec()
}

impl Disk {
    pub fn mount(folder: &Path, mib: u64) -> anyhow::Result<Self> {
        let size = format!("size={mib}m,mode=700");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder).status();
        ensure!(mount.context("mount does not start")?.success(), "no tmpfs at {}", folder.display());
        Ok(Self { folder: folder.to_owned() })
    }

    /// Takes every byte that is left.
    pub fn fill(&self) -> anyhow::Result<()> {
        let mut filler = File::create(self.filler())?;
        let mut size = BLOCK;
        while size > 0 {
            match filler.write(&vec![0; size]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => size /= 2,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    pub fn free(&self) -> anyhow::Result<()> {
        Ok(std::fs::remove_file(self.filler())?)
    }

    /// Copies what is on it to a folder beside it, for whoever looks into what went wrong.
    pub fn keep(&self) {
        let _ = Command::new("cp").arg("-a").arg(&self.folder).arg(self.folder.with_extension("kept")).status();
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a process that still ends may hold it. The namespace takes it away in any case.
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).status();
    }
}
