//! `[parts]`: how long the pieces of long texts are waited for, and how many.

use std::time::Duration;

use crate::joiner;
use crate::parts;

use super::read::Section;

pub(super) fn read(section: Section<'_>) -> joiner::Settings {
    let usual = parts::Settings::default();
    let settings = joiner::Settings {
        groups: parts::Settings {
            wait: section.milliseconds("wait_ms", usual.wait, 100..=24 * 3_600_000),
            window: section.milliseconds("window_ms", usual.window, 0..=48 * 3_600_000),
            groups_max: section.count("texts_max", usual.groups_max, 1..=10_000_000),
            bytes_max: section.count("bytes_max", usual.bytes_max, 1 << 16..=1 << 32),
            remembered_max: section.count("remembered_max", usual.remembered_max, 1..=10_000_000),
        },
        group: section.string("group").unwrap_or_else(|| "sms-router-parts".to_owned()),
        in_flight_max: section.count("in_flight_max", 64, 1..=10_000),
        retry: (Duration::from_millis(100), Duration::from_secs(2)),
    };
    section.finish();
    settings
}
