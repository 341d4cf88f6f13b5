//! To standard output goes what is proved, and this is proved only when all of it is here: it is
//! kept on disk until then, and poured out whole.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::disk::install;
use crate::disk::random_file::RandomFile;
use crate::download::Failure;
use crate::engine::aside::on_a_thread;
use crate::engine::coordinator::Coordinator;
use crate::engine::failure::sink_failure;
use crate::engine::prove::SinkError;

/// Bytes that are copied at once.
const PIECE: usize = 256 << 10;

impl Coordinator<'_> {
    /// Writes a proved file to standard output, and removes it.
    pub(in crate::engine) async fn pour(&self, spool: PathBuf) -> Result<(), Failure> {
        let id = self.job.id;
        let poured = on_a_thread(move || {
            copy(&spool)?;
            install::remove(&spool).map_err(SinkError::from)
        });
        poured.await.map_err(|error| sink_failure(&error, id))
    }
}

fn copy(spool: &Path) -> Result<(), SinkError> {
    let file = RandomFile::open(spool)?;
    let mut out = io::stdout().lock();
    let (mut at, mut piece) = (0, vec![0; PIECE]);
    loop {
        let len = file.read_at(at, &mut piece)?;
        if len == 0 {
            return out.flush().map_err(SinkError::of_stream);
        }
        out.write_all(&piece[..len]).map_err(SinkError::of_stream)?;
        at += len as u64;
    }
}
