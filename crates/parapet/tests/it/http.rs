//! HTTP APIs through the gateway: stock clients and real servers, raw bytes against a tripwire, masks, a secret store.

mod clients;
mod conformance;
mod decided;
mod echoes;
mod egress;
mod hazards;
mod interim;
mod kept;
mod keys_at_rest;
mod logins;
mod masks;
mod memory;
mod secrets;
mod suggested;
mod websockets;
