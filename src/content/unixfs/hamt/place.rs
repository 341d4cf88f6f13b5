//! Which bits of a name's hash choose its bucket, and where a shard stands among the hashes.
//!
//! Pure arithmetic: knows no blocks. Invariant: a [`Place`] with a fanout has bits of the hash
//! left for its own buckets.

use crate::content::unixfs::hamt::HamtError;

/// Bits of the hash that shards names.
const HASH_BITS: u32 = u64::BITS;

/// How many buckets each shard of a directory has: a power of two from 8 to 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fanout {
    /// Bits that choose a bucket: 3 to 10.
    bits: u32,
}

impl Fanout {
    /// Fewest and most buckets that the other implementations read.
    const RANGE: std::ops::RangeInclusive<u64> = 8..=1024;

    /// Checks a fanout.
    ///
    /// # Errors
    /// [`HamtError::Fanout`].
    pub fn new(buckets: u64) -> Result<Self, HamtError> {
        if Self::RANGE.contains(&buckets) && buckets.is_power_of_two() {
            Ok(Self {
                bits: buckets.trailing_zeros(),
            })
        } else {
            Err(HamtError::Fanout(buckets))
        }
    }

    /// Number of buckets.
    pub fn buckets(self) -> u32 {
        1 << self.bits
    }

    /// What the names of links of this bucket begin with: upper-case hexadecimal, as many digits
    /// as the last bucket has.
    pub fn prefix(self, bucket: u32) -> String {
        let digits = self.bits.div_ceil(4) as usize;
        format!("{bucket:0digits$X}")
    }
}

/// Where a shard stands: the buckets that lead to it from the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// That of the root, once it is known.
    fanout: Option<Fanout>,
    depth: u32,
    /// The bits of the hash that all names below have in common, right-aligned.
    path: u64,
}

impl Place {
    /// Where the directory begins.
    pub const ROOT: Self = Self {
        fanout: None,
        depth: 0,
        path: 0,
    };

    /// Number of shards above.
    pub fn depth(self) -> u32 {
        self.depth
    }

    /// The bits of the hash that all names below have in common, right-aligned.
    pub fn path(self) -> u64 {
        self.path
    }

    /// Canonical bytes for the store: bits of the fanout (0 where it is not known), depth, path.
    pub fn encode(self) -> [u8; 10] {
        let bits = self.fanout.map_or(0, |fanout| fanout.bits as u8);
        let mut bytes = [bits, self.depth as u8, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes[2..].copy_from_slice(&self.path.to_be_bytes());
        bytes
    }

    /// Reads what [`Place::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let &[bits, depth, ref path @ ..] = bytes else {
            return None;
        };
        let fanout = match bits {
            0 => None,
            bits => Some(Fanout::new(1u64.checked_shl(bits.into())?).ok()?),
        };
        Some(Self {
            fanout,
            depth: depth.into(),
            path: u64::from_be_bytes(path.try_into().ok()?),
        })
    }

    /// This place for a shard of that fanout, which at the root may be any.
    ///
    /// # Errors
    /// [`HamtError`] if the root has another fanout, or no bits of a hash are left.
    pub fn with_fanout(self, fanout: Fanout) -> Result<Self, HamtError> {
        let expected = self.fanout.unwrap_or(fanout);
        if expected != fanout {
            return Err(HamtError::OtherFanout {
                expected: expected.buckets(),
                actual: fanout.buckets(),
            });
        }
        if (self.depth + 1) * fanout.bits > HASH_BITS {
            return Err(HamtError::TooDeep(self.depth));
        }
        Ok(Self {
            fanout: Some(fanout),
            ..self
        })
    }

    /// The bucket where `name` belongs; `None` if it does not belong below this place, or if the
    /// fanout is not known.
    pub fn bucket_of(self, name: &[u8]) -> Option<u32> {
        let fanout = self.fanout?;
        let known = hash(name) >> (HASH_BITS - (self.depth + 1) * fanout.bits);
        let bucket = known & u64::from(fanout.buckets() - 1);
        (known >> fanout.bits == self.path).then_some(bucket as u32)
    }

    /// The place of the shard in `bucket` of the shard here.
    pub fn below(self, bucket: u32) -> Self {
        let bits = self.fanout.map_or(0, |fanout| fanout.bits);
        Self {
            depth: self.depth + 1,
            path: self.path << bits | u64::from(bucket),
            ..self
        }
    }
}

/// The hash that shards names: murmur3-x64-64, the first of the two words of murmur3-x64-128.
///
/// Buckets are chosen by its bits from the most significant one on.
pub fn hash(name: &[u8]) -> u64 {
    let mut bytes = name;
    let both = murmur3::murmur3_x64_128(&mut bytes, 0).expect("reading a slice never fails");
    both as u64
}
