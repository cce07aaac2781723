//! The house rules that a compiler does not check: floors, headers, sizes, words.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Which floor each room is on; the same picture as in `src/lib.rs`.
const FLOORS: [(&str, u8); 25] = [
    ("cli", 8),
    ("app", 7),
    ("config", 6),
    ("webhook", 5),
    ("operations", 5),
    ("archiver", 5),
    ("reconcile", 5),
    ("joiner", 5),
    ("deliver", 5),
    ("intake", 4),
    ("log", 3),
    ("audit", 3),
    ("consume", 3),
    ("carrier", 2),
    ("keyword", 2),
    ("publish", 2),
    ("store", 2),
    ("archive", 2),
    ("dedup", 2),
    ("parts", 2),
    ("server", 1),
    ("fetch", 1),
    ("telemetry", 1),
    ("clock", 1),
    ("message", 0),
];
/// Rooms on the plumbing floor that may use one another, because counting and time are needed there too.
const NEIGHBOURS: [(&str, &str); 1] = [("server", "telemetry")];
/// Lines of a file, its tests not counted.
const LINES_MAX: usize = 500;

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source file");
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty());
    found
}

/// The part of a file before its own tests.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text)
}

fn room(path: &Path) -> Option<String> {
    let below = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).expect("below src");
    let first = below.components().next()?.as_os_str().to_string_lossy().into_owned();
    (!first.ends_with(".rs")).then_some(first)
}

/// Rooms that a line of code names: `crate::room`, also in a braced list.
fn used(text: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for after in line.split("crate::").skip(1) {
            let name: String =
                after.chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect();
            rooms.push(name);
        }
    }
    rooms
}

#[test]
fn rooms_use_only_lower_floors() {
    let floors: BTreeMap<_, _> = FLOORS.into_iter().collect();
    for (path, text) in sources("src") {
        let Some(room) = room(&path) else { continue };
        let own = *floors.get(room.as_str()).unwrap_or_else(|| panic!("{room} is on no floor"));
        for other in used(code(&text)) {
            let Some(floor) = floors.get(other.as_str()) else { continue };
            let allowed = other == room || *floor < own || NEIGHBOURS.contains(&(room.as_str(), other.as_str()));
            assert!(allowed, "{} (floor {own}) uses {other} (floor {floor})", path.display());
        }
    }
}

#[test]
fn the_map_shows_every_room() {
    let map = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).expect("the map");
    for (room, floor) in FLOORS {
        assert!(map.contains(&format!("pub mod {room};")), "{room}");
        assert!(map.lines().any(|line| line.starts_with(&format!("//!    {room} "))), "{room} has no line on the map");
        assert!(map.lines().any(|line| line.starts_with(&format!("//! {floor}  "))), "floor {floor} is not on the map");
    }
    let rooms = map.lines().filter(|line| line.starts_with("pub mod ")).count();
    assert_eq!(rooms, FLOORS.len(), "a room without a floor");
}

#[test]
fn every_file_says_what_it_is_for_and_is_short() {
    for folder in ["src", "tests", "benches", "loadtest"] {
        for (path, text) in sources(folder) {
            assert!(text.starts_with("//! "), "{} has no header", path.display());
            let lines = code(&text).lines().count();
            assert!(lines <= LINES_MAX, "{} has {lines} lines", path.display());
        }
    }
    for (path, text) in sources("src") {
        let is_door = path.ends_with("mod.rs")
            && path.parent().and_then(Path::parent).is_some_and(|parent| parent.ends_with("src"));
        if is_door {
            for part in ["Comes in:", "Goes out:", "Always true:", "Not here:"] {
                assert!(text.contains(part), "{} does not say: {part}", path.display());
            }
        }
    }
}

#[test]
fn only_config_knows_the_environment_and_nothing_is_left_unfinished() {
    // Written apart, so that this file does not find itself.
    let unfinished = ["TO", "DO"].concat();
    for (path, text) in sources("src") {
        let is_config = room(&path).is_some_and(|room| room == "config");
        assert!(is_config || !code(&text).contains("std::env::"), "{} reads the environment", path.display());
        assert!(!text.contains(&unfinished), "{} is unfinished", path.display());
    }
}
