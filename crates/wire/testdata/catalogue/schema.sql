CREATE DATABASE shop;
\c shop
CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL, email text, ssn text, note varchar, born date, tags text[], doc jsonb);
CREATE TABLE orders (id int PRIMARY KEY, user_id int NOT NULL, total numeric, status text, created timestamptz);
CREATE TABLE guess (id int, ssn text, name text);
CREATE SCHEMA app;
CREATE TABLE app.events (id bigint PRIMARY KEY, kind text, payload jsonb, twice bigint GENERATED ALWAYS AS (id * 2) STORED);
CREATE VIEW active_users AS SELECT u.id, u.ssn AS secret, upper(u.name) AS shout, 1 AS one FROM users u WHERE u.note IS NOT NULL;
CREATE VIEW deep AS SELECT secret AS deepest, id FROM active_users;
CREATE MATERIALIZED VIEW totals AS SELECT u.email, sum(o.total) AS sum FROM users u JOIN orders o ON o.user_id = u.id GROUP BY u.email;
CREATE VIEW totals_view AS SELECT * FROM totals;
CREATE TABLE dropped (a int, gone int, b text);
ALTER TABLE dropped DROP COLUMN gone;
CREATE SEQUENCE numbers;
CREATE FUNCTION risky(text) RETURNS text LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION lower(varchar) RETURNS text LANGUAGE sql AS 'SELECT $1::text';
CREATE PROCEDURE tidy() LANGUAGE sql AS 'SELECT 1';
CREATE TABLE parts (id int, region text) PARTITION BY LIST (region);
