//! Whom to ask next.

use std::time::Instant;

use crate::engine::provider::{Place, Provider};

/// The providers that may be asked now, the best first: files on this machine, then those that
/// have not failed lately, of these the quickest, then in the order given.
pub fn ranking(providers: &[Provider], now: Instant) -> Vec<usize> {
    let is_ready = |provider: &Provider| provider.is_of_use() && provider.ready_at(now).is_none();
    let mut ready: Vec<usize> = (0..providers.len())
        .filter(|&index| is_ready(&providers[index]))
        .collect();
    ready.sort_by(|&one, &other| {
        let (one, other) = (&providers[one], &providers[other]);
        let distance = |it: &Provider| match it.place {
            Place::Local(_) => 0,
            Place::Car(_) => 1,
            Place::Http(_) | Place::Plain(_) => 2,
        };
        let rank = |it: &Provider| (distance(it), it.failures);
        let by_rank = rank(one).cmp(&rank(other));
        by_rank.then(one.cost().total_cmp(&other.cost()))
    });
    ready
}

/// When the first provider that rests, or has a pace to keep, may be asked again.
pub fn next_cooled(providers: &[Provider], now: Instant) -> Option<Instant> {
    let resting = providers.iter().filter(|provider| provider.is_of_use());
    resting.filter_map(|provider| provider.ready_at(now)).min()
}
