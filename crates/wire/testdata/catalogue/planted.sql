CREATE DATABASE planted;
\c planted
CREATE EXTENSION citext;
CREATE TABLE people (id int PRIMARY KEY, name text NOT NULL, email text, mail citext, ssn text, note varchar(40), born date,
  initials text GENERATED ALWAYS AS (upper(left(name, 1)) || coalesce(ssn, '')) STORED) PARTITION BY RANGE (id);
CREATE TABLE people_1 PARTITION OF people FOR VALUES FROM (0) TO (100) PARTITION BY RANGE (id);
CREATE TABLE people_1a PARTITION OF people_1 FOR VALUES FROM (0) TO (50);
CREATE TABLE people_2 PARTITION OF people FOR VALUES FROM (100) TO (200);
CREATE TABLE animals (id int, tag text);
CREATE TABLE cats (lives int, secret text) INHERITS (animals);
CREATE TABLE own_copy (id int, ssn text, again text GENERATED ALWAYS AS ('x' || ssn) STORED);
CREATE VIEW people_view AS SELECT id, initials, ssn FROM people_2;
CREATE MATERIALIZED VIEW people_copy AS SELECT id, ssn AS kept FROM people;
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TYPE pair AS (first text, second int);
CREATE DOMAIN short AS text CHECK (length(VALUE) < 10);
CREATE TABLE typed (id int, feeling mood, both_of pair, list text[], brief short, span int4range);
-- planted
CREATE FUNCTION lower(varchar) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT max(ssn) FROM public.people); END';
CREATE FUNCTION upper(text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
CREATE FUNCTION spy_eq(varchar, varchar) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN true; END';
CREATE OPERATOR = (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = spy_eq);
CREATE FUNCTION spy_mood(mood) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT max(ssn) FROM public.people); END';
CREATE CAST (mood AS text) WITH FUNCTION spy_mood(mood) AS ASSIGNMENT;
CREATE FUNCTION spy_join(text, int) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
CREATE OPERATOR <+> (LEFTARG = text, RIGHTARG = int, FUNCTION = spy_join);
-- functions in SQL
CREATE FUNCTION ssn_of(wanted int) RETURNS text LANGUAGE sql STABLE AS 'SELECT ssn FROM people WHERE id = wanted';
CREATE FUNCTION shout(what text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT pg_catalog.upper($1) || ''!''';
CREATE FUNCTION born_after(day date) RETURNS TABLE (who text, contact text) LANGUAGE sql STABLE AS
  'SELECT name, email FROM people WHERE born > day';
CREATE FUNCTION everyone() RETURNS SETOF animals LANGUAGE sql STABLE AS 'SELECT id, tag FROM animals';
CREATE FUNCTION standard_body(wanted int) RETURNS text LANGUAGE sql STABLE RETURN (SELECT p.ssn FROM people p WHERE p.id = wanted);
CREATE FUNCTION atomic_body(wanted int) RETURNS text LANGUAGE sql STABLE BEGIN ATOMIC SELECT p.email FROM people p WHERE p.id = wanted; END;
CREATE FUNCTION with_path(wanted int) RETURNS text LANGUAGE sql STABLE SET search_path = public AS 'SELECT ssn FROM people WHERE id = wanted';
CREATE FUNCTION changing(wanted int) RETURNS text LANGUAGE sql AS 'DELETE FROM people WHERE id = wanted RETURNING ssn';
CREATE FUNCTION forever(n int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE OR REPLACE FUNCTION forever(n int) RETURNS int LANGUAGE sql AS 'SELECT forever(n)';
CREATE FUNCTION through(wanted int) RETURNS text LANGUAGE sql AS 'SELECT ssn_of(wanted)';
CREATE FUNCTION opaque(wanted int) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT ssn FROM public.people WHERE id = wanted); END';
-- code that a write sets off
CREATE TABLE watched (id int, what text DEFAULT opaque(1));
CREATE FUNCTION on_watched() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.what := (SELECT max(ssn) FROM public.people); RETURN NEW; END';
CREATE TRIGGER watched_t BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION on_watched();
CREATE TABLE ruled (id int);
CREATE RULE ruled_r AS ON INSERT TO ruled DO ALSO DELETE FROM watched;
CREATE TABLE quiet (id int, at timestamptz DEFAULT now());
CREATE TABLE checked (id int, what text CHECK (opaque(id) <> what));
