//! Tests of `evy::process`: child processes, their ends and their pipes.

mod environment;
mod pipes;
mod std_parity;
mod waiting;
mod without_pidfd;
