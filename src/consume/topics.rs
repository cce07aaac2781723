//! Which topics to read: those the routes name, and those they no longer name until all is done.
//!
//! Comes in: the routes' topics, what the brokers said of them. Goes out: the subscription.
//! Always true: a topic that was read is read until its lag is 0, also across a restart: what the group
//! has offsets for and has not read to the end is found at the start.
//! Not here: calls to Kafka (`questions` asks).

use std::collections::BTreeSet;

/// What is subscribed and why.
#[derive(Default)]
pub(super) struct Topics {
    named: BTreeSet<String>,
    leaving: BTreeSet<String>,
}

impl Topics {
    /// The routes have changed: what they no longer name is leaving.
    pub(super) fn name(&mut self, named: &[String]) {
        let named: BTreeSet<String> = named.iter().cloned().collect();
        self.leaving.extend(self.named.difference(&named).cloned());
        self.leaving.retain(|topic| !named.contains(topic));
        self.named = named;
    }

    /// Everything to read.
    pub(super) fn all(&self) -> Vec<&str> {
        self.named.union(&self.leaving).map(String::as_str).collect()
    }

    pub(super) fn leaving(&self) -> &BTreeSet<String> {
        &self.leaving
    }

    pub(super) fn named(&self) -> &BTreeSet<String> {
        &self.named
    }

    /// Topics that an earlier process left with records to read.
    pub(super) fn add_left_behind(&mut self, topics: BTreeSet<String>) {
        self.leaving.extend(topics.into_iter().filter(|topic| !self.named.contains(topic)));
    }

    /// A leaving topic is read to its end, or gone.
    pub(super) fn let_go(&mut self, topics: &BTreeSet<String>) {
        for topic in topics.intersection(&self.leaving) {
            tracing::info!(%topic, "the routes no longer name this topic and all of it is done with");
        }
        self.leaving.retain(|topic| !topics.contains(topic));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_topic_is_read_on_and_a_returning_one_no_longer_leaves() {
        let mut topics = Topics::default();
        topics.name(&["sms.one".to_owned(), "sms.two".to_owned()]);
        topics.name(&["sms.two".to_owned()]);
        assert_eq!((topics.all(), topics.leaving().len()), (vec!["sms.one", "sms.two"], 1));
        topics.name(&["sms.one".to_owned(), "sms.two".to_owned()]);
        assert_eq!((topics.all(), topics.leaving().len()), (vec!["sms.one", "sms.two"], 0));
        topics.add_left_behind(["sms.old".to_owned(), "sms.one".to_owned()].into());
        assert_eq!(topics.all(), ["sms.old", "sms.one", "sms.two"]);
        topics.let_go(&["sms.old".to_owned(), "sms.one".to_owned()].into());
        assert_eq!(topics.all(), ["sms.one", "sms.two"]);
    }
}
