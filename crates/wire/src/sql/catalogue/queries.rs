//! The queries that read a catalogue, and the rows that they give. The gateway runs them and hands the rows over as text.
//!
//! They are for a connection whose `search_path` is empty, so that names in definitions come qualified, and no object
//! outside `pg_catalog` can answer to a name in the queries themselves. They are written for PostgreSQL 12 to 18, and a role
//! without rights can run them as long as `pg_catalog` has its usual grants.

use std::collections::BTreeMap;

/// A result row in text format.
pub type CatalogueRow = Vec<Option<String>>;

/// One of the queries that a catalogue is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CatalogueQuery {
    /// Relations and their columns: a row for each column, in order of relation and number; a relation without columns
    /// has one row with the column fields absent. Result: schema, relation, oid, relkind, attnum, column, type oid, type
    /// name, not null, generated, oid of the row type.
    Relations,
    /// The definitions of views and materialised views outside the system schemas. Result: oid, definition.
    Views,
    /// Functions, procedures, aggregates and window functions. Result: schema, name, volatility (`i`, `s`, `v`), language,
    /// returns set, security definer, may return a row, names of the OUT and TABLE parameters in order, separated by
    /// U+001F (absent if there are none); then oid, types of the IN parameters separated by spaces, kind (`f`, `p`, `a`,
    /// `w`), how many parameters have defaults, is variadic, result type, names of the IN parameters as above, has SET
    /// clauses, extension that it belongs to, the body of a SQL function in quotes, the body of a SQL function in
    /// standard form, SHA-256 of what it runs. The last five are absent for the server's own.
    Functions,
    /// Partitions and children by inheritance. Result: oid of the child, oid of the parent.
    Inheritance,
    /// What generated columns are computed from. Result: oid of the relation, attnum, expression, whether it is computed
    /// when it is read.
    Generated,
    /// What runs unasked when a relation is written, or read: triggers, functions in defaults, generated columns, check
    /// constraints, indexes, keys of partitions, and in policies of row security; rules; functions in the checks of domains. Result: oid of the
    /// relation (of a domain: of the type), what it is (`trigger`, `default`, `generated`, `check`, `index`, `policy`,
    /// `rule`, `domain`; `deletes` and `updates` for a foreign key that carries a change on), its bits, oid of the function
    /// (absent for a rule; of a foreign key the relation that is changed), attnum of the column that a default is for. The
    /// bits of a trigger are those of `pg_trigger.tgtype`; of anything else, those that a trigger on the same event would
    /// have, and 128 where it is set off by reading.
    Delayed,
    /// Types. Result: oid, schema, name, typtype, element of an array or 0, base of a domain or 0, relation of a row type
    /// or 0, subtype of a range or 0.
    Types,
    /// The fields of composite types that are no relation's. Result: oid of the relation, name, type oid.
    Fields,
    /// Operators. Result: schema, name, type of the left operand or 0, of the right operand or 0, of the result, oid of the
    /// function.
    Operators,
    /// Casts with a function that somebody added. Result: source type, target type, oid of the function, context (`i`
    /// implicit, `a` on assignment, `e` explicit only).
    Casts,
    /// Casts that happen unasked, in the server's own and in added ones. Result: source type, target type.
    Coercions,
    /// What comments and security labels say of relations and columns. Result: schema, relation, column (absent for the
    /// relation), label provider (absent for a comment), text. Of comments only those that hold `@class`.
    Labels,
}

impl CatalogueQuery {
    /// Every query, in the order in which they are run.
    pub const ALL: [Self; 12] = [
        Self::Relations,
        Self::Views,
        Self::Functions,
        Self::Inheritance,
        Self::Generated,
        Self::Delayed,
        Self::Types,
        Self::Fields,
        Self::Operators,
        Self::Casts,
        Self::Coercions,
        Self::Labels,
    ];

    /// Its text for a server of that major version.
    pub const fn text(self, server_major: u32) -> &'static str {
        match self {
            Self::Relations => RELATIONS,
            Self::Views => VIEWS,
            // Bodies in standard form came with PostgreSQL 14.
            Self::Functions if server_major < 14 => FUNCTIONS_12,
            Self::Functions => FUNCTIONS_14,
            Self::Inheritance => INHERITANCE,
            Self::Generated => GENERATED,
            Self::Delayed => DELAYED,
            Self::Types => TYPES,
            Self::Fields => FIELDS,
            Self::Operators => OPERATORS,
            Self::Casts => CASTS,
            Self::Coercions => COERCIONS,
            Self::Labels => LABELS,
        }
    }
}

