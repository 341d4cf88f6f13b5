//! What is removed when a download is over: parts that serve nothing any more.

use std::path::Path;

use crate::disk::tree;
use crate::engine::aside::on_a_thread;
use crate::engine::coordinator::Coordinator;
use crate::engine::failure::chain;
use crate::engine::output::{self, Output};
use crate::event::What;

impl Coordinator<'_> {
    /// A part that holds nothing is litter: the next run makes a new one.
    pub(super) async fn drop_empty_part(&mut self) {
        let is_empty = match &self.output {
            output if self.is_in_place || is_replaced(output) => false,
            // Only a part whose lock is ours, and which the disk says is empty.
            // Of a whole file that was thrown away, the thread that writes may not have heard yet.
            Output::File(file) => match &self.whole {
                Some(whole) => whole.position() == 0,
                None => file.len().is_ok_and(|len| len == 0),
            },
            Output::Tree(tree) => output::lock(tree).walk().next().is_none(),
            _ => false,
        };
        if is_empty {
            let part = self.job.destination.part().to_path_buf();
            self.remove_part(&part).await;
        }
    }

    /// Nothing of what is proved is worth keeping, now that the record is over.
    pub(super) async fn drop_part(&mut self) {
        let is_ours = matches!(self.output, Output::File(_) | Output::Tree(_));
        if is_ours && !self.is_in_place && !is_replaced(&self.output) {
            self.remove_own_parts().await;
        }
    }

    /// Removes what this download leaves beside its target, now that its record is over.
    pub(in crate::engine) async fn remove_own_parts(&mut self) {
        let part = Some(self.job.destination.part().to_path_buf());
        let or_else = format!(", or with: fetchd prune {}", self.job.id);
        for part in part.into_iter().chain(self.job.car_part.clone()) {
            self.remove(&part, &or_else).await;
        }
    }

    /// Removes a part that serves nothing any more.
    pub(in crate::engine) async fn remove_part(&mut self, part: &Path) {
        self.remove(part, "").await;
    }

    /// That it stays harms nothing, but somebody has to know of it. A tree may take minutes, in
    /// which other downloads go on.
    async fn remove(&mut self, part: &Path, or_else: &str) {
        let path = part.to_path_buf();
        if let Err(error) = on_a_thread(move || tree::remove_tree(&path)).await {
            let error = chain(&error);
            let message = format!("{error}; it may be removed by hand{or_else}");
            self.announce(What::Notice { message });
        }
    }
}

/// Whether the name of what is written stands for something else by now.
pub(super) fn is_replaced(output: &Output) -> bool {
    let is_replaced = match output {
        Output::File(part) => part.is_replaced(),
        Output::Tree(tree) => output::lock(tree).is_replaced(),
        Output::Undecided | Output::View(_) | Output::Stdout => Ok(false),
    };
    // What cannot be looked at cannot be removed either.
    is_replaced.unwrap_or(false)
}
