CREATE TABLE public.customers (
  id int PRIMARY KEY, name text NOT NULL, email text NOT NULL, card text NOT NULL, created_at timestamptz NOT NULL
);
CREATE TABLE public.orders (
  id int PRIMARY KEY, customer_id int NOT NULL, status text NOT NULL, total numeric(10, 2) NOT NULL, placed_at timestamptz NOT NULL
);
CREATE TABLE public.products (id int PRIMARY KEY, name text NOT NULL, price numeric(10, 2) NOT NULL);
CREATE TABLE public.notes (id int PRIMARY KEY, body text NOT NULL);
