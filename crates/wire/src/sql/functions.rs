//! Which functions merely compute, which policy must know by name, and which run SQL or the server.
//!
//! A call means PostgreSQL's own function only if no function of the same name in a schema of the search path could win over
//! it: one that takes that many arguments of these types, as far as they are known, and whose signature the server's own
//! does not have (hazards PL14). Functions of extensions that only compute count as the server's own where they are written
//! in C, which only a superuser can add.

use std::sync::Arc;

use kernel::operation::Action;

use super::analyse::Walk;
use super::arguments::Guess;
use super::builtin::{administers, is_harmless};
use super::catalogue::{Catalogue, Function, Signature, Volatility};
use super::system::is_system_schema;

/// What a call is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Called {
    /// It computes from its arguments, or looks at what is harmless. The schema in which it lives.
    Computes(Arc<str>),
    /// `set_config`, which is SET in another form.
    SetsConfig,
    /// Policy must know it: where it lives, and as what it is judged. Its result is opaque unless its body can be looked
    /// into, then the object id says which function it is.
    Judged(Arc<str>, Action, Option<u32>),
}

/// Extensions whose functions in C do nothing but compute, up to this volatility.
fn computing_extension(name: &str) -> Option<Volatility> {
    match name {
        "citext" | "hstore" | "ltree" | "pg_trgm" | "fuzzystrmatch" | "intarray" | "cube" | "earthdistance" | "seg"
        | "isn" | "btree_gin" | "btree_gist" | "unaccent" | "vector" | "intagg" | "dict_int" | "dict_xsyn"
        | "semver" => Some(Volatility::Stable),
        "pgcrypto" | "uuid-ossp" => Some(Volatility::Volatile),
        // Some of its stable functions read other relations.
        "postgis" => Some(Volatility::Immutable),
        _ => None,
    }
}

/// Whether a function that is not the server's own does nothing but compute.
pub(super) fn only_computes(function: &Function) -> bool {
    matches!(&*function.language, "c" | "internal")
        && !function.security_definer
        && function.extension.as_deref().and_then(computing_extension).is_some_and(|worst| function.volatility <= worst)
}

/// Whether as many arguments can be given.
pub(super) fn takes(signature: &Signature, count: usize) -> bool {
    let most = signature.arguments.len();
    let least = most.saturating_sub(signature.defaults);
    if signature.variadic { count + 1 >= least } else { (least..=most).contains(&count) }
}

