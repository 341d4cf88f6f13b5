//! To standard output goes what is proved, and this is proved only when all of it is here: it is
//! kept on disk until then, and poured out whole.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::disk::random_file::RandomFile;
use crate::download::{DownloadId, Failure};
use crate::engine::aside::on_a_thread;
use crate::engine::coordinator::Coordinator;
use crate::engine::failure::disk_failure;
use crate::exit::ExitKind;

/// Bytes that are copied at once.
const PIECE: usize = 256 << 10;

impl Coordinator<'_> {
    /// Writes a proved file to standard output, and removes it.
    pub(in crate::engine) async fn pour(&self, spool: PathBuf) -> Result<(), Failure> {
        let id = self.job.id;
        on_a_thread(move || {
            copy(&spool, id)?;
            crate::disk::install::remove(&spool).map_err(|error| disk_failure(&error, id))
        })
        .await
    }
}

fn copy(spool: &Path, id: DownloadId) -> Result<(), Failure> {
    let file = RandomFile::open(spool).map_err(|error| disk_failure(&error, id))?;
    let mut out = io::stdout().lock();
    let (mut at, mut piece) = (0, vec![0; PIECE]);
    loop {
        let len = file
            .read_at(at, &mut piece)
            .map_err(|error| disk_failure(&error, id))?;
        if len == 0 {
            return out.flush().map_err(|error| unwritable(&error));
        }
        out.write_all(&piece[..len])
            .map_err(|error| unwritable(&error))?;
        at += len as u64;
    }
}

fn unwritable(error: &io::Error) -> Failure {
    let kind = match error.kind() {
        io::ErrorKind::BrokenPipe => ExitKind::Closed,
        _ => ExitKind::Disk,
    };
    Failure {
        kind,
        message: format!("standard output cannot be written: {error}"),
        hint: None,
    }
}
