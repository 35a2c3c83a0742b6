//! The state of each green thread of a scheduler, as text: the deadlock report and the dump.

use std::backtrace::Backtrace;
use std::fmt::{self, Write};

use super::Scheduler;
use super::call_site::program_call;
use crate::green::{GreenRef, Identity, State, Wake};

/// The maximum number of green threads in a report. More would not help the reader.
const MAX_REPORT_LINES: usize = 100;

impl Scheduler {
    /// Returns one line for each green thread: its name, its spawn site, and what it does.
    pub(crate) fn dump(&self) -> String {
        let mut text = String::new();
        for green in std::iter::once(self.root()).chain(self.all_live()) {
            self.describe(&mut text, green);
            text.push('\n');
        }
        text
    }

    /// Returns the reason why nothing can go on, and the lines of a dump.
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
                self.describe(&mut text, green);
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

    fn describe(&self, text: &mut String, green: GreenRef) {
        self.try_describe(text, green)
            .expect("writing to a string does not fail");
    }

    fn try_describe(&self, text: &mut String, green: GreenRef) -> fmt::Result {
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
                write!(text, " waits for {}", green.reason.get())?;
            }
            State::New => text.push_str(" is not started"),
            State::Ready(_) if green == self.running() => text.push_str(" is running"),
            State::Ready(_) => text.push_str(" is ready"),
            State::Done => text.push_str(" has ended"),
        }
        if green.killed.get() {
            text.push_str(", and was killed");
        }
        Ok(())
    }
}
