//! Conditions that hold whatever is in the rows (hazards PL16): what the text alone gives away.

use super::analyse::Walk;
use super::catalogue::{Function, Volatility};
use super::lineage::Lineage;
use super::names::{constant_word, string};
use super::parse::{NodeEnum, pb};
use super::predicate::Truth;
use super::scope::Scope;

impl Walk<'_> {
    /// Comparisons whose result the text alone gives away: `1 = 1`, `id = id`, `id IN (id)`, `x LIKE '%'`.
    pub(super) fn cancels(&mut self, expr: &pb::AExpr, name: &str, a: &pb::Node, b: &pb::Node) -> Option<Truth> {
        use pb::AExprKind as Kind;
        use pb::a_const::Val;
        let reflexive = match name {
            "=" | "<=" | ">=" => Truth::TRUE,
            _ => Truth::FALSE,
        };
        match expr.kind() {
            Kind::AexprOp if matches!(name, "=" | "<=" | ">=" | "<>" | "<" | ">") => {
                if let (Some(NodeEnum::AConst(left)), Some(NodeEnum::AConst(right))) = (&a.node, &b.node) {
                    // The verdict depends on the values of two constants.
                    self.found.shareable = false;
                    if let (Some(Val::Ival(left)), Some(Val::Ival(right))) = (&left.val, &right.val) {
                        let holds = match name {
                            "=" => left.ival == right.ival,
                            "<>" => left.ival != right.ival,
                            "<" => left.ival < right.ival,
                            ">" => left.ival > right.ival,
                            "<=" => left.ival <= right.ival,
                            _ => left.ival >= right.ival,
                        };
                        return Some(if holds { Truth::TRUE } else { Truth::FALSE });
                    }
                    // Other types have equalities of their own; only the same text is surely equal.
                    let (left, right) = (constant_word(left)?, constant_word(right)?);
                    return Some(match name {
                        "=" if left == right => Truth::TRUE,
                        "<>" if left == right => Truth::FALSE,
                        _ => Truth::CONSTANT,
                    });
                }
                self.same(a, b).then_some(reflexive)
            }
            Kind::AexprNotDistinct => self.same(a, b).then_some(Truth::TRUE),
            Kind::AexprDistinct => self.same(a, b).then_some(Truth::FALSE),
            Kind::AexprIn | Kind::AexprBetween | Kind::AexprBetweenSym => {
                let Some(NodeEnum::List(list)) = &b.node else { return None };
                let mut same = list.items.iter().map(|item| self.same(a, item));
                let all = expr.kind() != Kind::AexprIn;
                let hit = if all { same.all(|same| same) } else { same.any(|same| same) };
                hit.then_some(if name == "<>" { Truth::FALSE } else { Truth::TRUE })
            }
            Kind::AexprOpAny if name == "=" => {
                let Some(NodeEnum::AArrayExpr(array)) = &b.node else { return None };
                array.elements.iter().any(|item| self.same(a, item)).then_some(Truth::TRUE)
            }
            Kind::AexprLike | Kind::AexprIlike => {
                let Some(NodeEnum::AConst(pattern)) = &b.node else { return None };
                self.found.shareable = false;
                let all = constant_word(pattern)
                    .is_some_and(|text| text.bytes().all(|byte| byte == b'%') && !text.is_empty());
                all.then_some(if name.starts_with('!') { Truth::FALSE } else { Truth::TRUE })
            }
            _ => None,
        }
    }

    /// `x OR NOT x`, `x IS NULL OR x IS NOT NULL`, `a < b OR a >= b`.
    pub(super) fn has_complements(&mut self, parts: &[pb::Node]) -> bool {
        // Bounded: a long OR is not compared pair by pair.
        let parts = parts.get(..16).unwrap_or(parts);
        for (place, a) in parts.iter().enumerate() {
            for b in parts.iter().skip(place + 1) {
                let (opposite, constants) = complements(a, b);
                self.found.shareable &= !constants;
                if opposite || self.covers(a, b) {
                    return true;
                }
            }
        }
        false
    }

    /// Whether two expressions are the same text, apart from places. Constants inside decide by value.
    fn same(&mut self, a: &pb::Node, b: &pb::Node) -> bool {
        let (same, constants) = same(a, b, 0);
        if constants {
            self.found.shareable = false;
        }
        same
    }

    /// `x = 1 AND x <> 1`, `x < a AND x >= a`: what holds for no row.
    pub(super) fn has_contradiction(&mut self, parts: &[pb::Node]) -> bool {
        let parts = parts.get(..16).unwrap_or(parts);
        for (place, a) in parts.iter().enumerate() {
            for b in parts.iter().skip(place + 1) {
                let (opposite, constants) = complements(a, b);
                self.found.shareable &= !constants;
                if opposite {
                    return true;
                }
            }
        }
        false
    }

    /// `x > 5 OR x < 10`, `x <> 1 OR x <> 2`: together they leave nothing out.
    fn covers(&mut self, a: &pb::Node, b: &pb::Node) -> bool {
        let (Some(left), Some(right)) = (against_number(a), against_number(b)) else { return false };
        if !matches!((left.1, right.1), (">" | ">=", "<" | "<=") | ("<" | "<=", ">" | ">=") | ("<>", "<>"))
            || !self.same(left.0, right.0)
        {
            return false;
        }
        self.found.shareable = false;
        match (left.1, right.1) {
            (">" | ">=", _) => left.2 < right.2,
            ("<" | "<=", _) => right.2 < left.2,
            _ => left.2 != right.2,
        }
    }

    /// `n >= -2147483648`, `abs(n) >= 0`, `name >= ''`, `name ~ '.*'`: what every value of the type fulfils.
    pub(super) fn holds_for_all(
        &mut self,
        expr: &pb::AExpr,
        name: &str,
        a: &pb::Node,
        b: &pb::Node,
        left: &Lineage,
    ) -> bool {
        if expr.kind() != pb::AExprKind::AexprOp {
            return false;
        }
        let Some(NodeEnum::AConst(constant)) = &b.node else { return false };
        if !matches!(name, ">=" | ">" | "<=" | "~" | "~*") {
            return false;
        }
        // The verdict depends on the constant.
        self.found.shareable = false;
        let Some(word) = constant_word(constant) else { return false };
        if matches!(name, "~" | "~*") {
            return matches!(word.as_str(), "" | "^" | "$" | ".*" | "^.*" | ".*$" | "^.*$");
        }
        if name == ">=" && word.is_empty() {
            return true;
        }
        let Ok(number) = word.parse::<i128>() else { return false };
        let (least, most) = self.extremes(a, left);
        match name {
            ">=" => least.is_some_and(|least| number <= least),
            ">" => least.is_some_and(|least| number < least),
            _ => most.is_some_and(|most| number >= most),
        }
    }

    /// The least and the greatest that an expression can be, where that is known.
    fn extremes(&self, node: &pb::Node, lineage: &Lineage) -> (Option<i128>, Option<i128>) {
        if let Some(NodeEnum::FuncCall(call)) = &node.node {
            let counts = call.funcname.last().and_then(string).is_some_and(|name| {
                matches!(name, "abs" | "length" | "char_length" | "character_length" | "octet_length" | "cardinality")
            });
            return (counts.then_some(0), None);
        }
        let (true, Some(id)) = (lineage.bare, lineage.columns.first()) else { return (None, None) };
        let relation = self.context.catalogue.at(id.relation);
        match relation.and_then(|relation| relation.columns.get(id.column)).map(|column| &*column.type_name) {
            Some("int2") => (Some(i16::MIN.into()), Some(i16::MAX.into())),
            Some("int4") => (Some(i32::MIN.into()), Some(i32::MAX.into())),
            Some("int8") => (Some(i64::MIN.into()), Some(i64::MAX.into())),
            _ => (None, None),
        }
    }

    /// `x - x`, `x * 0`: no column takes part in what they come to.
    pub(super) fn vanishes(&mut self, node: &pb::Node) -> bool {
        let Some(NodeEnum::AExpr(expr)) = &node.node else { return false };
        let (Some(a), Some(b)) = (expr.lexpr.as_deref(), expr.rexpr.as_deref()) else { return false };
        match expr.name.last().and_then(string) {
            Some("-" | "#" | "/" | "%") if self.same(a, b) => true,
            Some("*") if is_zero(a) || is_zero(b) => {
                self.found.shareable = false;
                true
            }
            Some("*") if is_number(a) || is_number(b) => {
                self.found.shareable = false;
                false
            }
            _ => false,
        }
    }

    /// Whether an expression is one value for the whole statement: constants and parameters, and what is computed from them
    /// by functions that give the same for the same.
    pub(super) fn is_one_value(&self, node: &pb::Node, scope: &Scope<'_>) -> bool {
        let side = |node: &Option<Box<pb::Node>>| node.as_deref().is_none_or(|node| self.is_one_value(node, scope));
        match &node.node {
            Some(NodeEnum::AConst(_) | NodeEnum::ParamRef(_) | NodeEnum::SqlvalueFunction(_)) => true,
            Some(NodeEnum::TypeCast(cast)) => side(&cast.arg),
            Some(NodeEnum::CollateClause(collate)) => side(&collate.arg),
            Some(NodeEnum::AExpr(expr)) => side(&expr.lexpr) && side(&expr.rexpr),
            Some(NodeEnum::List(list)) => matches!(list.items.as_slice(), [only] if self.is_one_value(only, scope)),
            // In the body of a function, an argument by its name.
            Some(NodeEnum::ColumnRef(column)) if self.arguments_outside => match column.fields.as_slice() {
                [name] => string(name)
                    .and_then(|name| scope.column(name))
                    .is_some_and(|(lineage, depth)| depth == 0 && lineage.is_clear()),
                _ => false,
            },
            Some(NodeEnum::FuncCall(call)) => {
                let known = self.context.catalogue;
                let known = call.funcname.last().and_then(string).map_or(&[][..], |name| known.functions(name));
                let steady = |function: &Function| function.volatility != Volatility::Volatile && !function.returns_set;
                let arguments = call.args.iter().all(|node| self.is_one_value(node, scope));
                !known.is_empty() && known.iter().all(steady) && arguments
            }
            _ => false,
        }
    }
}

