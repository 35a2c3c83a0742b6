//! The guard below each stack: memory that faults on every access.
//!
//! Linux 6.13 and later can mark pages inside a mapping as a guard (`MADV_GUARD_INSTALL`). A
//! million stacks then need only a few dozen mappings. The alternative is `mprotect`, which splits
//! a mapping in two for each stack, and a process may have 65,530 mappings by default.
//!
//! The kernel version does not show whether the new way works, because an emulator may accept the
//! call and do nothing. So it is probed once: the kernel must refuse to read from a guard.

use std::fs;
use std::io;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::mm::{self, MprotectFlags, ProtFlags};

use super::PRIVATE;

/// The size of the guard below each stack, in bytes. C libraries are compiled without stack probes
/// and have frames of 33 KB, which must not skip the guard.
#[cfg(not(target_arch = "riscv64"))]
pub(crate) const GUARD_SIZE: usize = 64 * 1024;

/// The size of the guard below each stack, in bytes. On riscv64 Rust code has no stack probes
/// either, so a frame that is larger than the guard may skip it. The guard is therefore as large as
/// frames are likely to be.
#[cfg(target_arch = "riscv64")]
pub(crate) const GUARD_SIZE: usize = 1024 * 1024;

/// From the kernel's `mman-common.h`; neither libc nor rustix has this constant yet.
const MADV_GUARD_INSTALL: libc::c_int = 102;

/// Makes `GUARD_SIZE` bytes at `start` fault on every access.
///
/// # Errors
///
/// Returns `OutOfMemory` if the process may not have more mappings.
///
/// # Safety
///
/// The range is page-aligned, part of a slab, and not in use.
pub(super) unsafe fn install(start: *mut u8) -> io::Result<()> {
    if has_guard_install() {
        // SAFETY: a range of a slab that is not in use (caller).
        return unsafe { install_in_mapping(start, GUARD_SIZE) };
    }
    reserve_mapping_split()?;
    // SAFETY: a range of a slab that is not in use (caller).
    unsafe { mm::mprotect(start.cast(), GUARD_SIZE, MprotectFlags::empty()) }.map_err(|errno| {
        MAPPING_SPLITS.fetch_sub(1, Ordering::Relaxed);
        io::Error::from(errno)
    })
}

/// Removes the guards of a slab that has been unmapped from the count of splits.
pub(super) fn release_guards(guards: usize) {
    if !has_guard_install() {
        MAPPING_SPLITS.fetch_sub(guards, Ordering::Relaxed);
    }
}

/// Installs a guard with `MADV_GUARD_INSTALL`.
///
/// # Errors
///
/// Returns the error of the system if the kernel does not support this.
///
/// # Safety
///
/// The range is page-aligned, part of a mapping that this process created, and not in use.
unsafe fn install_in_mapping(start: *mut u8, size: usize) -> io::Result<()> {
    // SAFETY: the range is not in use (caller). A kernel that does not know the advice refuses it.
    match unsafe { libc::madvise(start.cast(), size, MADV_GUARD_INSTALL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether `MADV_GUARD_INSTALL` works. Probed once for the process.
fn has_guard_install() -> bool {
    static SUPPORTED: OnceLock<bool> = OnceLock::new();
    *SUPPORTED.get_or_init(|| probe().unwrap_or(false))
}

/// Installs a guard and makes the kernel read from it. Returns `true` if that fails with `EFAULT`.
fn probe() -> io::Result<bool> {
    if !cfg!(target_os = "linux") {
        return Ok(false);
    }
    const SIZE: usize = 64 * 1024;
    // SAFETY: a new mapping, at an address that the kernel selects.
    let page = unsafe {
        mm::mmap_anonymous(
            ptr::null_mut(),
            SIZE,
            ProtFlags::READ | ProtFlags::WRITE,
            PRIVATE,
        )?
    };
    // SAFETY: the mapping was just created, and nothing else uses it.
    let installed = unsafe { install_in_mapping(page.cast(), SIZE) };
    let refused = installed.and_then(|()| {
        let (_reader, writer) = rustix::pipe::pipe()?;
        // SAFETY: the kernel only reads the byte, and returns an error if it cannot. No reference
        // to the byte is created.
        let wrote = unsafe { libc::write(std::os::fd::AsRawFd::as_raw_fd(&writer), page, 1) };
        Ok(wrote == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT))
    });
    // SAFETY: the mapping was created above, and no pointer into it is used any more.
    unsafe { mm::munmap(page, SIZE)? };
    refused
}

/// The current number of guards in this process that split a mapping.
static MAPPING_SPLITS: AtomicUsize = AtomicUsize::new(0);

/// Counts one more guard that splits a mapping.
///
/// Some mappings are left for other code, because a process that cannot create a mapping cannot
/// even allocate the message of a panic.
///
/// # Errors
///
/// Returns `OutOfMemory` if the process may not have more mappings.
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