const RELATIONS: &str = "SELECT n.nspname, c.relname, c.oid, c.relkind, a.attnum, a.attname, a.atttypid, \
t.typname, a.attnotnull, a.attgenerated <> '', c.reltype FROM pg_catalog.pg_class c \
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p', 'S') AND n.nspname !~ '^pg_(toast|temp)' ORDER BY c.oid, a.attnum";

const VIEWS: &str = "SELECT c.oid, pg_catalog.pg_get_viewdef(c.oid) FROM pg_catalog.pg_class c \
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('v', 'm') \
AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)' ORDER BY c.oid";

/// The query for functions, given what reads a body in standard form. Object ids from 16384 are not `initdb`'s. 1255 is
/// `pg_proc`, 3079 `pg_extension`; 2249, 2283 and 5077 are `record`, `anyelement` and `anycompatible`.
macro_rules! functions {
    ($standard:literal) => {
        concat!(
            "SELECT n.nspname, p.proname, p.provolatile, l.lanname, p.proretset, p.prosecdef, \
t.typtype = 'c' OR p.prorettype IN (2249, 2283, 5077), (SELECT pg_catalog.string_agg(coalesce(p.proargnames[i], ''), \
pg_catalog.chr(31) ORDER BY i) FROM pg_catalog.generate_subscripts(p.proargmodes, 1) AS i \
WHERE p.proargmodes[i] IN ('o', 'b', 't')), p.oid, p.proargtypes, p.prokind, p.pronargdefaults, p.provariadic <> 0, \
p.prorettype, CASE WHEN p.oid >= 16384 AND p.proargnames IS NOT NULL THEN (SELECT pg_catalog.string_agg(\
coalesce(p.proargnames[i], ''), pg_catalog.chr(31) ORDER BY i) FROM pg_catalog.generate_subscripts(p.proargnames, 1) AS i \
WHERE p.proargmodes IS NULL OR p.proargmodes[i] IN ('i', 'b', 'v')) END, p.proconfig IS NOT NULL, \
CASE WHEN p.oid >= 16384 THEN (SELECT e.extname FROM pg_catalog.pg_depend d \
JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid WHERE d.classid = 1255 AND d.objid = p.oid AND d.objsubid = 0 \
AND d.deptype = 'e' AND d.refclassid = 3079) END, \
CASE WHEN p.oid >= 16384 AND l.lanname = 'sql' AND p.prosrc <> '' THEN p.prosrc END, ",
            $standard,
            ", CASE WHEN p.oid >= 16384 THEN pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(\
pg_catalog.concat_ws(pg_catalog.chr(31), l.lanname, p.prosrc, p.probin, ",
            $standard,
            ", p.prosecdef, p.proconfig), 'UTF8')), 'hex') END \
FROM pg_catalog.pg_proc p \
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace JOIN pg_catalog.pg_language l ON l.oid = p.prolang \
JOIN pg_catalog.pg_type t ON t.oid = p.prorettype WHERE n.nspname !~ '^pg_(toast|temp)'"
        )
    };
}

const FUNCTIONS_12: &str = functions!("NULL::pg_catalog.text");
const FUNCTIONS_14: &str =
    functions!("CASE WHEN p.prosqlbody IS NOT NULL THEN pg_catalog.pg_get_function_sqlbody(p.oid) END");

const INHERITANCE: &str = "SELECT i.inhrelid, i.inhparent FROM pg_catalog.pg_inherits i \
JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid WHERE c.relkind IN ('r', 'f', 'p') AND c.relpersistence <> 't'";

const GENERATED: &str = "SELECT d.adrelid, d.adnum, pg_catalog.pg_get_expr(d.adbin, d.adrelid), a.attgenerated = 'v' \
FROM pg_catalog.pg_attrdef d JOIN pg_catalog.pg_class c ON c.oid = d.adrelid \
JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum \
WHERE a.attgenerated <> '' AND c.relpersistence <> 't'";

