//! What is known of the types of a call's or an operator's arguments, to tell which overload the server would choose.
//!
//! It is a guess that knows what it does not know: columns, casts and constants have types, anything else may have any.

use kernel::operation::Action;

use super::analyse::Walk;
use super::analysis::Refused;
use super::catalogue::{FIRST_USER_OID, Operator, TypeKind};
use super::lineage::ColumnId;
use super::names::{inner, qualified, string, strings, unknown};
use super::parse::{NodeEnum, pb};
use super::scope::Scope;
use super::system::is_system_schema;

/// What is known of one argument's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guess {
    /// It has this type.
    Known(u32),
    /// A string, NULL or parameter, which takes the type that is wanted.
    Literal,
    /// A number: `int4`, `int8` or `numeric`. Texts that differ in their numbers alone share an analysis.
    Number,
    /// It may have any type.
    Any,
}

/// What a number may be.
const NUMBERS: [u32; 3] = [23, 20, 1700];

/// `any`, `anyarray`, `anyelement`, `anynonarray`, `anyenum`, `anyrange`, `anymultirange`, `anycompatible` and its kin,
/// `record`: they take values of many types.
fn is_polymorphic(oid: u32) -> bool {
    matches!(oid, 2249 | 2276 | 2277 | 2283 | 2776 | 3500 | 3831 | 4537 | 4538 | 5077..=5080)
}

