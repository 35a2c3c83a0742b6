//! Tests of what coordinates the green threads of one OS thread: events, queues, semaphores and
//! `select!`.

mod event;
mod priority_queue;
mod queue;
mod select;
mod select_edges;
mod semaphore;
mod stress;
mod wait_queue;
