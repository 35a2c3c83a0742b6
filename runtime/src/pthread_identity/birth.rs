//! `PthreadIdentity`: its birth, its reuse and its end.

use std::ffi::c_void;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use super::glibc::{self, Glibc};
use super::id_words::IdWords;
use super::images::Images;
use super::machine::{ThreadPointer, system_call};
use super::turns::Turns;
use super::{Adopt, FIRST_ID, os_thread, task};

const LAST_ID: i32 = 0x3fff_ffff;

/// The pthread identity of a stack. It stays with its stack.
#[derive(Debug)]
pub(crate) struct PthreadIdentity {
    thread_pointer: ThreadPointer,
    thread: libc::pthread_t,
    /// Where the birth has stored its registers. The frames of green threads lie below.
    registers: *mut u8,
    top: *mut u8,
    adopt: Adopt,
    data: *const (),
    os_thread: ThreadPointer,
    end_word: EndWord,
    turns: Turns,
    images: Images,
}

/// The word that the kernel clears when a task of the pthread has ended.
#[derive(Clone, Copy, Debug)]
struct EndWord {
    /// Null if glibc has not named one.
    address: *const AtomicU32,
    /// What glibc had stored there.
    value: u32,
}

/// What the creator and the new pthread share, until the kernel task of the latter has ended.
#[repr(C)]
struct Birth {
    /// The first field: `task::begin` stores it.
    registers: *mut u8,
    adopt: Adopt,
    data: *const (),
    os_thread: ThreadPointer,
    /// Where the id lies, relative to the thread pointer, if that is known.
    id_offset: Option<isize>,
    /// One once the fields below are valid.
    is_recorded: AtomicU32,
    thread_pointer: MaybeUninit<ThreadPointer>,
    id_words: IdWords,
    end_word: EndWord,
    /// The word that the kernel clears, if glibc has not named one.
    own_word: AtomicU32,
}

impl Birth {
    /// Returns the word that the kernel clears.
    fn cleared_at_end(&self) -> *const AtomicU32 {
        match self.end_word.address.is_null() {
            true => &raw const self.own_word,
            false => self.end_word.address,
        }
    }
}

/// An identity that still has the id of its kernel task, which has ended.
pub(super) struct Newborn {
    pub(super) identity: PthreadIdentity,
    pub(super) id_words: IdWords,
}

impl Birth {
    /// Replaces the id of the calling thread, so that glibc sends it no more signals. It would wait for
    /// an answer of a thread that ends without one.
    ///
    /// # Safety
    ///
    /// `thread_pointer` and `id_words` are those of the calling thread.
    unsafe fn give_up_id(&self) {
        let Some(offset) = self.id_offset else { return };
        let mut own = self.id_words.common(self.id_words);
        if own.any(|found| found == offset) {
            // SAFETY: the word is part of the `struct pthread` of this thread (caller).
            unsafe {
                let id = self.thread_pointer.assume_init().at::<i32>(offset);
                id.write_volatile(FIRST_ID);
            }
        }
    }
}

impl Newborn {
    /// # Safety
    ///
    /// As for [`PthreadIdentity::create`].
    pub(super) unsafe fn create(
        limit: *mut u8,
        top: *mut u8,
        adopt: Adopt,
        data: *const (),
        id_offset: Option<isize>,
    ) -> io::Result<Self> {
        let os_thread = os_thread::pointer();
        let mut birth = Birth {
            registers: ptr::null_mut(),
            adopt,
            data,
            os_thread,
            id_offset,
            is_recorded: AtomicU32::new(0),
            thread_pointer: MaybeUninit::uninit(),
            id_words: IdWords::NONE,
            end_word: EndWord {
                address: ptr::null(),
                value: 0,
            },
            own_word: AtomicU32::new(1),
        };
        let shared = &raw mut birth;
        let size = (top.addr() - limit.addr()) & !15;
        // SAFETY: the stack is as `pthread_create` requires (caller), and `shared` is valid until the
        // new thread has ended, which is waited for below.
        let thread = unsafe { create_pthread(limit, size, shared.cast())? };
        // SAFETY: `record` has written the other fields before it stored `is_recorded`, and after that
        // it touches none of them. The word is valid: it is part of the identity or of `birth`.
        unsafe {
            wait_while(
                &raw const (*shared).is_recorded,
                0,
                libc::FUTEX_PRIVATE_FLAG,
            );
            wait_until_cleared((*shared).cleared_at_end());
            Ok(Self {
                identity: PthreadIdentity {
                    thread_pointer: (*shared).thread_pointer.assume_init(),
                    thread,
                    registers: (*shared).registers,
                    top,
                    adopt,
                    data,
                    os_thread,
                    end_word: (*shared).end_word,
                    turns: Turns::of(FIRST_ID),
                    images: Images::new(),
                },
                id_words: (*shared).id_words,
            })
        }
    }

