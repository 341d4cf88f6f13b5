//! The end of a whole file: it is what was wanted, or it is thrown away, and somebody is to blame
//! only where it came in one piece.

use crate::content::ranges::RangeSet;
use crate::download::Proof;
use crate::engine::coordinator::Coordinator;
use crate::engine::files::FinishedFile;
use crate::engine::whole::{Goal, Joins, Phase, Sums};
use crate::event::What;

impl Coordinator<'_> {
    /// The file is here: is it what was wanted?
    pub(super) fn judge(&mut self, sums: Sums) {
        let Some(whole) = &mut self.whole else { return };
        let is_right = whole.goal.is_met(&sums);
        let consents = self.options.allow_unverified && matches!(whole.goal, Goal::Profile(_));
        if !is_right && !consents {
            return self.reject_whole(&sums);
        }
        let proof = if is_right {
            whole.goal.proof()
        } else {
            Proof::Unverified
        };
        tracing::debug!(profile = sums.profile, ?proof, "the file is right");
        self.accept_whole(&sums, proof);
    }

    /// It is what was wanted.
    pub(super) fn accept_whole(&mut self, sums: &Sums, proof: Proof) {
        let Some(whole) = &mut self.whole else { return };
        whole.phase = Phase::Proved;
        for (provider, sent) in self.providers.iter_mut().zip(&mut whole.sent) {
            provider.kept(std::mem::take(sent), proof);
        }
        let file = FinishedFile {
            path: "".into(),
            size: whole.progress.position,
            sha256: Some(sums.sha256),
            by_leaves: RangeSet::new(),
        };
        self.tally.proof = Some(proof);
        self.hashing.finished.insert(0, file);
        self.checkpointing.note_finished(0);
    }

    /// It is not: its source is asked no more, and another one begins anew.
    fn reject_whole(&mut self, sums: &Sums) {
        let Some(whole) = &mut self.whole else { return };
        let what = sums.differ_from(&whole.goal);
        whole.phase = Phase::Fetching;
        if whole.joins == Joins::Made {
            return self.reject_joined();
        }
        whole.switches += 1;
        let (is_over, source) = (
            whole.switches > self.options.max_source_switches,
            whole.source,
        );
        (whole.progress.total, whole.furthest) = (None, 0);
        self.restart();
        let Some(index) = source else { return };
        let url = self.providers[index].url().to_owned();
        self.providers[index].last_error = Some(what.clone());
        self.announce(What::Rejected {
            url,
            cid: self.root_text().unwrap_or_default(),
            offset: None,
        });
        let consequence = self.providers[index].sent_another_file();
        self.tell(index, &what, consequence);
        if is_over {
            self.give_up();
        }
    }

    /// It was put together of answers that need not belong to one file: it is fetched once more,
    /// in one piece.
    fn reject_joined(&mut self) {
        let Some(whole) = &mut self.whole else { return };
        whole.joins = Joins::Forbidden;
        (whole.progress.total, whole.furthest) = (None, 0);
        self.restart();
        let message = "the pieces of the file do not make the one that is wanted: it may have \
                       changed in between, and is fetched anew";
        self.announce(What::Notice {
            message: message.to_owned(),
        });
    }
}