/// Where an expression's dependencies stand, and the function that each is, itself or behind an operator. 1255 is `pg_proc`,
/// 2617 `pg_operator`.
macro_rules! calls {
    ($class:literal, $object:literal) => {
        concat!(
            " JOIN pg_catalog.pg_depend d ON d.classid = ",
            $class,
            " AND d.objid = ",
            $object,
            " LEFT JOIN pg_catalog.pg_operator o ON d.refclassid = 2617 AND o.oid = d.refobjid \
JOIN pg_catalog.pg_proc f ON f.oid = CASE d.refclassid WHEN 1255 THEN d.refobjid ELSE o.oprcode END AND f.oid >= 16384 "
        )
    };
}

/// What the keys of a partitioned table call is called where rows are stored, as by an index. 2604 is `pg_attrdef`, 2606 `pg_constraint`, 1259 `pg_class`, 3256 `pg_policy`. The server's own functions are pinned, so
/// that nothing is recorded to depend on them. `ev_type` is 2 for UPDATE, 3 for INSERT, 4 for DELETE; the bits of `tgtype` are
/// 16, 4, 8. A policy for SELECT holds for what the others look at, too.
const DELAYED: &str = concat!(
    "SELECT t.tgrelid, 'trigger', t.tgtype, t.tgfoid, NULL FROM pg_catalog.pg_trigger t \
WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' \
UNION SELECT a.adrelid, CASE WHEN c.attgenerated = '' THEN 'default' ELSE 'generated' END, 20, f.oid, a.adnum \
FROM pg_catalog.pg_attrdef a JOIN pg_catalog.pg_attribute c ON c.attrelid = a.adrelid AND c.attnum = a.adnum",
    calls!("2604", "a.oid"),
    "UNION SELECT c.conrelid, 'check', 20, f.oid, NULL FROM pg_catalog.pg_constraint c",
    calls!("2606", "c.oid"),
    "WHERE c.contype = 'c' AND c.conrelid <> 0 \
UNION SELECT c.contypid, 'domain', 20, f.oid, NULL FROM pg_catalog.pg_constraint c",
    calls!("2606", "c.oid"),
    "WHERE c.contype = 'c' AND c.contypid <> 0 \
UNION SELECT i.indrelid, 'index', 20, f.oid, NULL FROM pg_catalog.pg_index i",
    calls!("1259", "i.indexrelid"),
    "UNION SELECT p.partrelid, 'index', 20, f.oid, NULL FROM pg_catalog.pg_partitioned_table p",
    calls!("1259", "p.partrelid"),
    "UNION SELECT p.polrelid, 'policy', CASE p.polcmd WHEN 'r' THEN 156 WHEN 'a' THEN 4 WHEN 'w' THEN 148 WHEN 'd' THEN 8 \
ELSE 156 END, f.oid, NULL FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid AND c.relrowsecurity",
    calls!("3256", "p.oid"),
    "UNION SELECT c.confrelid, 'deletes', 8, c.conrelid, NULL FROM pg_catalog.pg_constraint c \
WHERE c.contype = 'f' AND c.confdeltype = 'c' \
UNION SELECT c.confrelid, 'updates', CASE WHEN c.confdeltype IN ('n', 'd') THEN 8 ELSE 0 END \
+ CASE WHEN c.confupdtype IN ('c', 'n', 'd') THEN 16 ELSE 0 END, c.conrelid, NULL FROM pg_catalog.pg_constraint c \
WHERE c.contype = 'f' AND (c.confdeltype IN ('n', 'd') OR c.confupdtype IN ('c', 'n', 'd')) \
UNION SELECT r.ev_class, 'rule', CASE r.ev_type WHEN '2' THEN 16 WHEN '3' THEN 4 WHEN '4' THEN 8 ELSE 0 END, NULL, NULL \
FROM pg_catalog.pg_rewrite r WHERE r.ev_class >= 16384 AND r.ev_enabled <> 'D' AND r.ev_type <> '1'"
);

const TYPES: &str = "SELECT t.oid, n.nspname, t.typname, t.typtype, \
CASE WHEN t.typcategory = 'A' THEN t.typelem ELSE 0 END, t.typbasetype, t.typrelid, coalesce(r.rngsubtype, 0) \
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid \
WHERE n.nspname !~ '^pg_(toast|temp)' AND (t.oid >= 16384 OR (t.typrelid = 0 AND n.nspname = 'pg_catalog' \
AND NOT EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.oid = t.typelem AND e.typrelid <> 0)))";

const FIELDS: &str = "SELECT a.attrelid, a.attname, a.atttypid FROM pg_catalog.pg_attribute a \
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid WHERE c.relkind = 'c' AND c.oid >= 16384 AND a.attnum > 0 \
AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum";

