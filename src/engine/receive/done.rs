//! Bytes on their way through the proving thread: handed over, and come back right or wrong.

use bytes::Bytes;

use crate::content::cid::{self, Cid};
use crate::engine::coordinator::Coordinator;
use crate::engine::failure::sink_failure;
use crate::engine::input::{Done, TaskId};
use crate::engine::plan::FilePlan;
use crate::engine::prove::{self, Outcome, Place, Shape, SinkError, Work};
use crate::engine::tree::part_stop;
use crate::event::What;

impl Coordinator<'_> {
    /// Hands bytes to the proving thread. A stream puts each of their places in order by itself.
    pub(super) fn send_job(&mut self, mut job: prove::Job) {
        if !self.output.is_on_disk() {
            for place in job.places.split_off(1.min(job.places.len())) {
                let again = prove::Job {
                    places: vec![place],
                    data: job.data.clone(),
                    permit: None,
                    ..job
                };
                self.send_one(again);
            }
        }
        self.send_one(job);
    }

    fn send_one(&mut self, job: prove::Job) {
        self.net.jobs += 1;
        if let Some(task) = self.net.tasks.get_mut(&job.task) {
            task.pending += 1;
            if job.shape != Shape::Proved {
                task.useful += job.len;
            }
        }
        for place in &job.places {
            let begin = |file: &mut FilePlan| file.begin_proof(place.offset, job.len);
            self.plan.with_file(place.entry, begin);
        }
        self.send_work(Work::Prove(job));
    }

    pub(in crate::engine) fn send_work(&mut self, work: Work) {
        let sent = self
            .prover
            .as_ref()
            .is_some_and(|prover| prover.send(work).is_ok());
        assert!(
            sent,
            "the proving thread lives as long as the coordinator sends to it"
        );
    }

    pub(in crate::engine) fn on_done(&mut self, done: Done) {
        let Done {
            task: id,
            cid,
            places,
            len,
            shape,
            outcome,
        } = done;
        self.net.jobs -= 1;
        if let Some(task) = self.net.tasks.get_mut(&id) {
            task.pending -= 1;
        }
        for place in &places {
            let end = |file: &mut FilePlan| file.end_proof(place.offset, len);
            self.plan.with_file(place.entry, end);
        }
        let is_written = matches!(outcome, Outcome::Written { .. });
        for place in places.iter().filter(|_| !is_written) {
            let end = place.offset + len;
            let note = |file: &mut FilePlan| file.note_openings(place.offset, end);
            self.plan.with_file(place.entry, note);
        }
        match outcome {
            Outcome::Written { data, sum, permit } => {
                self.on_written(id, &places, len, shape == Shape::Leaf);
                self.feed_sha(&places, len, data, sum, permit);
                places
                    .iter()
                    .for_each(|place| self.look_at_file(place.entry));
            }
            Outcome::Disproved => {
                self.rejected(id, &cid, places.first().map(|place| place.offset), len)
            }
            Outcome::Node(block) => self.on_node_instead(id, &cid, &places, &block),
            Outcome::Dropped => self.waste(id, len),
            Outcome::SinkFailed(SinkError::Disk(error)) => {
                self.halt(part_stop(&error, &self.job));
            }
            Outcome::SinkFailed(error) => self.fail(sink_failure(&error, self.job.id)),
        }
        self.retire(id);
    }

    fn on_written(&mut self, id: TaskId, places: &[Place], len: u64, by_leaf: bool) {
        let mut new_bytes = 0;
        for place in places {
            new_bytes += self.plan.prove(place.entry, place.offset, len, by_leaf);
            self.checkpointing.note_progress(place.entry);
        }
        self.tally.new_bytes += new_bytes;
        self.tally.used_leaves |= by_leaf;
        if let Some(task) = self.net.tasks.get(&id) {
            self.providers[task.provider].proved(task.transport, new_bytes);
        }
    }

    /// A sound block that is not the plain leaf it was taken for.
    fn on_node_instead(&mut self, id: TaskId, cid: &Cid, places: &[Place], block: &Bytes) {
        for place in places {
            let demand = |file: &mut FilePlan| file.demand_block(place.offset);
            self.plan.with_file(place.entry, demand);
        }
        self.on_node(id, *cid, block, None);
    }

    /// Bytes whose proof failed: their sender is named and asked in this form no more.
    pub(super) fn rejected(&mut self, id: TaskId, cid: &Cid, offset: Option<u64>, len: u64) {
        self.waste(id, len);
        let Some(task) = self.net.tasks.get_mut(&id) else {
            return;
        };
        task.outcome = Some("rejected".to_owned());
        let (index, transport) = (task.provider, task.transport);
        let url = self.providers[index].url().to_owned();
        let is_known =
            self.providers[index].is_local() && self.providers[index].receipt.rejected > 0;
        self.providers[index].last_error = Some(format!(
            "bytes of block {} did not prove right",
            cid::text(cid)
        ));
        // That a file on this machine is another one is said once, not for each of its leaves.
        if !is_known {
            let cid = cid::text(cid);
            self.announce(What::Rejected { url, cid, offset });
        }
        let consequence = self.providers[index].lied(transport, cid);
        if self.providers[index].is_local() {
            return;
        }
        self.tell(index, "its bytes did not prove right", consequence);
        self.abort(id);
    }
}
