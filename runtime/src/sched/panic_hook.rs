//! A panic message names the OS thread; this adds the green thread, on a line before it.

use std::io::Write;
use std::panic;
use std::sync::Once;

use super::if_current;

/// Wraps the panic hook, once for the process. A hook that a program sets later replaces it.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    // The hook cannot be exchanged in the middle of a panic; the next OS thread tries again.
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
            // A panic while the hook runs aborts, and a switch would let others run into one.
            let _no_park = if_current().map(|scheduler| {
                scheduler
                    .running()
                    .unwinding_since
                    .set(scheduler.unwinding_period.get());
                name(scheduler);
                scheduler.no_park()
            });
            previous(info);
        }));
    });
}

fn name(scheduler: &super::Scheduler) {
    let me = scheduler.running();
    if me.stack.is_none() {
        return;
    }
    let quoted = me
        .name()
        .map(|name| format!("'{name}' "))
        .unwrap_or_default();
    let mut stderr = std::io::stderr().lock();
    // A hook has nobody to return an error to.
    drop(writeln!(
        stderr,
        "\ngreen thread {quoted}#{} (spawned at {}):",
        me.id(),
        me.identity().site
    ));
}
