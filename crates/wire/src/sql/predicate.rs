//! Conditions: which columns decide which rows exist, in which way, and whether the condition is constant.
//!
//! "Constant" is what can be proved here: no name of the condition's own level takes part, or the parts cancel out. It is
//! no theorem prover; the real row count is the second look.

use kernel::facts::Inference;

use super::analyse::Walk;
use super::analysis::Refused;
use super::lineage::{ColumnId, Lineage};
use super::names::{inner, string};
use super::parse::{NodeEnum, pb};
use super::scope::Scope;
use super::tautology;

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
    pub(super) const TRUE: Self = Self { all: true, none: false, varies: false };
    pub(super) const FALSE: Self = Self { all: false, none: true, varies: false };
    /// The same for every row, though not known which.
    pub(super) const CONSTANT: Self = Self { all: true, none: true, varies: false };
    const VARIES: Self = Self { all: false, none: false, varies: true };

    /// Whether the condition limits the rows.
    pub(super) fn limits(self) -> bool {
        self.varies && !self.all
    }

    /// It holds for every row.
    fn always(self) -> bool {
        self.all && !self.none
    }

    /// It holds for no row.
    fn never(self) -> bool {
        self.none && !self.all
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
                    pb::BoolExprType::AndExpr if self.has_contradiction(&expr.args) => Truth::FALSE,
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
                    pb::NullTestType::IsNotNull if self.never_null(test.arg.as_deref(), &lineage) => Truth::TRUE,
                    pb::NullTestType::IsNull if self.never_null(test.arg.as_deref(), &lineage) => Truth::FALSE,
                    _ => truth(varies),
                })
            }
            NodeEnum::BooleanTest(test) => self.boolean_test(test, scope),
            NodeEnum::CoalesceExpr(coalesce) => self.first_known(&coalesce.args, scope),
            NodeEnum::CaseExpr(case) if case.arg.is_none() => self.chosen(case, scope),
            NodeEnum::SubLink(link) => self.sublink_truth(link, node, scope),
            // The row that a cursor stands on.
            NodeEnum::CurrentOfExpr(_) => Ok(Truth::VARIES),
            _ => {
                let (lineage, varies) = self.leaf(node, scope)?;
                self.found.infer(&lineage, Inference::Expression);
                Ok(truth(varies))
            }
        }
    }

    /// `IS TRUE` and its kin.
    fn boolean_test(&mut self, test: &pb::BooleanTest, scope: &Scope<'_>) -> Result<Truth, Refused> {
        use pb::BoolTestType as Type;
        let Some(argument) = test.arg.as_deref() else { return super::names::unknown(test.location) };
        let truth = self.filter(argument, scope)?;
        Ok(match test.booltesttype() {
            Type::IsTrue | Type::IsNotFalse => truth,
            Type::IsFalse | Type::IsNotTrue => truth.not(),
            Type::IsUnknown => Truth { all: false, ..truth },
            // It holds wherever the argument is not NULL, which is nearly everywhere.
            Type::IsNotUnknown => Truth::TRUE,
            Type::Undefined => return super::names::unknown(test.location),
        })
    }

    /// COALESCE: that of its first argument that is not the constant NULL.
    fn first_known(&mut self, arguments: &[pb::Node], scope: &Scope<'_>) -> Result<Truth, Refused> {
        let mut first = None;
        for argument in arguments {
            let truth = self.filter(argument, scope)?;
            if first.is_none() && !tautology::is_null(argument) {
                first = Some(truth);
            }
        }
        Ok(first.unwrap_or(Truth::FALSE))
    }

    /// CASE without an operand: it limits the rows only if some of its results may be false.
    fn chosen(&mut self, case: &pb::CaseExpr, scope: &Scope<'_>) -> Result<Truth, Refused> {
        let mut chosen: Vec<Truth> = Vec::with_capacity(case.args.len() + 1);
        let (mut varies, mut decided) = (false, false);
        for node in &case.args {
            let NodeEnum::CaseWhen(when) = inner(node)? else { return super::names::unknown(case.location) };
            let (Some(condition), Some(result)) = (when.expr.as_deref(), when.result.as_deref()) else {
                return super::names::unknown(when.location);
            };
            let condition = self.filter(condition, scope)?;
            let result = self.filter(result, scope)?;
            if !decided && !condition.never() {
                varies |= condition.varies;
                chosen.push(result);
            }
            decided |= condition.always();
        }
        let otherwise = match case.defresult.as_deref() {
            Some(node) => self.filter(node, scope)?,
            None => Truth::FALSE,
        };
        if !decided {
            chosen.push(otherwise);
        }
        Ok(Truth {
            all: chosen.iter().all(|truth| truth.all),
            none: chosen.iter().all(|truth| truth.none),
            varies: varies || chosen.iter().any(|truth| truth.varies),
        })
    }

    /// EXISTS and IN with a subquery that takes every row limit nothing.
    fn sublink_truth(&mut self, link: &pb::SubLink, node: &pb::Node, scope: &Scope<'_>) -> Result<Truth, Refused> {
        let (lineage, varies) = self.leaf(node, scope)?;
        self.found.infer(&lineage, Inference::Expression);
        let limited = tautology::has_condition(link.subselect.as_deref());
        Ok(match link.sub_link_type() {
            pb::SubLinkType::ExistsSublink if !limited => Truth::CONSTANT,
            pb::SubLinkType::AnySublink if !limited => {
                let test = link.testexpr.as_deref();
                let (tested, _) = self.side(test, scope)?;
                let selected = self.subquery(link.subselect.as_deref(), Some(scope))?;
                let itself = matches!(selected.fields.as_slice(), [only] if tested.bare && only.lineage == tested);
                if itself { Truth::TRUE } else { truth(varies) }
            }
            _ => truth(varies),
        })
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

    /// A value made of columns that are never NULL, and computed by nothing but operators and casts.
    fn never_null(&self, node: Option<&pb::Node>, lineage: &Lineage) -> bool {
        let not_null = |id: &ColumnId| {
            let relation = self.context.catalogue.at(id.relation);
            relation.and_then(|relation| relation.columns.get(id.column)).is_some_and(|column| column.not_null)
        };
        if lineage.bare {
            return lineage.columns.iter().any(not_null);
        }
        let strict = node.is_some_and(tautology::is_strict);
        strict && !lineage.columns.is_empty() && lineage.columns.iter().all(not_null)
    }

    fn comparison(&mut self, expr: &pb::AExpr, node: &pb::Node, scope: &Scope<'_>) -> Result<Truth, Refused> {
        if expr.kind() == pb::AExprKind::AexprNullif {
            let (lineage, varies) = self.leaf(node, scope)?;
            self.found.infer(&lineage, Inference::Expression);
            return Ok(truth(varies));
        }
        let (left, left_varies) = self.side(expr.lexpr.as_deref(), scope)?;
        let (right, right_varies) = self.side(expr.rexpr.as_deref(), scope)?;
        let own = self.operates(&expr.name, expr.lexpr.as_deref(), expr.rexpr.as_deref(), scope)?;
        let name = expr.name.last().and_then(string).unwrap_or_default();
        let how = if own { inference(expr, name, &left, &right) } else { Inference::Expression };
        if how == Inference::Equality && self.is_guess(expr, &left, scope) {
            let side = if left.is_clear() { &right } else { &left };
            self.found.infer_equality(side, expr.location);
        } else {
            // What a row makes, or a function that is called for each row, is a list of guesses.
            let how = if how == Inference::Equality { Inference::Range } else { how };
            self.found.infer(&left, how);
            self.found.infer(&right, how);
        }
        let (Some(a), Some(b)) = (expr.lexpr.as_deref(), expr.rexpr.as_deref()) else {
            return Ok(truth(left_varies || right_varies));
        };
        if let Some(known) = self.cancels(expr, name, a, b) {
            return Ok(known);
        }
        // The same column of two mentions of a table: every row has itself beside it.
        let itself = left.bare && left == right && matches!(name, "=" | "<=" | ">=");
        if itself && expr.kind() == pb::AExprKind::AexprOp {
            return Ok(Truth::TRUE);
        }
        if self.holds_for_all(expr, name, a, b, &left) {
            return Ok(Truth::TRUE);
        }
        let varies = (left_varies && !self.vanishes(a)) || (right_varies && !self.vanishes(b));
        Ok(truth(varies))
    }

    /// Whether the side that no column flows into is one value for the whole statement.
    fn is_guess(&self, expr: &pb::AExpr, left: &Lineage, scope: &Scope<'_>) -> bool {
        let other = if left.is_clear() { &expr.lexpr } else { &expr.rexpr };
        other.as_deref().is_some_and(|node| self.is_one_value(node, scope))
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
