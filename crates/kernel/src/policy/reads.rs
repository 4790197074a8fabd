//! Which circumstances a policy reads, and what they are: the part of the memo's key that is not in the request's shape.
//!
//! A policy that uses `context` otherwise than by attribute access counts as reading everything: too much in a key costs
//! time, too little would answer with a verdict made under other circumstances.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::BitOr;
use std::sync::Arc;

use cedar_policy::Policy;
use serde_json::Value;

use crate::circumstances::{Circumstances, rounded};

/// A set of circumstances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reads(u16);

impl Reads {
    pub(crate) const NOTHING: Self = Self(0);
    pub(crate) const ALL: Self = Self(u16::MAX);
    pub(crate) const ADDRESS: Self = Self(1);
    pub(crate) const THREATS: Self = Self(1 << 1);
    pub(crate) const HOUR: Self = Self(1 << 2);
    pub(crate) const WEEKDAY: Self = Self(1 << 3);
    pub(crate) const NOW: Self = Self(1 << 4);
    pub(crate) const TLS: Self = Self(1 << 5);
    pub(crate) const IN_TRANSACTION: Self = Self(1 << 6);
    pub(crate) const ROWS: Self = Self(1 << 7);
    pub(crate) const BYTES: Self = Self(1 << 8);
    pub(crate) const DECISIONS: Self = Self(1 << 9);
    pub(crate) const DENIALS: Self = Self(1 << 10);
    pub(crate) const STALE: Self = Self(1 << 15);
    pub(crate) const TASK: Self = Self(1 << 11);
    pub(crate) const PROVENANCE: Self = Self(1 << 12);

    /// Each circumstance by its place in `context`.
    const PLACES: [(&'static [&'static str], Self); 14] = [
        (&["source", "address"], Self::ADDRESS),
        (&["source", "threats"], Self::THREATS),
        (&["source", "stale"], Self::STALE),
        (&["time", "hour"], Self::HOUR),
        (&["time", "weekday"], Self::WEEKDAY),
        (&["time", "now"], Self::NOW),
        (&["tls"], Self::TLS),
        (&["in_transaction"], Self::IN_TRANSACTION),
        (&["session", "rows_read"], Self::ROWS),
        (&["session", "bytes_read"], Self::BYTES),
        (&["session", "decisions"], Self::DECISIONS),
        (&["session", "denials"], Self::DENIALS),
        // Fixed for a session and bound in its memo, so their values are not in the memo's key.
        (&["task"], Self::TASK),
        (&["provenance"], Self::PROVENANCE),
    ];

    /// Is `other` among them?
    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// What reading `context` along `path` reads: everything at or below the path. Facts are part of the request's shape.
    fn along(path: &[&str]) -> Self {
        Self::PLACES
            .iter()
            .filter(|(place, _)| place.iter().zip(path).all(|(one, other)| one == other))
            .fold(Self::NOTHING, |all, (_, one)| all | *one)
    }

    /// Everything that a policy reads. What cannot be looked into reads everything.
    pub(crate) fn of(policy: &Policy) -> Self {
        policy.to_json().map_or(Self::ALL, |json| json.get("conditions").map_or(Self::ALL, Self::of_expression))
    }

    fn of_expression(json: &Value) -> Self {
        match json {
            Value::Object(members) => {
                if let Some(path) = context_path(json) {
                    return Self::along(&path);
                }
                // Operators and the attributes of record literals look alike here, so every member is looked into.
                members.values().fold(Self::NOTHING, |all, member| all | Self::of_expression(member))
            }
            Value::Array(items) => items.iter().fold(Self::NOTHING, |all, item| all | Self::of_expression(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Self::NOTHING,
        }
    }
}

/// What a policy's answer about one operation depends on, besides its workload and the circumstances that it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Depends {
    /// On the operation's facts.
    pub(crate) facts: bool,
    /// On other entities than the workload and the resource with what is above it: those of another operation, perhaps.
    pub(crate) others: bool,
}

impl Depends {
    /// What a policy depends on. What cannot be looked into depends on everything.
    pub(crate) fn of(policy: &Policy) -> Self {
        let mut depends = Self { facts: false, others: false };
        match policy.to_json().ok().as_ref().and_then(|json| json.get("conditions")) {
            Some(conditions) => depends.add(conditions),
            None => depends = Self { facts: true, others: true },
        }
        depends
    }

