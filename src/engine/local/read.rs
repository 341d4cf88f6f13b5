//! Tasks that read local files. They prove nothing and decide nothing.

use std::sync::Arc;

use bytes::Bytes;

use crate::content::cid::Cid;
use crate::content::leaf;
use crate::disk::DiskError;
use crate::disk::random_file::RandomFile;
use crate::engine::aside::on_a_thread;
use crate::engine::fetch::{self, Line};
use crate::engine::input::{Input, Leaf, TaskEnd};
use crate::engine::local::{LocalEnd, LocalFiles};
use crate::engine::output::Output;
use crate::engine::plan::{EntryId, Piece};
use crate::engine::whole::{Summed, Summer, Wanted};

/// Bytes that are summed up at once.
const PIECE: usize = 1 << 20;

/// Where leaves are read.
pub enum From {
    /// In the file at this path of local files.
    Files(Arc<LocalFiles>, String),
    /// In our own file at this path, which shares their blocks.
    Part(Output, Arc<str>),
}

/// Reads leaves of a file, as far as it has them.
pub async fn leaves(from: From, entry: EntryId, leaves: Vec<Piece>, line: Line) {
    let end = read_leaves(from, entry, leaves, &line).await;
    line.end(TaskEnd::Local(end.unwrap_or_else(LocalEnd::Failed)));
}

async fn read_leaves(
    from: From,
    entry: EntryId,
    leaves: Vec<Piece>,
    line: &Line,
) -> Result<LocalEnd, DiskError> {
    let is_there = matches!(from, From::Part(..));
    let opened = on_a_thread(move || match from {
        From::Files(files, path) => files.file(&path),
        From::Part(output, path) => output.open(&path)?.reader().map(Some),
    });
    let Some(file) = opened.await? else {
        return Ok(LocalEnd::NotThere);
    };
    for leaf in leaves {
        if leaf.offset + leaf.len > file.len() {
            return Ok(LocalEnd::EndsAt(file.len()));
        }
        let permit = line.permit(leaf.len).await;
        let bytes = read(&file, leaf.offset, leaf.len).await?;
        line.send(Input::Leaf(Leaf {
            task: line.task,
            cid: leaf.cid,
            entry,
            offset: leaf.offset,
            len: leaf.len,
            data: vec![bytes],
            is_there,
            permit,
        }));
    }
    Ok(LocalEnd::Read)
}

/// Reads the file at `path`, if it can be the single leaf that `cid` names, as that block.
pub async fn root(files: Arc<LocalFiles>, path: String, cid: Cid, max_block: u64, line: Line) {
    let end = read_root(files, path, cid, max_block, &line).await;
    line.end(TaskEnd::Local(end.unwrap_or_else(LocalEnd::Failed)));
}

async fn read_root(
    files: Arc<LocalFiles>,
    path: String,
    cid: Cid,
    max_block: u64,
    line: &Line,
) -> Result<LocalEnd, DiskError> {
    let Some(file) = on_a_thread(move || files.file(&path)).await? else {
        return Ok(LocalEnd::NotThere);
    };
    let len = file.len();
    if len > max_block {
        return Ok(LocalEnd::Read);
    }
    let bytes = read(&file, 0, len).await?;
    if let Some(form) = leaf::rebuild(&cid, len, [&bytes[..]]) {
        let (prefix, suffix) = form.wrapping(len);
        fetch::deliver(line, cid, vec![prefix.into(), bytes, suffix.into()]).await;
    }
    Ok(LocalEnd::Read)
}

/// Makes the sums of a whole file.
pub async fn check(files: Arc<LocalFiles>, path: String, wanted: Wanted, line: Line) {
    let end = sum(files, path, wanted).await;
    line.end(TaskEnd::Local(end.unwrap_or_else(LocalEnd::Failed)));
}

async fn sum(files: Arc<LocalFiles>, path: String, wanted: Wanted) -> Result<LocalEnd, DiskError> {
    let Some(file) = on_a_thread(move || files.file(&path)).await? else {
        return Ok(LocalEnd::NotThere);
    };
    let mut summer = Summer::new(wanted);
    // Piece by piece: no longer must a signal wait.
    loop {
        let reader = file.clone();
        let (next, more) = on_a_thread(move || {
            let mut piece = vec![0; PIECE];
            let read = reader.read_at(summer.position(), &mut piece);
            let read = read.map(|len| {
                piece.truncate(len);
                summer.push(Bytes::from(piece));
                len > 0
            });
            (summer, read)
        })
        .await;
        summer = next;
        if more? {
            continue;
        }
        match summer.finish() {
            Summed::Done(sums) => return Ok(LocalEnd::Summed(file, sums)),
            Summed::Again(again) => summer = *again,
        }
    }
}

async fn read(file: &RandomFile, offset: u64, len: u64) -> Result<Bytes, DiskError> {
    let file = file.clone();
    on_a_thread(move || {
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
        file.read_exact_at(offset, &mut bytes)?;
        Ok(Bytes::from(bytes))
    })
    .await
}