impl Walk<'_> {
    /// What calling `name` with these arguments is, under the pinned path. The schema is given where the statement
    /// qualifies it.
    pub(super) fn called(&self, schema: Option<&str>, name: &str, guesses: &[Guess]) -> Called {
        let catalogue = self.context.catalogue;
        let known = catalogue.functions(name);
        let fits =
            |function: &&Function| function.signature.as_ref().is_none_or(|signature| takes(signature, guesses.len()));
        let candidates: Vec<&Function> = match schema {
            Some(schema) if is_system_schema(schema) => Vec::new(),
            Some(schema) => known.iter().filter(|function| *function.schema == *schema).filter(fits).collect(),
            None => {
                let planted = known
                    .iter()
                    .filter(|function| catalogue.common.search_path.contains(&function.schema))
                    .filter(|function| !is_system_schema(&function.schema));
                planted.filter(fits).filter(|function| self.may_win(known, function, guesses)).collect()
            }
        };
        let own = known.iter().filter(|function| &*function.schema == "pg_catalog");
        let home = match (schema, candidates.first()) {
            (Some(schema), _) => Arc::from(schema),
            (None, Some(first)) => first.schema.clone(),
            (None, None) if own.clone().next().is_some() => Arc::from("pg_catalog"),
            (None, None) => catalogue.common.search_path.first().cloned().unwrap_or_else(|| Arc::from("public")),
        };
        if administers(name) {
            return Called::Judged(home, Action::SqlAdminister, None);
        }
        if !is_system_schema(&home) {
            if !candidates.is_empty() && candidates.iter().all(|function| only_computes(function)) {
                return Called::Computes(home);
            }
            let alone = schema.is_some() || own.clone().find(fits).is_none();
            let only = match candidates.as_slice() {
                [only] if alone => only.signature.as_ref(),
                _ => None,
            };
            return Called::Judged(home, Action::SqlCall, only.map(|signature| signature.oid));
        }
        if name == "set_config" {
            return Called::SetsConfig;
        }
        let worst = known.iter().filter(|function| function.schema == home).map(|own| own.volatility).max();
        match worst {
            Some(Volatility::Immutable | Volatility::Stable) => Called::Computes(home),
            Some(Volatility::Volatile) if is_harmless(name) => Called::Computes(home),
            Some(Volatility::Volatile) | None => Called::Judged(home, Action::SqlCall, None),
        }
    }

    /// Whether a function of the search path could be chosen although the server has its own of that name.
    fn may_win(&self, known: &[Function], planted: &Function, guesses: &[Guess]) -> bool {
        let Some(signature) = &planted.signature else { return true };
        let mut own = known
            .iter()
            .filter(|function| &*function.schema == "pg_catalog")
            .filter_map(|function| function.signature.as_ref());
        let hidden = own.any(|own| own.arguments == signature.arguments && !own.variadic && !signature.variadic);
        if hidden {
            // `pg_catalog` stands before every other schema.
            return false;
        }
        let own = known.iter().filter(|function| &*function.schema == "pg_catalog");
        let exact = own.filter_map(|function| function.signature.as_ref()).any(|own| {
            own.arguments.len() == guesses.len()
                && own.arguments.iter().zip(guesses).all(|(wanted, guess)| *guess == Guess::Known(*wanted))
        });
        if exact {
            return false;
        }
        let last = signature.arguments.last().copied();
        guesses.iter().enumerate().all(|(place, guess)| {
            let wanted = match signature.arguments.get(place).copied() {
                Some(wanted) if !(signature.variadic && place + 1 == signature.arguments.len()) => Some(wanted),
                _ => None,
            };
            match wanted.or(if signature.variadic { None } else { last }) {
                Some(wanted) => self.accepts(wanted, *guess),
                None => true,
            }
        })
    }

    /// Notes a call by object id, of an operator's or a cast's function or a trigger's. False if its result is opaque.
    pub(super) fn calls_function(&mut self, oid: u32) -> bool {
        let catalogue = self.context.catalogue;
        match catalogue.function(oid) {
            Some((name, function)) => {
                self.found.functions.insert(format!("{}.{name}", function.schema).into());
                if only_computes(function) {
                    return true;
                }
                self.found.calls.insert((function.schema.clone(), name.clone()), Action::SqlCall);
                false
            }
            // The server's own, unless it came into being after the catalogue was read.
            None => oid != 0 && oid < super::catalogue::FIRST_USER_OID,
        }
    }
}

/// The columns of a function in FROM: the names of its OUT parameters, or of the fields of its row type, or one named like
/// itself, or not known.
pub(super) fn result_columns(catalogue: &Catalogue, schema: Option<&str>, name: &str) -> Option<Vec<Arc<str>>> {
    if name == "unnest" {
        // Of an array of rows it returns more than one column; then the result's width disagrees with ours, and the
        // masks refuse it.
        return Some(Vec::new());
    }
    let mut candidates =
        catalogue.functions(name).iter().filter(|function| schema.is_none_or(|schema| *function.schema == *schema));
    let first = candidates.next()?;
    let result = |function: &Function| function.signature.as_ref().map(|signature| signature.result);
    let rows = |function: &Function| function.returns_row.then(|| result(function));
    if candidates.any(|other| other.outputs != first.outputs || rows(other) != rows(first)) {
        return None;
    }
    match (first.outputs.as_slice(), first.returns_row) {
        ([], true) => {
            let fields = catalogue.fields(result(first)?)?;
            Some(fields.into_iter().map(|(name, _)| name).collect()).filter(|names: &Vec<_>| !names.is_empty())
        }
        ([], false) => Some(Vec::new()),
        (names, _) => Some(names.to_vec()),
    }
}