/// `x > 5` as `x`, `>` and 5.
fn against_number(node: &pb::Node) -> Option<(&pb::Node, &str, i128)> {
    let Some(NodeEnum::AExpr(expr)) = &node.node else { return None };
    if expr.kind() != pb::AExprKind::AexprOp {
        return None;
    }
    let Some(NodeEnum::AConst(constant)) = &expr.rexpr.as_deref()?.node else { return None };
    Some((expr.lexpr.as_deref()?, string(expr.name.last()?)?, constant_word(constant)?.parse().ok()?))
}

fn is_number(node: &pb::Node) -> bool {
    matches!(&node.node, Some(NodeEnum::AConst(constant)) if matches!(constant.val, Some(pb::a_const::Val::Ival(_))))
}

fn is_zero(node: &pb::Node) -> bool {
    matches!(&node.node, Some(NodeEnum::AConst(constant))
        if matches!(&constant.val, Some(pb::a_const::Val::Ival(number)) if number.ival == 0))
}

/// The constant NULL, with or without a type.
pub(super) fn is_null(node: &pb::Node) -> bool {
    match &node.node {
        Some(NodeEnum::AConst(constant)) => constant.val.is_none(),
        Some(NodeEnum::TypeCast(cast)) => cast.arg.as_deref().is_some_and(is_null),
        _ => false,
    }
}

