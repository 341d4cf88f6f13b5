//! What an honest gateway answers: content and headers, before any fault and before the wire.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::walk::{Blocks, Way};
use super::{Features, Kind, Request};
use crate::support::dag::{Dag, car_header, car_section};
use crate::support::pb::{self, Cid, Entity};

const RAW_TYPE: &str = "application/vnd.ipld.raw";
const CAR_TYPE: &str = "application/vnd.ipld.car; version=1; order=dfs; dups=n";

const RECORD_TYPE: &str = "application/vnd.ipfs.ipns-record";

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
    blocks: Blocks,
    files: Mutex<HashMap<String, (Bytes, Option<String>)>>,
    pub(super) features: Features,
}

impl Site {
    pub(super) fn add_dag(&mut self, dag: &Dag) {
        self.blocks.add(dag);
    }

    /// Puts a file at a path, in place of an older one.
    pub(super) fn add_file(&self, path: String, bytes: Bytes, etag: Option<String>) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.insert(path, (bytes, etag));
    }

    fn file_at(&self, path: &str) -> Option<(Bytes, Option<String>)> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.get(path).cloned()
    }

    /// What an honest gateway with these features says.
    pub(super) fn answer(&self, request: &Request) -> Answer {
        if request.method != "GET" && request.method != "HEAD" {
            return Answer::text(405, Vec::new(), "method not allowed\n".into());
        }
        if let Some((bytes, etag)) = self.file_at(&request.path) {
            if request.param("format") == Some("ipns-record") {
                return Answer::plain(200, RECORD_TYPE, bytes);
            }
            return self.file(request, bytes, etag.as_deref());
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
            self.blocks.block(&address.root)
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
        let Some(terminal) = self
            .blocks
            .resolve(address.root, &address.segments)
            .terminal
        else {
            return not_found(address);
        };
        match self.blocks.entity(&terminal) {
            Some(Entity::File { .. }) => match self.blocks.read(&terminal) {
                Some(bytes) => self.file(request, bytes, Some(&format!("\"{terminal}\""))),
                None => Answer::text(504, Vec::new(), "failed to fetch a block\n".into()),
            },
            Some(Entity::Symlink { target }) => Answer::plain(200, "inode/symlink", target),
            Some(Entity::Directory | Entity::Shard { .. }) => Answer::plain(
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

    /// Like Kubo: 200 and what there is, be it nothing but a header, or but the blocks which prove
    /// that the path leads nowhere.
    fn car(&self, address: &Address, request: &Request) -> Answer {
        let Way {
            blocks: mut cids,
            terminal,
        } = self.blocks.resolve(address.root, &address.segments);
        match (terminal, request.param("dag-scope").unwrap_or("all")) {
            (None, _) => {}
            (Some(terminal), "block") => cids.push(terminal),
            (Some(terminal), "entity") => {
                let asked = request
                    .param("entity-bytes")
                    .filter(|_| self.features.entity_bytes);
                self.blocks.walk_entity(&terminal, asked, &mut cids);
            }
            (Some(terminal), _) => self.blocks.walk_all(&terminal, &mut cids),
        }
        let mut seen = HashSet::new();
        let sections = cids
            .into_iter()
            .filter(|cid| pb::identity(cid).is_none() && seen.insert(cid.hash().to_bytes()))
            .filter_map(|cid| self.blocks.block(&cid).map(|block| (cid, block)))
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
}

/// `/ipfs/<cid>[/segment…]`
struct Address {
    root: Cid,
    /// Any bytes.
    segments: Vec<Vec<u8>>,
}

impl Address {
    fn parse(path: &str) -> Option<Self> {
        let mut segments = path
            .strip_prefix("/ipfs/")?
            .split('/')
            .filter(|segment| !segment.is_empty());
        let root = Cid::try_from(segments.next()?).ok()?;
        let segments = segments
            .map(|segment| percent_encoding::percent_decode_str(segment).collect())
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

fn as_index(at: u64) -> usize {
    usize::try_from(at).expect("content in memory is shorter than usize")
}
