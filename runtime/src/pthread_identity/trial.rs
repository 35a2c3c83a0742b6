//! The trial: first identities, which show that all the facts hold in this process.

use std::cell::Cell;
use std::io;
use std::ptr::{self, NonNull};

use super::birth::{Newborn, PthreadIdentity};
use super::glibc::{self, Glibc, symbol, unknown, unsupported};
use super::images;
use super::machine::ThreadPointer;

/// The smallest stack that a trial uses, and the largest. A program with more thread locals gets no
/// identities.
const STACK_SIZES: (usize, usize) = (128 << 10, 64 << 20);

thread_local! {
    /// What a program may have in a thread local.
    static MARK: Cell<u32> = const { Cell::new(7) };
    static DROPPED: CountDrops = const { CountDrops };
    static DROPS: Cell<u32> = const { Cell::new(0) };
}

struct CountDrops;

impl Drop for CountDrops {
    fn drop(&mut self) {
        DROPS.set(DROPS.get() + 1);
    }
}

/// Checks that green threads can have identities in this process. The first call tries it.
///
/// # Errors
///
/// Returns `Unsupported`, with the reason, if they cannot.
pub(crate) fn check() -> io::Result<()> {
    glibc::facts().map(drop)
}

/// Finds out all facts.
pub(super) fn run() -> io::Result<Glibc> {
    check_environment()?;
    let mut facts = Glibc::find()?;
    if !images::check_blocks() {
        return Err(unknown("the known table of the blocks of thread locals"));
    }
    let mut size = STACK_SIZES.0;
    let (first_stack, first) = loop {
        let stack = TrialStack::map(size)?;
        match stack.newborn() {
            Ok(newborn) => break (stack, newborn),
            // The thread locals do not fit.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            Err(error) => return Err(error),
        }
        size *= 2;
        if size > STACK_SIZES.1 {
            return Err(unsupported("the program has too many thread locals"));
        }
    };
    facts.area = first_stack.top().addr() - first.identity.base().addr();
    let second_stack = TrialStack::map(size)?;
    let second = second_stack.newborn()?;
    // The ids of two threads differ, so only the right word has both.
    let mut common = first.id_words.common(second.id_words);
    facts.id_offset = match (common.next(), common.next()) {
        (Some(offset), None) => offset,
        _ => return Err(unknown("a known place for the id of a thread")),
    };
    for (stack, newborn) in [(first_stack, first), (second_stack, second)] {
        // SAFETY: the stack is mapped until the identity has been destroyed.
        let is_destroyed = unsafe {
            let identity = newborn.complete(&facts)?;
            try_out(&facts, &identity)?;
            identity.destroy_by(&facts)
        };
        if !is_destroyed {
            // glibc may still use the stack.
            std::mem::forget(stack);
            return Err(unknown("a way to end a thread that has no kernel task"));
        }
    }
    Ok(facts)
}

/// Checks what the C library cannot know.
fn check_environment() -> io::Result<()> {
    // A sanitizer keeps state for each thread of the kernel.
    for sanitizer in [
        c"__asan_init",
        c"__tsan_init",
        c"__msan_init",
        c"__hwasan_init",
    ] {
        if symbol(sanitizer).is_some() {
            return Err(unsupported("the program runs under a sanitizer"));
        }
    }
    if cfg!(target_arch = "x86_64") {
        const HWCAP2_FSGSBASE: libc::c_ulong = 1 << 1;
        // SAFETY: the call has no preconditions.
        if unsafe { libc::getauxval(libc::AT_HWCAP2) } & HWCAP2_FSGSBASE == 0 {
            return Err(unsupported(
                "the processor or the kernel does not allow programs to set the thread pointer \
                 (FSGSBASE, Linux 5.9)",
            ));
        }
    }
    Ok(())
}

/// Uses an identity as a green thread would.
///
/// # Safety
///
/// The identity runs nowhere.
unsafe fn try_out(facts: &Glibc, identity: &PthreadIdentity) -> io::Result<()> {
    MARK.set(8);
    let before = Sample::take();
    // SAFETY: the identity runs nowhere (caller). Each function below is not inlined, so this one
    // computes no address of a thread local in between ([no-tls-across-a-change]).
    let (fresh, drops, renewed) = unsafe {
        let own = ThreadPointer::current();
        switch_to(identity.thread_pointer());
        let fresh = Sample::take();
        use_as_thread();
        facts.run_destructors();
        let drops = drops();
        identity.renew_by(facts);
        let renewed = Sample::take();
        switch_to(own);
        (fresh, drops, renewed)
    };
    let after = Sample::take();
    let holds = |is_true: bool, fact: &str| if is_true { Ok(()) } else { Err(unknown(fact)) };
    holds(
        before == after && before.mark == 8,
        "thread locals that stay",
    )?;
    holds(
        fresh.mark == 7 && fresh.place != before.place,
        "thread locals of each thread",
    )?;
    holds(fresh.thread == identity.thread(), "`pthread_self`")?;
    holds(fresh.errno != before.errno, "an `errno` of each thread")?;
    holds(drops == 1, "destructors of thread locals")?;
    holds(renewed == fresh, "thread locals that can be renewed")
}

/// Changes the thread pointer for [`try_out`].
#[inline(never)]
unsafe fn switch_to(thread_pointer: ThreadPointer) {
    // SAFETY: this function uses no thread local, and is not inlined (caller).
    unsafe { thread_pointer.set() };
}

/// Leaves marks in thread locals, and allocates.
#[inline(never)]
fn use_as_thread() {
    MARK.set(9);
    DROPPED.with(|_| ());
    drop(std::hint::black_box(vec![1_u8; 100]));
}

#[inline(never)]
fn drops() -> u32 {
    DROPS.get()
}

/// What C and std take for the current thread.
#[derive(Debug, PartialEq, Eq)]
struct Sample {
    mark: u32,
    place: usize,
    errno: usize,
    thread: libc::pthread_t,
}

impl Sample {
    #[inline(never)]
    fn take() -> Self {
        Self {
            mark: MARK.get(),
            place: MARK.with(|mark| ptr::from_ref(mark).addr()),
            // SAFETY: neither call has preconditions.
            errno: unsafe { libc::__errno_location() }.addr(),
            // SAFETY: as above.
            thread: unsafe { libc::pthread_self() },
        }
    }
}

/// A stack for a trial.
struct TrialStack {
    limit: NonNull<u8>,
    size: usize,
}

impl TrialStack {
    fn map(size: usize) -> io::Result<Self> {
        // SAFETY: a new mapping, which the kernel places.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        match NonNull::new(memory.cast()) {
            Some(limit) if memory != libc::MAP_FAILED => Ok(Self { limit, size }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn top(&self) -> *mut u8 {
        self.limit.as_ptr().wrapping_add(self.size)
    }

    fn newborn(&self) -> io::Result<Newborn> {
        unsafe fn adopt(_: *const ()) {}
        // SAFETY: a new stack, of which only a part is used.
        unsafe { Newborn::create(self.limit.as_ptr(), self.top(), adopt, ptr::null(), None) }
    }
}

impl Drop for TrialStack {
    fn drop(&mut self) {
        // SAFETY: no identity is left on it, or `run` has forgotten it.
        unsafe { libc::munmap(self.limit.as_ptr().cast(), self.size) };
    }
}
