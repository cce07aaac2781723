//! `[departments.NAME]`: who may read a department's feed, and where else its texts go.

use std::collections::BTreeMap;

use crate::deliver::Delivery;
use crate::message::{DepartmentName, Secret};

use super::deliver;
use super::read::Section;
use super::secrets::Vault;
use super::tokens;

/// What the settings say of departments.
#[derive(Default)]
pub(super) struct Departments {
    /// Tokens of each department's feed.
    pub tokens: BTreeMap<DepartmentName, Vec<Secret>>,
    /// Those that have e-mail or push.
    pub deliveries: BTreeMap<DepartmentName, Delivery>,
}

/// Whether deliveries' secrets are read, and mails can be sent.
#[derive(Clone, Copy)]
pub(super) struct Means {
    pub is_delivering: bool,
    pub has_smtp: bool,
}

/// Every department's section, whatever the command needs of it.
pub(super) fn read(root: &Section<'_>, operators: &[Secret], means: Means, vault: &Vault<'_>) -> Departments {
    let mut departments = Departments::default();
    let mut opened = tokens::Opened::by(operators);
    for (name, section) in root.named("departments") {
        let department = DepartmentName::parse(name).map_err(|error| section.refuse("", error.to_string()));
        let tokens = tokens::department(name, &section, &mut opened, vault);
        let delivery = deliver::channels(&section, means.has_smtp, means.is_delivering, vault);
        section.finish();
        let Ok(department) = department else { continue };
        if let Some(delivery) = delivery.filter(|_| means.is_delivering) {
            departments.deliveries.insert(department.clone(), delivery);
        }
        if vault.has_doors() {
            departments.tokens.insert(department, tokens);
        }
    }
    departments
}
