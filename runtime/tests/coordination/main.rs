//! Tests of what coordinates the green threads of one OS thread: events, queues, semaphores,
//! `select!` and shared calls.

mod event;
mod helper_pool;
mod interval;
mod priority_queue;
mod queue;
mod queue_close;
mod select;
mod select_biased;
mod select_edges;
mod semaphore;
mod stress;
mod wait_queue;
