//! CAR, content archives: a stream of bytes into blocks and the CIDs they claim to have.
//!
//! A push parser: bytes go in as they arrive, sections come out as slices of them. It proves
//! nothing (whether a block is what its CID names is for the consumer to check) and knows nothing
//! of DAGs: a stream that ends well may still lack blocks. Versions 1 and 2 are read; the index of
//! version 2 is ignored.
//!
//! Invariant: it holds at most one section, or the header, and what was pushed since; no declared
//! length makes it hold or allocate more.
//!
//! Source: the CARv1 and CARv2 specifications of ipld.

mod header;
mod queue;
pub mod writer;

use bytes::Bytes;

use crate::content::cid::{self, Cid, CidError};
use header::{DataRange, Preamble};
use queue::ChunkQueue;

pub use header::CarHeader;

/// Most bytes of a section beyond its block: more than any CID has.
const MAX_CID: u64 = 256;

/// One block and the CID that the CAR gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// What the block claims to be.
    pub cid: Cid,
    /// The bytes of the block, in the pieces in which they arrived; none if the block is empty.
    pub data: Vec<Bytes>,
    /// Where the bytes of the block start in the CAR.
    pub offset: u64,
    /// Number of bytes of the block.
    pub len: u64,
}

impl Section {
    /// The bytes of the block in one piece; copies them only if they arrived in several.
    pub fn contiguous(&self) -> Bytes {
        match &self.data[..] {
            [] => Bytes::new(),
            [whole] => whole.clone(),
            pieces => pieces.concat().into(),
        }
    }
}

/// What a CAR may make us hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of the header.
    pub header: u64,
    /// Most bytes of a block.
    pub block: u64,
}

/// Why bytes are not a CAR. Offsets count from the start of the CAR.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CarError {
    /// The bytes end, but not between two sections.
    #[error("the CAR is cut off after {offset} bytes, inside {part}")]
    Truncated {
        /// Where the unfinished part starts.
        offset: u64,
        /// What is unfinished.
        part: &'static str,
    },
    /// A length that is not a varint in its shortest form of at most 63 bits.
    #[error("malformed length at offset {offset}")]
    Length {
        /// Where the length starts.
        offset: u64,
    },
    /// The header is longer than allowed.
    #[error("the header has {len} bytes, more than the {limit} allowed")]
    HeaderTooLarge {
        /// Its declared length.
        len: u64,
        /// The limit.
        limit: u64,
    },
    /// The header is no CAR header of version 1, or of version 2 where one may stand.
    #[error("malformed header: {0}")]
    Header(&'static str),
    /// A version that does not exist.
    #[error("CAR version {0} is not supported")]
    Version(u64),
    /// A section of no bytes: null padding, or an error.
    #[error("empty section at offset {offset}")]
    EmptySection {
        /// Where the section starts.
        offset: u64,
    },
    /// A block is longer than allowed.
    #[error("the section at offset {offset} has {len} bytes, more than the {limit} allowed")]
    SectionTooLarge {
        /// Where the section starts.
        offset: u64,
        /// Its declared length, or that of its block.
        len: u64,
        /// The limit.
        limit: u64,
    },
    /// A section does not start with a CID.
    #[error("malformed CID at offset {offset}")]
    Cid {
        /// Where the CID starts.
        offset: u64,
        /// What is wrong with it.
        source: CidError,
    },
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// The length of the header; the header of version 1 inside of version 2 if `inner`.
    HeaderLength { inner: bool },
    /// The header.
    Header { len: usize, inner: bool },
    /// The fixed header of version 2.
    HeaderV2,
    /// Padding of version 2 before the data.
    Padding { data: DataRange },
    /// The length of a section, or the end.
    Boundary,
    /// CID and block; `start` is where the length stood.
    Section { len: usize, start: u64 },
    /// Behind the data of version 2: whatever comes.
    Rest,
    /// Nothing any more.
    Failed(CarError),
}

/// The parser. [`push`](Self::push) bytes, then take sections with [`next`](Self::next) until it
/// has none, and so on; [`finish`](Self::finish) when there are no more bytes.
#[derive(Debug)]
pub struct CarParser {
    limits: Limits,
    queue: ChunkQueue,
    state: State,
    header: Option<CarHeader>,
    /// One past the last byte of the sections; unknown in version 1.
    end: Option<u64>,
}