const OPERATORS: &str = "SELECT n.nspname, o.oprname, o.oprleft, o.oprright, o.oprresult, o.oprcode::pg_catalog.oid \
FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace WHERE n.nspname !~ '^pg_temp'";

const CASTS: &str = "SELECT c.castsource, c.casttarget, c.castfunc, c.castcontext FROM pg_catalog.pg_cast c \
WHERE c.castfunc >= 16384";

const COERCIONS: &str = "SELECT c.castsource, c.casttarget FROM pg_catalog.pg_cast c WHERE c.castcontext = 'i'";

/// 1259 is `pg_class`.
const LABELS: &str = "SELECT n.nspname, c.relname, a.attname, l.provider, l.said FROM (\
SELECT objoid, objsubid, NULL::pg_catalog.text AS provider, description AS said FROM pg_catalog.pg_description \
WHERE classoid = 1259 AND objoid >= 16384 AND pg_catalog.strpos(description, '@class') > 0 \
UNION ALL SELECT objoid, objsubid, provider, label FROM pg_catalog.pg_seclabel WHERE classoid = 1259) AS l \
JOIN pg_catalog.pg_class c ON c.oid = l.objoid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = l.objsubid AND l.objsubid <> 0 \
WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND c.relpersistence <> 't' AND (l.objsubid = 0 OR NOT a.attisdropped) \
ORDER BY 1, 2, 3, 4, 5";

/// Which of the things that the queries read the role may not read: `relation` or `function`, and its name. No rows if it
/// lacks nothing.
pub const CATALOGUE_LACKS: &str = "SELECT 'relation', 'pg_catalog.' || r FROM (VALUES ('pg_class'), ('pg_namespace'), \
('pg_attribute'), ('pg_type'), ('pg_proc'), ('pg_language'), ('pg_depend'), ('pg_extension'), ('pg_inherits'), \
('pg_attrdef'), ('pg_trigger'), ('pg_constraint'), ('pg_rewrite'), ('pg_range'), ('pg_operator'), ('pg_cast'), ('pg_index'), ('pg_policy'), ('pg_partitioned_table'), \
('pg_description'), ('pg_seclabel')) AS wanted (r) \
WHERE NOT pg_catalog.has_table_privilege('pg_catalog.' || r, 'SELECT') \
UNION ALL SELECT 'function', 'pg_catalog.' || f FROM (VALUES ('pg_get_viewdef(oid)'), ('pg_get_expr(pg_node_tree,oid)'), \
('sha256(bytea)'), ('encode(bytea,text)'), ('convert_to(text,name)'), ('concat_ws(text,\"any\")'), ('chr(integer)'), \
('string_agg(text,text)'), ('generate_subscripts(anyarray,integer)'), ('hashtext(text)'), \
('strpos(text,text)')) AS wanted (f) \
WHERE NOT pg_catalog.has_function_privilege('pg_catalog.' || f, 'EXECUTE') \
UNION ALL SELECT 'function', p.oid::pg_catalog.regprocedure::pg_catalog.text FROM pg_catalog.pg_proc p \
WHERE p.proname = 'pg_get_function_sqlbody' AND p.pronamespace = 11 \
AND NOT pg_catalog.has_function_privilege(p.oid, 'EXECUTE')";

