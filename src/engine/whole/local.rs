//! Whole files on this machine: one whose sum is right is copied, and proved again as a copy. No
//! other costs anything but the reading, least of all what has come from the network.

use crate::disk::random_file::RandomFile;
use crate::engine::coordinator::Coordinator;
use crate::engine::input::TaskId;
use crate::engine::local::{self, LocalEnd};
use crate::engine::provider::{Consequence, Place, Transport};
use crate::engine::task::Aim;
use crate::engine::whole::writer::Work;
use crate::engine::whole::{Goal, Joins, Sums, Wanted};

impl Coordinator<'_> {
    /// Looks at the next file on this machine that may be the whole file; whether there was one.
    pub(super) fn check_local_file(&mut self) -> bool {
        let goal = self.whole.as_ref().map(|whole| &whole.goal);
        // Without a proof one file is as good as another, and the source was asked for.
        let Some(goal) = goal.filter(|goal| **goal != Goal::Nothing) else {
            return false;
        };
        let wanted = Wanted::of(goal);
        let next = self
            .providers
            .iter_mut()
            .enumerate()
            .find_map(|(index, provider)| {
                let is_new = provider.is_of_use() && !provider.tried.has_summed;
                match &provider.place {
                    Place::Local(files) if is_new => Some((index, files.clone())),
                    _ => None,
                }
            });
        let Some((index, files)) = next else {
            return false;
        };
        self.providers[index].tried.has_summed = true;
        let line = self.new_line(index);
        if let Some(whole) = &mut self.whole {
            whole.stream = Some(line.task);
        }
        let work = local::check(files, self.local_path(0), wanted, line.clone());
        self.start(index, Transport::Whole, Aim::Whole, line, work);
        true
    }

    /// The sum of a file on this machine is made, or cannot be.
    pub(super) fn local_file_ended(&mut self, id: TaskId, end: LocalEnd) {
        let Some(index) = self.net.tasks.get(&id).map(|task| task.provider) else {
            return;
        };
        let Some(whole) = &self.whole else { return };
        match end {
            LocalEnd::Summed(file, sums) if whole.goal.is_met(&sums) => {
                self.copy_whole(index, file)
            }
            LocalEnd::Summed(_, sums) => self.is_another_file(index, &sums),
            end => self.local_ended(id, end),
        }
    }

    fn copy_whole(&mut self, index: usize, file: RandomFile) {
        self.restart();
        let Some(whole) = &mut self.whole else { return };
        let len = file.len();
        whole.number += 1;
        (whole.source, whole.joins) = (Some(index), Joins::Untried);
        (whole.progress.position, whole.progress.total) = (len, Some(len));
        whole.progress.validator = None;
        whole.sent.resize(self.providers.len(), 0);
        whole.sent[index] = len;
        self.check_whole();
        self.resolve_whole();
        if self.stop.is_some() {
            return;
        }
        if let Some(whole) = &self.whole {
            let number = whole.number;
            whole.ask(Work::Copy { from: file, number });
        }
    }

    fn is_another_file(&mut self, index: usize, sums: &Sums) {
        let Some(whole) = &self.whole else { return };
        let what = sums.differ_from(&whole.goal);
        self.providers[index].last_error = Some(what.clone());
        self.tell(index, &what, Consequence::Gone);
        self.providers[index].rule_out();
    }
}
