//! Every CQL statement of this program: the schema and what is prepared against it.
//!
//! Comes in: settings. Goes out: text.
//! Always true: nothing that only one of Scylla and Apache Cassandra takes; every insert says its TTL,
//! and the tables have one as well, so no row can stay for ever.
//! Not here: running it.
//!
//! `content` holds everything personal in one value whose first byte is its format (0: the record's
//! JSON as published), so that sealing it later needs no migration.

use std::fmt::Write;

use super::{Replication, Settings};

/// Scylla refuses more than 50 windows in the life of a table's rows.
pub const WINDOW_DAYS_MIN: u32 = LIFE_DAYS_MAX.div_ceil(50);
/// Partitions a department's day is spread over. Rows are found by it: it can never change.
pub(super) const SHARDS: u8 = 8;
/// Twelve calendar months are 366 days at most; the day more is for a clock that is ahead.
pub(super) const LIFE_DAYS_MAX: u32 = 367;
/// Twenty-four calendar months, likewise.
const ACCESS_LIFE_DAYS_MAX: u32 = 732;
/// Windows of the access log, which stays below 50 of them.
const ACCESS_WINDOW_DAYS: u32 = 30;
pub(super) const DAY_SECONDS: u64 = 86_400;

/// One thing of the schema: its name in `system_schema`, and how to make it.
pub(super) struct Item {
    /// `None` for the keyspace itself.
    pub table: Option<&'static str>,
    pub statement: String,
}

/// The schema, for `setup` and its dry run: one statement each, harmless to run again.
pub fn statements(settings: &Settings) -> Vec<String> {
    items(settings).into_iter().map(|item| item.statement).collect()
}

/// After how many days from its expiry no file holds a copy any more: files of a window go as a
/// whole, and only once deletions in it need not be remembered.
pub fn bytes_gone_after_days(settings: &Settings) -> u32 {
    settings.window_days + u32::try_from(settings.gc_grace.as_secs().div_ceil(DAY_SECONDS)).unwrap_or(u32::MAX / 2)
}

pub(super) fn items(settings: &Settings) -> Vec<Item> {
    let keyspace = identifier(&settings.keyspace);
    let copies = options(settings, LIFE_DAYS_MAX, settings.window_days);
    let accesses = options(settings, ACCESS_LIFE_DAYS_MAX, ACCESS_WINDOW_DAYS);
    let table = |name: &'static str, columns: &str, key: &str, options: &str| Item {
        table: Some(name),
        statement: format!(
            "CREATE TABLE IF NOT EXISTS {keyspace}.{name} ({columns}, PRIMARY KEY ({key})) WITH {options}"
        ),
    };
    let copy = "received_at timestamp, id uuid, expires_at timestamp, key_id text, content blob";
    vec![
        Item {
            table: None,
            statement: format!(
                "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {}",
                replication(&settings.replication)
            ),
        },
        table(
            "by_sender",
            &format!("sender_hash blob, month text, department text, {copy}"),
            "(sender_hash, month), received_at, id",
            &copies,
        ),
        table(
            "by_department",
            &format!("department text, day text, shard tinyint, sender_hash blob, {copy}"),
            "(department, day, shard), received_at, id",
            &copies,
        ),
        table("by_id", &format!("department text, sender_hash blob, {copy}"), "id", &copies),
        table(
            "access_log",
            "month text, at timestamp, access_id uuid, part int, who text, why text, query text, \
             ids frozen<list<uuid>>, text_shown boolean",
            "(month), at, access_id, part",
            &accesses,
        ),
    ]
}

/// Table options. The other defaults (compression LZ4) are the same in both and spelt differently.
fn options(settings: &Settings, life_days: u32, window_days: u32) -> String {
    format!(
        "compaction = {{'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'DAYS', \
         'compaction_window_size': '{window_days}'}} AND default_time_to_live = {} AND gc_grace_seconds = {}",
        u64::from(life_days) * DAY_SECONDS,
        settings.gc_grace.as_secs()
    )
}

