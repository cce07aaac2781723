//! The table in force: read without a lock by every request, swapped whole by a reload.
//!
//! Always true: a reader sees one table from start to end; a swap waits for nobody.
//! Not here: building the next table, which takes seconds at 1,000,000 keywords and belongs on a
//! thread that may block.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::Table;

/// Handle on the table in force; clones share it.
#[derive(Clone)]
pub struct Live(Arc<ArcSwap<Table>>);

impl Live {
    pub fn new(table: Table) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(table)))
    }

    /// The table of this moment, for one request. Keep `snapshot` instead where it outlives an await.
    pub fn load(&self) -> Guard<Arc<Table>> {
        self.0.load()
    }

    /// The table of this moment, to keep as long as needed.
    pub fn snapshot(&self) -> Arc<Table> {
        self.0.load_full()
    }

    /// Puts `table` in force; requests under way finish with the one they began with, which is given back: whoever
    /// drops it last frees every keyword of it, which takes a tenth of a second for a million.
    #[must_use = "drop it where that may take its time"]
    pub fn swap(&self, table: Table) -> Arc<Table> {
        self.0.swap(Arc::new(table))
    }
}
