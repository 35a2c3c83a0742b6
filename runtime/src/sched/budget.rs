//! The budget: how many operations a green thread may do in one turn without parking.
//!
//! Each operation is charged before it begins. If the budget is spent, an operation that may park
//! yields first, and one that must not switch begins nevertheless. The yield comes before the
//! operation, so nothing is thrown after an operation has succeeded.
//!
//! A budget ends after at most [`BUDGET`] operations, or with a tick (`pace`). Counting costs a few
//! instructions: a counter is decremented, and a check follows only when it reaches zero. The check
//! adds the operations since the last check to those of the turn, so that a switch need not reset
//! anything.

use std::cell::Cell;
use std::sync::atomic::Ordering::Relaxed;

use super::attention::AttentionBit;
use super::current::UNTIL_CHECK;
use super::{PlannedFault, Scheduler};

/// The largest number of operations that a green thread may do in one turn.
const BUDGET: u32 = 128;

/// The number of operations between two checks. A turn may begin between two checks, so this is
/// half of the budget.
pub(super) const OPERATIONS_PER_CHECK: u32 = BUDGET / 2;

/// What the running green thread has done in its turn.
#[derive(Debug)]
pub(super) struct Budget {
    /// The number of operations between the last check and the next one.
    until_check: Cell<u32>,
    operations: TurnCount,
    failures: TurnCount,
}

impl Budget {
    pub(super) const fn new() -> Self {
        Self {
            until_check: Cell::new(1),
            operations: TurnCount::new(),
            failures: TurnCount::new(),
        }
    }
}

/// A count that begins at zero with each turn.
#[derive(Debug)]
struct TurnCount {
    /// The count, and the number of its turn. Turns that happen to have the same number share a
    /// count, which does no harm.
    of_turn: Cell<(u32, usize)>,
}

impl TurnCount {
    const fn new() -> Self {
        Self {
            of_turn: Cell::new((0, 0)),
        }
    }

    /// Adds to the count of `turn`, and returns it.
    fn add(&self, amount: u32, turn: usize) -> u32 {
        let before = match self.of_turn.get() {
            (count, of) if of == turn => count,
            _ => 0,
        };
        let count = before.saturating_add(amount);
        self.of_turn.set((count, turn));
        count
    }
}

/// Charges an operation that is about to begin. Returns the scheduler if the budget is spent, so an
/// operation that may park yields first.
#[inline(always)]
pub(crate) fn charge<'a>() -> Option<&'a Scheduler> {
    let left = UNTIL_CHECK.with(|counter| {
        let left = counter.load(Relaxed).wrapping_sub(1);
        counter.store(left, Relaxed);
        left
    });
    if left == 0 { check_budget() } else { None }
}

#[cold]
#[inline(never)]
fn check_budget<'a>() -> Option<&'a Scheduler> {
    let Some(scheduler) = super::if_current() else {
        // An OS thread without green threads has no budget.
        UNTIL_CHECK.with(|counter| counter.store(OPERATIONS_PER_CHECK, Relaxed));
        return None;
    };
    let is_spent = if scheduler.running().pthread.get().is_some() {
        // An identity has a counter of its own, which the ticker does not know.
        UNTIL_CHECK.with(|counter| counter.store(1, Relaxed));
        scheduler.charge_many(1)
    } else {
        scheduler.charge_many(scheduler.budget.until_check.get())
    };
    is_spent.then_some(scheduler)
}

impl Scheduler {
    /// Charges several operations at once, and checks the budget.
    #[cold]
    pub(super) fn charge_many(&self, operations: u32) -> bool {
        let turn = self.run_queue.turns();
        let charged = self.budget.operations.add(operations, turn);
        let is_spent = if self.attention.is_set(AttentionBit::RandomOrder) {
            // Any operation may let other green threads run.
            self.random(4) == 0
        } else if self.is_fault_planned_for(self.running()) {
            // A fault may happen at any operation.
            true
        } else {
            charged >= BUDGET || self.is_tick_due()
        };
        let left = BUDGET.saturating_sub(charged).max(1);
        self.check_budget_after(match is_spent {
            true => 1,
            false => self.operations_per_check().min(left),
        });
        is_spent
    }

    /// Makes the budget be checked after `operations` more.
    pub(super) fn check_budget_after(&self, operations: u32) {
        self.budget.until_check.set(operations);
        // SAFETY: it is a thread local of this OS thread, which is alive.
        unsafe { self.until_check.as_ref() }.store(operations, Relaxed);
    }

    fn operations_per_check(&self) -> u32 {
        let checks_all = self.attention.is_set(AttentionBit::Clock)
            || self.attention.is_set(AttentionBit::RandomOrder)
            || self.planned_fault.get().is_some();
        if checks_all { 1 } else { OPERATIONS_PER_CHECK }
    }

    /// Charges an operation that has failed without parking, and may be repeated. Returns `true` if
    /// it is the last one that a turn may contain, so the green thread yields.
    #[cold]
    pub(crate) fn charge_failure(&self) -> bool {
        self.budget.failures.add(1, self.run_queue.turns()) >= BUDGET
    }

    /// Plans a fault. It may happen at every operation of its victim.
    pub(crate) fn plan_fault(&self, fault: Option<PlannedFault>) {
        self.planned_fault.set(fault);
        self.check_budget_after(1);
    }
}
