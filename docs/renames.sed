# Public names that have changed, as commands for `sed -E`, so that a program written before can follow:
#
#     sed -i -E -f docs/renames.sed src/*.rs
#
# Three changes need an editor: `JoinError` is a struct (ask `is_killed`, `is_panic`), the enums that
# are `#[non_exhaustive]` need a last arm in a `match`, and `WaitQueue::take` is `wake_one_taking`
# (a sed command cannot tell it from `Option::take`).

# thread
s/\bGroup\b/JoinSet/g
s/\bKiller\b/KillHandle/g
s/\.killer\(\)/.kill_handle()/g
s/\bLinkId\b/ExitHookId/g
s/\.unlink\(/.remove_exit_hook(/g
s/\blowlevel::is_unwinding\b/thread::panicking/g
s/\bran_for\b/busy_time/g
s/\.name\(("[^"]*")\)/.name(\1.into())/g

# lowlevel::WaitQueue and WaitReason
s/\bthread::WaitQueue\b/lowlevel::WaitQueue/g
s/\.hand\(/.wake_one_with(/g
s/\bwait_or_else\b/wait_deadline_with/g
s/\.exchange\(/.wait_with_slot(/g
s/\bWaitReason::Member\b/WaitReason::JoinNext/g

# io
s/\bPatience::Forever\b/Timeout::Never/g
s/\bPatience::Until\b/Timeout::At/g
s/\bPatience::AtMost\b/Timeout::After/g
s/\bPatience::None\b/Timeout::NonBlocking/g
s/\bPatience\b/Timeout/g
s/\bSharing::Queue\b/Sharing::Shared/g
s/\.attempt\(/.with_io(/g
s/\bGreen::new\((std::)?io::(stdin|stdout|stderr)\(\)\)/Green::shared(\1io::\2())/g

# semaphores, select
s/\.access\(\)/.acquire_guard()/g
s/\bPermit\b/SemaphoreGuard/g
s/\bEither::This\b/Either::Left/g
s/\bEither::Other\b/Either::Right/g

# net, http
s/\bOutcome\b/HandlerResult/g
s/\.concurrency\(/.max_connections(/g
s/\.stall_timeout\(/.io_timeout(/g

# pool
s/\bpool::Builder\b/pool::PoolBuilder/g
s/\bpool::Guard\b/pool::PoolGuard/g

# test
s/\bstrike_everywhere\b/inject_faults/g
s/\bStriker\b/FaultInjector/g
s/\btest::explore\b/test::explore_schedules/g