impl Walk<'_> {
    /// What is known of the type of an expression.
    pub(super) fn guess(&mut self, node: &pb::Node, scope: &Scope<'_>) -> Guess {
        match &node.node {
            Some(NodeEnum::AConst(constant)) => match &constant.val {
                Some(pb::a_const::Val::Boolval(_)) => Guess::Known(16),
                Some(pb::a_const::Val::Sval(_)) | None => Guess::Literal,
                Some(pb::a_const::Val::Ival(_) | pb::a_const::Val::Fval(_)) => Guess::Number,
                Some(pb::a_const::Val::Bsval(_)) => Guess::Any,
            },
            // Its type is whatever the client says, if it says one.
            Some(NodeEnum::ParamRef(_)) => Guess::Any,
            Some(NodeEnum::TypeCast(cast)) => {
                cast.type_name.as_ref().and_then(|name| self.named_type(name)).map_or(Guess::Any, Guess::Known)
            }
            Some(NodeEnum::ColumnRef(_)) => self.column_guess(node, scope),
            Some(NodeEnum::CollateClause(collate)) => match collate.arg.as_deref() {
                Some(argument) => self.guess(argument, scope),
                None => Guess::Any,
            },
            _ => Guess::Any,
        }
    }

    fn column_guess(&mut self, node: &pb::Node, scope: &Scope<'_>) -> Guess {
        let Ok(lineage) = self.expr(node, scope) else { return Guess::Any };
        // A derived or set-valued column is not known to have the type of what it is made of.
        let (true, [first, ..]) = (lineage.bare, lineage.columns.as_slice()) else { return Guess::Any };
        let catalogue = self.context.catalogue;
        let type_of = |id: &ColumnId| catalogue.at(id.relation).and_then(|relation| relation.columns.get(id.column));
        // Of a temporary column the type may not be known.
        let known = type_of(first).map(|column| column.type_oid).filter(|oid| *oid != 0);
        let Some(known) = known else { return Guess::Any };
        if lineage.columns.iter().all(|id| type_of(id).is_some_and(|column| column.type_oid == known)) {
            Guess::Known(known)
        } else {
            Guess::Any
        }
    }

    /// The type that a cast names, if the catalogue knows it.
    pub(super) fn named_type(&self, name: &pb::TypeName) -> Option<u32> {
        if name.setof || name.pct_type || !name.array_bounds.is_empty() {
            return None;
        }
        let catalogue = self.context.catalogue;
        match name.names.as_slice() {
            [single] => catalogue.type_named(None, string(single)?),
            [schema, single] => catalogue.type_named(Some(string(schema)?), string(single)?),
            _ => None,
        }
    }

    /// Whether a parameter of that type takes such an argument. In doubt it does.
    pub(super) fn accepts(&self, wanted: u32, guess: Guess) -> bool {
        let catalogue = self.context.catalogue;
        let given = match guess {
            Guess::Known(given) => given,
            Guess::Number => return NUMBERS.iter().any(|number| self.accepts(wanted, Guess::Known(*number))),
            Guess::Literal | Guess::Any => return true,
        };
        if wanted == given || is_polymorphic(wanted) {
            return true;
        }
        let base = catalogue.base_type(given);
        if base == wanted || catalogue.coerces(given, wanted) || catalogue.coerces(base, wanted) {
            return true;
        }
        // Types that the catalogue does not know, and rows and arrays, which are taken as others in ways of their own.
        let doubtful = |oid: u32| {
            catalogue.type_of(oid).is_none_or(|found| {
                matches!(found.kind, TypeKind::Composite(_) | TypeKind::Array(_) | TypeKind::Pseudo)
            })
        };
        doubtful(given) || doubtful(wanted)
    }

    /// Whether values of this type, or of what it holds, may become others unasked by somebody's cast; notes the call.
    pub(super) fn changes_unasked(&mut self, oid: u32) -> bool {
        let catalogue = self.context.catalogue;
        let base = catalogue.base_type(oid);
        let element = match catalogue.type_of(base).map(|found| found.kind) {
            Some(TypeKind::Array(element)) => element,
            _ => base,
        };
        let mut changes = false;
        for cast in catalogue.casts() {
            let touches = |oid: u32| cast.source == oid || (cast.target == oid && oid >= FIRST_USER_OID);
            if cast.unasked && (touches(base) || touches(element)) {
                changes |= !self.calls_function(cast.function);
            }
        }
        changes
    }

    /// An explicit cast: the function that it may call, if that is not the server's own, and those that check its result. True
    /// if it only computes. An array is cast by its elements.
    pub(super) fn casts_by(&mut self, argument: &pb::Node, target: &pb::TypeName, scope: &Scope<'_>) -> bool {
        let catalogue = self.context.catalogue;
        let element = pb::TypeName { array_bounds: Vec::new(), ..target.clone() };
        let wanted = self.named_type(&element);
        if let Some(wanted) = wanted {
            self.checked(wanted);
        }
        if catalogue.casts().is_empty() {
            return true;
        }
        let given = match &argument.node {
            // It has the type that is wanted, unless the client declares another: see `Catalogue::has_added_cast_from`.
            Some(NodeEnum::ParamRef(_)) => Guess::Literal,
            _ => self.guess(argument, scope),
        };
        let inside = |oid: u32| {
            let base = catalogue.base_type(oid);
            match catalogue.type_of(base).map(|found| found.kind) {
                Some(TypeKind::Array(element)) => [oid, base, element],
                _ => [oid, base, base],
            }
        };
        let mut computes = true;
        for cast in catalogue.casts() {
            let to = wanted
                .is_none_or(|wanted| inside(wanted).contains(&cast.target) || inside(cast.target).contains(&wanted));
            let from = match given {
                Guess::Known(given) => inside(given).contains(&cast.source),
                Guess::Number => NUMBERS.contains(&cast.source),
                // A string takes the type by its input function.
                Guess::Literal => false,
                Guess::Any => true,
            };
            if to && from {
                computes &= self.calls_function(cast.function);
            }
        }
        computes
    }

    /// An operator between two operands: whether it only computes. A planted one that could win is a call that policy
    /// must know, and its result is opaque.
    pub(super) fn operates(
        &mut self,
        name: &[pb::Node],
        left: Option<&pb::Node>,
        right: Option<&pb::Node>,
        scope: &Scope<'_>,
    ) -> Result<bool, Refused> {
        let words = strings(name)?;
        let names: &[&str] = match words.as_slice() {
            [] => return Ok(true),
            ["BETWEEN" | "NOT BETWEEN" | "BETWEEN SYMMETRIC" | "NOT BETWEEN SYMMETRIC"] => &["<", ">", "<=", ">="],
            one @ [_] => one,
            _ => return self.qualified_operator(&words, left, right, scope),
        };
        let mut computes = true;
        for name in names {
            computes &= self.unqualified_operator(name, left, right, scope);
        }
        Ok(computes)
    }

    fn qualified_operator(
        &mut self,
        words: &[&str],
        left: Option<&pb::Node>,
        right: Option<&pb::Node>,
        scope: &Scope<'_>,
    ) -> Result<bool, Refused> {
        let Some((Some(schema), operator)) = qualified(words) else { return unknown(-1) };
        if is_system_schema(schema) {
            return Ok(true);
        }
        let catalogue = self.context.catalogue;
        let sides = self.sides(left, right, scope);
        let functions: Vec<u32> = catalogue
            .operators(operator)
            .iter()
            .filter(|known| *known.schema == *schema && self.may_take(known, sides))
            .map(|known| known.function)
            .collect();
        if functions.is_empty() {
            let key = (schema.into(), operator.into());
            self.found.calls.insert(key, Action::SqlCall);
            return Ok(false);
        }
        Ok(self.calls_each(&functions))
    }

    fn unqualified_operator(
        &mut self,
        name: &str,
        left: Option<&pb::Node>,
        right: Option<&pb::Node>,
        scope: &Scope<'_>,
    ) -> bool {
        let catalogue = self.context.catalogue;
        let known = catalogue.operators(name);
        let foreign =
            |schema: &str| !is_system_schema(schema) && catalogue.common.search_path.iter().any(|own| **own == *schema);
        if !known.iter().any(|operator| foreign(&operator.schema)) {
            return true;
        }
        let sides = self.sides(left, right, scope);
        let own = |left: u32, right: u32| {
            known.iter().any(|own| &*own.schema == "pg_catalog" && own.left == left && own.right == right)
        };
        // An exact match comes first, and `pg_catalog` before other schemas. A literal is tried as the other side's type,
        // then as the type below that domain.
        let pairs: &[(u32, u32)] = &match sides {
            (Guess::Known(left), Guess::Known(right)) => [(left, right); 2],
            (Guess::Known(one), Guess::Literal) | (Guess::Literal, Guess::Known(one)) => {
                let base = catalogue.base_type(one);
                [(one, one), (base, base)]
            }
            _ => [(0, 0); 2],
        };
        for (left, right) in pairs.iter().copied().filter(|pair| *pair != (0, 0)) {
            if own(left, right) {
                return true;
            }
            let mut visible = known.iter().filter(|operator| foreign(&operator.schema));
            if let Some(exact) = visible.find(|operator| operator.left == left && operator.right == right) {
                return self.calls_function(exact.function);
            }
        }
        let planted: Vec<u32> = known
            .iter()
            .filter(|operator| foreign(&operator.schema) && !own(operator.left, operator.right))
            .filter(|operator| self.may_take(operator, sides))
            .map(|operator| operator.function)
            .collect();
        self.calls_each(&planted)
    }

    /// Notes a call of each, since any of them may be chosen; true if all of them only compute.
    fn calls_each(&mut self, functions: &[u32]) -> bool {
        let mut computes = true;
        for oid in functions {
            computes &= self.calls_function(*oid);
        }
        computes
    }

    fn sides(&mut self, left: Option<&pb::Node>, right: Option<&pb::Node>, scope: &Scope<'_>) -> (Guess, Guess) {
        let absent = Guess::Known(0);
        let left = left.map_or(absent, |node| self.guess(node, scope));
        let right = match right {
            // `IN (…)` compares with each of the list.
            Some(node) if matches!(inner(node), Ok(NodeEnum::List(_))) => Guess::Any,
            Some(node) => self.guess(node, scope),
            None => absent,
        };
        (left, right)
    }

    fn may_take(&self, operator: &Operator, sides: (Guess, Guess)) -> bool {
        let side = |wanted: u32, guess: Guess| {
            let absent = guess == Guess::Known(0);
            if wanted == 0 || absent { wanted == 0 && absent } else { self.accepts(wanted, guess) }
        };
        side(operator.left, sides.0) && side(operator.right, sides.1)
    }
}
