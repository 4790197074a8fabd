//! The shop that the tests guard: three tables, 10,000 rows, the same every time.

/// The database's name.
pub(crate) const NAME: &str = "shop";

/// Makes the database.
pub(crate) const DATABASE: &str = "create database shop";

/// The gateway's login: no superuser, and owner of nothing but the shop's tables.
pub(crate) const ROLES: &str = "create role parapet login password 'canary-5f0a-upstream-password';
    revoke all on schema public from public;
    grant usage, create on schema public to parapet;";

/// The tables.
pub(crate) const SCHEMA: &str = "set role parapet;
    create table customers (id int primary key, name text not null, email text not null, card text not null,
        created_at timestamptz not null);
    create table orders (id int primary key, customer_id int not null references customers, status text not null,
        total numeric(10, 2) not null, placed_at timestamptz not null);
    create table products (id int primary key, name text not null, price numeric(10, 2) not null);
    create table notes (id int primary key, body text not null);";

/// The rows: 2,000 customers, 7,900 orders, 100 products.
pub(crate) const ROWS: &str = "set role parapet;
    insert into customers select n, 'Customer ' || n, 'customer' || n || '@example.com',
        '411111111111' || lpad(n::text, 4, '0'), timestamptz '2026-01-01 00:00Z' + n * interval '1 minute'
        from generate_series(1, 2000) as n;
    insert into orders select n, 1 + n % 2000, (array['open', 'paid', 'sent'])[1 + n % 3], n % 500 + 0.99,
        timestamptz '2026-02-01 00:00Z' + n * interval '1 minute' from generate_series(1, 7900) as n;
    insert into products select n, 'Product ' || n, n + 0.5 from generate_series(1, 100) as n;
    analyze;";
