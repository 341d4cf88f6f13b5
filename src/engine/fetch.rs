//! Network tasks: one exchange each, parsed as it streams, handed on without a copy.
//!
//! A task proves nothing and decides nothing. Received bytes take their share of a common budget
//! before they are handed on, so a slow disk stops the reading and with it the sender.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;

use crate::content::car::{CarParser, Limits, Section};
use crate::content::cid::Cid;
use crate::content::ranges::ByteRange;
use crate::engine::input::{Input, Leaf, Opened, TaskEnd, TaskId};
use crate::engine::plan::{EntryId, Piece};
use crate::engine::prove::Permit;
use crate::engine::provider::Place;
use crate::gateway::body::Body;
use crate::gateway::error::GatewayError;
use crate::gateway::plain::{Plain, Reply};
use crate::gateway::request::{CarRequest, Gateway, Scope};
use crate::gateway::validator::Validator;

/// Received bytes that may wait to be proved and written, all tasks together. Large enough to keep
/// all threads busy: twice as much made nothing faster.
pub const BYTES_IN_FLIGHT: usize = 4 << 20;

/// What a block costs beside its bytes, while it waits: a flood of empty blocks must fill a budget
/// too.
pub const BLOCK_OVERHEAD: u64 = 256;

/// Header of a CAR: the largest that is read.
pub const MAX_CAR_HEADER: u64 = 1 << 20;

/// What a task needs besides its request.
#[derive(Clone)]
pub struct Line {
    /// Its number.
    pub task: TaskId,
    /// Where its results go.
    pub inputs: UnboundedSender<Input>,
    /// The common byte budget.
    pub budget: Arc<Semaphore>,
    /// One permit, of all tasks: who finds it may take from the budget.
    pub gate: Arc<Semaphore>,
    /// One permit: which long answer of the provider is read. A window that was asked for early
    /// waits for the end of the one before, so that bytes come in order and few are in flight.
    pub turn: Arc<Semaphore>,
}

impl Line {
    /// A share of the byte budget.
    pub async fn permit(&self, bytes: u64) -> Permit {
        let wanted = u32::try_from(bytes.clamp(1, BYTES_IN_FLIGHT as u64)).unwrap_or(1);
        drop(self.gate.acquire().await);
        // The semaphore is never closed; without a permit the bytes are only not counted.
        self.budget.clone().acquire_many_owned(wanted).await.ok()
    }

    /// Waits until no other long answer of the provider is read. Its wait is not the provider's:
    /// `started` moves with it. The semaphore is never closed.
    async fn turn(&self, started: &mut Instant) -> Permit {
        let since = Instant::now();
        let turn = self.turn.clone().acquire_owned().await.ok();
        *started += since.elapsed();
        turn
    }

    /// Reports something.
    pub fn send(&self, input: Input) {
        // The coordinator is gone only when the download is over.
        let _ = self.inputs.send(input);
    }

    /// Reports the end.
    pub fn end(&self, end: TaskEnd) {
        self.send(Input::Ended {
            task: self.task,
            end,
        });
    }
}

/// Fetches one block.
pub async fn block(place: Place, cid: Cid, max_block: u64, line: Line) {
    let started = Instant::now();
    let end = match place {
        Place::Http(gateway) => match gateway.block(&cid, max_block).await {
            Ok(block) => {
                line.send(Input::FirstByte {
                    task: line.task,
                    after: started.elapsed(),
                });
                deliver(&line, cid, vec![block.bytes]).await;
                TaskEnd::Complete
            }
            Err(error) => TaskEnd::Failed(error),
        },
        Place::Car(car) => match car.block(&cid, max_block) {
            Ok(Some(bytes)) => {
                deliver(&line, cid, vec![bytes]).await;
                TaskEnd::Complete
            }
            Ok(None) => TaskEnd::NotInCar,
            Err(error) => TaskEnd::CarFile(error),
        },
        // A plain file has no blocks: it is never asked for one.
        Place::Plain(_) | Place::Local(_) => TaskEnd::NotInCar,
    };
    line.end(end);
}

