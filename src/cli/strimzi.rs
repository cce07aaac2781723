//! The planned topics, and who may do what with them, as objects of the Strimzi operator (`kafka.strimzi.io/v1`).
//!
//! Users and their rights are the least each role needs: `serve` writes texts, works on the stream of pieces, and reads
//! dead-letter for whoever asks for it in its pod; `archive run` reads what it copies and compares, `deliver run` what
//! it mails and pushes; `setup` makes topics. Names of Kubernetes objects hold small letters, digits, dots and dashes
//! only; the topic's own name stands beside.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};

use crate::message::topics;

/// One topic as the operator is to make it.
pub struct Topic<'a> {
    pub name: &'a str,
    pub partitions: i32,
    pub replication: i32,
    pub properties: &'a [(&'static str, String)],
}

/// Everything, as one stream of YAML documents.
pub struct Objects<'a> {
    /// The operator's name for the Kafka cluster.
    pub cluster: &'a str,
    pub topics: Vec<Topic<'a>>,
    pub parts_group: &'a str,
    /// Without an archive there is nobody to read for it.
    pub archive_group: Option<&'a str>,
    /// Only where a department has e-mail or push.
    pub delivery: Option<Delivery>,
}

/// What `deliver run` reads.
pub struct Delivery {
    pub topics: BTreeSet<String>,
    /// One for each channel: which of them runs is settled by the settings, and may change.
    pub groups: Vec<String>,
}

/// What one user may do with a topic or a group.
struct Right<'a> {
    kind: &'static str,
    name: &'a str,
    operations: Vec<&'static str>,
}

// To Kafka's authorizer who may read or write a topic may describe it, and who may alter its settings may read them, so
// neither is said again.
const WRITES: [&str; 2] = ["Write", "DescribeConfigs"];
const READS: [&str; 1] = ["Read"];
const MAKES: [&str; 3] = ["Create", "AlterConfigs", "Describe"];

impl<'a> Objects<'a> {
    fn rights(
        &'a self,
        of: impl Fn(&'a str) -> Vec<&'static str>,
        groups: impl IntoIterator<Item = &'a str>,
    ) -> Vec<Right<'a>> {
        let topic = |topic: &Topic<'a>| Right { kind: "topic", name: topic.name, operations: of(topic.name) };
        let group = |name| Right { kind: "group", name, operations: vec!["Read"] };
        let topics = self.topics.iter().map(topic).filter(|right| !right.operations.is_empty());
        topics.chain(groups.into_iter().map(group)).collect()
    }

    /// Users and their rights.
    fn users(&'a self) -> Vec<(&'static str, Vec<Right<'a>>)> {
        let serves = |name: &str| match name {
            topics::PARTS | topics::DEAD_LETTER => ["Read"].into_iter().chain(WRITES).collect(),
            _ => WRITES.to_vec(),
        };
        let archives = |name: &str| match name {
            topics::DEAD_LETTER => ["Write"].into_iter().chain(READS).collect(),
            _ => READS.to_vec(),
        };
        let archive = self.archive_group.map(|group| ("sms-router-archive", self.rights(archives, Some(group))));
        let serve = ("sms-router-serve", self.rights(serves, Some(self.parts_group)));
        let deliver = self.delivery.as_ref().map(|delivery| {
            let delivers = |name: &str| match name {
                topics::DEAD_LETTER => vec!["Write"],
                _ if delivery.topics.contains(name) => READS.to_vec(),
                _ => Vec::new(),
            };
            ("sms-router-deliver", self.rights(delivers, delivery.groups.iter().map(String::as_str)))
        });
        let setup = ("sms-router-setup", self.rights(|_| MAKES.to_vec(), None));
        [Some(serve), archive, deliver, Some(setup)].into_iter().flatten().collect()
    }

    fn head(&self, out: &mut Formatter<'_>, kind: &str, name: &str) -> fmt::Result {
        writeln!(out, "---\napiVersion: kafka.strimzi.io/v1\nkind: {kind}\nmetadata:\n  name: {name}")?;
        writeln!(out, "  labels:\n    strimzi.io/cluster: {}\nspec:", self.cluster)
    }
}

