//! The Rabin chunker of Kubo.
//!
//! Source: `chunker/rabin.go` of boxo and github.com/whyrusleeping/chunker, a fork of restic's.

/// The irreducible polynomial of degree 53 that Kubo uses.
const POLYNOMIAL: u64 = 17_437_180_132_763_653;
const DEGREE: u32 = 63 - POLYNOMIAL.leading_zeros();

/// Bytes that the fingerprint covers.
pub(super) const WINDOW: usize = 16;

/// What the byte that leaves the window adds to the fingerprint.
const OUT: [u64; 256] = out_table();
/// What reduces a fingerprint of eight bits too many.
const MOD: [u64; 256] = mod_table();

#[derive(Debug)]
pub(in crate::content::importer) struct Rabin {
    min: usize,
    max: usize,
    mask: u64,
    /// Bytes of the chunk so far.
    len: usize,
    window: [u8; WINDOW],
    at: usize,
    fingerprint: u64,
}

impl Rabin {
    /// `avg` is rounded down to a power of two.
    pub(super) fn new(min: usize, avg: usize, max: usize) -> Self {
        let mut rabin = Self {
            min,
            max,
            mask: (1 << avg.ilog2()) - 1,
            len: 0,
            window: [0; WINDOW],
            at: 0,
            fingerprint: 0,
        };
        rabin.restart();
        rabin
    }

    pub(super) fn cut(&mut self, bytes: &[u8]) -> Option<usize> {
        // No cut depends on what precedes the shortest chunk by more than the window.
        let unseen = (self.min - WINDOW)
            .saturating_sub(self.len)
            .min(bytes.len());
        self.len += unseen;
        for (index, &byte) in bytes.iter().enumerate().skip(unseen) {
            self.slide(byte);
            self.len += 1;
            let ends = self.fingerprint & self.mask == 0 || self.len >= self.max;
            if self.len >= self.min && ends {
                self.restart();
                return Some(index + 1);
            }
        }
        None
    }

    /// As before the first byte of a chunk: a window of zeros and a one.
    fn restart(&mut self) {
        self.len = 0;
        self.window = [0; WINDOW];
        self.at = 0;
        self.fingerprint = 0;
        self.slide(1);
    }

    fn slide(&mut self, byte: u8) {
        let out = std::mem::replace(&mut self.window[self.at], byte);
        self.at = (self.at + 1) % WINDOW;
        self.fingerprint ^= OUT[usize::from(out)];
        let over = (self.fingerprint >> (DEGREE - 8)) as usize;
        self.fingerprint = (self.fingerprint << 8 | u64::from(byte)) ^ MOD[over];
    }
}

const fn out_table() -> [u64; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut hash = byte as u64;
        let mut behind = 1;
        while behind < WINDOW {
            hash = modulo(hash << 8);
            behind += 1;
        }
        table[byte] = hash;
        byte += 1;
    }
    table
}

const fn mod_table() -> [u64; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let over = (byte as u64) << DEGREE;
        table[byte] = modulo(over) | over;
        byte += 1;
    }
    table
}

/// The remainder of a polynomial over GF(2).
const fn modulo(mut value: u64) -> u64 {
    while value >> DEGREE != 0 {
        value ^= POLYNOMIAL << (63 - value.leading_zeros() - DEGREE);
    }
    value
}
