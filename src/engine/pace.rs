//! Answers that are slower than the user accepts (`min_speed`) are given up.
//!
//! Only answers of many bytes are measured, and only while nothing on our side holds them back. What
//! they brought stays.

use std::time::{Duration, Instant};

use crate::engine::coordinator::Coordinator;
use crate::engine::input::TaskId;
use crate::engine::task::Task;
use crate::gateway::error::Advice;

/// An answer is given up when it was too slow for this long.
const PATIENCE: Duration = Duration::from_secs(10);

impl Coordinator<'_> {
    /// Gives up answers that came in too slowly for a while: a failure of their provider.
    pub(super) fn drop_slow_tasks(&mut self, now: Instant) {
        let Some(least) = self.options.min_speed else {
            return;
        };
        // Who waits for us is not slow himself.
        let is_held_back = self.net.is_held_back();
        let mut slow: Vec<TaskId> = Vec::new();
        for (&id, task) in &mut self.net.tasks {
            let is_read = task.first_byte.is_some();
            let is_measured = !task.ended && is_read && task.aim.block().is_none();
            if is_measured && is_too_slow(task, least, is_held_back, now) {
                slow.push(id);
            }
        }
        for id in slow {
            let message = format!("slower than {least} bytes per second, which is min_speed");
            self.exchange_failed(id, Advice::Elsewhere, message);
            self.abort(id);
        }
    }
}

/// Whether a measurement is due, and came out too low; begins the next one.
fn is_too_slow(task: &mut Task, least: u64, is_held_back: bool, now: Instant) -> bool {
    let (since, before) = task.mark;
    let lasted = now.saturating_duration_since(since);
    if !is_held_back && lasted < PATIENCE {
        return false;
    }
    task.mark = (now, task.received);
    let enough = least as f64 * lasted.as_secs_f64();
    !is_held_back && ((task.received - before) as f64) < enough
}
