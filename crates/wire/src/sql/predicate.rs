//! Conditions: which columns decide which rows exist, in which way, and whether the condition is constant.
//!
//! "Constant" is what can be proved here: no name of the condition's own level takes part, or the parts cancel out. It is
//! no theorem prover; the real row count is the second look.

use kernel::facts::Inference;

use super::analyse::Walk;
use super::analysis::Refused;
use super::lineage::Lineage;
use super::names::{constant_word, inner, string};
use super::parse::{NodeEnum, pb};
use super::scope::Scope;

/// What a condition says of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Truth {
    /// It may hold for every row, whatever is in them.
    all: bool,
    /// It may hold for none, whatever is in them.
    none: bool,
    /// It depends on the row.
    varies: bool,
}

impl Truth {
    const TRUE: Self = Self { all: true, none: false, varies: false };
    const FALSE: Self = Self { all: false, none: true, varies: false };
    /// The same for every row, though not known which.
    const CONSTANT: Self = Self { all: true, none: true, varies: false };
    const VARIES: Self = Self { all: false, none: false, varies: true };

    /// Whether the condition limits the rows.
    pub(super) fn limits(self) -> bool {
        self.varies && !self.all
    }

    fn not(self) -> Self {
        Self { all: self.none, none: self.all, varies: self.varies }
    }

    fn and(self, other: Self) -> Self {
        Self { all: self.all && other.all, none: self.none || other.none, varies: self.varies || other.varies }
    }

    fn or(self, other: Self) -> Self {
        self.not().and(other.not()).not()
    }
}