/// Whether an expression is NULL only if something in it is: operators, casts, columns and constants.
pub(super) fn is_strict(node: &pb::Node) -> bool {
    let side = |node: &Option<Box<pb::Node>>| node.as_deref().is_none_or(is_strict);
    match &node.node {
        Some(NodeEnum::ColumnRef(_)) => true,
        Some(NodeEnum::AConst(constant)) => constant.val.is_some(),
        Some(NodeEnum::TypeCast(cast)) => side(&cast.arg),
        Some(NodeEnum::AExpr(expr)) if expr.kind() == pb::AExprKind::AexprOp => side(&expr.lexpr) && side(&expr.rexpr),
        _ => false,
    }
}

/// Whether a subquery has anything by which it could leave rows out.
pub(super) fn has_condition(node: Option<&pb::Node>) -> bool {
    let Some(NodeEnum::SelectStmt(select)) = node.and_then(|node| node.node.as_ref()) else { return true };
    let counted = select.limit_offset.is_some() || select.limit_count.is_some();
    let plain = |node: &pb::Node| matches!(node.node, Some(NodeEnum::RangeVar(_)));
    select.op() != pb::SetOperation::SetopNone
        || select.where_clause.is_some()
        || select.having_clause.is_some()
        || select.with_clause.is_some()
        || counted
        || !select.from_clause.iter().all(plain)
}

