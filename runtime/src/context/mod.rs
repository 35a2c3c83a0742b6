//! The context switch: suspends the computation on one stack and continues another.
//!
//! This is the whole machine-dependent part of evy. It does not depend on green threads. It has
//! three items, which each backend provides under the same names:
//!
//! - [`Context`]: the point at which a suspended computation continues;
//! - [`prepare`]: creates a context that will call `entry(arg)` on a new stack;
//! - [`switch`]: suspends the running computation in one context and continues another. A
//!   computation may be discarded: it is never continued. That needs no call: its context and its
//!   stack are simply prepared again.
//!
//! # What a switch saves
//!
//! `switch` is inline assembly, and is inlined into the function in which a green thread parks.
//! Inline assembly can declare a register as *clobbered*. The compiler then saves the register on
//! the stack, but only if its value is still needed. At most parking points that is next to
//! nothing.
//!
//! The assembly itself therefore saves only what cannot be declared as clobbered. That is the stack
//! pointer, the frame pointer, and the one register that LLVM reserves for itself on each
//! architecture. With the address to continue at, these are four words:
//!
//! ```text
//!   Context            x86_64    aarch64    riscv64
//!   +-----------+
//!   | sp        |      rsp       sp         sp
//!   | fp        |      rbp       x29        s0
//!   | reserved  |      rbx       x19        s1
//!   | pc        |      the label behind the jump
//!   +-----------+
//! ```
//!
//! Nothing is pushed. The unwind tables of the surrounding function are therefore correct at every
//! instruction of the assembly, and a debugger, a profiler or a backtrace sees an ordinary frame.
//!
//! The switch ends with an indirect jump. A return instruction would return to an address that no
//! call has pushed. The processor's return predictor would mispredict it every time.
//!
//! The control words of the floating-point unit (rounding, flushing of denormals) belong to the OS
//! thread. They are not switched, because Rust code must run with the default ones anyway.
//!
//! # The first frame
//!
//! ```text
//!   base  -> +--------------------+  high addresses, 16-aligned
//!            | frames of `entry`  |  the stack grows down
//!            :                    :
//!   limit -> +--------------------+  low addresses; below it the guard
//! ```
//!
//! A prepared context starts in `trampoline`, a function without a caller. Its unwind table marks
//! the return address as undefined, and it sets the frame pointer to zero. Unwinders that use the
//! tables and those that follow the frame pointers both stop there cleanly. In its first
//! instructions the frame-pointer register still holds the address of `entry`.
//!
//! The trampoline jumps to `entry`. That function never returns and must catch every panic, because
//! no frame above it could. The address that `entry` would return to is preceded by a `nop`,
//! because an unwinder looks up the instruction *before* a return address.
//!
//! # Porting
//!
//! A new architecture needs a file like `x86_64.rs`, with the assembly of `switch` and
//! `trampoline`, and an entry in `native.rs` and in `build.rs`. Architectures without one use
//! `portable.rs`.

#[cfg(all(evy_context = "native", target_arch = "aarch64"))]
mod aarch64;
#[cfg(evy_context = "native")]
mod native;
#[cfg(evy_context = "corosensei")]
mod portable;
#[cfg(all(evy_context = "native", target_arch = "riscv64"))]
mod riscv64;
#[cfg(all(evy_context = "native", target_arch = "x86_64"))]
mod x86_64;

#[cfg(evy_context = "native")]
use native as backend;
#[cfg(evy_context = "corosensei")]
use portable as backend;

/// The function that a prepared context calls, on its own stack, with the argument given to
/// [`prepare`].
///
/// It must not return and must not let a panic out. The last thing that it does is a [`switch`] to
/// another context.
pub(crate) type Entry = unsafe extern "C" fn(*mut ()) -> !;

/// The point at which a suspended computation continues. Plain data: dropping one frees nothing.
pub(crate) use backend::Context;

/// Makes `context` call `entry(arg)` on the stack `limit..base` when it is first switched to.
///
/// # Safety
///
/// - `context` is valid for writes, and it is new or its computation was discarded.
/// - `context` does not move until its computation is discarded.
/// - `limit..base` is writable memory that nothing else uses until then, and `base` is 16-aligned.
pub(crate) use backend::prepare;

/// Suspends the caller in `from` and continues `to`. Returns `from` once a later switch continues
/// it.
///
/// The later switch receives `from` as its `to` and returns it, so the caller need not keep it
/// while it is suspended.
///
/// # Safety
///
/// - Both contexts belong to this OS thread, and no other OS thread ever touches them.
/// - `to` was prepared, or suspended by an earlier `switch`, and has not been continued since.
/// - `from` is valid for writes and is the caller's own context. That is the one that was prepared
///   for this stack; on the OS thread's own stack, it is always the same one.
pub(crate) use backend::switch;

#[cfg(test)]
mod tests;
