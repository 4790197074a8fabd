//! The people who may call the API, and who of them presents a token.

use std::collections::BTreeSet;

use kernel::approval::Approver;
use kernel::workload::{Name, Person};

use crate::token::{Token, TokenHash};

/// A person with a token. One person may have several tokens; they remain one voice.
#[derive(Clone, Debug)]
pub struct PersonEntry {
    /// Who.
    pub person: Person,
    /// The groups that they are in.
    pub groups: BTreeSet<Name>,
    /// May they use the administrative verbs?
    pub admin: bool,
    /// The hash of their token.
    pub token: TokenHash,
}

/// Everybody who may call.
#[derive(Clone, Debug, Default)]
pub struct People(Vec<PersonEntry>);

/// A person who proved who they are.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who.
    pub person: Person,
    /// The groups that they are in.
    pub groups: BTreeSet<Name>,
    /// May they use the administrative verbs?
    pub admin: bool,
}

impl People {
    /// These and nobody else.
    pub fn new(entries: Vec<PersonEntry>) -> Self {
        Self(entries)
    }

    /// Who presents `text`? Every entry is compared, so that the time says nothing about which one it was.
    pub fn find(&self, text: &str) -> Option<Caller> {
        let presented = Token::parse(text).ok()?.hash();
        let mut found = None;
        for entry in &self.0 {
            if bool::from(entry.token.is(&presented)) {
                found = Some(entry);
            }
        }
        found.map(|entry| Caller { person: entry.person.clone(), groups: entry.groups.clone(), admin: entry.admin })
    }
}

impl Caller {
    /// Them, as the desk sees them.
    pub(crate) fn approver(&self) -> Approver {
        Approver { person: self.person.clone(), groups: self.groups.clone() }
    }
}