/// Whether one part is the other's opposite, and whether constants had to be compared for it.
fn complements(a: &pb::Node, b: &pb::Node) -> (bool, bool) {
    let equal = |a: Option<&pb::Node>, b: Option<&pb::Node>| match (a, b) {
        (Some(a), Some(b)) => same(a, b, 0),
        _ => (false, false),
    };
    match (&a.node, &b.node) {
        (Some(NodeEnum::NullTest(left)), Some(NodeEnum::NullTest(right)))
            if left.nulltesttype != right.nulltesttype =>
        {
            equal(left.arg.as_deref(), right.arg.as_deref())
        }
        (Some(NodeEnum::BoolExpr(not)), _) if not.boolop() == pb::BoolExprType::NotExpr => {
            equal(not.args.first(), Some(b))
        }
        (_, Some(NodeEnum::BoolExpr(not))) if not.boolop() == pb::BoolExprType::NotExpr => {
            equal(not.args.first(), Some(a))
        }
        (Some(NodeEnum::AExpr(left)), Some(NodeEnum::AExpr(right))) if left.kind == right.kind => {
            let name = |expr: &pb::AExpr| expr.name.last().and_then(string).unwrap_or_default().to_owned();
            let pair = (name(left), name(right));
            let opposite = [("=", "<>"), ("<", ">="), (">", "<=")]
                .iter()
                .any(|(x, y)| (pair.0 == *x && pair.1 == *y) || (pair.0 == *y && pair.1 == *x));
            if !opposite {
                return (false, false);
            }
            let (first, constants) = equal(left.lexpr.as_deref(), right.lexpr.as_deref());
            let (second, more) = equal(left.rexpr.as_deref(), right.rexpr.as_deref());
            (first && second, constants || more)
        }
        _ => (false, false),
    }
}

/// Whether two nodes say the same, and whether constants had to be compared for it. Only forms that are worth the while.
fn same(a: &pb::Node, b: &pb::Node, depth: usize) -> (bool, bool) {
    if depth > 32 {
        return (false, false);
    }
    let boxes = |a: &Option<Box<pb::Node>>, b: &Option<Box<pb::Node>>| match (a, b) {
        (None, None) => (true, false),
        (Some(a), Some(b)) => same(a, b, depth + 1),
        _ => (false, false),
    };
    let both = |x: (bool, bool), y: (bool, bool)| (x.0 && y.0, x.1 || y.1);
    match (&a.node, &b.node) {
        (Some(NodeEnum::ColumnRef(a)), Some(NodeEnum::ColumnRef(b))) => {
            let names =
                |column: &pb::ColumnRef| column.fields.iter().filter_map(string).map(str::to_owned).collect::<Vec<_>>();
            let (a, b) = (names(a), names(b));
            // `t.id = id` compares a column with itself, or is ambiguous.
            let qualified = a.len() == b.len();
            (if qualified { a == b } else { a.last() == b.last() && a.len().min(b.len()) == 1 }, false)
        }
        (Some(NodeEnum::AConst(a)), Some(NodeEnum::AConst(b))) => (a.val == b.val && a.isnull == b.isnull, true),
        (Some(NodeEnum::ParamRef(a)), Some(NodeEnum::ParamRef(b))) => (a.number == b.number, false),
        (Some(NodeEnum::TypeCast(x)), Some(NodeEnum::TypeCast(y))) => {
            let names = |cast: &pb::TypeCast| cast.type_name.as_ref().map(|name| name.names.clone());
            if names(x) == names(y) { boxes(&x.arg, &y.arg) } else { (false, false) }
        }
        (Some(NodeEnum::AExpr(x)), Some(NodeEnum::AExpr(y))) if x.kind == y.kind && x.name == y.name => {
            both(boxes(&x.lexpr, &y.lexpr), boxes(&x.rexpr, &y.rexpr))
        }
        (Some(NodeEnum::FuncCall(x)), Some(NodeEnum::FuncCall(y)))
            if x.funcname == y.funcname && x.args.len() == y.args.len() =>
        {
            x.args.iter().zip(&y.args).map(|(x, y)| same(x, y, depth + 1)).fold((true, false), both)
        }
        (Some(NodeEnum::RowExpr(x)), Some(NodeEnum::RowExpr(y))) if x.args.len() == y.args.len() => {
            x.args.iter().zip(&y.args).map(|(x, y)| same(x, y, depth + 1)).fold((true, false), both)
        }
        (Some(NodeEnum::CoalesceExpr(x)), Some(NodeEnum::CoalesceExpr(y))) if x.args.len() == y.args.len() => {
            x.args.iter().zip(&y.args).map(|(x, y)| same(x, y, depth + 1)).fold((true, false), both)
        }
        _ => (false, false),
    }
}