/// Hands a block on.
pub async fn deliver(line: &Line, cid: Cid, data: Vec<Bytes>) {
    let len: u64 = data.iter().map(|piece| piece.len() as u64).sum();
    let permit = line.permit(len + BLOCK_OVERHEAD).await;
    line.send(Input::Block {
        task: line.task,
        cid,
        data,
        permit,
    });
}

/// Fetches blocks as a CAR.
pub async fn car(gateway: Gateway, request: CarRequest, max_block: u64, line: Line) {
    let end = match stream_car(&gateway, &request, max_block, &line).await {
        Ok(end) => end,
        Err(error) => TaskEnd::Failed(error),
    };
    line.end(end);
}

async fn stream_car(
    gateway: &Gateway,
    request: &CarRequest,
    max_block: u64,
    line: &Line,
) -> Result<TaskEnd, GatewayError> {
    let mut started = Instant::now();
    let mut body = gateway.car(request).await?;
    let _turn = match request.scope {
        Scope::Block => None,
        Scope::Entity { .. } | Scope::All => line.turn(&mut started).await,
    };
    let mut parser = CarParser::new(Limits {
        header: MAX_CAR_HEADER,
        block: max_block,
    });
    let mut was_empty = true;
    let mut is_first = true;
    loop {
        // What was parsed of a broken answer is good: each block stands for itself.
        let chunk = body.chunk().await?;
        if std::mem::take(&mut is_first) {
            line.send(Input::FirstByte {
                task: line.task,
                after: started.elapsed(),
            });
        }
        let Some(chunk) = chunk else { break };
        parser.push(chunk);
        loop {
            match parser.next() {
                Ok(Some(Section { cid, data, .. })) => {
                    was_empty = false;
                    deliver(line, cid, data).await;
                }
                Ok(None) => break,
                Err(error) => return Ok(TaskEnd::BadCar(error)),
            }
        }
    }
    Ok(match parser.finish() {
        Ok(()) => TaskEnd::CarEnded { was_empty },
        Err(error) => TaskEnd::BadCar(error),
    })
}

/// Consecutive leaves of a file.
pub struct Wanted {
    /// The file, in the plan.
    pub entry: EntryId,
    /// Its root.
    pub root: Cid,
    /// Its size.
    pub size: u64,
    /// The leaves.
    pub leaves: Vec<Piece>,
}

/// Fetches consecutive leaves as plain file bytes. There must be leaves, and each must
/// begin where the one before ends.
pub async fn range(place: Place, wanted: Wanted, line: Line) {
    let end = match stream_range(&place, wanted, &line).await {
        Ok(()) => TaskEnd::Complete,
        Err(error) => TaskEnd::Failed(error),
    };
    line.end(end);
}

async fn stream_range(place: &Place, wanted: Wanted, line: &Line) -> Result<(), GatewayError> {
    let Wanted {
        entry,
        root,
        size,
        leaves,
    } = wanted;
    let mut started = Instant::now();
    let bounds = leaves
        .first()
        .zip(leaves.last())
        .and_then(|(first, last)| ByteRange::new(first.offset, last.offset + last.len));
    let Some(bounds) = bounds else { return Ok(()) };
    let mut body = match place {
        Place::Http(gateway) => gateway.range(&root, bounds, size).await?,
        Place::Plain(plain) => plain.range(bounds, size).await?,
        // They are not asked like this.
        Place::Car(_) | Place::Local(_) => return Ok(()),
    };
    let _turn = line.turn(&mut started).await;
    let mut received = Received::default();
    let mut is_first = true;
    for leaf in leaves {
        while received.len < leaf.len {
            let Some(chunk) = body.chunk().await? else {
                return Ok(());
            };
            if std::mem::take(&mut is_first) {
                line.send(Input::FirstByte {
                    task: line.task,
                    after: started.elapsed(),
                });
            }
            received.push(chunk);
        }
        let permit = line.permit(leaf.len).await;
        let data = received.split_to(leaf.len);
        line.send(Input::Leaf(Leaf {
            task: line.task,
            cid: leaf.cid,
            entry,
            offset: leaf.offset,
            len: leaf.len,
            data,
            is_there: false,
            permit,
        }));
    }
    finish(&mut body).await
}

