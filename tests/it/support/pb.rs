//! A dag-pb and UnixFS codec of the tests' own, so that product and tests cannot share a mistake.
//!
//! Writes what Kubo writes: links first (Hash, an empty Name, Tsize), then Data; reads leniently,
//! because the gateway must serve hostile nodes too. Checks nothing.

use bytes::Bytes;

pub type Cid = cid::CidGeneric<128>;
pub type Multihash = cid::multihash::Multihash<128>;

/// Multicodec codes.
pub const RAW: u64 = 0x55;
pub const DAG_PB: u64 = 0x70;
pub const DAG_CBOR: u64 = 0x71;
const IDENTITY: u64 = 0x00;

/// UnixFS types.
pub mod kind {
    pub const RAW: u64 = 0;
    pub const DIRECTORY: u64 = 1;
    pub const FILE: u64 = 2;
    pub const SYMLINK: u64 = 4;
    pub const HAMT_SHARD: u64 = 5;
}

/// One link of a dag-pb node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub cid: Cid,
    /// Any bytes: names of hostile nodes are no text.
    pub name: Option<Vec<u8>>,
    pub tsize: Option<u64>,
}

/// A dag-pb node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    pub links: Vec<Link>,
    pub data: Option<Vec<u8>>,
}

/// A UnixFS message. Fields that are `None` or empty are not written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnixFs {
    pub kind: u64,
    pub data: Option<Vec<u8>>,
    pub filesize: Option<u64>,
    pub blocksizes: Vec<u64>,
    pub hash_type: Option<u64>,
    pub fanout: Option<u64>,
    pub mode: Option<u64>,
    pub mtime: Option<Mtime>,
}

/// Seconds since 1970 and, where there are any, nanoseconds after that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mtime {
    pub seconds: i64,
    pub nanos: Option<u32>,
}

impl Node {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for link in &self.links {
            let mut inner = Vec::new();
            put_bytes(&mut inner, 1, &link.cid.to_bytes());
            if let Some(name) = &link.name {
                put_bytes(&mut inner, 2, name);
            }
            if let Some(tsize) = link.tsize {
                put_number(&mut inner, 3, tsize);
            }
            put_bytes(&mut out, 2, &inner);
        }
        if let Some(data) = &self.data {
            put_bytes(&mut out, 1, data);
        }
        out
    }

    pub fn decode(block: &[u8]) -> Option<Self> {
        let mut node = Node::default();
        for (field, value) in fields(block)? {
            match (field, value) {
                (1, Value::Bytes(data)) => node.data = Some(data.to_vec()),
                (2, Value::Bytes(link)) => node.links.push(decode_link(link)?),
                _ => return None,
            }
        }
        Some(node)
    }
}

impl UnixFs {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_number(&mut out, 1, self.kind);
        if let Some(data) = &self.data {
            put_bytes(&mut out, 2, data);
        }
        if let Some(size) = self.filesize {
            put_number(&mut out, 3, size);
        }
        for &size in &self.blocksizes {
            put_number(&mut out, 4, size);
        }
        for (field, value) in [(5, self.hash_type), (6, self.fanout), (7, self.mode)] {
            if let Some(value) = value {
                put_number(&mut out, field, value);
            }
        }
        if let Some(Mtime { seconds, nanos }) = self.mtime {
            let mut inner = Vec::new();
            put_number(&mut inner, 1, seconds.cast_unsigned());
            if let Some(nanos) = nanos {
                inner.push(2 << 3 | 5);
                inner.extend_from_slice(&nanos.to_le_bytes());
            }
            put_bytes(&mut out, 8, &inner);
        }
        out
    }

    pub fn decode(message: &[u8]) -> Option<Self> {
        let mut unixfs = UnixFs::default();
        for (field, value) in fields(message)? {
            match (field, value) {
                (1, Value::Number(kind)) => unixfs.kind = kind,
                (2, Value::Bytes(data)) => unixfs.data = Some(data.to_vec()),
                (3, Value::Number(size)) => unixfs.filesize = Some(size),
                (4, Value::Number(size)) => unixfs.blocksizes.push(size),
                (5, Value::Number(code)) => unixfs.hash_type = Some(code),
                (6, Value::Number(fanout)) => unixfs.fanout = Some(fanout),
                (7, Value::Number(mode)) => unixfs.mode = Some(mode),
                (8, Value::Bytes(mtime)) => unixfs.mtime = Some(decode_mtime(mtime)?),
                _ => {}
            }
        }
        Some(unixfs)
    }
}

/// A leaf around these bytes, of UnixFS type File or Raw, as Kubo writes it.
pub fn leaf(kind: u64, data: &[u8]) -> Vec<u8> {
    let message = UnixFs {
        kind,
        data: (!data.is_empty()).then(|| data.to_vec()),
        filesize: Some(data.len() as u64),
        ..UnixFs::default()
    };
    Node {
        links: Vec::new(),
        data: Some(message.encode()),
    }
    .encode()
}

/// The links of a block in stored order: of dag-pb, and of dag-cbor that these tests write.
pub fn links(cid: &Cid, block: &[u8]) -> Vec<Link> {
    match cid.codec() {
        DAG_PB => Node::decode(block).unwrap_or_default().links,
        DAG_CBOR => cbor_links(block),
        _ => Vec::new(),
    }
}

