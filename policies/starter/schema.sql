-- The tables that the pack's tests assume, in the database `shop` of the upstream `shop-db`.
-- Classes: public.customers.email is pii, public.customers.name is pii, public.customers.card is pci.

CREATE TABLE public.customers (
  id         bigint PRIMARY KEY,
  name       text NOT NULL,
  email      text NOT NULL UNIQUE,
  card       text,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE public.products (
  id    bigint PRIMARY KEY,
  name  text NOT NULL,
  price numeric(10, 2) NOT NULL
);

CREATE TABLE public.orders (
  id          bigint PRIMARY KEY,
  customer_id bigint NOT NULL REFERENCES public.customers (id),
  status      text NOT NULL,
  total       numeric(10, 2) NOT NULL,
  placed_at   timestamptz NOT NULL DEFAULT now()
);
