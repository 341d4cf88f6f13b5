//! What is known in the end of the content and of those who sent it.

use std::time::Duration;

use jiff::Timestamp;

use crate::download::{Proof, ProviderReceipt, Receipt};
use crate::engine::Destination;
use crate::engine::coordinator::Coordinator;
use crate::engine::provider::{Out, Place, Provider};
use crate::event::What;
use crate::store::Observation;

impl Coordinator<'_> {
    /// Tells what each provider did.
    pub(super) fn tell_supplied(&mut self) {
        let asked = self.providers.iter();
        let asked = asked.filter(|provider| provider.receipt.requests > 0);
        let told: Vec<What> = asked
            .map(|provider| What::Supplied {
                sent: Box::new(provider.receipt.clone()),
                rate: Some(provider.throughput).filter(|&rate| rate > 0.0),
            })
            .collect();
        told.into_iter().for_each(|what| self.announce(what));
    }

    /// What was learnt of the providers, for the next download.
    pub(super) fn remember_providers(&self) {
        let was_asked = |provider: &Provider| provider.receipt.requests > 0;
        let asked = self.providers.iter().enumerate();
        for (index, provider) in asked.filter(|(_, provider)| was_asked(provider)) {
            self.remember_pace(index);
            // Of a single file, and of one on this machine, there is nothing more to learn.
            if !matches!(provider.place, Place::Http(_)) {
                continue;
            }
            let receipt = &provider.receipt;
            let seen = Observation {
                requests: receipt.requests,
                errors: receipt.errors,
                rejected: receipt.rejected,
                bytes: receipt.bytes + receipt.wasted,
                latency: (provider.latency > 0.0)
                    .then(|| Duration::from_secs_f64(provider.latency)),
                throughput: (provider.throughput > 0.0).then_some(provider.throughput),
                error: provider.last_error.clone(),
                capabilities: Some(provider.capabilities.encode()),
            };
            self.in_background(self.store.observe(provider.url(), seen, Timestamp::now()));
            if provider.out() == Some(&Out::Retired) {
                let reason = provider
                    .last_error
                    .as_deref()
                    .unwrap_or("it says that it is closed");
                self.in_background(self.store.retire(provider.url(), Timestamp::now(), reason));
            }
        }
    }

    pub(super) fn receipt(&mut self) -> Receipt {
        let path = match &self.job.destination {
            Destination::Disk { target, .. } => target.clone(),
            Destination::Stdout { .. } => "-".into(),
        };
        let mut providers = self.job.saved.providers.clone();
        for provider in self
            .providers
            .iter()
            .filter(|provider| provider.receipt.requests > 0)
        {
            add_receipt(&mut providers, &provider.receipt);
        }
        let (size, sha256) = match self.saved_car() {
            Some((len, sha256)) => (len, Some(sha256)),
            None => (self.known_size().unwrap_or(0), self.hashing.digest(0)),
        };
        Receipt {
            path,
            cid: self.root_text(),
            size,
            sha256,
            checksum: self.name_of_checksum(),
            proof: match (self.tally.proof, self.tally.used_leaves) {
                (Some(proof), _) => proof,
                (None, true) => Proof::Leaves,
                (None, false) => Proof::Blocks,
            },
            bytes_fetched: self.tally.fetched,
            bytes_wasted: self.tally.wasted,
            resumed_from: self.tally.resumed_from,
            elapsed: (self.job.saved.elapsed + self.started.elapsed()).as_secs_f64(),
            providers,
        }
    }

    /// The function of the checksum that proved it, where the proof was not a SHA-256.
    fn name_of_checksum(&self) -> Option<String> {
        let is_by_sum = self.tally.proof == Some(Proof::Sha256);
        let name = self.job.checksum.as_ref().filter(|_| is_by_sum)?.name()?;
        Some(name.to_owned())
    }
}

/// Adds one provider's line to a receipt that may have it already.
fn add_receipt(lines: &mut Vec<ProviderReceipt>, new: &ProviderReceipt) {
    let Some(line) = lines.iter_mut().find(|line| line.url == new.url) else {
        return lines.push(new.clone());
    };
    line.bytes += new.bytes;
    line.wasted += new.wasted;
    line.requests += new.requests;
    line.errors += new.errors;
    line.rejected += new.rejected;
    line.rungs.extend(&new.rungs);
    line.rungs.sort_unstable();
    line.rungs.dedup();
}
