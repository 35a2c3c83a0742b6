//! The deadlock report: the state of each green thread of a scheduler, as text.

use std::backtrace::Backtrace;
use std::fmt::{self, Write};

use super::Scheduler;
use super::call_site::program_call;
use crate::green::{GreenRef, Identity, State, Wake};

/// The maximum number of green threads in a report. More would not help the reader.
const MAX_REPORT_LINES: usize = 100;

impl Scheduler {
    /// Returns one line for each green thread: its name, its spawn site, and what it waits for.
    pub(crate) fn deadlock_report(&self) -> String {
        let mut text = String::from(
            "deadlock: every green thread of this OS thread is parked, no timer is set, no descriptor is \
             awaited, and no other OS thread can wake one:",
        );
        let mut lines = 0;
        let mut line = |green: GreenRef| {
            lines += 1;
            if lines <= MAX_REPORT_LINES {
                text.push_str("\n  ");
                describe(&mut text, green).expect("writing to a string does not fail");
                if green == self.running()
                    && let Some(call) = program_call(&Backtrace::force_capture().to_string())
                {
                    text.push_str(&call);
                }
            }
        };
        line(self.root());
        let all = self.all_live().into_iter();
        all.filter(|green| !green.is_background.get())
            .for_each(&mut line);
        if lines > MAX_REPORT_LINES {
            text.push_str(&format!("\n  and {} more", lines - MAX_REPORT_LINES));
        }
        text
    }
}

fn describe(text: &mut String, green: GreenRef) -> fmt::Result {
    write!(text, "green thread #{}", green.id())?;
    if let Some(name) = green.name() {
        write!(text, " '{name}'")?;
    }
    if green.stack.is_none() {
        text.push_str(" (root)");
    } else {
        let Identity { site, parent, .. } = green.identity();
        write!(text, " (spawned at {site} by #{parent})")?;
    }
    match green.state.get() {
        // The root green thread, woken to report the deadlock, still is in its wait.
        State::Parked | State::Ready(Wake::Deadlocked) => {
            write!(text, " waits for {}", green.reason.get())
        }
        State::New => text.write_str(" is not started"),
        State::Ready(_) => text.write_str(" is ready"),
        State::Done => text.write_str(" has ended"),
    }
}
