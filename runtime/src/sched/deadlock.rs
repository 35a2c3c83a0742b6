//! The deadlock report: the state of each green thread of a scheduler, as text.

use std::backtrace::Backtrace;
use std::fmt::{self, Write};

use super::Scheduler;
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

/// Finds the call in the program that led to a wait, in the text of a backtrace from inside it.
///
/// The location of the call could be passed down to each wait instead. But then every call that may
/// park would pay for a report that hardly any program prints.
fn program_call(backtrace: &str) -> Option<String> {
    let mut lines = backtrace.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        let Some((_, name)) = line.split_once(": ") else {
            continue;
        };
        let site = lines.next_if(|line| line.starts_with("at "));
        if is_library(name) || site.is_some_and(|site| site.starts_with("at /rustc/")) {
            continue;
        }
        // Without debug information, only the name of the function is known.
        return Some(match site {
            Some(site) => format!(" {site}"),
            None => format!(" in {name}"),
        });
    }
    None
}

/// Whether a function belongs to evy, to the standard library or to the system.
fn is_library(name: &str) -> bool {
    const CRATES: [&str; 9] = [
        "evy",
        "evy_runtime",
        "evy_pool",
        "evy_net",
        "evy_http",
        "std",
        "core",
        "alloc",
        "__rustc",
    ];
    let path = name.trim_start_matches(['<', '&']);
    // A function without a path is one of C, or of the compiler.
    path.split_once("::")
        .is_none_or(|(first, _)| CRATES.contains(&first))
}

#[cfg(test)]
mod tests {
    use super::program_call;

    #[test]
    fn the_innermost_call_outside_of_the_libraries_is_found() {
        let with_lines = "\
   0: std::backtrace::Backtrace::force_capture
             at /rustc/0123/library/std/src/backtrace.rs:312:9
   1: evy_runtime::queue::Queue<T>::get
             at /evy/runtime/src/queue/mod.rs:1:2
   2: <evy_pool::imap::Imap<T> as core::iter::traits::iterator::Iterator>::next
             at /evy/pool/src/imap.rs:3:4
   3: <I as core::iter::traits::collect::IntoIterator>::into_iter
             at /rustc/0123/library/core/src/iter/traits/collect.rs:5:6
   4: __rust_try
   5: <app::Jobs as core::ops::drop::Drop>::drop
             at ./src/jobs.rs:7:8
   6: app::main
             at ./src/main.rs:9:10
";
        assert_eq!(
            program_call(with_lines).as_deref(),
            Some(" at ./src/jobs.rs:7:8")
        );
        let names_only = "   0: evy_runtime::queue::Queue<T>::get\n   1: app::main\n";
        assert_eq!(program_call(names_only).as_deref(), Some(" in app::main"));
        assert_eq!(program_call("disabled backtrace"), None);
    }
}
