//! IPNS records from a gateway. They are not proved here: [`crate::content::ipns`] does that.

use bytes::Bytes;

use crate::content::cid::{self, Cid};
use crate::content::ipns::MAX_RECORD;
use crate::gateway::error::{Advice, Fault, GatewayError};
use crate::gateway::request::Gateway;

/// Media type of a record, of gateways and routers alike.
pub(super) const RECORD: &str = "application/vnd.ipfs.ipns-record";

/// How a gateway says with status 500 that it knows no record (Kubo, boxo).
const DISGUISED_NOT_FOUND: [&str; 3] = [
    "could not resolve name",
    "routing: not found",
    "datastore: key not found",
];

impl Gateway {
    /// The record of `name`, a CID with the codec `libp2p-key`, at most [`MAX_RECORD`] bytes of it
    /// (trustless gateway specification, `format=ipns-record`). What a gateway answers to
    /// `/ipns/` without the format cannot be proved, and is not taken.
    ///
    /// # Errors
    /// Any [`Fault`]; [`Fault::WrongType`] if the gateway sends anything but a record.
    pub async fn ipns_record(&self, name: &Cid) -> Result<Bytes, GatewayError> {
        let base = self.url().strip_suffix("/ipfs").unwrap_or(self.url());
        let url = format!("{base}/ipns/{}?format=ipns-record", cid::text(name));
        self.small(&url, RECORD, MAX_RECORD as u64).await
    }
}

/// What a failed request for a record means: as [`GatewayError::advice`] has it, but for the ways
/// in which servers say that they know no record.
pub fn record_advice(error: &GatewayError) -> Advice {
    match &error.fault {
        Fault::Status {
            status,
            excerpt,
            retired: false,
            ..
        } if status.as_u16() == 500
            && DISGUISED_NOT_FOUND
                .iter()
                .any(|phrase| excerpt.contains(phrase)) =>
        {
            Advice::Absent
        }
        _ => error.advice(),
    }
}