impl Walk<'_> {
    /// Walks a condition.
    pub(super) fn filter(&mut self, node: &pb::Node, scope: &Scope<'_>) -> Result<Truth, Refused> {
        match inner(node)? {
            NodeEnum::BoolExpr(expr) => {
                let mut parts = Vec::with_capacity(expr.args.len());
                for part in &expr.args {
                    parts.push(self.filter(part, scope)?);
                }
                Ok(match expr.boolop() {
                    pb::BoolExprType::AndExpr => parts.into_iter().fold(Truth::TRUE, Truth::and),
                    pb::BoolExprType::OrExpr if self.has_complements(&expr.args) => Truth::TRUE,
                    pb::BoolExprType::OrExpr => parts.into_iter().fold(Truth::FALSE, Truth::or),
                    pb::BoolExprType::NotExpr => parts.first().map_or(Truth::CONSTANT, |part| part.not()),
                    pb::BoolExprType::Undefined => return super::names::unknown(expr.location),
                })
            }
            NodeEnum::AConst(constant) => Ok(match &constant.val {
                Some(pb::a_const::Val::Boolval(value)) if value.boolval => Truth::TRUE,
                Some(pb::a_const::Val::Boolval(_)) | None => Truth::FALSE,
                Some(_) => Truth::CONSTANT,
            }),
            NodeEnum::AExpr(expr) => self.comparison(expr, node, scope),
            NodeEnum::NullTest(test) => {
                let (lineage, varies) = self.side(test.arg.as_deref(), scope)?;
                self.found.infer(&lineage, Inference::Expression);
                Ok(match test.nulltesttype() {
                    pb::NullTestType::IsNotNull if self.never_null(&lineage) => Truth::TRUE,
                    pb::NullTestType::IsNull if self.never_null(&lineage) => Truth::FALSE,
                    _ => truth(varies),
                })
            }
            _ => {
                let (lineage, varies) = self.leaf(node, scope)?;
                self.found.infer(&lineage, Inference::Expression);
                Ok(truth(varies))
            }
        }
    }

    /// A part of a condition, and whether it depends on a row of this level.
    fn leaf(&mut self, node: &pb::Node, scope: &Scope<'_>) -> Result<(Lineage, bool), Refused> {
        let before = std::mem::take(&mut self.touched);
        let lineage = self.expr(node, scope)?;
        let varies = self.touched & (1 << scope.depth.min(63)) != 0;
        self.touched |= before;
        Ok((lineage, varies))
    }

    fn side(&mut self, node: Option<&pb::Node>, scope: &Scope<'_>) -> Result<(Lineage, bool), Refused> {
        match node {
            Some(node) => self.leaf(node, scope),
            None => Ok((Lineage::clear(), false)),
        }
    }

    fn never_null(&self, lineage: &Lineage) -> bool {
        lineage.bare
            && lineage.columns.iter().any(|id| {
                let relation = self.context.catalogue.relations.get(id.relation);
                relation.and_then(|relation| relation.columns.get(id.column)).is_some_and(|column| column.not_null)
            })
    }

    fn comparison(&mut self, expr: &pb::AExpr, node: &pb::Node, scope: &Scope<'_>) -> Result<Truth, Refused> {
        if expr.kind() == pb::AExprKind::AexprNullif {
            let (lineage, varies) = self.leaf(node, scope)?;
            self.found.infer(&lineage, Inference::Expression);
            return Ok(truth(varies));
        }
        let own = self.operator(&expr.name)?;
        let (left, left_varies) = self.side(expr.lexpr.as_deref(), scope)?;
        let (right, right_varies) = self.side(expr.rexpr.as_deref(), scope)?;
        let name = expr.name.last().and_then(string).unwrap_or_default();
        let how = if own { inference(expr, name, &left, &right) } else { Inference::Expression };
        self.found.infer(&left, how);
        self.found.infer(&right, how);
        let (Some(a), Some(b)) = (expr.lexpr.as_deref(), expr.rexpr.as_deref()) else {
            return Ok(truth(left_varies || right_varies));
        };
        if let Some(known) = self.cancels(expr, name, a, b) {
            return Ok(known);
        }
        Ok(truth(left_varies || right_varies))
    }

    /// Comparisons whose result the text alone gives away: `1 = 1`, `id = id`, `id IN (id)`, `x LIKE '%'`.
    fn cancels(&mut self, expr: &pb::AExpr, name: &str, a: &pb::Node, b: &pb::Node) -> Option<Truth> {
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
    fn has_complements(&mut self, parts: &[pb::Node]) -> bool {
        // Bounded: a long OR is not compared pair by pair.
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

    /// Whether two expressions are the same text, apart from places. Constants inside decide by value.
    fn same(&mut self, a: &pb::Node, b: &pb::Node) -> bool {
        let (same, constants) = same(a, b, 0);
        if constants {
            self.found.shareable = false;
        }
        same
    }
}

fn truth(varies: bool) -> Truth {
    if varies { Truth::VARIES } else { Truth::CONSTANT }
}

/// In which way a comparison asks about its columns.
fn inference(expr: &pb::AExpr, name: &str, left: &Lineage, right: &Lineage) -> Inference {
    use pb::AExprKind as Kind;
    if !left.columns.is_empty() && !right.columns.is_empty() {
        return Inference::Join;
    }
    let bare = left.bare || right.bare;
    match expr.kind() {
        Kind::AexprLike | Kind::AexprIlike | Kind::AexprSimilar => Inference::Pattern,
        Kind::AexprOp if matches!(name, "~" | "~*" | "!~" | "!~*" | "~~" | "~~*" | "!~~" | "!~~*" | "@@" | "^@") => {
            Inference::Pattern
        }
        _ if !bare => Inference::Expression,
        Kind::AexprOp if name == "=" => Inference::Equality,
        Kind::AexprNotDistinct => Inference::Equality,
        Kind::AexprIn if name == "=" && single(expr.rexpr.as_deref()) => Inference::Equality,
        Kind::AexprOp if matches!(name, "<" | ">" | "<=" | ">=" | "<>") => Inference::Range,
        Kind::AexprIn
        | Kind::AexprDistinct
        | Kind::AexprOpAny
        | Kind::AexprOpAll
        | Kind::AexprBetween
        | Kind::AexprNotBetween
        | Kind::AexprBetweenSym
        | Kind::AexprNotBetweenSym => Inference::Range,
        Kind::AexprOp | Kind::AexprNullif | Kind::Undefined => Inference::Expression,
    }
}

fn single(node: Option<&pb::Node>) -> bool {
    matches!(node.and_then(|node| node.node.as_ref()), Some(NodeEnum::List(list)) if list.items.len() == 1)
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
        (Some(NodeEnum::CoalesceExpr(x)), Some(NodeEnum::CoalesceExpr(y))) if x.args.len() == y.args.len() => {
            x.args.iter().zip(&y.args).map(|(x, y)| same(x, y, depth + 1)).fold((true, false), both)
        }
        _ => (false, false),
    }
}