    /// Gives the identity an id of its own.
    ///
    /// # Errors
    ///
    /// Returns an error if its id was not found where the facts say.
    ///
    /// # Safety
    ///
    /// As for [`PthreadIdentity::create`].
    pub(super) unsafe fn complete(self, facts: &Glibc) -> io::Result<PthreadIdentity> {
        let mut identity = self.identity;
        let words = self.id_words;
        if !words.common(words).any(|offset| offset == facts.id_offset) {
            // It is leaked, because it cannot be joined.
            return Err(glibc::unknown("a fixed place for the id of a thread"));
        }
        let thread_pointer = identity.thread_pointer;
        let end_word = identity.end_word;
        // SAFETY: the words are part of the identity, which runs nowhere.
        unsafe {
            // Cleared, it would say that the pthread has ended, and detaching it would free its state.
            if let Some(word) = end_word.address.as_ref() {
                word.store(end_word.value, Ordering::Relaxed);
            }
            let id = next_id();
            identity.turns = Turns::of(id);
            thread_pointer.at::<i32>(facts.id_offset).write(id);
            if let Some(offset) = facts.rseq_offset {
                // The kernel has forgotten the area. With this value in the field `cpu_id`,
                // `sched_getcpu` asks the kernel.
                const REGISTRATION_FAILED: i32 = -2;
                let cpu_id = offset + size_of::<i32>().cast_signed();
                thread_pointer.at::<i32>(cpu_id).write(REGISTRATION_FAILED);
            }
        }
        Ok(identity)
    }
}

impl PthreadIdentity {
    /// Returns how many bytes an identity occupies on its stack.
    ///
    /// # Errors
    ///
    /// Returns an error as [`super::check`] does.
    pub(crate) fn area() -> io::Result<usize> {
        glibc::facts().map(|facts| facts.area)
    }

    /// Gives the stack `limit..top` an identity.
    ///
    /// # Errors
    ///
    /// Returns an error as [`super::check`] does, and the error of the system if it cannot create an OS
    /// thread.
    ///
    /// # Safety
    ///
    /// - The memory is writable, larger than [`Self::area`], and nothing else uses it.
    /// - It stays mapped until the identity is destroyed.
    /// - `adopt` may be called with `data` on any OS thread.
    pub(crate) unsafe fn create(
        limit: *mut u8,
        top: *mut u8,
        adopt: Adopt,
        data: *const (),
    ) -> io::Result<Self> {
        let facts = glibc::facts()?;
        // SAFETY: as here (caller).
        unsafe { Newborn::create(limit, top, adopt, data, Some(facts.id_offset))?.complete(facts) }
    }

    /// Says that a green thread runs under it from now on.
    #[inline]
    pub(crate) fn begin_turn(&self) {
        self.turns.begin_one();
    }

    /// Says that the green thread does not run any more.
    #[inline]
    pub(crate) fn end_turn(&self) {
        self.turns.end_one();
    }

    /// Returns the address below which the frames of green threads may lie.
    pub(crate) fn base(&self) -> *mut u8 {
        self.registers.wrapping_sub(self.registers.addr() % 64)
    }

    /// Returns the end of the stack, above the identity.
    pub(crate) fn top(&self) -> *mut u8 {
        self.top
    }

    pub(crate) fn thread_pointer(&self) -> ThreadPointer {
        self.thread_pointer
    }

    pub(super) fn thread(&self) -> libc::pthread_t {
        self.thread
    }

