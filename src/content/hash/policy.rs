//! Which hashes may prove anything.

use crate::content::cid::Cid;
use crate::content::hash::function::{
    Function, FunctionName, IDENTITY, MIN_DIGEST, SHA2_256, Strength,
};

/// Why a hash is not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// A weak function that the user did not allow.
    #[error(
        "the hash function {} is weak and not allowed (allow_hash can name {name:?})",
        FunctionName(*.code)
    )]
    Refused {
        /// The name that would allow it.
        name: String,
        /// Its multihash code.
        code: u64,
    },
    /// A function that fetchd does not compute, and so cannot prove.
    #[error("the hash function {} is not accepted", FunctionName(*.code))]
    Unknown {
        /// Its multihash code.
        code: u64,
    },
    /// A digest too short to prove anything.
    #[error("a digest of {len} bytes is too short to be trusted (at least {MIN_DIGEST})")]
    TooShort {
        /// Bytes of the digest.
        len: usize,
    },
    /// More bytes than the function gives.
    #[error("{} has digests of at most {max} bytes, this one has {len}", FunctionName(*.code))]
    TooLong {
        /// Its multihash code.
        code: u64,
        /// Bytes of the digest.
        len: usize,
        /// Bytes that the function gives.
        max: usize,
    },
    /// A truncated digest that the user did not allow.
    #[error(
        "the digest of {} is truncated to {len} of {full} bytes, which is weak and not allowed (allow_hash can name \"truncated\")",
        FunctionName(*.code)
    )]
    Truncated {
        /// Its multihash code.
        code: u64,
        /// Bytes of the digest.
        len: usize,
        /// Bytes that the function gives.
        full: usize,
    },
    /// A name that `allow_hash` does not have.
    #[error("{name:?} is not a weak hash that can be allowed (\"sha1\", \"truncated\")")]
    UnknownName {
        /// What was given.
        name: String,
    },
}

/// Which hashes are trusted. By default: full digests of strong functions, and identity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HashPolicy {
    allow_sha1: bool,
    allow_truncated: bool,
}

impl HashPolicy {
    /// The default, and the weak hashes that a user accepts knowingly: `sha1`, and `truncated`
    /// for digests of 20 bytes or more that are shorter than their function gives.
    ///
    /// # Errors
    /// [`HashError::UnknownName`].
    pub fn with_weak<S: AsRef<str>>(names: &[S]) -> Result<Self, HashError> {
        let mut policy = Self::default();
        for name in names {
            match name.as_ref() {
                "sha1" => policy.allow_sha1 = true,
                "truncated" => policy.allow_truncated = true,
                other => return Err(HashError::UnknownName { name: other.into() }),
            }
        }
        Ok(policy)
    }

    /// Whether the hash of this CID may prove anything.
    ///
    /// # Errors
    /// A [`HashError`] that says why not.
    pub fn check(&self, cid: &Cid) -> Result<(), HashError> {
        let (code, len) = (cid.hash().code(), usize::from(cid.hash().size()));
        // The digest is the block; the type holds no more than may be trusted (IPIP-512).
        if code == IDENTITY {
            return Ok(());
        }
        // Nearly every link of every DAG, and a name costs an allocation.
        if (code, len) == (SHA2_256, 32) {
            return Ok(());
        }
        let function = Function::of(code).ok_or(HashError::Unknown { code })?;
        self.check_function(code, len, function)
    }

    fn check_function(&self, code: u64, len: usize, function: Function) -> Result<(), HashError> {
        let full = function.len;
        if function.strength == Strength::Weak && !self.allow_sha1 {
            return Err(HashError::Refused {
                name: function.name,
                code,
            });
        }
        if len < MIN_DIGEST {
            return Err(HashError::TooShort { len });
        }
        if len > full {
            return Err(HashError::TooLong {
                code,
                len,
                max: full,
            });
        }
        if len < full && !self.allow_truncated {
            return Err(HashError::Truncated { code, len, full });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::cid::{MAX_DIGEST, Multihash, codec};
    use crate::content::hash::function::SHA1;

    fn raw(code: u64, digest: &[u8]) -> Cid {
        Cid::new_v1(codec::RAW, Multihash::wrap(code, digest).unwrap())
    }

    #[test]
    fn weak_hashes_need_consent() {
        let full = [0xab; 32];
        let default = HashPolicy::default();
        let lax = HashPolicy::with_weak(&["truncated", "sha1"]).unwrap();
        let sha1 = raw(SHA1, &full[..20]);
        assert_eq!(
            default.check(&sha1),
            Err(HashError::Refused {
                name: "sha1".into(),
                code: SHA1
            })
        );
        assert_eq!(lax.check(&sha1), Ok(()));
        let cut = raw(SHA2_256, &full[..20]);
        assert!(matches!(
            default.check(&cut),
            Err(HashError::Truncated {
                len: 20,
                full: 32,
                ..
            })
        ));
        assert_eq!(lax.check(&cut), Ok(()));
        let stump = raw(SHA2_256, &full[..19]);
        assert_eq!(lax.check(&stump), Err(HashError::TooShort { len: 19 }));
        let long = raw(SHA2_256, &[&full[..], &[0]].concat());
        assert!(matches!(
            lax.check(&long),
            Err(HashError::TooLong { max: 32, .. })
        ));
        assert_eq!(
            lax.check(&raw(0xd5, &full[..16])),
            Err(HashError::Unknown { code: 0xd5 })
        );
        assert_eq!(default.check(&raw(IDENTITY, &[7; MAX_DIGEST])), Ok(()));
    }

    #[test]
    fn messages_name_the_function() {
        let say = |code| {
            HashPolicy::default()
                .check(&raw(code, &[0; 20]))
                .unwrap_err()
                .to_string()
        };
        assert_eq!(say(0xd5), "the hash function md5 (0xd5) is not accepted");
        assert_eq!(
            say(0x9999),
            "the hash function number 0x9999 is not accepted"
        );
        assert_eq!(
            say(SHA1),
            "the hash function sha1 (0x11) is weak and not allowed (allow_hash can name \"sha1\")"
        );
        let unknown = HashPolicy::with_weak(&["md5"]).unwrap_err();
        assert!(
            unknown
                .to_string()
                .starts_with("\"md5\" is not a weak hash")
        );
    }
}
