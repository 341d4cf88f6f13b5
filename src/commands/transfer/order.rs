//! Paths in the order in which they were asked for, whoever is done first.

use std::collections::BTreeMap;

/// What is done before its turn.
#[derive(Debug, Default)]
pub struct Order<T> {
    next: usize,
    early: BTreeMap<usize, Option<T>>,
}

impl<T> Order<T> {
    /// The source at `place` is done, with or without something to print. Gives back what has its
    /// turn now.
    pub fn done(&mut self, place: usize, what: Option<T>) -> Vec<T> {
        self.early.insert(place, what);
        let mut ready = Vec::new();
        while let Some(what) = self.early.remove(&self.next) {
            ready.extend(what);
            self.next += 1;
        }
        ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_early_waits_for_its_turn() {
        let mut order = Order::default();
        assert!(order.done(2, Some('c')).is_empty());
        assert_eq!(order.done(0, Some('a')), ['a']);
        assert_eq!(order.done(1, None), ['c']);
        assert_eq!(order.done(3, Some('d')), ['d']);
    }
}
