//! The result of a finished job, for iterators over results.

use evy_runtime::lowlevel::resume_unwind;
use evy_runtime::thread::JoinHandle;

/// Takes the result of a job that has finished. It can be taken once.
///
/// # Panics
///
/// Resumes the job's panic. Panics if the job was killed.
pub(crate) fn unwrap_job<T>(job: &JoinHandle<T>) -> T {
    match job.take_result() {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(payload) => resume_unwind(payload),
            Err(error) => panic!("this job of the pool has no result: {error}"),
        },
    }
}
