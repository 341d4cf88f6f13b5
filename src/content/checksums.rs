//! Lists of SHA-256 sums, as `sha256sum` and BSD's `sha256` write them.
//!
//! Only lines that are such sums count: comments, signatures around the list and sums by other
//! functions are passed over, as `sha256sum --check` does.

use std::collections::BTreeMap;

/// Hex digits of a SHA-256.
const HEX: usize = 64;

/// The sums of a list, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checksums {
    by_name: BTreeMap<Vec<u8>, [u8; 32]>,
}

/// What is wrong with a list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChecksumsError {
    /// No line is a sum.
    #[error("no line of it is a SHA-256 and a name")]
    Empty,
    /// One name has two sums.
    #[error("it has two different sums for {name:?}, the second in line {line}")]
    Contradiction {
        /// The name, as text.
        name: String,
        /// Line of the second, from 1.
        line: usize,
    },
}

/// What a list says of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// Its sum.
    Sum([u8; 32]),
    /// Several files in different directories have that name.
    Ambiguous,
    /// Nothing.
    No,
}

impl Checksums {
    /// Reads a list.
    ///
    /// # Errors
    /// See [`ChecksumsError`].
    pub fn parse(list: &[u8]) -> Result<Self, ChecksumsError> {
        let mut by_name = BTreeMap::new();
        for (number, line) in list.split(|&byte| byte == b'\n').enumerate() {
            let Some((name, sum)) = line_of(line) else {
                continue;
            };
            if by_name.get(&name).is_some_and(|known| *known != sum) {
                return Err(ChecksumsError::Contradiction {
                    name: String::from_utf8_lossy(&name).into_owned(),
                    line: number + 1,
                });
            }
            by_name.insert(name, sum);
        }
        match by_name.is_empty() {
            true => Err(ChecksumsError::Empty),
            false => Ok(Self { by_name }),
        }
    }

    /// The sum of a file: by this very name, else by its last segment, if only one has it.
    pub fn find(&self, name: &str) -> Listed {
        if let Some(sum) = self.by_name.get(name.as_bytes()) {
            return Listed::Sum(*sum);
        }
        let last = |path: &[u8]| path.rsplit(|&byte| byte == b'/').next() == Some(name.as_bytes());
        let mut found = self.by_name.iter().filter(|(path, _)| last(path));
        match (found.next(), found.next()) {
            (None, _) => Listed::No,
            (Some((_, sum)), None) => Listed::Sum(*sum),
            (Some((_, sum)), Some((_, next))) => {
                let is_same = next == sum && found.all(|(_, other)| other == sum);
                if is_same {
                    Listed::Sum(*sum)
                } else {
                    Listed::Ambiguous
                }
            }
        }
    }
}

/// Name and sum of a line, if it is one of a sum.
fn line_of(line: &[u8]) -> Option<(Vec<u8>, [u8; 32])> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = line.trim_ascii_start();
    let (line, is_escaped) = match line.strip_prefix(b"\\") {
        Some(rest) => (rest, true),
        None => (line, false),
    };
    let (name, sum) = bsd(line).or_else(|| gnu(line))?;
    let name = match is_escaped {
        true => unescape(name)?,
        false => name.to_vec(),
    };
    let name = name.strip_prefix(b"./").unwrap_or(&name).to_vec();
    (!name.is_empty()).then_some((name, sum))
}

/// `HASH  name` of text, `HASH *name` of binary files, and `HASH name`.
fn gnu(line: &[u8]) -> Option<(&[u8], [u8; 32])> {
    let (sum, rest) = line.split_at_checked(HEX)?;
    let name = rest.strip_prefix(b" ")?;
    let marked = name.strip_prefix(b" ").or_else(|| name.strip_prefix(b"*"));
    Some((marked.unwrap_or(name), digest(sum)?))
}

