//! Whose token a request has: a department's, or an operator's.

use std::collections::BTreeMap;

use hyper::header::{AUTHORIZATION, HeaderMap};

use crate::message::{DepartmentName, Secret};

/// The tokens that open the api listener's routes.
pub struct Tokens {
    pub departments: BTreeMap<DepartmentName, Vec<Secret>>,
    pub operators: Vec<Secret>,
}

/// Who holds a token that is known. A token may be of several departments, and of an operator too.
pub struct Holder<'t> {
    pub is_operator: bool,
    departments: Vec<&'t DepartmentName>,
}

impl Tokens {
    /// `None` without a token, or with one that is nobody's.
    pub fn holder(&self, headers: &HeaderMap) -> Option<Holder<'_>> {
        let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = header.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let token = token.trim().as_bytes();
        let is_one_of = |secrets: &[Secret]| secrets.iter().any(|secret| secret.matches(token));
        let is_operator = is_one_of(&self.operators);
        let held = self.departments.iter().filter(|(_, secrets)| is_one_of(secrets));
        let departments: Vec<_> = held.map(|(department, _)| department).collect();
        (is_operator || !departments.is_empty()).then_some(Holder { is_operator, departments })
    }
}

impl<'t> Holder<'t> {
    pub fn departments(&self) -> &[&'t DepartmentName] {
        &self.departments
    }

    /// The department, if the token is its own.
    pub fn of(&self, name: &str) -> Option<&'t DepartmentName> {
        self.departments.iter().copied().find(|department| department.as_str() == name)
    }
}