    /// Runs the destructors of all thread locals and of all values of POSIX keys, as at the end of a
    /// thread.
    ///
    /// Destructors are code of the program. They may park, and may use thread locals again.
    ///
    /// # Safety
    ///
    /// The calling code runs under this identity, and no function of the program on this stack uses a
    /// thread local any more.
    pub(crate) unsafe fn run_destructors(&self) {
        if let Ok(facts) = glibc::facts() {
            // SAFETY: this is what glibc does at the end of a thread, and no code of the program is
            // left that could use the values (caller).
            unsafe { facts.run_destructors() };
        }
    }

    /// Releases what the last green thread has left, and gives all thread locals their initial values,
    /// for the next one.
    ///
    /// # Safety
    ///
    /// As for [`Self::run_destructors`], which was called just before.
    pub(crate) unsafe fn renew(&self) {
        if let Ok(facts) = glibc::facts() {
            // SAFETY: as here (caller).
            unsafe { self.renew_by(facts) };
        }
    }

    /// # Safety
    ///
    /// As for [`Self::renew`].
    #[inline(never)]
    pub(super) unsafe fn renew_by(&self, facts: &Glibc) {
        // SAFETY: nothing refers to the values (caller), and the identity is the current one.
        unsafe {
            facts.release_mutexes(self.thread_pointer);
            glibc::reset_settings();
            let area = self.top.addr() - self.base().addr();
            // An allocator must not note here what it then finds overwritten. So it is called as the OS
            // thread.
            let copy = || self.images.copy_to(self.thread_pointer, area);
            os_thread::under(self.os_thread, copy);
            (self.adopt)(self.data);
        }
        os_thread::remember(self.os_thread);
    }

    /// Ends the identity, and gives back what glibc keeps for it. Returns `false` if glibc may still use
    /// the stack.
    ///
    /// # Safety
    ///
    /// The identity runs nowhere, will not run again, and its destructors have run.
    #[must_use]
    pub(crate) unsafe fn destroy(&self) -> bool {
        self.images.clear();
        // SAFETY: as here (caller).
        glibc::facts().is_ok_and(|facts| unsafe { self.destroy_by(facts) })
    }

    /// A new kernel task ends the pthread ([`task`]). It is joined, unless the program has detached it.
    ///
    /// # Safety
    ///
    /// As for [`Self::destroy`].
    pub(super) unsafe fn destroy_by(&self, facts: &Glibc) -> bool {
        let id = self.thread_pointer.at::<AtomicI32>(facts.id_offset);
        let own_word = AtomicU32::new(1);
        let named = self.end_word.address;
        let word = match named.is_null() {
            true => &raw const own_word,
            false => named,
        };
        // SAFETY: the kernel task of the birth has ended, and nothing runs under the identity (caller).
        // The words are part of it, or of this frame, which is not left before the new task has ended.
        unsafe {
            // Where it is not the id, the word says too whether the program has detached the pthread.
            let is_joinable = ptr::addr_eq(word, id)
                || named.is_null()
                || (*word).load(Ordering::Relaxed) == self.end_word.value;
            let (registers, thread_pointer) = (self.registers, self.thread_pointer);
            let end = || {
                task::end(
                    registers,
                    thread_pointer,
                    id,
                    word,
                    ptr::from_ref(self).cast(),
                )
            };
            if !with_signals_blocked(end) {
                return false;
            }
            wait_until_cleared(word);
            // To glibc, a thread without an id has ended, so the join does not wait.
            (*id).store(0, Ordering::Relaxed);
            is_joinable && libc::pthread_join(self.thread, ptr::null_mut()) == 0
        }
    }
}

/// Returns an id that no other thread has.
fn next_id() -> i32 {
    static NEXT: AtomicI32 = AtomicI32::new(FIRST_ID);
    // An id is for the whole life of a stack, so there are far fewer than this wraps around at.
    let next = |id: i32| Some(if id == LAST_ID { FIRST_ID } else { id + 1 });
    NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
        .unwrap_or(FIRST_ID)
}

