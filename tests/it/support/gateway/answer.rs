//! What an honest gateway answers: content and headers, before any fault and before the wire.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use super::{Features, Kind, Request};
use crate::support::dag::{Dag, car_header, car_section};
use crate::support::pb::{self, Cid, Entity};

const RAW_TYPE: &str = "application/vnd.ipld.raw";
const CAR_TYPE: &str = "application/vnd.ipld.car; version=1; order=dfs; dups=n";

/// A response before it goes over the wire.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Body,
    /// Chunked, so without a length.
    pub(super) chunked: bool,
}

/// Content of a response, with the structure that faults need.
#[derive(Debug, Clone)]
pub(super) enum Body {
    Plain(Bytes),
    Car {
        roots: Vec<Cid>,
        sections: Vec<(Cid, Bytes)>,
    },
}

impl Body {
    pub(super) fn to_bytes(&self) -> Bytes {
        match self {
            Body::Plain(bytes) => bytes.clone(),
            Body::Car { roots, sections } => {
                let mut out = car_header(roots);
                for (cid, block) in sections {
                    out.extend_from_slice(&car_section(cid, block));
                }
                out.into()
            }
        }
    }
}

impl Answer {
    pub(super) fn text(status: u16, headers: Vec<(String, String)>, body: String) -> Self {
        let mut answer = Self {
            status,
            headers,
            body: Body::Plain(body.into()),
            chunked: false,
        };
        if !answer
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        {
            answer.header("Content-Type", "text/plain; charset=utf-8");
        }
        answer
    }

    fn plain(status: u16, kind: &str, body: Bytes) -> Self {
        let headers = vec![("Content-Type".into(), kind.into())];
        Self {
            status,
            headers,
            body: Body::Plain(body),
            chunked: false,
        }
    }

    /// Sets a header, in place of an older value.
    pub(super) fn header(&mut self, name: &str, value: &str) {
        self.headers
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.into(), value.into()));
    }

    /// Moves the start that `Content-Range` claims.
    pub(super) fn shift_content_range(&mut self, by: u64) {
        for (name, value) in &mut self.headers {
            if name.eq_ignore_ascii_case("content-range")
                && let Some((from, rest)) = value.trim_start_matches("bytes ").split_once('-')
                && let Some((to, total)) = rest.split_once('/')
                && let (Ok(from), Ok(to)) = (from.parse::<u64>(), to.parse::<u64>())
            {
                *value = format!("bytes {}-{}/{total}", from + by, to + by);
            }
        }
    }
}

/// Everything that a gateway has.
#[derive(Debug, Default)]
pub(super) struct Site {
    blocks: HashMap<Vec<u8>, Bytes>,
    files: HashMap<String, (Bytes, Option<String>)>,
    pub(super) features: Features,
}

impl Site {
    pub(super) fn add_dag(&mut self, dag: &Dag) {
        for (cid, block) in &dag.blocks {
            self.blocks.insert(cid.hash().to_bytes(), block.clone());
        }
    }

    pub(super) fn add_file(&mut self, path: String, bytes: Bytes, etag: Option<String>) {
        self.files.insert(path, (bytes, etag));
    }

    /// What an honest gateway with these features says.
    pub(super) fn answer(&self, request: &Request) -> Answer {
        if request.method != "GET" && request.method != "HEAD" {
            return Answer::text(405, Vec::new(), "method not allowed\n".into());
        }
        if let Some((bytes, etag)) = self.files.get(&request.path) {
            return self.file(request, bytes.clone(), etag.as_deref());
        }
        let Some(address) = Address::parse(&request.path) else {
            return Answer::text(404, Vec::new(), "no such page\n".into());
        };
        let features = self.features;
        match request.kind {
            Kind::Raw if features.raw => self.raw(&address),
            Kind::Car if features.car => self.car(&address, request),
            Kind::Raw | Kind::Car if !features.formats_ignored => not_acceptable(),
            _ if features.plain => self.path(&address, request),
            _ => not_acceptable(),
        }
    }

    fn raw(&self, address: &Address) -> Answer {
        let found = if address.segments.is_empty() {
            self.block(&address.root)
        } else {
            None
        };
        let Some(block) = found else {
            return not_found(address);
        };
        let mut answer = Answer::plain(200, RAW_TYPE, block);
        answer.header("Etag", &format!("\"{}.raw\"", address.root));
        answer
    }

