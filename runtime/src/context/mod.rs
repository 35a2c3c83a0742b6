//! The context switch: leave one stack, arrive on another.
//!
//! This is the whole machine-dependent part of evy. It knows nothing of green threads; it offers
//! three things, and each backend offers them under the same names:
//!
//! - [`Context`]: where a suspended computation goes on;
//! - [`prepare`]: make a context that will call `entry(arg)` on a fresh stack;
//! - [`switch`]: save the running computation in one context and continue another. Whoever is left
//!   for good need not be told: its context and its stack are simply prepared anew.
//!
//! # What a switch saves
//!
//! `switch` is inline assembly, and is inlined up to the place where a green thread parks. Inline
//! assembly may declare a register *clobbered*; the compiler then keeps what it needs of it on the
//! stack, and only what it needs: at most parking points, next to nothing. So the code itself
//! saves just what cannot be declared: the stack pointer, the frame pointer, and the one register
//! that LLVM reserves for itself on each architecture. With the address to go on at, that is four
//! words:
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
//! Nothing is pushed. The unwind tables of the function around the assembly therefore stay true at
//! every instruction of it, and a debugger, a profiler or a backtrace sees an ordinary frame.
//!
//! Control leaves by an indirect jump. A return instruction would go to an address that the
//! processor's return predictor has never seen pushed, and mispredict every time.
//!
//! The control words of the floating-point unit (rounding, flushing of denormals) belong to the OS
//! thread and are not switched: Rust code must run with the default ones anyway.
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
//! A prepared context starts in `trampoline`, a function without a caller. Its unwind table says
//! that the return address is undefined, and it leaves a frame pointer of zero (in its first
//! instructions, that register holds what it goes on to): unwinders of both schools stop there
//! cleanly. It goes on to `entry`, which never returns and must catch every panic: there is nothing
//! above that could. The address that `entry` would return to is preceded by a `nop`, because an
//! unwinder looks up the instruction *before* an address.
//!
//! # Porting
//!
//! A new architecture needs one file like `x86_64.rs`: the assembly of `switch` and the `trampoline`.
//! `native.rs` and `build.rs` list it. Until then the architecture runs on `portable.rs`.

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

/// What a fresh context calls, on its own stack, with the argument given to [`prepare`].
///
/// It must not return and must not let a panic out; its last act is a [`switch`] away.
pub(crate) type WaitEntry = unsafe extern "C" fn(*mut ()) -> !;

/// Where a suspended computation goes on. Plain data: dropping one frees nothing.
pub(crate) use backend::Context;

/// Makes `context` call `entry(arg)` on the stack `limit..base` when it is first switched to.
///
/// # Safety
///
/// - `context` is valid for writes, and new or left for good; it stays where it is until it is left
///   for good.
/// - `limit..base` is writable memory that nothing else uses until then; `base` is 16-aligned.
pub(crate) use backend::prepare;

/// Suspends the caller in `from` and continues `to`. Returns `from` when somebody switches to it: who
/// comes finds it in a register, where the one that left has named whom it continues, and need not
/// have kept it.
///
/// # Safety
///
/// - Both contexts belong to this OS thread, and each is only ever touched by it.
/// - `to` was prepared, or suspended by an earlier `switch`, and has not gone on since.
/// - `from` is valid for writes and is the caller's own context: the one that was prepared for
///   this stack, or, on the OS thread's own stack, always the same one.
pub(crate) use backend::switch;

#[cfg(test)]
mod tests;