/// What is written as a link, tag 42 around bytes that begin with a zero, wherever it stands.
fn cbor_links(block: &[u8]) -> Vec<Link> {
    let places = block.windows(5).enumerate();
    places
        .filter(|(_, head)| head[..3] == [0xd8, 0x2a, 0x58] && head[4] == 0)
        .filter_map(|(at, head)| {
            let bytes = block.get(at + 5..at + 4 + usize::from(head[3]))?;
            Some(Link {
                cid: Cid::try_from(bytes).ok()?,
                name: None,
                tsize: None,
            })
        })
        .collect()
}

/// A dag-cbor block: a list of links.
pub fn cbor_list(links: &[Cid]) -> Vec<u8> {
    assert!(links.len() < 24, "a short list");
    let mut out = vec![0x80 | links.len() as u8];
    for cid in links {
        let bytes = cid.to_bytes();
        assert!((23..255).contains(&bytes.len()), "one byte of length");
        out.extend_from_slice(&[0xd8, 0x2a, 0x58, bytes.len() as u8 + 1, 0]);
        out.extend_from_slice(&bytes);
    }
    out
}

/// What a block is to a reader of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entity {
    /// Own bytes, then the children with the sizes that the node claims.
    File {
        inline: Bytes,
        children: Vec<(Cid, u64)>,
    },
    /// A directory in one block.
    Directory,
    /// A directory by the hashes of its names, or a shard of one.
    Shard {
        /// Bits of the hash that choose a bucket.
        bits: u32,
    },
    Symlink {
        target: Bytes,
    },
}

/// Reads a block as part of a file tree.
pub fn entity(cid: &Cid, block: &Bytes) -> Option<Entity> {
    if cid.codec() != DAG_PB {
        return Some(Entity::File {
            inline: block.clone(),
            children: Vec::new(),
        });
    }
    let node = Node::decode(block)?;
    let unixfs = UnixFs::decode(node.data.as_deref()?)?;
    Some(match unixfs.kind {
        kind::DIRECTORY => Entity::Directory,
        kind::HAMT_SHARD => Entity::Shard {
            bits: unixfs.fanout.unwrap_or(256).max(1).ilog2(),
        },
        kind::SYMLINK => Entity::Symlink {
            target: unixfs.data.unwrap_or_default().into(),
        },
        _ => Entity::File {
            inline: unixfs.data.unwrap_or_default().into(),
            children: node
                .links
                .iter()
                .map(|link| link.cid)
                .zip(unixfs.blocksizes)
                .collect(),
        },
    })
}

/// The bytes that sit in an identity CID.
pub fn identity(cid: &Cid) -> Option<Bytes> {
    (cid.hash().code() == IDENTITY).then(|| Bytes::copy_from_slice(cid.hash().digest()))
}

/// A raw CID that carries its bytes.
pub fn identity_cid(data: &[u8]) -> Cid {
    Cid::new_v1(
        RAW,
        Multihash::wrap(IDENTITY, data).expect("fits a multihash"),
    )
}

/// Appends an unsigned varint.
pub fn put_varint(out: &mut Vec<u8>, value: u64) {
    let mut buffer = unsigned_varint::encode::u64_buffer();
    out.extend_from_slice(unsigned_varint::encode::u64(value, &mut buffer));
}

fn put_number(out: &mut Vec<u8>, field: u64, value: u64) {
    put_varint(out, field << 3);
    put_varint(out, value);
}

/// Appends a field of bytes.
pub fn put_bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    put_varint(out, (field << 3) | 2);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed(u32),
}

fn fields(mut input: &[u8]) -> Option<Vec<(u64, Value<'_>)>> {
    let mut found = Vec::new();
    while !input.is_empty() {
        let (key, rest) = unsigned_varint::decode::u64(input).ok()?;
        let value = match key & 7 {
            0 => {
                let (number, rest) = unsigned_varint::decode::u64(rest).ok()?;
                input = rest;
                Value::Number(number)
            }
            2 => {
                let (len, rest) = unsigned_varint::decode::u64(rest).ok()?;
                let (bytes, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
                input = rest;
                Value::Bytes(bytes)
            }
            5 => {
                let (bytes, rest) = rest.split_first_chunk()?;
                input = rest;
                Value::Fixed(u32::from_le_bytes(*bytes))
            }
            _ => return None,
        };
        found.push((key >> 3, value));
    }
    Some(found)
}

fn decode_mtime(message: &[u8]) -> Option<Mtime> {
    let (mut seconds, mut nanos) = (0, None);
    for (field, value) in fields(message)? {
        match (field, value) {
            (1, Value::Number(number)) => seconds = number.cast_signed(),
            (2, Value::Fixed(number)) => nanos = Some(number),
            _ => return None,
        }
    }
    Some(Mtime { seconds, nanos })
}

fn decode_link(message: &[u8]) -> Option<Link> {
    let (mut cid, mut name, mut tsize) = (None, None, None);
    for (field, value) in fields(message)? {
        match (field, value) {
            (1, Value::Bytes(bytes)) => cid = Some(Cid::try_from(bytes).ok()?),
            (2, Value::Bytes(bytes)) => name = Some(bytes.to_vec()),
            (3, Value::Number(size)) => tsize = Some(size),
            _ => return None,
        }
    }
    Some(Link {
        cid: cid?,
        name,
        tsize,
    })
}
