//! How many requests one download may have under way at once.

/// Most requests that fetchd chooses to have under way by itself.
const MOST_BY_ITSELF: usize = 16;

/// A limit on the requests under way at once, to all providers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connections {
    /// So many, whatever there is to ask: the user's choice.
    AtMost(usize),
    /// So many, or one for each provider where there are more, up to sixteen: slow providers reach
    /// the sum of their rates only if all of them are asked.
    AtLeast(usize),
}

impl Connections {
    /// The limit where so many providers are of use; at least one.
    #[must_use]
    pub fn among(self, providers: usize) -> usize {
        match self {
            Self::AtMost(count) => count.max(1),
            Self::AtLeast(count) => count.max(providers.min(MOST_BY_ITSELF)).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Connections;

    #[test]
    fn the_default_grows_with_the_providers_and_a_choice_holds() {
        let default = Connections::AtLeast(8);
        assert_eq!(
            [1, 8, 12, 16, 400].map(|count| default.among(count)),
            [8, 8, 12, 16, 16]
        );
        assert_eq!(Connections::AtLeast(40).among(2), 40);
        assert_eq!(
            [1, 400].map(|count| Connections::AtMost(2).among(count)),
            [2, 2]
        );
        assert_eq!(Connections::AtMost(0).among(0), 1);
    }
}