/// `SHA256 (name) = HASH`; the name may hold brackets.
fn bsd(line: &[u8]) -> Option<(&[u8], [u8; 32])> {
    let rest = line.strip_prefix(b"SHA256")?;
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    let rest = rest.strip_prefix(b"(")?.trim_ascii_end();
    let (before, sum) = rest.split_at_checked(rest.len().checked_sub(HEX)?)?;
    let name = before.trim_ascii_end().strip_suffix(b"=")?;
    Some((name.trim_ascii_end().strip_suffix(b")")?, digest(sum)?))
}

fn digest(hex: &[u8]) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(hex.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
    }
    Some(digest)
}

/// The name that an escaped line stands for; `None` for an escape that nobody writes.
fn unescape(name: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(name.len());
    let mut bytes = name.iter();
    while let Some(&byte) = bytes.next() {
        out.push(match byte {
            b'\\' => match bytes.next()? {
                b'n' => b'\n',
                b'r' => b'\r',
                b'\\' => b'\\',
                _ => return None,
            },
            byte => byte,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hex(digit: char) -> String {
        String::from(digit).repeat(HEX)
    }

    #[test]
    fn lines_of_every_kind() {
        let (a, b, c, d) = (hex('a'), hex('B'), hex('3'), hex('4'));
        let list = format!(
            "# sums\n\n-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n{a}  one.bin\r\n\
             {b} *dir/two.bin\nSHA256 (three (1).bin) = {c}\n\\{d}  fo\\\\ur\\nlines\n\
             SHA512 (one.bin) = {a}{a}\nMD5 (x) = {}\n{c} ./five\n  {a}  six seven\n",
            &a[..32]
        );
        let list = Checksums::parse(list.as_bytes()).unwrap();
        let sum = |byte| Listed::Sum([byte; 32]);
        for (name, expected) in [
            ("one.bin", sum(0xaa)),
            ("dir/two.bin", sum(0xbb)),
            ("two.bin", sum(0xbb)),
            ("three (1).bin", sum(0x33)),
            ("fo\\ur\nlines", sum(0x44)),
            ("five", sum(0x33)),
            ("six seven", sum(0xaa)),
            ("x", Listed::No),
            ("", Listed::No),
        ] {
            assert_eq!(list.find(name), expected, "{name:?}");
        }
    }

    #[test]
    fn what_is_no_list_and_what_contradicts_itself() {
        for none in ["", "hello\n", &hex('a'), &format!("{}  ", hex('a'))] {
            let parsed = Checksums::parse(none.as_bytes());
            assert_eq!(parsed, Err(ChecksumsError::Empty), "{none:?}");
        }
        let twice = format!("{}  x\n{}  x\n", hex('a'), hex('a'));
        assert!(Checksums::parse(twice.as_bytes()).is_ok());
        let torn = format!("{}  x\n{}  x\n", hex('a'), hex('b'));
        assert_eq!(
            Checksums::parse(torn.as_bytes()),
            Err(ChecksumsError::Contradiction {
                name: "x".to_owned(),
                line: 2
            })
        );
        let many = format!("{}  a/x\n{}  b/x\n", hex('a'), hex('b'));
        let many = Checksums::parse(many.as_bytes()).unwrap();
        assert_eq!(many.find("x"), Listed::Ambiguous);
        assert_eq!(many.find("b/x"), Listed::Sum([0xbb; 32]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(list in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Checksums::parse(&list);
        }

        #[test]
        fn what_sha256sum_writes_is_found(name in "[a-z \\\\\n()=*]{1,20}") {
            let is_escaped = name.contains(['\\', '\n']);
            let written = name.replace('\\', "\\\\").replace('\n', "\\n");
            let mark = if is_escaped { "\\" } else { "" };
            let list = format!("{mark}{}  {written}\n", hex('c'));
            let list = Checksums::parse(list.as_bytes()).unwrap();
            prop_assert_eq!(list.find(&name), Listed::Sum([0xcc; 32]));
        }
    }
}
