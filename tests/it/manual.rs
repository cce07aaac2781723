//! The README and the sample of accounts, held against the binary.

use sms_router::carrier::CARRIERS;

use crate::harness::{Folder, ROUTES, SECRET, SETTINGS, said};

/// A secret for every way of proving: `user:password`, and without blanks.
const PAIR: &str = "router:a-password-made-by-the-test";

/// A file of the repository.
fn file(path: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn names() -> impl Iterator<Item = &'static str> {
    CARRIERS.iter().map(|carrier| carrier.contract().name)
}

/// A carrier's row of the README's table, in its cells.
fn row<'a>(readme: &'a str, name: &str) -> Vec<&'a str> {
    let begins = format!("| `{name}` |");
    let mut rows = readme.lines().filter(|line| line.starts_with(&begins));
    let row = rows.next().unwrap_or_else(|| panic!("{name} is not in the README's table"));
    assert!(rows.next().is_none(), "{name} has two rows");
    row.trim_matches('|').split(" | ").map(str::trim).collect()
}

#[test]
fn every_carrier_has_an_account_in_the_sample_and_check_accepts_it() {
    let sample = file("tests/carriers/settings.toml");
    let is_there = |name: &&str| sample.contains(&format!("\ncarrier = \"{name}\""));
    let missing: Vec<&str> = names().filter(|name| !is_there(name)).collect();
    assert!(missing.is_empty(), "carriers without an account in the sample: {missing:?}");
    let folder = Folder::with(&sample, ROUTES);
    std::fs::create_dir(folder.path("secrets")).expect("a folder of the test");
    for name in sample.split("{ file = \"").skip(1).filter_map(|rest| rest.split('"').next()) {
        folder.write(name, if name == "secrets/generic" { SECRET } else { PAIR });
    }
    let (code, out, err) = said(&folder.run(&["check"]));
    assert_eq!(code, Some(0), "{out}{err}");
    // Its words for accounts are the sample's fault, unless a carrier has no ids to give.
    let unexplained: Vec<&str> = out
        .lines()
        .chain(err.lines())
        .filter(|line| line.contains("accounts.") && !line.contains("not every text of"))
        .collect();
    assert!(unexplained.is_empty(), "{unexplained:#?}");
}

#[test]
fn the_table_of_carriers_says_what_their_contracts_say() {
    let readme = file("README.md");
    for carrier in CARRIERS {
        let contract = carrier.contract();
        let row = row(&readme, contract.name);
        let [_, _, _, retries, _, source] = row[..] else { panic!("{} has {} cells", contract.name, row.len()) };
        let says = retries.split([',', ' ']).next().unwrap_or_default();
        assert_eq!(says, if contract.retries_503 { "yes" } else { "no" }, "{}: retries a 503", contract.name);
        assert!(!source.is_empty(), "{} has no source", contract.name);
        for key in contract.keys {
            let is_named =
                ["`accounts.NAME.", "`"].iter().any(|begin| readme.contains(&format!("{begin}{}`", key.name)));
            assert!(is_named, "the README does not know {}", key.name);
        }
    }
}

#[test]
fn the_routes_of_the_readme_are_accepted() {
    let readme = file("README.md");
    let (_, section) = readme.split_once("\n## The keyword table: routes.toml\n").expect("the section");
    let (_, sample) = section.split_once("```toml\n").expect("its sample");
    let (routes, _) = sample.split_once("```").expect("its end");
    let folder = Folder::with(SETTINGS, routes);
    let (code, out, err) = said(&folder.run(&["check"]));
    assert_eq!(code, Some(0), "{out}{err}");
    let (_, out, _) = said(&folder.run(&["explain", "--to", "86555", "Flood!"]));
    assert!(out.starts_with("departments highways, flood-team: each gets the text\n"), "{out}");
}

#[test]
fn the_readme_names_every_metric() {
    let (readme, catalogue) = (file("README.md"), file("src/telemetry/metrics.rs"));
    let names = catalogue.split("\"sms_router_").skip(1).filter_map(|rest| rest.split(['"', '{', ' ']).next());
    let unnamed: Vec<&str> = names.filter(|name| !readme.contains(&format!("`{name}`"))).collect();
    assert!(unnamed.is_empty(), "{unnamed:#?}");
}
