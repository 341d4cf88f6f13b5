//! What a gateway is known to serve. Pure.

/// What is known of one capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Known {
    /// Not tried yet.
    #[default]
    Unknown,
    /// It has worked.
    Yes,
    /// It was refused, or answered with something else.
    No,
}

impl Known {
    /// `None` while unknown.
    pub fn answer(self) -> Option<bool> {
        match self {
            Known::Unknown => None,
            Known::Yes => Some(true),
            Known::No => Some(false),
        }
    }
}

/// The forms of request that a gateway may serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Capabilities {
    /// One raw block (`format=raw`).
    pub raw: Known,
    /// A CAR (`format=car`).
    pub car: Known,
    /// A CAR of a part of a file (`entity-bytes`), and no more than that part.
    pub entity_bytes: Known,
    /// A part of the plain file (`Range`).
    pub range: Known,
}

impl Capabilities {
    /// Compact text for the store: `raw=yes car=no`; unknown ones are left out.
    pub fn encode(&self) -> String {
        let fields = [
            ("raw", self.raw),
            ("car", self.car),
            ("entity_bytes", self.entity_bytes),
            ("range", self.range),
        ];
        let words = fields.into_iter().filter_map(|(name, known)| {
            known
                .answer()
                .map(|yes| format!("{name}={}", if yes { "yes" } else { "no" }))
        });
        words.collect::<Vec<_>>().join(" ")
    }

    /// Reads what [`Capabilities::encode`] wrote. What it does not understand stays unknown, so
    /// that versions can differ.
    pub fn decode(text: &str) -> Self {
        let mut capabilities = Self::default();
        for word in text.split_ascii_whitespace() {
            let (name, known) = match word.split_once('=') {
                Some((name, "yes")) => (name, Known::Yes),
                Some((name, "no")) => (name, Known::No),
                _ => continue,
            };
            match name {
                "raw" => capabilities.raw = known,
                "car" => capabilities.car = known,
                "entity_bytes" => capabilities.entity_bytes = known,
                "range" => capabilities.range = known,
                _ => {}
            }
        }
        capabilities
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let all = [Known::Unknown, Known::Yes, Known::No];
        for (raw, range) in all
            .into_iter()
            .flat_map(|raw| all.map(|range| (raw, range)))
        {
            let capabilities = Capabilities {
                raw,
                range,
                car: Known::Yes,
                entity_bytes: Known::No,
            };
            assert_eq!(Capabilities::decode(&capabilities.encode()), capabilities);
        }
        assert_eq!(Capabilities::default().encode(), "");
    }

    #[test]
    fn what_is_not_understood_stays_unknown() {
        let read = Capabilities::decode("car=no zstd=yes raw=perhaps range =yes");
        assert_eq!(
            read,
            Capabilities {
                car: Known::No,
                ..Capabilities::default()
            }
        );
    }
}
