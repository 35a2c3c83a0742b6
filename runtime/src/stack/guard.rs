//! The guard below each stack: memory that faults.
//!
//! Linux 6.13 can mark pages as guards inside a mapping (`MADV_GUARD_INSTALL`), which keeps a
//! million stacks in a few dozen mappings. `mprotect` splits a mapping in two for each stack, and a
//! process may have 65 530 of them by default.
//!
//! The new way is not believed by kernel version: an emulator may accept the call and do nothing.
//! So the first guard is tried out: the kernel itself must refuse to read from it.

use std::fs;
use std::io;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::mm::{self, MapFlags, MprotectFlags, ProtFlags};

/// Bytes of guard below each stack. C libraries are compiled without stack probes and have frames
/// of 33 KB, which must not step over it.
#[cfg(not(target_arch = "riscv64"))]
pub(crate) const GUARD_SIZE: usize = 64 * 1024;

/// On riscv64 Rust's own code has no stack probes either, so a frame of any size jumps: the guard
/// is as large as frames are likely to be.
#[cfg(target_arch = "riscv64")]
pub(crate) const GUARD_SIZE: usize = 1024 * 1024;

/// From the kernel's `mman-common.h`; neither libc nor rustix names it yet.
const MADV_GUARD_INSTALL: libc::c_int = 102;

/// Makes `GUARD_SIZE` bytes at `start` fault on every access.
///
/// # Errors
///
/// `OutOfMemory` when the process may not have more mappings.
///
/// # Safety
///
/// The range is page-aligned, part of a mapping of our own, and in nobody's use.
pub(super) unsafe fn install(start: *mut u8) -> io::Result<()> {
    if has_guard_install() {
        // SAFETY: a range of our own (caller).
        return unsafe { install_in_mapping(start, GUARD_SIZE) };
    }
    reserve_mapping_split()?;
    // SAFETY: a range of our own, in nobody's use (caller).
    unsafe { mm::mprotect(start.cast(), GUARD_SIZE, MprotectFlags::empty()) }.map_err(|errno| {
        MAPPING_SPLITS.fetch_sub(1, Ordering::Relaxed);
        io::Error::from(errno)
    })
}

/// Tells that the slab which held `guards` guards is unmapped.
pub(super) fn release_guards(guards: usize) {
    if !has_guard_install() {
        MAPPING_SPLITS.fetch_sub(guards, Ordering::Relaxed);
    }
}

/// # Safety
///
/// The range is page-aligned, part of a mapping of our own, and in nobody's use.
unsafe fn install_in_mapping(start: *mut u8, size: usize) -> io::Result<()> {
    // SAFETY: the range is ours (caller); on a kernel that does not know the advice it is refused.
    match unsafe { libc::madvise(start.cast(), size, MADV_GUARD_INSTALL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether guards can be had inside a mapping. Tried once for the process.
fn has_guard_install() -> bool {
    static SUPPORTED: OnceLock<bool> = OnceLock::new();
    *SUPPORTED.get_or_init(|| probe().unwrap_or(false))
}

/// Installs a guard and has the kernel read from it, which must give `EFAULT`.
fn probe() -> io::Result<bool> {
    if !cfg!(target_os = "linux") {
        return Ok(false);
    }
    const SIZE: usize = 64 * 1024;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let page = unsafe {
        mm::mmap_anonymous(
            ptr::null_mut(),
            SIZE,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE | MapFlags::NORESERVE,
        )?
    };
    // SAFETY: the mapping just made, which nobody else knows.
    let installed = unsafe { install_in_mapping(page.cast(), SIZE) };
    let refused = installed.and_then(|()| {
        let (_reader, writer) = rustix::pipe::pipe()?;
        // SAFETY: the kernel only reads the byte, and answers an error where it cannot. No
        // reference to it is made.
        let wrote = unsafe { libc::write(std::os::fd::AsRawFd::as_raw_fd(&writer), page, 1) };
        Ok(wrote == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT))
    });
    // SAFETY: the mapping just made, of which no pointer is left.
    unsafe { mm::munmap(page, SIZE)? };
    refused
}

/// Guards that split a mapping, in this process, now.
static MAPPING_SPLITS: AtomicUsize = AtomicUsize::new(0);

/// Counts one more split, or says that there is no room. Some room is left for the others: a
/// process without any mapping to spare cannot even allocate the message of its panic.
fn reserve_mapping_split() -> io::Result<()> {
    static CAP: OnceLock<usize> = OnceLock::new();
    const HEADROOM: usize = 4096;
    let cap = *CAP.get_or_init(|| {
        let limit = fs::read_to_string("/proc/sys/vm/max_map_count")
            .ok()
            .and_then(|text| text.trim().parse::<usize>().ok());
        let in_use = fs::read("/proc/self/maps")
            .map_or(0, |maps| maps.iter().filter(|byte| **byte == b'\n').count());
        limit.map_or(usize::MAX, |limit| {
            limit.saturating_sub(in_use + HEADROOM) / 2
        })
    });
    if MAPPING_SPLITS.fetch_add(1, Ordering::Relaxed) < cap {
        return Ok(());
    }
    MAPPING_SPLITS.fetch_sub(1, Ordering::Relaxed);
    Err(io::Error::new(
        io::ErrorKind::OutOfMemory,
        format!(
            "no room for more than {cap} stacks: each guard splits a mapping on this kernel; \
             raise vm.max_map_count, or use Linux 6.13 or later"
        ),
    ))
}
