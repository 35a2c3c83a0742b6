//! Whether the program has other OS threads, which could end a wait of this one.

use std::fs;
use std::time::Duration;

/// The time after which a wait that only another OS thread could end finds out whether there is one.
/// That takes long, and there may be many such waits.
pub(crate) const CHECK_AFTER: Duration = Duration::from_secs(1);

/// The OS threads of evy that run no code of the program, and so hold nothing of it.
const OWN: [&str; 2] = ["evy-ticker", "evy-signals"];

/// Whether there may be another OS thread that runs code of the program.
///
/// The system lists the OS threads of a process on Linux only. Elsewhere, and if it cannot be asked,
/// there may be one. An OS thread of a library counts too, because it may call the program. So do the
/// helper OS threads of `unblock`, because they belong to another crate, which others use too.
#[cold]
#[inline(never)]
pub(crate) fn may_have_others() -> bool {
    !matches!(find_other(), Some(false))
}

/// Returns `None` if the system does not answer.
fn find_other() -> Option<bool> {
    let this = fs::read_link("/proc/thread-self").ok()?;
    for task in fs::read_dir("/proc/self/task").ok()? {
        let task = task.ok()?;
        if Some(&*task.file_name()) == this.file_name() {
            continue;
        }
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        if !OWN.contains(&name.trim_end()) {
            return Some(true);
        }
    }
    Some(false)
}
