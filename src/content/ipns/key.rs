//! Public keys as libp2p encodes them, and what they sign.
//!
//! Source: the libp2p specification "Peer Ids and Keys". The cryptography is the TLS library's.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256K1_SHA256_ASN1, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256,
};

use crate::content::ipns::IpnsError;
use crate::content::wire::Reader;

const ED25519_LEN: usize = 32;
/// A compressed point of secp256k1.
const SECP256K1_LEN: usize = 33;

/// A public key that signatures can be checked against.
#[derive(Debug)]
pub(super) struct PublicKey(ParsedPublicKey);

impl PublicKey {
    /// Reads the protobuf message `{1: type, 2: bytes}`. ECDSA keys are of the curve P-256.
    pub(super) fn parse(message: &[u8]) -> Result<Self, IpnsError> {
        let (mut kind, mut bytes) = (None, None);
        let mut reader = Reader::new(message);
        while let Some(field) = reader.field()? {
            let is_repeated = match field.number {
                1 => kind.replace(field.varint()?).is_some(),
                2 => bytes.replace(&message[field.bytes()?]).is_some(),
                _ => true,
            };
            if is_repeated {
                return Err(IpnsError::BadKey("is not encoded as a key"));
            }
        }
        let (Some(kind), Some(bytes)) = (kind, bytes) else {
            return Err(IpnsError::BadKey("is not encoded as a key"));
        };
        let key = match kind {
            0 => ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, bytes).ok(),
            1 if bytes.len() == ED25519_LEN => ParsedPublicKey::new(&ED25519, bytes).ok(),
            2 if bytes.len() == SECP256K1_LEN => {
                ParsedPublicKey::new(&ECDSA_P256K1_SHA256_ASN1, bytes).ok()
            }
            1 | 2 => None,
            3 => ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, bytes).ok(),
            _ => return Err(IpnsError::BadKey("is of an unknown type")),
        };
        key.map(Self)
            .ok_or(IpnsError::BadKey("does not hold what its type says"))
    }

    /// Checks a signature: PKCS #1 v1.5 of RSA keys from 2048 to 8192 bits, ASN.1 of the curves,
    /// all over SHA-256; Ed25519 as it is.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), IpnsError> {
        self.0
            .verify_sig(message, signature)
            .map_err(|_| IpnsError::BadSignature)
    }
}