    fn path(&self, address: &Address, request: &Request) -> Answer {
        let Some((_, terminal)) = self.resolve(address) else {
            return not_found(address);
        };
        match self.entity(&terminal) {
            Some(Entity::File { .. }) => match self.read(&terminal) {
                Some(bytes) => self.file(request, bytes, Some(&format!("\"{terminal}\""))),
                None => Answer::text(504, Vec::new(), "failed to fetch a block\n".into()),
            },
            Some(Entity::Symlink { target }) => Answer::plain(200, "inode/symlink", target),
            Some(Entity::Directory { .. }) => Answer::plain(
                200,
                "text/html; charset=utf-8",
                "<!DOCTYPE html><title>Index</title>\n".into(),
            ),
            None => not_found(address),
        }
    }

    fn file(&self, request: &Request, bytes: Bytes, etag: Option<&str>) -> Answer {
        let total = bytes.len() as u64;
        let stale = request.if_range.is_some() && request.if_range.as_deref() != etag;
        let asked = request
            .range
            .as_deref()
            .filter(|_| self.features.range && !stale);
        let mut answer = match asked.map(|text| parse_range(text, total)) {
            None => Answer::plain(200, "application/octet-stream", bytes),
            Some(None) => {
                let range = vec![("Content-Range".into(), format!("bytes */{total}"))];
                Answer::text(416, range, "range not satisfiable\n".into())
            }
            Some(Some((from, to))) => {
                let part = bytes.slice(as_index(from)..as_index(to + 1));
                let mut answer = Answer::plain(206, "application/octet-stream", part);
                answer.header("Content-Range", &format!("bytes {from}-{to}/{total}"));
                answer
            }
        };
        if self.features.range {
            answer.header("Accept-Ranges", "bytes");
        }
        if let Some(etag) = etag {
            answer.header("Etag", etag);
        }
        answer
    }

    /// Like Kubo: 200 and what there is, be it nothing but a header.
    fn car(&self, address: &Address, request: &Request) -> Answer {
        let (mut cids, terminal) = self
            .resolve(address)
            .unwrap_or_else(|| (Vec::new(), address.root));
        match request.param("dag-scope").unwrap_or("all") {
            "block" => cids.push(terminal),
            "entity" => {
                let asked = request
                    .param("entity-bytes")
                    .filter(|_| self.features.entity_bytes);
                self.walk_entity(&terminal, asked, &mut cids);
            }
            _ => self.walk_all(&terminal, &mut cids),
        }
        let mut seen = HashSet::new();
        let sections = cids
            .into_iter()
            .filter(|cid| pb::identity(cid).is_none() && seen.insert(cid.hash().to_bytes()))
            .filter_map(|cid| self.block(&cid).map(|block| (cid, block)))
            .collect();
        Answer {
            status: 200,
            headers: vec![
                ("Content-Type".into(), CAR_TYPE.into()),
                ("Accept-Ranges".into(), "none".into()),
            ],
            body: Body::Car {
                roots: vec![address.root],
                sections,
            },
            chunked: true,
        }
    }

    fn walk_all(&self, root: &Cid, found: &mut Vec<Cid>) {
        let mut seen = HashSet::new();
        let mut stack = vec![*root];
        while let Some(cid) = stack.pop() {
            if seen.insert(cid.hash().to_bytes()) {
                found.push(cid);
                if let Some(block) = self.block(&cid) {
                    stack.extend(
                        pb::links(&cid, &block)
                            .into_iter()
                            .rev()
                            .map(|link| link.cid),
                    );
                }
            }
        }
    }

    /// The blocks of one entity: of a file those that overlap the range, of a directory its own.
    fn walk_entity(&self, root: &Cid, asked: Option<&str>, found: &mut Vec<Cid>) {
        if !matches!(self.entity(root), Some(Entity::File { .. })) {
            return self.walk_directory(root, found);
        }
        let size = self.size(root);
        let (from, to) = asked
            .and_then(|text| parse_entity_bytes(text, size))
            .unwrap_or((0, i128::from(u64::MAX)));
        let mut stack = vec![(*root, 0_i128, i128::from(size))];
        while let Some((cid, start, len)) = stack.pop() {
            let overlaps = start <= to && start + len > from && len > 0;
            if !overlaps && cid != *root {
                continue;
            }
            found.push(cid);
            if let Some(Entity::File { inline, children }) = self.entity(&cid) {
                let mut at = start + inline.len() as i128;
                let mut below = Vec::new();
                for (child, size) in children {
                    below.push((child, at, i128::from(size)));
                    at += i128::from(size);
                }
                stack.extend(below.into_iter().rev());
            }
        }
    }

    fn walk_directory(&self, root: &Cid, found: &mut Vec<Cid>) {
        found.push(*root);
        if let Some(Entity::Directory {
            shard_prefix: prefix @ 1..,
        }) = self.entity(root)
        {
            for link in self.links(root) {
                if link.name.is_some_and(|name| name.len() == prefix) {
                    self.walk_directory(&link.cid, found);
                }
            }
        }
    }