/// Creates a pthread on a given stack, with all signals blocked.
///
/// # Safety
///
/// `limit` and `size` describe a stack that nothing else uses, and `birth` is valid until the thread
/// has ended.
unsafe fn create_pthread(
    limit: *mut u8,
    size: usize,
    birth: *mut c_void,
) -> io::Result<libc::pthread_t> {
    let ok = |errno| match errno {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    };
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
    // SAFETY: each object is initialized before it is used, and the stack is valid (caller).
    unsafe {
        ok(libc::pthread_attr_init(attributes.as_mut_ptr()))?;
        let created = ok(libc::pthread_attr_setstack(
            attributes.as_mut_ptr(),
            limit.cast(),
            size,
        ))
        .and_then(|()| {
            let (thread, attributes) = (thread.as_mut_ptr(), attributes.as_ptr());
            ok(os_thread::as_os_thread(|| {
                with_signals_blocked(|| {
                    libc::pthread_create(thread, attributes, task::begin, birth)
                })
            }))
        });
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        created.map(|()| thread.assume_init())
    }
}

/// Runs `f`, which creates a pthread, such that no handler of the program runs on that.
pub(super) fn with_signals_blocked<R>(f: impl FnOnce() -> R) -> R {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: each set is initialized before it is read.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        let result = f();
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut());
        result
    }
}

/// What the new pthread does: it records where its state lies, and ends its kernel task.
///
/// # Safety
///
/// `birth` is that of [`Newborn::create`], and [`task::begin`] has called this.
pub(super) unsafe extern "C" fn record(birth: *mut c_void) -> ! {
    const PR_GET_TID_ADDRESS: usize = 40;
    let birth = birth.cast::<Birth>();
    // SAFETY: `birth` is valid until this kernel task has ended, and the creator reads the fields only
    // after `is_recorded` was stored. No destructor is left out by the exit.
    unsafe {
        ((*birth).adopt)((*birth).data);
        os_thread::remember((*birth).os_thread);
        (*birth).thread_pointer.write(ThreadPointer::current());
        (*birth).id_words = IdWords::find((*birth).thread_pointer.assume_init());
        (*birth).give_up_id();
        let mut word: *const AtomicU32 = ptr::null();
        let named = system_call(
            libc::SYS_prctl,
            [PR_GET_TID_ADDRESS, (&raw mut word).addr(), 0, 0],
        );
        if named != 0 || word.is_null() {
            let own_word = (&raw const (*birth).own_word).addr();
            system_call(libc::SYS_set_tid_address, [own_word, 0, 0, 0]);
        } else {
            (*birth).end_word = EndWord {
                address: word,
                value: (*word).load(Ordering::Relaxed),
            };
        }
        (*birth).is_recorded.store(1, Ordering::Release);
        let recorded = (&raw const (*birth).is_recorded).addr();
        // A signal that was sent to the old id is handled when this call returns.
        let wake = (libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG) as usize;
        system_call(libc::SYS_futex, [recorded, wake, 1, 0]);
        system_call(libc::SYS_exit, [0; 4]);
    }
    unreachable!("the kernel task has ended")
}

/// What the last kernel task does first: hooks that are called in it find neither the scheduler nor the
/// OS thread of the identity.
///
/// # Safety
///
/// `identity` is valid, and the calling task is its last.
pub(super) unsafe extern "C" fn separate(identity: *const c_void) {
    os_thread::forget();
    // SAFETY: valid (caller). No green thread has no scheduler to find.
    unsafe { ((*identity.cast::<PthreadIdentity>()).adopt)(ptr::null()) };
}

/// Waits until the kernel has cleared `word` at the end of a task.
///
/// # Safety
///
/// `word` is valid.
unsafe fn wait_until_cleared(word: *const AtomicU32) {
    loop {
        // SAFETY: valid (caller). The kernel wakes with an operation that is not private.
        match unsafe { (*word).load(Ordering::Acquire) } {
            0 => return,
            // SAFETY: valid (caller).
            value => unsafe { wait_while(word, value, 0) },
        }
    }
}

/// Waits until `word` has another value than `value`.
///
/// # Safety
///
/// `word` is valid.
unsafe fn wait_while(word: *const AtomicU32, value: u32, flag: i32) {
    // SAFETY: valid (caller).
    while unsafe { (*word).load(Ordering::Acquire) } == value {
        let wait = (libc::FUTEX_WAIT | flag) as usize;
        // SAFETY: the kernel checks the word, and waits without a timeout.
        unsafe { system_call(libc::SYS_futex, [word.addr(), wait, value as usize, 0]) };
    }
}
