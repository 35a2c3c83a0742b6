//! Hostile and odd messages, each with what the RFCs require: tables in text files, which
//! `ci/http_attacks.sh` also tries on other servers and clients.

#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]

mod answers;
mod deviations;
mod pipelines;
mod requests;
mod responses;
mod splits;
mod table;
