//! Proved bytes on their way to standard output, put in order.

use std::collections::BTreeMap;
use std::io::Write;

use crate::engine::input::Input;
use crate::engine::prove::{Job, Outcome, ProvedJob, Shape, SinkError, done};

/// Proved bytes that arrive out of order may wait up to this many.
const REORDER_LIMIT: u64 = 24 << 20;

/// Proved bytes on their way to standard output, put in order.
pub struct Stream {
    out: Box<dyn Write + Send>,
    next: u64,
    waiting: BTreeMap<u64, ProvedJob>,
    waiting_bytes: u64,
}

impl Stream {
    /// A stream that begins at offset 0.
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self {
            out,
            next: 0,
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
        }
    }

    pub(super) fn accept(
        &mut self,
        ProvedJob { job, sum }: ProvedJob,
        report: &mut dyn FnMut(Input),
    ) {
        let Some(offset) = job.places.first().map(|place| place.offset) else {
            return;
        };
        if offset < self.next || self.waiting.contains_key(&offset) {
            return report(done(job, Outcome::Dropped));
        }
        // Bytes out of a node cannot be dropped: the plan holds no piece any more that would ask
        // for them again.
        let may_drop = offset > self.next && job.shape != Shape::Proved;
        if may_drop && self.waiting_bytes + job.len > REORDER_LIMIT {
            return report(done(job, Outcome::Dropped));
        }
        self.waiting_bytes += job.len;
        // A waiting job gives its share of the budget back: what it waits for may need it.
        let permit = job.permit.filter(|_| offset == self.next);
        let job = Job { permit, ..job };
        self.waiting.insert(offset, ProvedJob { job, sum });
        while let Some(proved) = self.waiting.remove(&self.next) {
            self.waiting_bytes -= proved.job.len;
            self.emit(proved, report);
        }
    }

    fn emit(&mut self, proved: ProvedJob, report: &mut dyn FnMut(Input)) {
        let pieces = &proved.job.data;
        let written = pieces
            .iter()
            .try_for_each(|piece| self.out.write_all(piece))
            .and_then(|()| self.out.flush());
        self.next += proved.job.len;
        report(proved.written(written.map_err(SinkError::of_stream)));
    }
}
