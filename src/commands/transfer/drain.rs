//! Many downloads side by side, as a supply hands them out.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::rc::Rc;

use crate::commands::error::CommandError;
use crate::commands::signals::Asked;
use crate::commands::transfer::active::Ended;
use crate::commands::transfer::order::Order;
use crate::commands::transfer::shop::Shop;
use crate::commands::transfer::supply::{Supplied, Supply};
use crate::commands::transfer::{Transfer, pass_on, take, told};
use crate::download::DownloadId;
use crate::engine::Ending;

/// Final paths in the order asked for.
#[derive(Default)]
struct Paths {
    places: HashMap<DownloadId, Vec<usize>>,
    order: Order<PathBuf>,
}

/// What happens next.
enum Next {
    /// One has ended.
    Ended(Box<Ended>),
    /// The supply, or a signal, says that it is time to look again.
    Look(Result<(), CommandError>),
}

impl Transfer<'_> {
    /// Runs what the supply hands out, at most `jobs` at once, until it has no more, or a signal
    /// or a reader that went away ends it.
    ///
    /// # Errors
    /// The supply broke. What was under way has ended by then.
    pub fn drain<S: Supply>(&mut self, jobs: usize, supply: &mut S) -> Result<(), CommandError> {
        let shop = Rc::new(self.shop());
        let mut paths = Paths::default();
        let mut broken = None;
        self.keep_alive();
        loop {
            while broken.is_none() && self.active.len() < jobs && !self.is_stopped() {
                match self.runtime.block_on(supply.next(&shop)) {
                    Ok(Some(supplied)) => self.take_up(&shop, supply, supplied, &mut paths),
                    Ok(None) => break,
                    Err(error) => broken = Some(error),
                }
            }
            let may_wait = supply.is_endless() && broken.is_none() && !self.is_stopped();
            if self.active.len() == 0 && self.ended.is_empty() && !may_wait {
                return broken.map_or(Ok(()), Err);
            }
            let has_room = may_wait && self.active.len() < jobs;
            match self.next(supply.wait(&shop), has_room) {
                Next::Ended(ended) => self.settle(supply, &ended, &mut paths),
                Next::Look(Ok(_)) => {}
                Next::Look(Err(error)) => drop(broken.get_or_insert(error)),
            }
        }
    }

    pub(super) fn shop(&self) -> Shop {
        Shop {
            context: self.context.clone(),
            run: self.run.id,
            network: self.network.clone(),
        }
    }

    /// Whether nothing more is taken up.
    fn is_stopped(&mut self) -> bool {
        self.signals.end().or(self.tally.urgent()).is_some()
    }

    fn take_up<S: Supply>(
        &mut self,
        shop: &Rc<Shop>,
        supply: &S,
        supplied: Supplied,
        paths: &mut Paths,
    ) {
        match supplied {
            Supplied::Task(task) => {
                paths.places.insert(task.row.id, task.places.clone());
                self.reporter.recall(task.row.id, told::recorded(&task.row));
                let shop = Rc::clone(shop);
                self.active.work(task.row.id, |voice, asked| async move {
                    shop.work(task, voice, asked).await
                });
            }
            Supplied::There(task) => {
                self.tell_there(&task.row);
                self.print(supply, paths, &task.places, task.row.path.as_deref());
            }
            Supplied::Refused(task, error) => {
                self.refused(&task.row.source, error.about(task.row.id));
                self.print(supply, paths, &task.places, None);
            }
        }
    }

    /// Waits for the next ending, or for the supply.
    fn next(
        &mut self,
        supply: impl Future<Output = Result<(), CommandError>>,
        may_wait: bool,
    ) -> Next {
        if let Some(ended) = self.ended.pop_front() {
            return Next::Ended(Box::new(ended));
        }
        let Self {
            runtime,
            signals,
            active,
            reporter,
            context,
            ..
        } = self;
        runtime.block_on(async {
            let mut supply = pin!(supply);
            loop {
                tokio::select! {
                    asked = signals.next() => {
                        pass_on(asked, active, context);
                        if let Asked::End(_) = asked {
                            return Next::Look(Ok(()));
                        }
                    },
                    news = active.next() => if let Some(ended) = take(news, active, reporter) {
                        return Next::Ended(Box::new(ended));
                    },
                    looked = &mut supply, if may_wait => return Next::Look(looked),
                }
            }
        })
    }

    fn settle<S: Supply>(&mut self, supply: &mut S, ended: &Ended, paths: &mut Paths) {
        self.count(&ended.ending);
        if let Some(message) = supply.ended(ended) {
            self.reporter.notice(&message);
        }
        let places = paths.places.remove(&ended.row.id).unwrap_or_default();
        let is_finished = matches!(ended.ending, Ending::Finished(_));
        let path = ended.row.path.as_deref().filter(|_| is_finished);
        self.print(supply, paths, &places, path);
    }

    fn print<S: Supply>(
        &mut self,
        supply: &S,
        paths: &mut Paths,
        places: &[usize],
        path: Option<&Path>,
    ) {
        if !supply.prints_paths() {
            return;
        }
        for &place in places {
            for path in paths.order.done(place, path.map(Path::to_path_buf)) {
                self.print_path(&path);
            }
        }
    }
}
