-- A database of data version 1 with a row in each table, as the first release wrote it. Never changed.
CREATE TABLE log (
    position    INTEGER PRIMARY KEY AUTOINCREMENT,
    hollow      INTEGER NOT NULL DEFAULT 0,
    id          BLOB NOT NULL,
    stream      TEXT NOT NULL,
    kind        INTEGER NOT NULL,
    account     TEXT NOT NULL,
    subject     TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    traceparent TEXT,
    value       BLOB NOT NULL CHECK (length(value) > 0)
) STRICT;
CREATE INDEX log_by_stream ON log (stream) WHERE hollow = 0;
CREATE INDEX log_by_age ON log (kind, received_at) WHERE hollow = 0;

CREATE TABLE ids (
    id          BLOB NOT NULL PRIMARY KEY,
    position    INTEGER NOT NULL,
    fingerprint BLOB NOT NULL,
    expires_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX ids_by_expiry ON ids (expires_at);

CREATE TABLE audit (
    position    INTEGER PRIMARY KEY,
    hollow      INTEGER NOT NULL DEFAULT 0,
    id          BLOB NOT NULL,
    department  TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    sender_hash BLOB NOT NULL,
    key_id      TEXT NOT NULL,
    content     BLOB NOT NULL
) STRICT;
CREATE INDEX audit_by_sender ON audit (sender_hash, received_at) WHERE hollow = 0;
CREATE INDEX audit_by_department ON audit (department, received_at) WHERE hollow = 0;

CREATE TABLE access_log (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    at          INTEGER NOT NULL,
    who         TEXT NOT NULL,
    why         TEXT NOT NULL,
    query       TEXT NOT NULL,
    ids         TEXT NOT NULL,
    text_shown  INTEGER NOT NULL
) STRICT;

INSERT INTO log VALUES (7, 0, x'00000000000000000000000000000001', 'highways', 1, 'demo', '86555', 1795255200123, NULL,
    x'7b7d');
INSERT INTO ids VALUES (x'00000000000000000000000000000001', 7, x'0102030405060708090a0b0c0d0e0f10', 1826791200123);
INSERT INTO audit VALUES (7, 0, x'00000000000000000000000000000001', 'highways', 1795255200123, 1826791200123,
    x'0102030405060708090a0b0c0d0e0f10', '01020304', CAST(char(0) || '{"schema_version":1,'
    || '"id":"00000000-0000-0000-0000-000000000001","account":"demo","carrier":"generic","from":"+447700900123",'
    || '"from_raw":"+447700900123","to":"86555","to_raw":"86555","text":"Snow","department":"highways",'
    || '"rule":{"kind":"default"},"routes_version":"1","received_at":"2026-11-21T10:00:00.123Z"}' AS BLOB));
INSERT INTO access_log VALUES (1, 1795255200123, 'clerk', 'request 17', 'id', '00000000-0000-0000-0000-000000000001', 1);
PRAGMA user_version = 1;
