//! The blocks of a download, from what is kept of it.

use std::sync::Arc;

use bytes::Bytes;

use crate::content::cid::{Cid, codec};
use crate::content::hash::VerifiedBlock;
use crate::content::leaf;
use crate::disk::DiskError;
use crate::disk::random_file::RandomFile;
use crate::disk::tree::{TreePath, TreeView};
use crate::engine::export::places::{Place, Places};
use crate::engine::export::{Export, ExportError};
use crate::engine::stored;
use crate::gateway::car_file::{CarFile, CarFileError};

/// Where the bytes of a download are.
pub enum Origin {
    /// Nowhere yet.
    Nothing,
    /// In one file.
    File(RandomFile),
    /// In the files of a directory.
    Tree(TreeView),
    /// In a CAR, block by block.
    Car(Arc<CarFile>),
}

/// Finds the blocks of a walk, depth first.
pub struct Found<'a> {
    export: &'a Export,
    places: Places,
    /// The file that was read last.
    open: Option<(Arc<str>, RandomFile)>,
}

impl<'a> Found<'a> {
    pub fn new(export: &'a Export) -> Self {
        Self {
            export,
            places: Places::new(&export.root),
            open: None,
        }
    }

    /// The block, proved, if it is here; what it links to is expected from then on.
    pub fn take(&mut self, cid: &Cid) -> Result<Option<VerifiedBlock>, ExportError> {
        let places = self.places.take(cid);
        let mut block = match cid.codec() {
            codec::RAW => VerifiedBlock::inlined(cid),
            _ => stored::block_now(&self.export.store, cid)?,
        };
        if let (None, Origin::Car(car)) = (&block, &self.export.origin) {
            block = in_car(car, cid, self.export.max_block)?;
        }
        if block.is_none() {
            block = self.leaf_at_any(cid, &places)?;
        }
        if let Some(block) = &block {
            for place in &places {
                self.places.expect_below(cid, place, block.data());
            }
        }
        Ok(block)
    }

    /// The block around the bytes at one of these places. One that cannot be read is only an
    /// obstacle where no other has it: what may be there is not called missing.
    fn leaf_at_any(
        &mut self,
        cid: &Cid,
        places: &[Place],
    ) -> Result<Option<VerifiedBlock>, ExportError> {
        let mut unreadable = None;
        for place in places {
            match self.leaf(cid, place) {
                Ok(None) => {}
                Err(error @ ExportError::Source(_)) => unreadable = Some(error),
                found => return found,
            }
        }
        unreadable.map_or(Ok(None), Err)
    }

    /// The block around the bytes at this place.
    fn leaf(&mut self, cid: &Cid, place: &Place) -> Result<Option<VerifiedBlock>, ExportError> {
        let Some(bytes) = self.read(place)? else {
            return Ok(None);
        };
        let (len, bytes) = (bytes.len() as u64, Bytes::from(bytes));
        let check = |prefix: &[u8], suffix: &[u8]| {
            let block = match (prefix, suffix) {
                ([], []) => bytes.clone(),
                _ => [prefix, &bytes, suffix].concat().into(),
            };
            VerifiedBlock::check(*cid, block).ok()
        };
        let usual = leaf::forms(cid.codec()).iter().find_map(|form| {
            let (prefix, suffix) = form.wrapping(len);
            check(&prefix, &suffix)
        });
        if usual.is_some() {
            return Ok(usual);
        }
        let odd = self.export.store.wrapping(&cid.hash().to_bytes()).wait()?;
        Ok(odd.and_then(|odd| check(&odd.prefix, &odd.suffix)))
    }

    /// The file bytes of a place, if they are there and no more than a block holds.
    fn read(&mut self, place: &Place) -> Result<Option<Vec<u8>>, ExportError> {
        let (path, offset, len) = match place {
            Place::Shard(..) => return Ok(None),
            Place::Bytes { len: 0, .. } => return Ok(Some(Vec::new())),
            Place::Bytes { path, offset, len } => (path, *offset, Some(*len)),
            Place::Entry(path) => (path, 0, None),
        };
        let Some(file) = self.open(path)? else {
            return Ok(None);
        };
        let len = len.unwrap_or_else(|| file.len());
        let is_there = offset.checked_add(len).is_some_and(|end| end <= file.len());
        let len = match usize::try_from(len) {
            Ok(short) if is_there && len <= self.export.max_block => short,
            _ => return Ok(None),
        };
        let mut bytes = vec![0; len];
        let read = file.read_exact_at(offset, &mut bytes);
        Ok(if_there(read)?.map(|()| bytes))
    }

    fn open(&mut self, path: &Arc<str>) -> Result<Option<RandomFile>, ExportError> {
        if let Some((known, file)) = &self.open
            && known == path
        {
            return Ok(Some(file.clone()));
        }
        let file = match &self.export.origin {
            Origin::File(file) => Some(file.clone()),
            Origin::Tree(view) => if_there(read_file(view, path))?.flatten(),
            Origin::Nothing | Origin::Car(_) => None,
        };
        self.open = file.clone().map(|file| (path.clone(), file));
        Ok(file)
    }
}

fn read_file(view: &TreeView, path: &str) -> Result<Option<RandomFile>, DiskError> {
    view.read_file(&TreePath::parse(path)?)
}

/// What was read; `None` if it is not there.
fn if_there<T>(read: Result<T, DiskError>) -> Result<Option<T>, ExportError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(ExportError::Source(error)),
    }
}

/// The block, proved, if the CAR has it.
fn in_car(car: &CarFile, cid: &Cid, max: u64) -> Result<Option<VerifiedBlock>, ExportError> {
    let bytes = match car.block(cid, max) {
        Err(CarFileError::Disk(error)) => if_there(Err(error))?,
        found => found.ok().flatten(),
    };
    Ok(bytes.and_then(|bytes| VerifiedBlock::check(*cid, bytes).ok()))
}
