//! Whether proved content is what somebody wrote down of it: its checksum, its size. Such a
//! contradiction is the user's: nothing is fetched twice for it, and nothing is installed.

use std::sync::atomic::AtomicBool;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::engine::Checksum;
use crate::engine::coordinator::Coordinator;
use crate::engine::failure::{disk_failure, wrong_checksum, wrong_size};
use crate::engine::output::Output;
use crate::engine::prove::Streamed;
use crate::engine::verify::digest_of;
use crate::exit::ExitKind;

impl Coordinator<'_> {
    /// A checksum that contradicts a proved CID is the user's contradiction: nothing is fetched
    /// twice for it.
    pub(super) fn compare_checksum(&mut self) {
        if self.plan.is_directory()
            && let Err(stop) = self.refuse_checksum("directory")
        {
            return self.halt(stop);
        }
        let digest = self.hashing.digest(0);
        let (Some(expected), Some(digest)) = (self.job.expected_sha256, digest) else {
            return;
        };
        if expected != digest {
            self.fail(wrong_checksum("SHA-256", &digest, &expected));
        }
    }

    /// So is a size that contradicts it.
    pub(super) fn compare_size(&mut self) {
        if let (Some(expected), Some(size)) = (self.job.expected_size, self.known_size())
            && size != expected
            && !self.plan.is_directory()
        {
            self.fail(wrong_size(size, expected));
        }
    }

    /// As a checksum, where no digest by its function was made on the way to the proof: the part is
    /// read once more. Of a stream it was made as the bytes went out.
    pub(super) async fn compare_other_checksum(
        &mut self,
        signals: &mut UnboundedReceiver<ExitKind>,
    ) {
        for checksum in self.uncompared() {
            if self.stop.is_none() {
                self.compare(&checksum, signals).await;
            }
        }
    }

    async fn compare(&mut self, checksum: &Checksum, signals: &mut UnboundedReceiver<ExitKind>) {
        let digest = match &self.output {
            Output::File(part) => {
                let size = self.known_size().unwrap_or(0);
                let (part, code) = (part.clone(), checksum.code);
                let work = move |is_stopped: &AtomicBool| {
                    digest_of(&part.reader()?, size, code, is_stopped)
                };
                match self.watched(signals, work).await {
                    Ok(digest) => digest,
                    Err(stop) => return self.halt(stop),
                }
            }
            Output::Stdout => Ok(self.hashing.streamed.as_ref().and_then(Streamed::finish)),
            Output::Tree(_) | Output::View(_) | Output::Undecided => return,
        };
        match digest {
            Ok(None) => {}
            Ok(Some(digest)) if digest == checksum.digest => {}
            Ok(Some(digest)) => self.fail(wrong_checksum("digest", &digest, &checksum.digest)),
            Err(error) => self.fail(disk_failure(&error, self.job.id)),
        }
    }

    /// The checksums that are demanded, and that nothing has compared yet.
    fn uncompared(&self) -> Vec<Checksum> {
        let other = self.job.checksum.clone();
        let other = other.filter(|checksum| checksum.function().is_some());
        // A file that an earlier run finished may have been hashed by nobody.
        let sha256 = self.job.expected_sha256.map(Checksum::sha256);
        let sha256 = sha256.filter(|_| self.hashing.digest(0).is_none());
        let is_goal = |checksum: &Checksum| {
            let whole = self.whole.as_ref();
            whole.is_some_and(|whole| whole.is_proved_by(checksum))
        };
        let demanded = other.into_iter().chain(sha256);
        demanded.filter(|checksum| !is_goal(checksum)).collect()
    }
}
