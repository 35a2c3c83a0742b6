//! The panic hook: prints the green thread on a line before the panic message, which names only the
//! OS thread.

use std::io::Write;
use std::panic;
use std::sync::Once;

use super::if_current;

/// Wraps the panic hook, once for the process. A hook that the program sets later replaces it.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    // The hook cannot be replaced in the middle of a panic. The next OS thread tries again.
    #[expect(
        clippy::disallowed_methods,
        reason = "it is the OS thread that must not panic"
    )]
    if std::thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // Parking is forbidden while the hook runs. A panic in that period aborts the process,
            // and a switch would let other green threads run, which might panic.
            let _no_park = if_current().map(|scheduler| {
                scheduler
                    .running()
                    .unwinding_since
                    .set(scheduler.unwinding_period.get());
                print_name(scheduler);
                scheduler.no_park()
            });
            previous(info);
        }));
    });
}

fn print_name(scheduler: &super::Scheduler) {
    let me = scheduler.running();
    if me.stack.is_none() {
        return;
    }
    let quoted = me
        .name()
        .map(|name| format!("'{name}' "))
        .unwrap_or_default();
    let mut stderr = std::io::stderr().lock();
    // A panic hook cannot return an error.
    drop(writeln!(
        stderr,
        "\ngreen thread {quoted}#{} (spawned at {}):",
        me.id(),
        me.identity().site
    ));
}
