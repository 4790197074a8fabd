//! Random queries: over random relations, expressions of every kind, and every place where an expression may stand.

use super::random::Random;
use super::tables::{Column, Tables, Type};

/// Stands for the letter of the set of tables.
const SET: &str = "\u{1}";
/// How deep queries nest.
const DEPTH: usize = 3;

/// A query over either set of tables.
#[derive(Clone, Debug)]
pub(super) struct Query {
    text: String,
    /// May its answer not depend on any labelled value?
    pub(super) is_silent: bool,
}

impl Query {
    pub(super) fn random(random: &mut Random, tables: &Tables) -> Self {
        let mut maker = Maker { random, tables, names: 0 };
        let (text, _) = maker.query(DEPTH, None);
        Self { text, is_silent: tables.are_silent }
    }

    /// Its text over this set.
    pub(super) fn over(&self, set: &str) -> String {
        self.text.replace(SET, set)
    }
}

/// A column in reach: how it is written, and its type.
type InReach = (String, Type);

struct Maker<'m> {
    random: &'m mut Random,
    tables: &'m Tables,
    names: usize,
}

impl Maker<'_> {
    fn name(&mut self) -> String {
        self.names += 1;
        format!("x{}", self.names)
    }

    /// A query and the types of its columns, which are named `o0`, `o1`…; of these types, if they are given.
    fn query(&mut self, depth: usize, wanted: Option<&[Type]>) -> (String, Vec<Type>) {
        let mut with = String::new();
        let mut common = None;
        if depth > 1 && self.random.percent(15) {
            let (inner, types) = self.query(depth - 1, None);
            let name = self.name();
            let how = *self.random.of(&["", "materialized ", "not materialized "]);
            with = format!("with {name} as {how}({inner}) ");
            common = Some((name, types));
        }
        let (mut text, types) = self.select(depth, wanted, common.as_ref());
        if depth > 1 && self.random.percent(12) {
            let (other, _) = self.select(depth - 1, Some(&types), None);
            let how = *self.random.of(&["union all", "union", "except", "intersect"]);
            text = format!("({text}) {how} ({other})");
        }
        (format!("{with}{text}"), types)
    }

    fn select(
        &mut self,
        depth: usize,
        wanted: Option<&[Type]>,
        common: Option<&(String, Vec<Type>)>,
    ) -> (String, Vec<Type>) {
        let mut reach = Vec::new();
        let mut from = self.relation(depth, &mut reach, common);
        if self.random.percent(25) {
            let left = reach.clone();
            let right = self.relation(depth.saturating_sub(1), &mut reach, None);
            from = match self.random.below(4) {
                0 => format!("{from}, {right}"),
                1 => format!("{from} cross join {right}"),
                how => {
                    let on = self.condition(0, if how == 2 { &left } else { &reach });
                    format!(
                        "{from} {} join {right} on {on}",
                        self.random.of(&["left", "inner", "full", "right"]).replace("full", "left")
                    )
                }
            };
        }
        let grouped = self.random.percent(15);
        let types: Vec<Type> = match wanted {
            Some(types) => types.to_vec(),
            None => (0..1 + self.random.below(3)).map(|_| self.kind()).collect(),
        };
        let mut outputs = Vec::new();
        for (at, of) in types.iter().enumerate() {
            let value = if grouped { self.aggregate(*of, depth, &reach) } else { self.value(*of, depth, &reach) };
            outputs.push(format!("{value} as o{at}"));
        }
        let distinct = if self.random.percent(8) { "distinct " } else { "" };
        let mut text = format!("select {distinct}{} from {from}", outputs.join(", "));
        if self.random.percent(35) {
            text += &format!(" where {}", self.condition(depth.min(2), &reach));
        }
        if grouped && self.random.percent(40) {
            let of = self.kind();
            text += &format!(" group by {}", self.column(of, &reach));
            if self.random.percent(30) {
                text += &format!(" having {} > 0", self.aggregate(Type::Int, 1, &reach));
            }
        } else if distinct.is_empty() && self.random.percent(20) {
            let of = self.kind();
            text += &if self.random.percent(50) {
                format!(" order by {}", self.column(of, &reach))
            } else {
                format!(" order by {}", 1 + self.random.below(types.len()))
            };
        }
        if self.random.percent(15) {
            text += &format!(" limit {}", 1 + self.random.below(4));
        }
        (text, types)
    }

    /// Something to select from, whose columns come into reach.
    fn relation(&mut self, depth: usize, reach: &mut Vec<InReach>, common: Option<&(String, Vec<Type>)>) -> String {
        let alias = self.name();
        let named = |types: &[Type]| {
            types.iter().enumerate().map(|(at, of)| (format!("{alias}.o{at}"), *of)).collect::<Vec<_>>()
        };
        if let Some((name, types)) = common {
            reach.extend(named(types));
            return format!("{name} {alias}");
        }
        if depth > 1 && self.random.percent(25) {
            let (inner, types) = self.query(depth - 1, None);
            reach.extend(named(&types));
            return format!("({inner}) {alias}");
        }
        let table = self.random.of(&self.tables.all).clone();
        if self.random.percent(10) {
            // Columns under other names.
            let names: Vec<String> = (0..table.columns.len()).map(|at| format!("o{at}")).collect();
            reach.extend(table.columns.iter().zip(&names).map(|(column, name)| (format!("{alias}.{name}"), column.of)));
            return format!("{SET}{} as {alias}({})", table.name, names.join(", "));
        }
        let written = |column: &Column, random: &mut Random| match random.below(4) {
            0 => format!("({alias}).{}", column.name),
            1 => format!("{alias}.\"{}\"", column.name),
            _ => format!("{alias}.{}", column.name),
        };
        for column in &table.columns {
            reach.push((written(column, self.random), column.of));
        }
        reach.push((alias.clone(), Type::Row));
        format!("{SET}{} {alias}", table.name)
    }

    fn kind(&mut self) -> Type {
        *self.random.of(&[
            Type::Text,
            Type::Text,
            Type::Text,
            Type::Int,
            Type::Numeric,
            Type::Date,
            Type::Bool,
            Type::Json,
            Type::Array,
            Type::Row,
        ])
    }

    /// A column of this type, or a constant if none is in reach.
    fn column(&mut self, of: Type, reach: &[InReach]) -> String {
        let fit: Vec<&InReach> = reach.iter().filter(|(_, other)| *other == of).collect();
        if fit.is_empty() || self.random.percent(5) { constant(of) } else { self.random.of(&fit).0.clone() }
    }

    /// Any column in reach, and its type.
    fn any(&mut self, reach: &[InReach]) -> InReach {
        self.random.of(reach).clone()
    }

    /// An expression of this type.
    fn value(&mut self, of: Type, depth: usize, reach: &[InReach]) -> String {
        if depth == 0 || self.random.percent(35) {
            return self.column(of, reach);
        }
        let below = depth - 1;
        match self.random.below(10) {
            0 => {
                let (when, then, otherwise) =
                    (self.condition(below, reach), self.value(of, below, reach), self.value(of, below, reach));
                format!("case when {when} then {then} else {otherwise} end")
            }
            1 => format!("coalesce({}, {})", self.value(of, below, reach), self.column(of, reach)),
            2 if of != Type::Json => format!("greatest({}, {})", self.value(of, below, reach), self.column(of, reach)),
            3 => {
                let (inner, _) = self.query(below.min(1), Some(&[of]));
                format!("(select o0 from ({inner}) {} limit 1)", self.name())
            }
            4 => format!("({})::{}", self.value(of, below, reach), of.sql()),
            5 => format!("first_value({}) over ()", self.column(of, reach)),
            6 => format!("lag({}) over (order by 1)", self.column(of, reach)),
            _ => self.made(of, below, reach),
        }
    }

    /// An expression that makes this type of another.
    fn made(&mut self, of: Type, below: usize, reach: &[InReach]) -> String {
        let any = self.any(reach).0;
        let inner = if of == Type::Int || of == Type::Bool { Type::Text } else { of };
        let value = self.value(inner, below, reach);
        let forms: &[&str] = match of {
            Type::Text => &[
                "lower(VALUE)",
                "upper(VALUE)",
                "reverse(VALUE)",
                "VALUE || ''",
                "substr(VALUE, 1, 9)",
                "left(VALUE, 8)",
                "right(VALUE, 8)",
                "md5(VALUE)",
                "encode(convert_to(VALUE, 'UTF8'), 'hex')",
                "encode(sha256(convert_to(VALUE, 'UTF8')), 'hex')",
                "encode(convert_to(VALUE, 'UTF8'), 'base64')",
                "VALUE collate \"C\"",
                "replace(VALUE, 'q', 'q')",
                "trim(VALUE)",
                "format('%s', ANY)",
                "concat_ws(',', ANY, VALUE)",
                "(ANY)::text",
                "to_jsonb(ANY)::text",
                "row(ANY, 1)::text",
                "quote_literal(VALUE)",
                "array_to_string(array[VALUE], ',')",
                "(array[VALUE])[1]",
                "jsonb_build_object('k', ANY) ->> 'k'",
                "nullif(VALUE, '')",
                "translate(VALUE, 'k', 'k')",
                "overlay(VALUE placing '' from 1 for 0)",
                "regexp_replace(VALUE, '^', '')",
                "split_part(VALUE, '#', 1)",
                "lpad(VALUE, 20)",
                "repeat(VALUE, 2)",
                "initcap(VALUE)",
                "string_agg(VALUE, ',') over ()",
            ],
            Type::Int => &[
                "length(VALUE)",
                "ascii(VALUE)",
                "position('q' in VALUE)",
                "octet_length(VALUE)",
                "num_nulls(ANY)",
                "1 + length((ANY)::text)",
                "jsonb_array_length(to_jsonb(array[ANY]))",
            ],
            Type::Numeric => &[
                "VALUE + 0",
                "-VALUE",
                "round(VALUE, 1)",
                "abs(VALUE)",
                "sum(VALUE) over ()",
                "VALUE * 1.0",
                "trunc(VALUE)",
            ],
            Type::Date => &[
                "VALUE + 0",
                "VALUE - 1",
                "(VALUE)::timestamp::date",
                "make_date(2000 + extract(day from VALUE)::int, 1, 1)",
                "min(VALUE) over ()",
            ],
            Type::Bool => &[
                "VALUE like 'a%'",
                "VALUE > 'm'",
                "(ANY) is null",
                "VALUE ~ '[0-4]'",
                "VALUE is distinct from ''",
                "VALUE in ('a', 'b')",
                "starts_with(VALUE, 'q')",
            ],
            Type::Json => &[
                "to_jsonb(ANY)",
                "jsonb_build_object('k', ANY)",
                "jsonb_build_array(ANY, 1)",
                "VALUE -> 'k'",
                "VALUE || '{}'",
                "jsonb_strip_nulls(VALUE)",
                "jsonb_set(VALUE, '{z}', '1')",
            ],
            Type::Array => &[
                "array[(ANY)::text]",
                "VALUE || array['z']",
                "array_append(VALUE, 'z')",
                "string_to_array((ANY)::text, 'q')",
                "array_remove(VALUE, 'z')",
            ],
            Type::Row => &["row(ANY, 1)::text", "row(row(ANY))::text", "(row(ANY)::text)"],
        };
        self.random.of(forms).replace("VALUE", &format!("({value})")).replace("ANY", &any)
    }

    /// An aggregate of this type.
    fn aggregate(&mut self, of: Type, depth: usize, reach: &[InReach]) -> String {
        let (any, value) = (
            self.any(reach).0,
            self.value(of, depth.min(1), reach).replace(" over ()", "").replace(" over (order by 1)", ""),
        );
        let value = if ["first_value", "lag(", "sum(", "min(", "string_agg("].iter().any(|name| value.contains(name)) {
            self.column(of, reach)
        } else {
            value
        };
        let forms: &[&str] = match of {
            Type::Text | Type::Row => &[
                "max((VALUE)::text)",
                "min((VALUE)::text)",
                "string_agg((VALUE)::text, ',')",
                "(array_agg(VALUE))[1]::text",
                "json_agg(ANY)::text",
            ],
            Type::Int => &[
                "count(*)::int",
                "count(ANY)::int",
                "count(distinct (ANY)::text)::int",
                "max(VALUE)",
                "sum(VALUE)::int",
            ],
            Type::Numeric => {
                &["sum(VALUE)", "avg(VALUE)", "max(VALUE)", "percentile_disc(0.5) within group (order by VALUE)"]
            }
            Type::Date => &["max(VALUE)", "min(VALUE)"],
            Type::Bool => &["bool_or(VALUE)", "every(VALUE)", "count(*) filter (where VALUE) > 1"],
            Type::Json => &["jsonb_agg(ANY)", "jsonb_object_agg('k', ANY)", "to_jsonb(array_agg(ANY))"],
            Type::Array => &["array_agg((ANY)::text)", "array_agg((ANY)::text order by 1)"],
        };
        self.random.of(forms).replace("VALUE", &value).replace("ANY", &any)
    }

    /// A condition: mostly over identifiers, which are clear, so that not all is refused.
    fn condition(&mut self, depth: usize, reach: &[InReach]) -> String {
        let clear: Vec<&InReach> = reach.iter().filter(|(name, of)| *of == Type::Int && name.contains("id")).collect();
        if !clear.is_empty() && self.random.percent(60) {
            return format!(
                "{} {} {}",
                self.random.of(&clear).0,
                self.random.of(&["<", ">", "=", "<>"]),
                self.random.below(4)
            );
        }
        match self.random.below(5) {
            0 if depth > 0 => format!("not ({})", self.condition(depth - 1, reach)),
            1 if depth > 0 => format!("({} or {})", self.condition(depth - 1, reach), self.condition(depth - 1, reach)),
            2 if depth > 0 => {
                let (inner, _) = self.query(1, Some(&[Type::Text]));
                format!("{} in ({inner})", self.column(Type::Text, reach))
            }
            3 if depth > 0 => {
                let (inner, _) = self.query(1, None);
                format!("exists ({inner})")
            }
            _ => {
                let of = *self.random.of(&[Type::Text, Type::Int, Type::Numeric, Type::Date]);
                format!(
                    "{} {} {}",
                    self.column(of, reach),
                    self.random.of(&["=", "<", ">", "is distinct from"]),
                    constant(of)
                )
            }
        }
    }
}

fn constant(of: Type) -> String {
    match of {
        Type::Text => "'m'::text",
        Type::Int => "2",
        Type::Numeric => "5000000000.0",
        Type::Date => "date '1555-05-05'",
        Type::Bool => "true",
        Type::Json => "'{\"z\": 0}'::jsonb",
        Type::Array => "array['z']",
        Type::Row => "row('z')::text",
    }
    .to_owned()
}
