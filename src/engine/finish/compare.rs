//! Whether proved content is what somebody wrote down of it: its checksum, its size. Such a
//! contradiction is the user's: nothing is fetched twice for it, and nothing is installed.

use std::sync::atomic::AtomicBool;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::engine::coordinator::Coordinator;
use crate::engine::failure::{disk_failure, wrong_checksum, wrong_size};
use crate::engine::output::Output;
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

    /// As a checksum, for a function whose digest is not made on the way: the part is read once more.
    pub(super) async fn compare_other_checksum(
        &mut self,
        signals: &mut UnboundedReceiver<ExitKind>,
    ) {
        let (Some(checksum), Output::File(part)) = (self.job.checksum.clone(), &self.output) else {
            return;
        };
        if self.whole.is_some() || self.stop.is_some() || checksum.function().is_none() {
            return;
        }
        let (part, code, size) = (part.clone(), checksum.code, self.known_size().unwrap_or(0));
        let work =
            move |is_stopped: &AtomicBool| digest_of(&part.reader()?, size, code, is_stopped);
        let digest = match self.watched(signals, work).await {
            Ok(digest) => digest,
            Err(stop) => return self.halt(stop),
        };
        match digest {
            Ok(None) => {}
            Ok(Some(digest)) if digest == checksum.digest => {}
            Ok(Some(digest)) => self.fail(wrong_checksum("digest", &digest, &checksum.digest)),
            Err(error) => self.fail(disk_failure(&error, self.job.id)),
        }
    }
}