/// Changes whenever something that the queries read changes: one row, one column. What is temporary does not count.
/// It is cheap beside the queries themselves, but no guess: every row's own version takes part.
pub const CATALOGUE_FINGERPRINT: &str = "SELECT pg_catalog.concat_ws(',', \
(SELECT pg_catalog.count(*) || ':' || coalesce(pg_catalog.sum(pg_catalog.hashtext(oid::text || xmin::text)), 0) \
FROM pg_catalog.pg_class WHERE oid >= 16384 AND relpersistence <> 't' AND relkind NOT IN ('i', 'I', 't')), \
(SELECT pg_catalog.count(*) || ':' || coalesce(pg_catalog.sum(pg_catalog.hashtext(a.attrelid::text || a.attnum::text || a.xmin::text)), 0) \
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
WHERE c.oid >= 16384 AND c.relpersistence <> 't' AND c.relkind NOT IN ('i', 'I', 't') AND a.attnum > 0), \
(SELECT pg_catalog.count(*) || ':' || coalesce(pg_catalog.sum(pg_catalog.hashtext(oid::text || xmin::text)), 0) FROM pg_catalog.pg_proc), \
(SELECT pg_catalog.count(*) || ':' || coalesce(pg_catalog.sum(pg_catalog.hashtext(r.oid::text || r.xmin::text)), 0) \
FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class WHERE r.oid >= 16384 AND c.relpersistence <> 't'), \
(SELECT pg_catalog.count(*) || ':' || coalesce(pg_catalog.sum(pg_catalog.hashtext(inhrelid::text || inhparent::text || xmin::text)), 0) FROM pg_catalog.pg_inherits), \
(SELECT pg_catalog.count(*) || ':' || coalesce(pg_catalog.sum(pg_catalog.hashtext(d.oid::text || d.xmin::text)), 0) \
FROM pg_catalog.pg_attrdef d JOIN pg_catalog.pg_class c ON c.oid = d.adrelid WHERE c.relpersistence <> 't'), \
(SELECT pg_catalog.count(*) || ':' || coalesce(pg_catalog.sum(pg_catalog.hashtext(t.oid::text || t.xmin::text)), 0) \
FROM pg_catalog.pg_trigger t WHERE NOT t.tgisinternal), \
(SELECT pg_catalog.count(*) || ':' || coalesce(pg_catalog.sum(pg_catalog.hashtext(k.oid::text || k.xmin::text)), 0) \
FROM pg_catalog.pg_constraint k WHERE k.contype IN ('c', 'f') AND k.oid >= 16384), \
(SELECT pg_catalog.count(*) || ':' || coalesce(pg_catalog.sum(pg_catalog.hashtext(p.oid::text || p.xmin::text)), 0) \
FROM pg_catalog.pg_policy p), \
(SELECT pg_catalog.count(*) || ':' || coalesce(pg_catalog.sum(pg_catalog.hashtext(i.indexrelid::text)), 0) \
FROM pg_catalog.pg_index i WHERE i.indexprs IS NOT NULL OR i.indpred IS NOT NULL), \
(SELECT pg_catalog.count(*) || ':' || coalesce(pg_catalog.sum(pg_catalog.hashtext(t.oid::text || t.xmin::text)), 0) \
FROM pg_catalog.pg_type t WHERE t.oid >= 16384 AND t.typrelid = 0 AND t.typcategory <> 'A'), \
(SELECT pg_catalog.count(*) || ':' || coalesce(pg_catalog.sum(pg_catalog.hashtext(oid::text || xmin::text)), 0) FROM pg_catalog.pg_operator WHERE oid >= 16384), \
(SELECT pg_catalog.count(*) || ':' || coalesce(pg_catalog.sum(pg_catalog.hashtext(oid::text || xmin::text)), 0) FROM pg_catalog.pg_cast WHERE oid >= 16384), \
(SELECT pg_catalog.count(*) || ':' || coalesce(pg_catalog.sum(pg_catalog.hashtext(oid::text || xmin::text)), 0) FROM pg_catalog.pg_extension), \
(SELECT pg_catalog.count(*) || ':' || coalesce(pg_catalog.sum(pg_catalog.hashtext(d.objoid::text || d.objsubid::text || d.xmin::text)), 0) \
FROM pg_catalog.pg_description d WHERE d.classoid = 1259 AND d.objoid >= 16384), \
(SELECT pg_catalog.count(*) || ':' || coalesce(pg_catalog.sum(pg_catalog.hashtext(s.objoid::text || s.objsubid::text || s.provider || s.xmin::text)), 0) \
FROM pg_catalog.pg_seclabel s WHERE s.classoid = 1259), \
(SELECT pg_catalog.count(*) || ':' || coalesce(pg_catalog.sum(pg_catalog.hashtext(oid::text || xmin::text)), 0) FROM pg_catalog.pg_namespace \
WHERE nspname !~ '^pg_(toast|temp)'))";

/// The rows of each query.
#[derive(Clone, Debug, Default)]
pub struct CatalogueRows {
    of: BTreeMap<CatalogueQuery, Vec<CatalogueRow>>,
}

impl CatalogueRows {
    /// No rows of any query.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps the rows of one query.
    pub fn put(&mut self, query: CatalogueQuery, rows: Vec<CatalogueRow>) {
        self.of.insert(query, rows);
    }

    /// The rows of one query; none if it was not run.
    pub fn get(&self, query: CatalogueQuery) -> &[CatalogueRow] {
        self.of.get(&query).map_or(&[], Vec::as_slice)
    }
}
