//! Random tables, twice: `a…` and `b…` differ in the values of their labelled columns alone.

use std::fmt::Write as _;

use super::random::Random;

/// The type of a column or an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Int,
    Numeric,
    Date,
    Bool,
    Json,
    Array,
    Row,
}

impl Type {
    const COLUMNS: [Self; 6] = [Self::Text, Self::Text, Self::Int, Self::Numeric, Self::Date, Self::Json];

    pub(super) fn sql(self) -> &'static str {
        match self {
            Self::Text | Self::Row => "text",
            Self::Int => "int",
            Self::Numeric => "numeric",
            Self::Date => "date",
            Self::Bool => "bool",
            Self::Json => "jsonb",
            Self::Array => "text[]",
        }
    }
}

/// A column.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) of: Type,
    /// Its class, if it is labelled.
    class: Option<&'static str>,
}

/// A table, or a view over one: its names lack the letter of the set.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    /// The table whose labels a child, partition or view has.
    made: String,
    rows: Vec<[Vec<String>; 2]>,
    is_table: bool,
}

/// A set of tables.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    pub(super) all: Vec<Table>,
    /// Do all masks show nothing of the value?
    pub(super) are_silent: bool,
}

impl Tables {
    pub(super) fn random(random: &mut Random) -> Self {
        let are_silent = random.percent(60);
        let mut all = Vec::new();
        for number in 0..3 {
            all.push(Table::random(random, number, are_silent));
        }
        for number in 0..3 {
            let of = random.of(&all[..3]).clone();
            all.push(of.derived(random, number));
        }
        Self { all, are_silent }
    }

    /// The lines of the configuration.
    pub(super) fn classes(&self) -> String {
        let mut text = String::new();
        for class in ["secret", "private", "pii", "pci", "joined", "named"] {
            let columns: Vec<String> = self.labelled(class).map(|column| format!("\"public.{column}\"")).collect();
            writeln!(text, "{class} = [{}]", columns.join(", ")).unwrap();
        }
        text
    }

    fn labelled<'t>(&'t self, class: &'t str) -> impl Iterator<Item = String> + 't {
        let tables = self.all.iter().filter(|table| table.is_table);
        tables.flat_map(move |table| {
            let columns = table.columns.iter().filter(move |column| column.class == Some(class));
            columns.flat_map(|column| ["a", "b"].map(|set| format!("{set}{}.{}", table.name, column.name)))
        })
    }

    /// The columns that hold canaries.
    pub(super) fn canaries(&self) -> Vec<String> {
        ["secret", "private", "pii", "pci", "joined", "named"]
            .iter()
            .flat_map(|class| self.labelled(class).collect::<Vec<_>>())
            .collect()
    }

    /// What makes them.
    pub(super) fn setup(&self) -> Vec<String> {
        let mut all = vec!["drop table orders, customers, products, notes cascade".to_owned()];
        for (place, set) in ["a", "b"].into_iter().enumerate() {
            for table in &self.all {
                let made = table.made.replace("{}", set);
                let mut sql = format!("set role parapet; {made}");
                for row in &table.rows {
                    write!(sql, "; insert into {set}{} values ({})", table.name, row[place].join(", ")).unwrap();
                }
                all.push(sql);
            }
        }
        all
    }
}

impl Table {
    fn random(random: &mut Random, number: usize, silent: bool) -> Self {
        let id = Column { name: "id".to_owned(), of: Type::Int, class: None };
        let mut columns = vec![id];
        for at in 0..4 + random.below(3) {
            let of = *random.of(&Type::COLUMNS);
            let classes: &[&'static str] = match (silent, of) {
                (true, Type::Text) => &["secret", "private"],
                (false, Type::Text) => &["secret", "private", "pii", "pci", "joined", "named"],
                _ => &["secret"],
            };
            // A labelled integer is no canary that can be told from others.
            let class = (of != Type::Int && random.percent(55)).then(|| *random.of(classes));
            columns.push(Column { name: format!("c{at}"), of, class });
        }
        let rows = (1..=3 + random.below(3)).map(|id| row(random, &columns, id)).collect();
        let name = format!("t{number}");
        let list: Vec<String> = columns.iter().map(|column| format!("{} {}", column.name, column.of.sql())).collect();
        Self { made: format!("create table {{}}{name} ({})", list.join(", ")), name, columns, rows, is_table: true }
    }

    /// A view, a materialised view or a child of it.
    fn derived(&self, random: &mut Random, number: usize) -> Self {
        let name = format!("d{number}");
        let mut columns = self.columns.clone();
        let of = &self.name;
        let made = match random.below(4) {
            0 => {
                format!("create table {{}}{name} () inherits ({{}}{of}); insert into {{}}{name} select * from {{}}{of}")
            }
            1 => format!("create materialized view {{}}{name} as select * from {{}}{of}"),
            2 => {
                let shift = 1 + random.below(columns.len() - 1);
                columns.rotate_left(shift);
                let list: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
                format!("create view {{}}{name} as select {} from {{}}{of}", list.join(", "))
            }
            _ => {
                for (at, column) in columns.iter_mut().enumerate() {
                    column.name = format!("v{at}");
                }
                let list: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
                format!("create view {{}}{name} ({}) as select * from {{}}{of}", list.join(", "))
            }
        };
        Self { name, columns, made, rows: Vec::new(), is_table: false }
    }
}

/// The row in both sets: clear values are the same.
fn row(random: &mut Random, columns: &[Column], id: usize) -> [Vec<String>; 2] {
    let mut sets = [Vec::new(), Vec::new()];
    for column in columns {
        if column.class.is_none() {
            let value = match column.of {
                Type::Int if column.name == "id" => id.to_string(),
                Type::Int => random.below(5).to_string(),
                Type::Numeric => format!("{}.5", random.below(5)),
                Type::Date => format!("'2026-01-0{}'", 1 + random.below(5)),
                Type::Json => format!("'{{\"k\": \"clear {}\"}}'", random.below(3)),
                _ => format!("'clear {}'", random.below(3)),
            };
            sets.iter_mut().for_each(|set| set.push(value.clone()));
            continue;
        }
        for set in &mut sets {
            let length = 12 + random.below(3);
            set.push(match column.of {
                Type::Numeric => format!("{}.{}", random.digits(10), random.digits(2)),
                Type::Date => format!("'1{}-0{}-1{}'", random.digits(3), 1 + random.below(9), random.below(10)),
                Type::Json => format!("'{{\"k\": \"{}\"}}'", random.letters(length)),
                _ => format!("'{}'", random.letters(length)),
            });
        }
    }
    sets
}