impl Display for Objects<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let mut taken = BTreeSet::new();
        for topic in &self.topics {
            self.head(out, "KafkaTopic", &object_name(topic.name, &mut taken))?;
            writeln!(out, "  topicName: {}", topic.name)?;
            writeln!(out, "  partitions: {}\n  replicas: {}\n  config:", topic.partitions, topic.replication)?;
            topic.properties.iter().try_for_each(|(name, value)| writeln!(out, "    {name}: {}", scalar(value)))?;
        }
        for (name, rights) in self.users() {
            self.head(out, "KafkaUser", name)?;
            writeln!(out, "  authentication:\n    type: scram-sha-512")?;
            writeln!(out, "  authorization:\n    type: simple\n    acls:")?;
            rights.iter().try_for_each(|right| write!(out, "{right}"))?;
        }
        Ok(())
    }
}

impl Display for Right<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Self { kind, name, operations } = self;
        writeln!(
            out,
            "      - resource:\n          type: {kind}\n          name: {name}\n          patternType: literal"
        )?;
        writeln!(out, "        operations: [{}]", operations.join(", "))
    }
}

/// A whole number as it is, so that the operator does not take it for a change of type; the rest quoted.
fn scalar(value: &str) -> String {
    value.parse::<i64>().map_or_else(|_| format!("{value:?}"), |number| number.to_string())
}

/// A name Kubernetes takes; where two topics come to the same one, the later gets a number.
fn object_name(topic: &str, taken: &mut BTreeSet<String>) -> String {
    let plain: String = topic.to_ascii_lowercase().replace('_', "-").trim_matches(['.', '-']).to_owned();
    let numbered = (2..).map(|number| format!("{plain}-{number}"));
    let mut names = std::iter::once(plain.clone()).chain(numbered);
    let name = names.find(|name| !taken.contains(name)).unwrap_or(plain);
    taken.insert(name.clone());
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_its_work_and_no_more() {
        let properties = [("cleanup.policy", "delete".to_owned()), ("retention.ms", "1000".to_owned())];
        let topic = |name| Topic { name, partitions: 1, replication: 3, properties: &properties };
        let objects = Objects {
            cluster: "kafka",
            topics: ["sms.highways", "sms.parks", topics::PARTS, topics::DEAD_LETTER].map(topic).into(),
            parts_group: "sms-router-parts",
            archive_group: Some("sms-router-archive"),
            delivery: Some(Delivery {
                topics: ["sms.highways".to_owned()].into(),
                groups: ["sms-router-deliver", "sms-router-deliver-push"].map(str::to_owned).into(),
            }),
        };
        let may = |user: &str, resource: &str| -> Vec<&str> {
            let users = objects.users();
            let (_, rights) = users.iter().find(|(name, _)| *name == user).expect("a user");
            rights.iter().find(|right| right.name == resource).map(|right| right.operations.clone()).unwrap_or_default()
        };
        assert_eq!(may("sms-router-serve", "sms.highways"), WRITES);
        assert!(may("sms-router-serve", topics::PARTS).contains(&"Read"));
        assert!(may("sms-router-serve", topics::DEAD_LETTER).contains(&"Read"));
        assert_eq!(may("sms-router-serve", "sms-router-parts"), ["Read"]);
        assert_eq!(may("sms-router-archive", "sms.highways"), READS);
        assert!(may("sms-router-archive", topics::DEAD_LETTER).contains(&"Write"));
        assert!(may("sms-router-archive", "sms-router-parts").is_empty());
        assert_eq!(may("sms-router-deliver", "sms.highways"), READS);
        assert!(
            may("sms-router-deliver", "sms.parks").is_empty() && may("sms-router-deliver", topics::PARTS).is_empty()
        );
        assert_eq!(may("sms-router-deliver", topics::DEAD_LETTER), ["Write"]);
        assert_eq!(may("sms-router-deliver", "sms-router-deliver-push"), ["Read"]);
        assert!(!may("sms-router-setup", "sms.highways").contains(&"Write"));
        let text = objects.to_string();
        assert!(text.contains("    cleanup.policy: \"delete\"\n    retention.ms: 1000\n"), "{text}");
    }

    #[test]
    fn names_are_those_kubernetes_takes_and_differ() {
        let mut taken = BTreeSet::new();
        assert_eq!(object_name("Roads_SMS", &mut taken), "roads-sms");
        assert_eq!(object_name("roads-sms", &mut taken), "roads-sms-2");
    }
}
