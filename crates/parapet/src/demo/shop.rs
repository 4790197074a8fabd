//! The demo's database and its configuration: a small shop, and the workloads that use it.

use std::path::Path;

use anyhow::{Context as _, bail};

use super::postgres::Server;
use crate::dev_issuer;

/// A PostgreSQL that the demo guards.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) database: String,
}

impl Upstream {
    /// Reads `postgres://user[:password]@host[:port]/database`, with a host on loopback.
    pub(crate) fn parse(url: &str) -> anyhow::Result<Self> {
        let rest = url
            .strip_prefix("postgres://")
            .or_else(|| url.strip_prefix("postgresql://"))
            .context("an upstream's URL begins with `postgres://`")?;
        let (login, place) =
            rest.rsplit_once('@').context("an upstream's URL names a user: `postgres://user@host/database`")?;
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (host, database) =
            place.split_once('/').context("an upstream's URL names a database: `postgres://user@host/database`")?;
        let (host, port) = host.rsplit_once(':').unwrap_or((host, "5432"));
        if !["localhost", "127.0.0.1"].contains(&host) {
            bail!(
                "`{host}` is another machine: `demo` and `dev` guard databases on this one alone; use `parapet serve`"
            );
        }
        let password = match password {
            "" => crate::config::variable("PGPASSWORD").unwrap_or_default(),
            given => given.to_owned(),
        };
        Ok(Self {
            host: host.to_owned(),
            port: port.parse().context("the port of an upstream's URL is a number")?,
            user: user.to_owned(),
            password,
            database: database.to_owned(),
        })
    }
}

/// A word that nobody can guess.
pub(super) fn random_word() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system gave no random bytes"))?;
    Ok(kernel::approval::hex(&bytes))
}

/// Makes the shop, and a role for the gateway that owns it and is no superuser.
pub(super) fn create(server: &Server, superuser_password: &str) -> anyhow::Result<Upstream> {
    let password = random_word()?;
    server.run_sql("postgres", superuser_password, &format!("CREATE ROLE parapet LOGIN PASSWORD '{password}'"))?;
    server.run_sql("postgres", superuser_password, "CREATE DATABASE shop OWNER parapet")?;
    server.run_sql("shop", superuser_password, SHOP)?;
    Ok(Upstream {
        host: "127.0.0.1".to_owned(),
        port: server.port,
        user: "parapet".to_owned(),
        password,
        database: "shop".to_owned(),
    })
}

const SHOP: &str = "
SET ROLE parapet;
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, email text NOT NULL, card text NOT NULL, created_at timestamptz NOT NULL);
CREATE TABLE products (id int PRIMARY KEY, name text NOT NULL, price numeric(10,2) NOT NULL);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, status text NOT NULL, total numeric(10,2) NOT NULL, placed_at timestamptz NOT NULL);
INSERT INTO customers SELECT i, (ARRAY['Ada','Grace','Alan','Edsger','Barbara','Ken','Radia','Leslie'])[1 + i % 8] || ' ' ||
  (ARRAY['Stone','Rivers','Marsh','Fields','Woods','Lake'])[1 + i % 6], 'customer' || i || '@example.com',
  '4000' || lpad((i * 7919 % 1000000000000)::text, 12, '0'), timestamptz '2026-01-01' + i * interval '1 hour'
  FROM generate_series(1, 5000) AS i;
INSERT INTO products SELECT i, 'Product ' || i, (i * 37 % 10000) / 100.0 FROM generate_series(1, 200) AS i;
INSERT INTO orders SELECT i, 1 + i % 5000, (ARRAY['open','paid','shipped'])[1 + i % 3], (i * 53 % 50000) / 100.0,
  timestamptz '2026-06-01' + i * interval '1 minute' FROM generate_series(1, 4800) AS i;
ANALYZE;";

/// The demo's `parapet.toml`.
pub(super) fn configuration(folder: &Path, upstream: &Upstream, admin_hash: &str, any_port: bool) -> String {
    let (postgres, admin) = if any_port { (0, 0) } else { (super::free_port(15432), super::free_port(18000)) };
    let folder_text = folder.display();
    let (host, port, database, user) = (&upstream.host, upstream.port, &upstream.database, &upstream.user);
    let mut text = format!(
        r#"[gateway]
state = "{folder_text}"
public_url = "http://127.0.0.1:{admin}"

[admin]
listen = "127.0.0.1:{admin}"

[postgres]
listen = "127.0.0.1:{postgres}"
tls = "off"

[policies]
folders = ["{folder_text}/policies"]

[upstreams.shop-db]
protocol = "postgres"
address = "{host}:{port}"
database = "{database}"
environment = "production"
user = "{user}"
password = "file://{folder_text}/upstream.password"
tls = "off"

[upstreams.shop-db.classes]
pii = ["public.customers.name", "public.customers.email"]
pci = ["public.customers.card"]

[issuers."{issuer}"]
audience = "{audience}"
algorithms = ["ES256"]
jwks = "file://{jwks}"

[people."ann@example.com"]
groups = ["dba"]
admin = true
token_hash = "{admin_hash}"
"#,
        issuer = dev_issuer::ISSUER,
        audience = dev_issuer::AUDIENCE,
        jwks = dev_issuer::jwks_path(folder).display(),
    );
    for (name, kind, purpose) in [
        ("triage-bot", "agent", "answers questions about orders"),
        ("reporting", "service", "weekly reports"),
        ("deploy", "ci", "schema migrations"),
        ("dump-job", "ci", "a job that reads too much"),
        ("refund-job", "service", "refunds what customers sent back"),
    ] {
        text.push_str(&format!(
            r#"
[workloads.{name}]
owner = "mara@example.com"
kind = "{kind}"
environment = "production"
purpose = "{purpose}"

[[trust]]
workload = "{name}"
issuer = "{issuer}"
claims = {{ sub = "{name}", environment = "{environment}" }}
"#,
            issuer = dev_issuer::ISSUER,
            environment = dev_issuer::ENVIRONMENT,
        ));
    }
    text
}
