CREATE TABLE customers (id bigint, name text, email text);
CREATE TABLE orders (id bigint, customer bigint, total numeric);
