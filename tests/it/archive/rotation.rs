//! Passwords of both clusters, by TLS, replaced while texts flow.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use scylla::client::session_builder::SessionBuilder;

use super::reconcile::STORED;
use crate::harness::role::Role;
use crate::harness::services::script;
use crate::harness::{Folder, Server, Sms, said, wait_until};
use crate::kafka::{cluster_settings, routes};

const KAFKA: &str = "kafka-rotation";
const CASSANDRA: &str = "cassandra-rotation";

/// Servers of this test alone, gone with it.
struct Clusters {
    brokers: String,
    node: String,
}

impl Clusters {
    fn start() -> Self {
        script("cassandra.sh", &["start", CASSANDRA, "--tls"]);
        script("kafka.sh", &["start", KAFKA, "1", "--tls"]);
        let brokers = script("kafka.sh", &["tls-address", KAFKA]);
        Self { brokers, node: script("cassandra.sh", &["address", CASSANDRA]) }
    }

    /// A folder whose settings prove themselves to both.
    fn folder(&self, tls: &str) -> Folder {
        let user = script("kafka.sh", &["user", KAFKA]);
        let mut words = user.split(' ');
        let (user, password) = (words.next().expect("a user"), words.next().expect("a password"));
        let kafka = format!(
            "user = \"{user}\"\npassword = {{ file = \"kafka-password\" }}\n[publish.properties]\n\"security.protocol\" = \"SASL_SSL\"\n\"sasl.mechanism\" = \"SCRAM-SHA-512\"\n\"ssl.ca.location\" = \"{}\"\n[publish.topics]",
            script("kafka.sh", &["ca", KAFKA])
        );
        let archive = format!(
            "to = \"cql\"\nnodes = [\"{}\"]\nreplication = 1\nuser = \"cassandra\"\npassword = {{ file = \"cql-password\" }}\ntls = {{ {tls} }}\nsender_key =",
            self.node
        );
        let settings = cluster_settings(&self.brokers).replace("[publish.topics]", &kafka);
        let folder = Folder::with(&settings.replace("sender_key =", &archive), &routes("rotation"));
        folder.write("kafka-password", password);
        folder.write("cql-password", "cassandra");
        folder
    }

    async fn change_passwords(&self, new: &str) {
        script("kafka.sh", &["password", KAFKA, new]);
        let ca = script("cassandra.sh", &["ca", CASSANDRA]);
        let pem = |name: &str| std::fs::read(beside(&ca, name)).expect("a file of the node");
        let chain = CertificateDer::pem_slice_iter(&pem("server.crt")).collect::<Result<_, _>>().expect("certificates");
        let key = PrivateKeyDer::from_pem_slice(&pem("server.key")).expect("a key");
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&pem("ca.pem")).expect("an authority")).expect("a root");
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key);
        let session = SessionBuilder::new().known_node(&self.node).user("cassandra", "cassandra");
        let session = session.tls_context(Some(Arc::new(tls.expect("an identity")))).build().await.expect("a session");
        let statement = format!("ALTER ROLE cassandra WITH PASSWORD = '{new}'");
        session.query_unpaged(statement, ()).await.expect("a new password");
    }
}

/// Another file of the folder.
fn beside(ca: &str, name: &str) -> String {
    ca.replace("ca.pem", name)
}

impl Drop for Clusters {
    fn drop(&mut self) {
        script("kafka.sh", &["stop", KAFKA]);
        script("cassandra.sh", &["stop", CASSANDRA]);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka and Cassandra: tests/run archive"]
async fn new_passwords_of_both_clusters_need_no_restart() {
    let clusters = Clusters::start();
    let ca = script("cassandra.sh", &["ca", CASSANDRA]);
    let set_up = |tls: &str| {
        let folder = clusters.folder(tls);
        let (code, out, err) = said(&folder.run(&["setup"]));
        (folder, code, format!("{out}{err}"))
    };
    let own = format!("certificate = \"{}\", key = \"{}\"", beside(&ca, "server.crt"), beside(&ca, "server.key"));
    for (tls, is_believed) in [
        (format!("ca = \"{ca}\", {own}"), true),
        (format!("ca = \"{ca}\", server_name = \"localhost\", {own}"), true),
        (format!("ca = \"{ca}\", server_name = \"elsewhere.example\", {own}"), false),
        // An authority, and not theirs.
        (format!("ca = \"{}\", {own}", script("kafka.sh", &["ca", KAFKA])), false),
        (format!("ca = \"{ca}\""), false),
        (own.clone(), false),
    ] {
        let (_, code, told) = set_up(&tls);
        assert_eq!(code == Some(0), is_believed, "{tls}: {told}");
    }
    let tls = format!("ca = \"{ca}\", {own}");
    let (folder, _, _) = set_up(&tls);
    // The archive has what it needs and no account's secret.
    let of_archive = clusters.folder(&format!("ca = \"{ca}\", certificate = \"server.crt\", key = \"server.key\""));
    std::fs::remove_file(of_archive.path("demo")).expect("a file of the test");
    // And at first a certificate that no node believes.
    let identify = |authority: &str| {
        for file in ["server.key", "server.crt"] {
            std::fs::copy(beside(authority, file), of_archive.path(file)).expect("a file of a server");
        }
    };
    identify(&script("kafka.sh", &["ca", KAFKA]));
    let mut archiver = Role::archive(&of_archive);
    let mut server = Server::start(folder).ready();
    assert_eq!(server.push(&Sms::new("1", "snow")).status, 200);
    wait_until("its record is known", || archiver.metric("sms_router_archive_lag_seconds") > 0.0);
    assert_eq!(archiver.metric(STORED), 0.0, "no node lets it in");
    identify(&ca);
    wait_until("the text is archived", || archiver.metric(STORED) >= 1.0);

    clusters.change_passwords("another-of-the-tests").await;
    for folder in [&server.folder, &of_archive] {
        folder.write("kafka-password", "not the password");
    }
    server.wait_for_log("the brokers do not take the new password");
    assert_eq!(server.push(&Sms::new("2", "snow")).status, 200);
    assert_eq!(server.metric("sms_router_journal_messages"), 0.0, "on its topic by what was connected before");
    wait_until("and archived by what was", || archiver.metric(STORED) >= 2.0);

    for file in ["kafka-password", "cql-password"] {
        server.folder.write(file, "another-of-the-tests");
        of_archive.write(file, "another-of-the-tests");
    }
    server.wait_for_log("Kafka's producers have the new password");
    server.wait_for_log("the joining of long texts takes a new Kafka client");
    // Whoever still had the old ones is out now.
    script("kafka.sh", &["restart", KAFKA, "1"]);
    script("cassandra.sh", &["restart", CASSANDRA]);
    assert_eq!(server.push(&Sms::new("3", "snow")).status, 200);
    wait_until("the third text is archived", || archiver.metric(STORED) >= 3.0);
    archiver.stop();
    assert_eq!(server.stop().1, Some(0));
}
