//! Routes that are read anew while texts come.
//!
//! Comes in: the service's folder, how many keywords. Goes out: two files that differ in a comment, so
//! that each is another version and a whole table to build, and a link that leads to the one or the other;
//! when a reload was under way: from SIGHUP until the metrics name another version.
//! Always true: the files are written before anything is measured; metrics are asked for at the same pace
//! before the first reload as during it, so the asking costs both alike. Not here: the open loop.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::servers::Server;
use crate::settings::Folder;

/// Between two looks at the metrics.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// Between two reloads.
const REST: Duration = Duration::from_millis(200);
/// Longest reload.
const RELOAD_MAX: Duration = Duration::from_secs(120);
const SUCCESSFUL: &str = "sms_router_routes_last_reload_successful";

/// What is told apart, by `Reloads::stretch`.
pub fn stretches() -> Vec<String> {
    ["before", "reload"].map(str::to_owned).to_vec()
}

/// The two files, and the link that the service reads.
pub struct Routes {
    files: [PathBuf; 2],
    link: PathBuf,
}

impl Routes {
    /// Before the service starts: so many keywords in all, where departments have fewer of their own; the others
    /// lead to the first department.
    pub fn new(folder: &Folder, keywords: u32) -> anyhow::Result<Self> {
        let link = folder.path().join("routes.toml");
        let mut routes = std::fs::read_to_string(&link)?;
        let own = u32::try_from(folder.topics().len())?;
        for number in own..keywords {
            let number = format!("x{number:07}");
            writeln!(
                routes,
                "[[keyword]]\nnumber = \"{}\"\nword = \"{number}\"\ndepartment = \"d0000\"",
                crate::settings::NUMBER
            )?;
        }
        let files = ["routes-0.toml", "routes-1.toml"].map(|name| folder.path().join(name));
        for (file, number) in files.iter().zip(0..) {
            std::fs::write(file, format!("# Version {number} of the same.\n{routes}"))?;
        }
        let made = Self { files, link };
        made.lead_to_other()?;
        Ok(made)
    }

    /// The link leads to the other file, in one step.
    fn lead_to_other(&self) -> anyhow::Result<()> {
        let now = std::fs::read_link(&self.link).unwrap_or_default();
        let other = self.files.iter().find(|file| **file != now).context("there are two")?;
        let next = self.link.with_extension("next");
        std::os::unix::fs::symlink(other, &next)?;
        Ok(std::fs::rename(next, &self.link)?)
    }
}

/// When reloads of one run were under way.
#[derive(Default)]
pub struct Reloads(Mutex<Vec<(Instant, Option<Instant>)>>);

impl Reloads {
    /// One reload after the other, from one time after now until another; at least one.
    pub fn make(&self, server: &Server, routes: &Routes, from: Duration, until: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        let mut version = server.routes_version()?;
        while began.elapsed() < from {
            server.routes_version()?;
            std::thread::sleep(LOOK_INTERVAL);
        }
        while began.elapsed() < until {
            routes.lead_to_other()?;
            self.begin();
            server.reload()?;
            version = next_version(server, version)?;
            self.end();
            std::thread::sleep(REST);
        }
        ensure!(server.metric(SUCCESSFUL)? > 0.0, "the service refuses the routes");
        Ok(())
    }

    fn begin(&self) {
        self.0.lock().expect("nobody panics with it").push((Instant::now(), None));
    }

    fn end(&self) {
        if let Some((_, end)) = self.0.lock().expect("nobody panics with it").last_mut() {
            *end = Some(Instant::now());
        }
    }

    /// 0: due before the first reload; 1: while one was under way; else between two.
    pub fn stretch(&self, due: Instant) -> Option<usize> {
        let reloads = self.0.lock().expect("nobody panics with it");
        if reloads.first().is_none_or(|(began, _)| due < *began) {
            return Some(0);
        }
        let (_, end) = reloads.iter().rev().find(|(began, _)| due >= *began)?;
        end.is_none_or(|end| due < end).then_some(1)
    }
}

/// Waits until another version is in force.
fn next_version(server: &Server, before: Option<String>) -> anyhow::Result<Option<String>> {
    let asked = Instant::now();
    loop {
        std::thread::sleep(LOOK_INTERVAL);
        let now = server.routes_version()?;
        if now.is_some() && now != before {
            return Ok(now);
        }
        ensure!(asked.elapsed() < RELOAD_MAX, "no new routes are in force after {RELOAD_MAX:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_told_apart_by_whether_a_reload_was_under_way_when_they_were_due() {
        let reloads = Reloads::default();
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        assert_eq!(reloads.stretch(at(1)), Some(0), "none yet");
        *reloads.0.lock().expect("alone") = vec![(at(2), Some(at(3))), (at(5), None)];
        let found: Vec<_> = (1..=7).map(|second| reloads.stretch(at(second))).collect();
        assert_eq!(found, [Some(0), Some(1), None, None, Some(1), Some(1), Some(1)]);
    }

    #[test]
    fn the_link_leads_to_each_file_in_turn_and_they_differ() {
        let folder = Folder::embedded("").expect("a folder");
        let routes = Routes::new(&folder, 3).expect("files");
        let read = || std::fs::read_to_string(folder.path().join("routes.toml")).expect("routes");
        let first = read();
        routes.lead_to_other().expect("a link");
        let second = read();
        routes.lead_to_other().expect("a link");
        assert!(first != second && first == read());
        assert_eq!(first.lines().skip(1).collect::<Vec<_>>(), second.lines().skip(1).collect::<Vec<_>>());
        assert!(first.contains("x0000002") && !first.contains("x0000003"));
    }
}
