use crate::abi::{self, field, kind};

/// A request, or a capability's answer.
#[derive(Clone, Copy)]
pub struct Request<'a>(&'a [u8]);

fn u16_at(b: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([b[at], b[at + 1]])
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

impl<'a> Request<'a> {
    /// Checks header and table; `None` is malformed.
    pub fn parse(b: &'a [u8]) -> Option<Self> {
        let header = abi::HEADER_BYTES as usize;
        if b.len() < header || u32_at(b, 0) != abi::MAGIC || u32::from(u16_at(b, 4)) != abi::VERSION {
            return None;
        }
        let r = Request(b);
        let count = r.count();
        if u32_at(b, 8) as usize != b.len() || u16_at(b, 14) != 0 || count > abi::MAX_FIELDS as usize {
            return None;
        }
        if b.len() - header < count * abi::ENTRY_BYTES as usize {
            return None;
        }
        let mut last = None;
        for i in 0..count {
            let (id, _, at, len) = r.entry(i);
            if last.is_some_and(|last| id <= last) || at > b.len() || len > b.len() - at {
                return None;
            }
            last = Some(id);
        }
        Some(r)
    }

    /// Number of fields.
    pub fn count(&self) -> usize {
        u16_at(self.0, 6) as usize
    }

    fn entry(&self, i: usize) -> (u16, u16, usize, usize) {
        let at = abi::HEADER_BYTES as usize + i * abi::ENTRY_BYTES as usize;
        (u16_at(self.0, at), u16_at(self.0, at + 2), u32_at(self.0, at + 4) as usize, u32_at(self.0, at + 8) as usize)
    }

    /// Id, type and data of the field at an index of the table.
    pub fn raw(&self, i: usize) -> (u16, u16, &'a [u8]) {
        let (id, typ, at, len) = self.entry(i);
        (id, typ, &self.0[at..at + len])
    }

    fn find(&self, id: u16, typ: u16) -> Option<&'a [u8]> {
        let (_, found, data) = (0..self.count()).map(|i| self.raw(i)).find(|f| f.0 == id)?;
        assert!(found == typ, "field of another type");
        Some(data)
    }

    /// A field of bytes, by its id in [`abi::field`].
    pub fn bytes(&self, id: u16) -> Option<&'a [u8]> {
        self.find(id, kind::BYTES)
    }

    /// A field of text.
    pub fn text(&self, id: u16) -> Option<&'a str> {
        core::str::from_utf8(self.bytes(id)?).ok()
    }

    /// A number.
    pub fn number(&self, id: u16) -> Option<u64> {
        Some(u64::from_le_bytes(self.find(id, kind::U64)?.try_into().expect("number of 8 bytes")))
    }

    /// A list of pairs; an absent one is empty.
    pub fn pairs(&self, id: u16) -> Pairs<'a> {
        match self.find(id, kind::PAIRS) {
            Some(b) => Pairs { left: u32_at(b, 0), rest: &b[4..] },
            None => Pairs { left: 0, rest: &[] },
        }
    }

    /// The first value of a name in a list of pairs.
    pub fn first(&self, id: u16, name: &str) -> Option<&'a [u8]> {
        self.pairs(id).find(|p| p.0 == name.as_bytes()).map(|p| p.1)
    }

    /// The value of a request header that is there once. One that is there twice is as absent:
    /// who reads one of two may read another one than the upstream.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        let mut all = self.pairs(field::HEADERS).filter(|p| p.0 == name.as_bytes());
        let only = all.next()?;
        all.next().is_none().then_some(only.1)
    }
}

/// Names and values, in order.
pub struct Pairs<'a> {
    rest: &'a [u8],
    left: u32,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let Some(left) = self.left.checked_sub(1) else {
            assert!(self.rest.is_empty(), "bytes after the last pair");
            return None;
        };
        self.left = left;
        let (name, value) = (u32_at(self.rest, 0) as usize, u32_at(self.rest, 4) as usize);
        let (name, rest) = self.rest[8..].split_at(name);
        let (value, rest) = rest.split_at(value);
        self.rest = rest;
        Some((name, value))
    }
}
