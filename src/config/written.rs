//! Settings as they were written, understood at the start and again when a file that they name is another.
//!
//! Comes in: the text, the environment, the secrets' files as they are now. Goes out: a `Config`; later, the same
//! secrets with what their files hold by then.
//! Always true: what is read again is the text of the start, so that only secrets can change, and they change together
//! or, where one of them has a problem, not at all.
//! Not here: when that is looked at (`app`).

use std::sync::Arc;

use super::document::{self, Problem};
use super::file::{Stamp, Stamped};
use super::origin::Written;
use super::read::{Problems, Section};
use super::{Archive, Config, Publish, settings};

/// What tells that one of the files has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamps {
    secrets: Vec<Option<Stamp>>,
    /// Certificates and keys that librdkafka reads by itself.
    of_kafka: Vec<Option<Stamp>>,
    of_archive: Vec<Option<Stamp>>,
}

/// What the text means, with secrets as their files hold them now. `Err` holds every problem found, in the order of the
/// file. Blocks.
pub(super) fn understand(written: &Arc<Written>) -> Result<Config, Vec<Problem>> {
    let mut root = document::parse(&written.file, &written.text).map_err(|problem| vec![problem])?;
    let mut overlaid = Vec::new();
    document::overlay(&mut root, written.environment.iter(), &mut overlaid);
    let problems = Problems::default();
    problems.extend(overlaid);
    let config = settings::read(Section::root(&root, &problems), written, &problems);
    let mut problems = problems.into_vec();
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => {
            problems.sort_by(|a, b| (&a.place.file, a.place.line).cmp(&(&b.place.file, b.place.line)));
            problems.dedup();
            Err(problems)
        }
    }
}

impl Config {
    /// What the files were when they were about to be read.
    pub fn stamps_in_force(&self) -> Stamps {
        self.stamps_by(Stamped::stamp)
    }

    /// What the files are by now. Blocks for as long as the file system does.
    pub fn stamps(&self) -> Stamps {
        self.stamps_by(Stamped::look)
    }

    fn stamps_by(&self, stamp: fn(&Stamped) -> Option<Stamp>) -> Stamps {
        Stamps {
            secrets: self.secrets.iter().map(|followed| stamp(&followed.file)).collect(),
            of_kafka: self.files_of_kafka.iter().map(stamp).collect(),
            of_archive: self.files_of_archive.iter().map(stamp).collect(),
        }
    }

    /// Reads the files again: every clone of a secret is what its file holds now. The keys of those that have changed,
    /// and what was read; with a problem in any of them nothing changes. Blocks.
    pub fn renew_secrets(&self, in_force: &Stamps) -> Result<(Vec<&str>, Stamps), Vec<Problem>> {
        let new = understand(&self.written)?;
        let read = new.stamps_in_force();
        let pairs = self.secrets.iter().zip(&new.secrets).filter(|(old, new)| old.key == new.key);
        let changed = pairs.filter(|(old, new)| old.secret.become_as(&new.secret));
        let mut keys: Vec<&str> = changed.map(|(old, _)| old.key.as_str()).collect();
        keys.dedup();
        if let Publish::Kafka { settings, .. } = &self.publish
            && (keys.contains(&"publish.password") || in_force.of_kafka != read.of_kafka)
        {
            settings.renewals.renew();
        }
        if let (Archive::Cql { settings: old, .. }, Archive::Cql { settings: new, .. }) = (&self.archive, &new.archive)
            && let (Some(old), Some(new)) = (&old.tls, &new.tls)
            && in_force.of_archive != read.of_archive
        {
            old.become_as(new);
            keys.push("archive.tls");
        }
        Ok((keys, read))
    }
}
