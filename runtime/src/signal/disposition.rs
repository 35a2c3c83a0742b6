//! `Disposition`: what the process does with a signal.
//!
//! `signal-hook-registry` installs the handler and calls the handlers that were there before. It
//! never gives a signal back. So the former action is put in place here, and the handler of the
//! registry again when the signal is needed once more.
//!
//! Other code that uses the registry shares its handler. If it did so before evy, that shows, and the
//! handler stays. If it did so later, nothing shows it.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;

use signal_hook_registry::SigId;

/// The signals that report a fault of the program. If their handler returned, the fault would be
/// repeated forever.
const FAULTS: [i32; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];

/// The actions of one signal.
pub(super) struct Disposition {
    signal: i32,
    /// The action of the registry. `None` before the first installation.
    registry: Option<libc::sigaction>,
    installed: Option<Installed>,
}

/// The handler while it is installed.
struct Installed {
    id: SigId,
    /// The action before. `None` if the handler of the registry was there already.
    before: Option<libc::sigaction>,
}

impl Disposition {
    pub(super) fn new(signal: i32) -> Self {
        Self {
            signal,
            registry: None,
            installed: None,
        }
    }

    /// Makes the process call `handler` for each signal.
    ///
    /// # Errors
    ///
    /// Returns the error of the system.
    ///
    /// # Safety
    ///
    /// [`check`] admits the signal. `handler` does only what a signal handler may do, and does not panic.
    pub(super) unsafe fn install(
        &mut self,
        handler: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<()> {
        let before = action(self.signal)?;
        // SAFETY: the handler does only what it may (caller).
        let id = unsafe { signal_hook_registry::register(self.signal, handler) }?;
        let registry = match self.registry {
            // The registry has installed its handler the first time only.
            Some(registry) => {
                if !is_same(&before, &registry) {
                    set_action(self.signal, &registry);
                }
                registry
            }
            None => self.use_signal_stack(&before)?,
        };
        self.registry = Some(registry);
        self.installed = Some(Installed {
            id,
            before: (!is_same(&before, &registry)).then_some(before),
        });
        Ok(())
    }

    /// Makes the handler of the registry run on the signal stack of its OS thread, and returns its
    /// action. A green thread may have no room left for it: the frame of a signal alone takes
    /// several KiB on some processors.
    ///
    /// No other signal may interrupt the handler, so that handlers do not add up there. A handler
    /// that the program had before does not expect a signal stack. Since the registry calls that one
    /// too, nothing is changed then.
    ///
    /// # Errors
    ///
    /// Returns the error of the system.
    fn use_signal_stack(&self, before: &libc::sigaction) -> io::Result<libc::sigaction> {
        let mut registry = action(self.signal)?;
        if [libc::SIG_DFL, libc::SIG_IGN].contains(&before.sa_sigaction) {
            registry.sa_flags |= libc::SA_ONSTACK;
            // SAFETY: the pointer is valid.
            unsafe { libc::sigfillset(&raw mut registry.sa_mask) };
            set_action(self.signal, &registry);
        }
        Ok(registry)
    }

    /// Ends an installation: the signal has its former effect again.
    pub(super) fn restore(&mut self) {
        let Some(installed) = self.installed.take() else {
            return;
        };
        // First of all, so that there is no time at which a signal has no effect. If a different
        // handler has been installed meanwhile, that one stays.
        if let (Some(before), Some(registry)) = (installed.before, self.registry)
            && action(self.signal).is_ok_and(|now| is_same(&now, &registry))
        {
            set_action(self.signal, &before);
        }
        signal_hook_registry::unregister(installed.id);
    }
}

/// Checks that a signal can be handled.
///
/// # Errors
///
/// Returns `InvalidInput` with the reason if it cannot.
pub(super) fn check(signal: i32) -> io::Result<()> {
    let reason = if FAULTS.contains(&signal) {
        "it reports a fault of the program, which would be repeated"
    } else if signal_hook_registry::FORBIDDEN.contains(&signal) {
        "the system does not allow it"
    } else if action(signal).is_err() {
        "there is no such signal"
    } else {
        return Ok(());
    };
    let message = format!("signal {signal} cannot be received: {reason}");
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

/// Returns the action of a signal.
///
/// # Errors
///
/// Returns the error of the system if there is no such signal.
fn action(signal: i32) -> io::Result<libc::sigaction> {
    let mut action = MaybeUninit::uninit();
    // SAFETY: a null pointer leaves the action unchanged, and the other pointer is valid.
    match unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) } {
        // SAFETY: the call has succeeded, so it has written the action.
        0 => Ok(unsafe { action.assume_init() }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sets the action of a signal to one whose handler it had before.
fn set_action(signal: i32, action: &libc::sigaction) {
    // SAFETY: the pointer is valid, and so is the handler, because the signal had it before.
    unsafe { libc::sigaction(signal, action, ptr::null_mut()) };
}

/// Whether both actions have the same handler.
fn is_same(a: &libc::sigaction, b: &libc::sigaction) -> bool {
    a.sa_sigaction == b.sa_sigaction
}