    /// The directories on the way, and what the path names.
    fn resolve(&self, address: &Address) -> Option<(Vec<Cid>, Cid)> {
        let mut way = Vec::new();
        let mut here = address.root;
        self.block(&here)?;
        for segment in &address.segments {
            here = self.entry(&here, segment, &mut way)?;
        }
        Some((way, here))
    }

    /// Looks a name up, in all sub-shards of a sharded directory.
    fn entry(&self, directory: &Cid, name: &str, way: &mut Vec<Cid>) -> Option<Cid> {
        let Entity::Directory {
            shard_prefix: prefix,
        } = self.entity(directory)?
        else {
            return None;
        };
        way.push(*directory);
        for link in self.links(directory) {
            let link_name = link.name.unwrap_or_default();
            if link_name.get(prefix..) == Some(name) {
                return Some(link.cid);
            }
            if prefix > 0 && link_name.len() == prefix {
                let before = way.len();
                if let Some(found) = self.entry(&link.cid, name, way) {
                    return Some(found);
                }
                way.truncate(before);
            }
        }
        None
    }

    fn block(&self, cid: &Cid) -> Option<Bytes> {
        pb::identity(cid).or_else(|| self.blocks.get(&cid.hash().to_bytes()).cloned())
    }

    fn entity(&self, cid: &Cid) -> Option<Entity> {
        pb::entity(cid, &self.block(cid)?)
    }

    fn links(&self, cid: &Cid) -> Vec<pb::Link> {
        self.block(cid)
            .map(|block| pb::links(cid, &block))
            .unwrap_or_default()
    }

    /// What the root claims.
    fn size(&self, cid: &Cid) -> u64 {
        match self.entity(cid) {
            Some(Entity::File { inline, children }) => {
                children.iter().fold(inline.len() as u64, |sum, (_, size)| {
                    sum.saturating_add(*size)
                })
            }
            _ => 0,
        }
    }

    /// The bytes of a file; `None` if a block is missing or the tree holds more than it claims.
    fn read(&self, root: &Cid) -> Option<Bytes> {
        let limit = self.size(root);
        let mut out = Vec::new();
        let mut stack = vec![*root];
        while let Some(cid) = stack.pop() {
            let Entity::File { inline, children } = self.entity(&cid)? else {
                return None;
            };
            out.extend_from_slice(&inline);
            if out.len() as u64 > limit {
                return None;
            }
            stack.extend(children.into_iter().rev().map(|(child, _)| child));
        }
        Some(out.into())
    }
}

/// `/ipfs/<cid>[/segment…]`
struct Address {
    root: Cid,
    segments: Vec<String>,
}

impl Address {
    fn parse(path: &str) -> Option<Self> {
        let mut segments = path
            .strip_prefix("/ipfs/")?
            .split('/')
            .filter(|segment| !segment.is_empty());
        let root = Cid::try_from(segments.next()?).ok()?;
        let segments = segments
            .map(|segment| {
                percent_encoding::percent_decode_str(segment)
                    .decode_utf8_lossy()
                    .into_owned()
            })
            .collect();
        Some(Self { root, segments })
    }
}

fn not_found(address: &Address) -> Answer {
    Answer::text(404, Vec::new(), format!("{} not found\n", address.root))
}

fn not_acceptable() -> Answer {
    Answer::text(406, Vec::new(), "format not supported\n".into())
}

/// One range of `Range: bytes=…`, both ends inclusive; `None` if it lies outside.
fn parse_range(text: &str, total: u64) -> Option<(u64, u64)> {
    let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
    let (from, to) = match (from.parse::<u64>(), to.parse::<u64>()) {
        (Ok(from), Ok(to)) => (from, to.min(total.checked_sub(1)?)),
        (Ok(from), Err(_)) => (from, total.checked_sub(1)?),
        (Err(_), Ok(last)) => (total.saturating_sub(last), total.checked_sub(1)?),
        _ => return None,
    };
    (from <= to).then_some((from, to))
}

/// `entity-bytes=from:to`, both ends inclusive, negative from the end, `*` for the end.
fn parse_entity_bytes(text: &str, size: u64) -> Option<(i128, i128)> {
    let size = i128::from(size);
    let place = |text: &str| -> Option<i128> {
        let at: i128 = text.parse().ok()?;
        Some(if at < 0 { size + at } else { at })
    };
    let (from, to) = text.split_once(':')?;
    let to = if to == "*" { size - 1 } else { place(to)? };
    Some((place(from)?.max(0), to))
}

fn as_index(at: u64) -> usize {
    usize::try_from(at).expect("content in memory is shorter than usize")
}