    fn add(&mut self, json: &Value) {
        if let Some(path) = context_path(json) {
            self.facts |= path.is_empty() || Reads::along(&path) == Reads::NOTHING;
            return;
        }
        match json {
            Value::Object(members) => {
                // An entity that is named in a condition can be there in one request and missing in another.
                self.others |= members.contains_key("__entity");
                for (name, member) in members {
                    match (name.as_str(), member.as_object()) {
                        ("__entity", _) => self.others = true,
                        // What something is compared with, or looked for above, need not be there.
                        ("==" | "!=", Some(sides)) => {
                            sides.values().filter(|side| !is_named(side)).for_each(|side| self.add(side))
                        }
                        ("in", Some(sides)) if sides.contains_key("left") => {
                            sides
                                .iter()
                                .filter(|(side, value)| *side == "left" || !is_named(value))
                                .for_each(|(_, value)| self.add(value));
                        }
                        ("is", Some(parts)) => {
                            parts
                                .iter()
                                .filter(|(part, value)| *part != "in" || !is_named(value))
                                .for_each(|(_, value)| self.add(value));
                        }
                        _ => self.add(member),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.add(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// Is it an entity by its name, or a set of such?
fn is_named(json: &Value) -> bool {
    let Some(members) = json.as_object().filter(|members| members.len() == 1) else { return false };
    match (members.get("Value"), members.get("Set")) {
        (Some(value), _) => value.get("__entity").is_some(),
        (None, Some(Value::Array(items))) => items.iter().all(is_named),
        _ => false,
    }
}

impl BitOr for Depends {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self { facts: self.facts || other.facts, others: self.others || other.others }
    }
}

/// The attributes along which an expression reads `context`; empty for `context` itself, `None` for another expression.
pub(super) fn context_path(json: &Value) -> Option<Vec<&str>> {
    let members = json.as_object()?;
    if members.get("Var").and_then(Value::as_str) == Some("context") {
        return Some(Vec::new());
    }
    let access = members.get(".").or_else(|| members.get("has"))?;
    let mut path = context_path(access.get("left")?)?;
    match access.get("attr")? {
        Value::String(name) => path.push(name),
        // `context has source.threats`
        Value::Array(names) => {
            for name in names {
                path.push(name.as_str()?);
            }
        }
        _ => return None,
    }
    Some(path)
}

impl BitOr for Reads {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The values of the circumstances that policies read; the rest is left out, so that two of these are equal exactly if no
/// policy can tell them apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    address: Option<IpAddr>,
    threats: Option<Arc<BTreeSet<Arc<str>>>>,
    stale: Option<Arc<BTreeSet<Arc<str>>>>,
    now: Option<i64>,
    /// Hour, weekday, TLS and transaction, each 0 where not read.
    small: [u8; 4],
    /// The session's counters, rounded as policies see them.
    session: [Option<u64>; 4],
}

impl Seen {
    /// What `reads` lets policies see of `around`.
    pub(crate) fn new(reads: Reads, around: &Circumstances) -> Self {
        if reads == Reads::NOTHING {
            return Self::default();
        }
        let small = |one: Reads, value: u8| if reads.has(one) { value } else { 0 };
        let counter = |one: Reads, count: u64| reads.has(one).then(|| rounded(count));
        Self {
            address: reads.has(Reads::ADDRESS).then_some(around.source),
            threats: reads.has(Reads::THREATS).then(|| around.threats.clone()),
            stale: reads.has(Reads::STALE).then(|| around.stale.clone()),
            now: reads.has(Reads::NOW).then(|| around.now.millis()),
            small: [
                if reads.has(Reads::HOUR) { around.now.hour() } else { 0 },
                if reads.has(Reads::WEEKDAY) { around.now.weekday() } else { 0 },
                small(Reads::TLS, around.tls.into()),
                small(Reads::IN_TRANSACTION, around.in_transaction.into()),
            ],
            session: [
                counter(Reads::ROWS, around.session.rows_read),
                counter(Reads::BYTES, around.session.bytes_read),
                counter(Reads::DECISIONS, around.session.decisions),
                counter(Reads::DENIALS, around.session.denials),
            ],
        }
    }
}

#[cfg(test)]
mod tests;
