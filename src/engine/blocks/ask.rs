//! One exchange for one block, and one for all blocks of a directory.

use std::time::Instant;

use bytes::Bytes;

use crate::content::car::{CarError, CarParser, Limits, Section};
use crate::content::cid::Cid;
use crate::engine::bad_car;
use crate::engine::failure::chain;
use crate::engine::fetch::MAX_CAR_HEADER;
use crate::engine::provider::{Place, Transport};
use crate::gateway::car_file::CarFileError;
use crate::gateway::error::{Advice, GatewayError};
use crate::gateway::request::{CarRequest, Gateway, Scope};

/// An answer may bring this many bytes that nobody asked for before it is cut.
const USELESS_LIMIT: u64 = 4 << 20;

/// What came back from whom.
pub struct Answer {
    /// Who was asked.
    pub index: usize,
    /// In which form.
    pub form: Transport,
    /// For what.
    pub cid: Cid,
    /// When.
    pub sent: Instant,
    /// The bytes, not proved.
    pub result: Result<Bytes, Fault>,
}

/// Why no block came.
#[derive(Debug)]
pub enum Fault {
    /// The exchange failed.
    Gateway(GatewayError),
    /// A CAR file cannot be read.
    File(CarFileError),
    /// A CAR file does not hold it.
    Absent,
    /// The CAR in the answer does not hold it.
    Empty,
    /// What came is no CAR.
    Car(CarError),
}

impl Fault {
    /// What happened, in words.
    pub fn message(&self) -> String {
        match self {
            Fault::Gateway(error) => chain(error),
            Fault::File(error) => chain(error),
            Fault::Absent => "does not hold the block".to_owned(),
            Fault::Empty => "answered with a CAR that does not hold the block".to_owned(),
            Fault::Car(error) => chain(error),
        }
    }

    /// What to do about whoever was asked.
    pub fn advice(&self) -> Advice {
        match self {
            Fault::Gateway(error) => error.advice(),
            Fault::File(error) => bad_car::on_disk(error),
            Fault::Absent | Fault::Empty => Advice::Absent,
            Fault::Car(error) => bad_car::sent(error, false),
        }
    }

    /// Whether a block is larger than a block may be.
    pub fn is_too_large(&self) -> bool {
        match self {
            Fault::Gateway(error) => error.is_too_large(),
            Fault::Car(error) => matches!(error, CarError::SectionTooLarge { .. }),
            Fault::File(_) | Fault::Absent | Fault::Empty => false,
        }
    }
}

/// A question for one provider.
pub struct Question {
    /// How to reach it.
    pub place: Place,
    /// Which it is.
    pub index: usize,
    /// In which form it is asked.
    pub form: Transport,
    /// For what.
    pub cid: Cid,
    /// When.
    pub sent: Instant,
    /// Most bytes that a block may have.
    pub max: u64,
}

/// Asks one provider for one block.
pub async fn ask(question: Question) -> Answer {
    let Question {
        place,
        index,
        form,
        cid,
        sent,
        max,
    } = question;
    let result = match (place, form) {
        (Place::Car(car), _) => match car.block(&cid, max) {
            Ok(block) => block.ok_or(Fault::Absent),
            Err(error) => Err(Fault::File(error)),
        },
        // A plain file has no blocks: it is never asked for one.
        (Place::Plain(_) | Place::Local(_), _) => Err(Fault::Absent),
        (Place::Http(gateway), Transport::Car) => block_by_car(&gateway, cid, max).await,
        (Place::Http(gateway), _) => {
            let block = gateway.block(&cid, max).await;
            block.map(|block| block.bytes).map_err(Fault::Gateway)
        }
    };
    Answer {
        index,
        form,
        cid,
        sent,
        result,
    }
}

async fn block_by_car(gateway: &Gateway, cid: Cid, max: u64) -> Result<Bytes, Fault> {
    let mut found = None;
    let scope = Scope::Block;
    let mut take = |section: Section| {
        let is_it = section.cid.hash() == cid.hash();
        if is_it {
            found = Some(section.contiguous());
        }
        is_it
    };
    let request = CarRequest { cid, scope };
    let sent = stream(gateway, &request, max, &mut take, &mut |taken| taken == 1).await;
    match (found, sent) {
        (Some(block), _) => Ok(block),
        (None, Ok(())) => Err(Fault::Empty),
        (None, Err(fault)) => Err(fault),
    }
}

/// Streams a CAR, section by section; `take` says whether a section was of use, `is_done` whether
/// so many useful ones are enough.
pub async fn stream(
    gateway: &Gateway,
    request: &CarRequest,
    max_block: u64,
    take: &mut dyn FnMut(Section) -> bool,
    is_done: &mut dyn FnMut(u64) -> bool,
) -> Result<(), Fault> {
    let mut body = gateway.car(request).await.map_err(Fault::Gateway)?;
    let mut parser = CarParser::new(Limits {
        header: MAX_CAR_HEADER,
        block: max_block,
    });
    let (mut taken, mut useless) = (0, 0);
    while let Some(chunk) = body.chunk().await.map_err(Fault::Gateway)? {
        parser.push(chunk);
        while let Some(section) = parser.next().map_err(Fault::Car)? {
            let len = section.len;
            if take(section) {
                taken += 1;
            } else {
                useless += len + 256;
            }
            if useless > USELESS_LIMIT || is_done(taken) {
                return Ok(());
            }
        }
    }
    parser.finish().map_err(Fault::Car)
}
