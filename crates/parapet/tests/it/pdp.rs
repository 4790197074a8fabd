//! The decision point: the real gateway, asked by AuthZEN's certification scenario, by a real nginx and by a real Envoy.

mod bed;
mod callers;
mod certification;
mod envoy;
mod nginx;
mod requests;
mod todo;
