//! A download that is saved as a CAR: fetched into its part like any other, then exported from
//! there.
//!
//! The part stays until the CAR has its final name, so a run that is killed at any moment goes on
//! from the part; a CAR that has its name already is recognised by its bytes.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::content::cid::Cid;
use crate::disk::random_file::RandomFile;
use crate::disk::tree::TreeView;
use crate::disk::{DiskError, inspect};
use crate::download::Failure;
use crate::engine::coordinator::{Coordinator, Stop};
use crate::engine::export::{CarPart, Export, ExportError, Origin, is_car_of};
use crate::engine::failure::{chain, disk_failure, exists_failure, store_failure, target_failure};
use crate::engine::output::Output;
use crate::exit::ExitKind;

/// How far the CAR of a download is.
#[derive(Default)]
pub enum Saving {
    /// Nothing is written.
    #[default]
    Nothing,
    /// It is written, and waits for its final name.
    Written(CarPart),
    /// It has its final name: length and SHA-256.
    Done(u64, [u8; 32]),
}

/// What became of the writing.
type Written = Result<CarPart, Failure>;

impl Coordinator<'_> {
    /// The final CAR, once it has its name: length and SHA-256.
    pub(in crate::engine) fn saved_car(&self) -> Option<(u64, [u8; 32])> {
        match self.saving {
            Saving::Done(len, sha256) => Some((len, sha256)),
            _ => None,
        }
    }

    /// Whether the target is this very CAR already: renamed before a crash could be recorded, or
    /// put there by somebody else.
    pub(in crate::engine) async fn adopt_car(
        &mut self,
        target: PathBuf,
        signals: &mut UnboundedReceiver<ExitKind>,
    ) -> Result<(), Stop> {
        if !inspect::exists(&target) {
            return Ok(());
        }
        let look = self.look_for_car(target);
        if let Some((len, sha256)) = self.watched(signals, look).await? {
            self.saving = Saving::Done(len, sha256);
            self.is_in_place = true;
            self.remove_own_parts().await;
        }
        Ok(())
    }

    /// A look whether the target is this very CAR: its length and SHA-256. A link to its part is
    /// not, since that goes.
    fn look_for_car(
        &self,
        target: PathBuf,
    ) -> impl FnOnce(&AtomicBool) -> Option<(u64, [u8; 32])> + Send + 'static {
        let (root, max_block) = (self.saved_root(), self.options.limits.max_block);
        let part = self.job.car_part.clone().unwrap_or_default();
        move |is_stopped| match inspect::is_link_to(&target, &part) {
            true => None,
            false => is_car_of(&target, &root, max_block, is_stopped),
        }
    }

    /// Writes the CAR beside its final name, out of what is proved.
    pub(in crate::engine) async fn write_car(&mut self, signals: &mut UnboundedReceiver<ExitKind>) {
        let Some(path) = self.job.car_part.clone().filter(|_| !self.is_in_place) else {
            return;
        };
        self.write_journal();
        let export = match self.export() {
            Ok(export) => export,
            Err(error) => return self.fail(disk_failure(&error, self.job.id)),
        };
        let id = self.job.id;
        let temporary = path.clone();
        let write = move |is_stopped: &AtomicBool| -> Written {
            let mut car =
                CarPart::create(&temporary).map_err(|error| target_failure(&error, id))?;
            let done = export.write(&mut car, is_stopped, &mut |_| {});
            match done {
                Ok(done) if done.missing == 0 => Ok(car),
                Ok(done) => Err(Failure {
                    kind: ExitKind::Disk,
                    message: format!(
                        "{} blocks cannot be proved from the part: somebody else has changed it",
                        done.missing
                    ),
                    hint: Some(format!("prove it again with: fetchd resume {id}")),
                }),
                Err(ExportError::Disk(error) | ExportError::Source(error)) => {
                    Err(disk_failure(&error, id))
                }
                Err(ExportError::Store(error)) => Err(store_failure(&error, id)),
                Err(error) => Err(Failure {
                    kind: ExitKind::Verification,
                    message: chain(&error),
                    hint: None,
                }),
            }
        };
        match self.watched(signals, write).await {
            Ok(Ok(car)) => return self.saving = Saving::Written(car),
            Ok(Err(failure)) => self.fail(failure),
            Err(stop) => self.halt(stop),
        }
        self.remove_part(&path).await;
    }

    fn export(&self) -> Result<Export, DiskError> {
        let part = self.job.destination.part();
        let origin = match &self.output {
            Output::File(_) => Origin::File(RandomFile::open(part)?),
            Output::Tree(_) => TreeView::open(part)?.map_or(Origin::Nothing, Origin::Tree),
            _ => Origin::Nothing,
        };
        Ok(Export {
            store: self.store.clone(),
            root: self.saved_root(),
            origin,
            max_block: self.options.limits.max_block,
        })
    }

    fn saved_root(&self) -> Cid {
        match self.root() {
            Some(root) => root,
            None => unreachable!("only content is saved as a CAR"),
        }
    }

    /// Gives the CAR its final name; the part is needed no more.
    pub(in crate::engine) async fn install_car(
        &mut self,
        target: PathBuf,
        overwrite: bool,
        signals: &mut UnboundedReceiver<ExitKind>,
    ) -> Result<(), Stop> {
        let Saving::Written(car) = std::mem::take(&mut self.saving) else {
            return Ok(());
        };
        let (id, len) = (self.job.id, car.position());
        let look = self.look_for_car(target.clone());
        let work = move |is_stopped: &AtomicBool| match car.install(&target, overwrite) {
            Ok(sha256) => Ok((len, sha256)),
            Err(DiskError::Exists { .. }) => {
                look(is_stopped).ok_or_else(|| exists_failure(&target, id))
            }
            Err(error) => Err(target_failure(&error, id)),
        };
        let (len, sha256) = self.installing(signals, work).await?;
        self.saving = Saving::Done(len, sha256);
        self.output = Output::Undecided;
        self.remove_own_parts().await;
        Ok(())
    }
}