/// From where a whole file is wanted.
pub struct From {
    /// The first byte that is missing.
    pub position: u64,
    /// Bytes of the file, as far as that is known.
    pub total: Option<u64>,
    /// The version that the bytes before belong to.
    pub validator: Option<Validator>,
}

/// Fetches a file from some byte on to its end, or all of it where the source wants it so.
pub async fn whole(plain: Plain, from: From, line: Line) {
    let end = match stream_whole(&plain, from, &line).await {
        Ok(end) => end,
        Err(error) => TaskEnd::Failed(error),
    };
    line.end(end);
}

async fn stream_whole(plain: &Plain, from: From, line: &Line) -> Result<TaskEnd, GatewayError> {
    let started = Instant::now();
    let reply = match from.position {
        0 => Reply::Whole(plain.whole().await?),
        position => {
            plain
                .rest(position, from.total, from.validator.as_ref())
                .await?
        }
    };
    let (offset, answer) = match reply {
        Reply::Rest(answer) => (from.position, answer),
        Reply::Whole(answer) => (0, answer),
        Reply::Past { total } => return Ok(TaskEnd::Past { total }),
        Reply::Changed => return Ok(TaskEnd::Changed),
    };
    line.send(Input::FirstByte {
        task: line.task,
        after: started.elapsed(),
    });
    line.send(Input::Opened(Opened {
        task: line.task,
        offset,
        total: answer.total,
        validator: answer.validator,
    }));
    let mut body = answer.body;
    while let Some(data) = body.chunk().await? {
        let permit = line.permit(data.len() as u64).await;
        line.send(Input::Chunk {
            task: line.task,
            data,
            permit,
        });
    }
    Ok(TaskEnd::Complete)
}

/// Reads the end of the body, so that the connection can serve the next request.
async fn finish(body: &mut Body) -> Result<(), GatewayError> {
    while body.chunk().await?.is_some() {}
    Ok(())
}

/// Chunks as the network gave them, cut without a copy.
#[derive(Default)]
struct Received {
    chunks: std::collections::VecDeque<Bytes>,
    len: u64,
}

/// Chunks below this are joined: a drip of single bytes must not become a list of single bytes.
const SMALL_CHUNK: usize = 4 << 10;

impl Received {
    fn push(&mut self, chunk: Bytes) {
        self.len += chunk.len() as u64;
        match self.chunks.pop_back() {
            Some(last) if last.len() + chunk.len() <= SMALL_CHUNK => {
                let mut joined = BytesMut::from(last);
                joined.extend_from_slice(&chunk);
                self.chunks.push_back(joined.freeze());
            }
            last => {
                self.chunks.extend(last);
                self.chunks.push_back(chunk);
            }
        }
    }

    /// The first `len` bytes, of which at least as many must be there.
    fn split_to(&mut self, len: u64) -> Vec<Bytes> {
        let mut out = Vec::new();
        let mut missing = len;
        while missing > 0 {
            let Some(mut chunk) = self.chunks.pop_front() else {
                break;
            };
            let take = chunk
                .len()
                .min(usize::try_from(missing).unwrap_or(usize::MAX));
            let piece = chunk.split_to(take);
            missing -= piece.len() as u64;
            out.push(piece);
            if !chunk.is_empty() {
                self.chunks.push_front(chunk);
            }
        }
        self.len -= len - missing;
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cutting_keeps_every_byte(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..20), cuts in prop::collection::vec(0u64..80, 0..20)) {
            let whole: Vec<u8> = chunks.concat();
            let mut received = Received::default();
            chunks.into_iter().for_each(|chunk| received.push(chunk.into()));
            let mut out = Vec::new();
            for cut in cuts {
                if cut <= received.len {
                    out.extend(received.split_to(cut).concat());
                }
            }
            let rest = received.len;
            out.extend(received.split_to(rest).concat());
            prop_assert_eq!(out, whole);
        }
    }
}