fn replication(replication: &Replication) -> String {
    let mut map = "{'class': 'NetworkTopologyStrategy'".to_owned();
    let mut add = |name: &str, copies: u32| {
        write!(map, ", {}: {copies}", literal(name)).expect("writing into a string never fails");
    };
    match replication {
        Replication::Everywhere(copies) => add("replication_factor", *copies),
        Replication::Datacenters(datacenters) => datacenters.iter().for_each(|(name, copies)| add(name, *copies)),
    }
    map + "}"
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The statements that are prepared, over the tables of one keyspace.
pub(super) struct Queries {
    pub insert_by_sender: String,
    pub insert_by_department: String,
    pub insert_by_id: String,
    pub known: String,
    pub select_id: String,
    pub select_sender: String,
    pub select_department: String,
    pub select_ids: String,
    pub insert_access: String,
}

impl Queries {
    pub(super) fn new(keyspace: &str) -> Self {
        let keyspace = identifier(keyspace);
        let insert = |table: &str, columns: &str| {
            let marks = vec!["?"; columns.split(", ").count()].join(", ");
            format!("INSERT INTO {keyspace}.{table} ({columns}) VALUES ({marks}) USING TTL ?")
        };
        let copy = "department, sender_hash, received_at, id, expires_at, key_id, content";
        let select = |table: &str, condition: &str| {
            format!("SELECT id, received_at, expires_at, content FROM {keyspace}.{table} WHERE {condition}")
        };
        Self {
            insert_by_sender: insert("by_sender", &format!("month, {copy}")),
            insert_by_department: insert("by_department", &format!("day, shard, {copy}")),
            insert_by_id: insert("by_id", copy),
            known: format!("SELECT received_at FROM {keyspace}.by_id WHERE id = ?"),
            select_id: select("by_id", "id = ?"),
            select_sender: select("by_sender", "sender_hash = ? AND month = ?"),
            select_department: select(
                "by_department",
                "department = ? AND day = ? AND shard = ? AND received_at >= ? AND received_at < ?",
            ),
            select_ids: format!(
                "SELECT id FROM {keyspace}.by_department WHERE department = ? AND day = ? AND shard = ? \
                 AND received_at >= ? AND received_at < ?"
            ),
            insert_access: insert("access_log", "month, at, access_id, part, who, why, query, ids, text_shown"),
        }
    }
}

pub(super) const KEYSPACE_EXISTS: &str = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
pub(super) const TABLE_EXISTS: &str =
    "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?";

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::new(vec!["127.0.0.1:9042".to_owned()], "sms".to_owned())
    }

    #[test]
    fn every_table_has_windows_and_a_life_of_its_own() {
        let statements = statements(&settings());
        assert_eq!(statements.len(), 5);
        for table in &statements[1..4] {
            assert!(table.contains("'compaction_window_size': '10'"), "{table}");
            assert!(table.contains("default_time_to_live = 31708800"), "{table}");
            assert!(table.contains("gc_grace_seconds = 864000"), "{table}");
        }
        assert!(statements[4].contains("default_time_to_live = 63244800"), "{}", statements[4]);
        assert!(statements.iter().all(|statement| statement.contains("IF NOT EXISTS")));
    }

    #[test]
    fn windows_stay_within_what_scylla_takes() {
        assert_eq!(WINDOW_DAYS_MIN, 8);
        assert!(LIFE_DAYS_MAX / settings().window_days <= 50);
        const { assert!(ACCESS_LIFE_DAYS_MAX / ACCESS_WINDOW_DAYS <= 50) };
    }

    #[test]
    fn bytes_are_gone_after_window_and_grace() {
        assert_eq!(bytes_gone_after_days(&settings()), 20);
    }

    #[test]
    fn every_insert_says_its_ttl() {
        let queries = Queries::new("sms");
        for insert in
            [queries.insert_by_sender, queries.insert_by_department, queries.insert_by_id, queries.insert_access]
        {
            assert!(insert.ends_with("USING TTL ?"), "{insert}");
        }
    }

    #[test]
    fn names_are_quoted() {
        let mut settings = settings();
        settings.keyspace = "o\"dd".to_owned();
        let datacenters = [("d'c".to_owned(), 3), ("west".to_owned(), 2)];
        settings.replication = Replication::Datacenters(datacenters.into());
        assert_eq!(
            statements(&settings)[0],
            "CREATE KEYSPACE IF NOT EXISTS \"o\"\"dd\" WITH replication = \
             {'class': 'NetworkTopologyStrategy', 'd''c': 3, 'west': 2}"
        );
    }
}