impl CarParser {
    /// A parser at the start of a CAR.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            queue: ChunkQueue::default(),
            state: State::HeaderLength { inner: false },
            header: None,
            end: None,
        }
    }

    /// Adds the bytes that follow.
    pub fn push(&mut self, bytes: Bytes) {
        // What nobody will read need not be held.
        match self.state {
            State::Rest | State::Failed(_) => {}
            _ => self.queue.push(bytes),
        }
    }

    /// The header, once it was read.
    pub fn header(&self) -> Option<&CarHeader> {
        self.header.as_ref()
    }

    /// The next section, or `None` if more bytes are needed.
    ///
    /// # Errors
    /// [`CarError`] where the bytes are not a CAR; it stays, whatever is pushed afterwards.
    #[expect(clippy::should_implement_trait, reason = "`None` is not the end")]
    pub fn next(&mut self) -> Result<Option<Section>, CarError> {
        loop {
            match self.step() {
                Ok(Step::Section(section)) => return Ok(Some(section)),
                Ok(Step::Go(state)) => self.state = state,
                Ok(Step::Wait) => return Ok(None),
                Err(error) => {
                    self.queue.clear();
                    self.state = State::Failed(error.clone());
                    return Err(error);
                }
            }
        }
    }

    /// Says whether the CAR may end here: after its header, between two sections.
    ///
    /// For use after [`next`](Self::next) gave `None`.
    ///
    /// # Errors
    /// [`CarError::Truncated`], or the error that `next` gave.
    pub fn finish(&self) -> Result<(), CarError> {
        let part = match &self.state {
            State::Rest => return Ok(()),
            State::Boundary if self.queue.is_empty() && self.end.is_none() => return Ok(()),
            State::Failed(error) => return Err(error.clone()),
            State::HeaderLength { .. } | State::Header { .. } | State::HeaderV2 => "the header",
            State::Padding { .. } => "the padding",
            State::Boundary if self.queue.is_empty() => "the data",
            State::Boundary => "the length of a section",
            State::Section { .. } => "a section",
        };
        let offset = self.queue.offset();
        Err(CarError::Truncated { offset, part })
    }

    fn step(&mut self) -> Result<Step, CarError> {
        match &self.state {
            &State::HeaderLength { inner } => self.header_length(inner),
            &State::Header { len, inner } => self.read_header(len, inner),
            State::HeaderV2 => self.read_header_v2(),
            &State::Padding { data } => Ok(self.skip_padding(data)),
            State::Boundary => self.section_length(),
            &State::Section { len, start } => self.section(len, start),
            State::Rest => {
                self.queue.clear();
                Ok(Step::Wait)
            }
            State::Failed(error) => Err(error.clone()),
        }
    }

    fn header_length(&mut self, inner: bool) -> Result<Step, CarError> {
        let Some(len) = self.length()? else {
            return Ok(Step::Wait);
        };
        let limit = self.limits.header;
        match usize::try_from(len) {
            Ok(len) if len as u64 <= limit => Ok(Step::Go(State::Header { len, inner })),
            _ => Err(CarError::HeaderTooLarge { len, limit }),
        }
    }

    fn read_header(&mut self, len: usize, inner: bool) -> Result<Step, CarError> {
        let Some(pieces) = self.queue.take(len) else {
            return Ok(Step::Wait);
        };
        match header::decode(&pieces.concat())? {
            Preamble::V1(header) => {
                self.header = Some(header);
                Ok(Step::Go(State::Boundary))
            }
            Preamble::V2Pragma if inner => Err(CarError::Header("version 2 inside of version 2")),
            Preamble::V2Pragma => Ok(Step::Go(State::HeaderV2)),
        }
    }

    fn read_header_v2(&mut self) -> Result<Step, CarError> {
        let Some(pieces) = self.queue.take(header::V2_LEN) else {
            return Ok(Step::Wait);
        };
        let data = header::decode_v2(&pieces.concat(), self.queue.offset())?;
        Ok(Step::Go(State::Padding { data }))
    }

    fn skip_padding(&mut self, data: DataRange) -> Step {
        self.queue.skip(data.start - self.queue.offset());
        if self.queue.offset() < data.start {
            return Step::Wait;
        }
        self.end = Some(data.end);
        Step::Go(State::HeaderLength { inner: true })
    }

    fn section_length(&mut self) -> Result<Step, CarError> {
        let start = self.queue.offset();
        if self.end == Some(start) {
            return Ok(Step::Go(State::Rest));
        }
        let Some(len) = self.length()? else {
            return Ok(Step::Wait);
        };
        if len == 0 {
            return Err(CarError::EmptySection { offset: start });
        }
        let limit = self.limits.block.saturating_add(MAX_CID);
        match usize::try_from(len) {
            Ok(len) if len as u64 <= limit => Ok(Step::Go(State::Section { len, start })),
            _ => Err(CarError::SectionTooLarge {
                offset: start,
                len,
                limit,
            }),
        }
    }

    fn section(&mut self, len: usize, start: u64) -> Result<Step, CarError> {
        if self.queue.len() < len {
            return Ok(Step::Wait);
        }
        let at = self.queue.offset();
        let bad = |source| CarError::Cid { offset: at, source };
        let (cid, cid_len) = self
            .queue
            .peek(len.min(MAX_CID as usize), cid::read)
            .map_err(bad)?;
        // `read` never reads more than it was given.
        let block_len = (len - cid_len) as u64;
        if block_len > self.limits.block {
            return Err(CarError::SectionTooLarge {
                offset: start,
                len: block_len,
                limit: self.limits.block,
            });
        }
        self.queue.skip(cid_len as u64);
        let offset = self.queue.offset();
        let data = self.queue.take(len - cid_len).unwrap_or_default();
        self.state = State::Boundary;
        Ok(Step::Section(Section {
            cid,
            data,
            offset,
            len: block_len,
        }))
    }

    /// Reads the length of what follows; `None` if it is not all there yet. Inside of version 2
    /// nothing may reach beyond the data.
    fn length(&mut self) -> Result<Option<u64>, CarError> {
        let offset = self.queue.offset();
        let Some(len) = self
            .queue
            .varint()
            .map_err(|_| CarError::Length { offset })?
        else {
            return Ok(None);
        };
        if self.end.is_some_and(|end| {
            self.queue
                .offset()
                .checked_add(len)
                .is_none_or(|to| to > end)
        }) {
            return Err(CarError::Header("the data end inside a section"));
        }
        Ok(Some(len))
    }
}

/// What a step of the parser came to.
enum Step {
    Section(Section),
    Go(State),
    Wait,
}

#[cfg(test)]
mod tests;
