//! Events, queues, semaphores and `select!`: what green threads of one OS thread coordinate with.

mod event;
mod queue;
mod select;
mod select_edges;
mod semaphore;
mod stress;
