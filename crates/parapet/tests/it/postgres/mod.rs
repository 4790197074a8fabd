//! PostgreSQL guarded end to end: stock clients and a client of bytes, through the real gateway, to a real server.

mod cancel;
mod catalogue;
mod classes;
mod copy;
mod holds;
mod limits;
mod masks;
mod reads;
mod refusals;
mod transactions;
