use crate::abi::{self, decision, kind, op, result, scope};

/// A piece of a value that the host joins for each request.
#[derive(Clone, Copy)]
pub enum Part<'a> {
    /// A literal.
    Text(&'a str),
    /// A selector, such as `header.x-api-key`.
    Select(&'a str),
}

/// One change of a request or response.
#[derive(Clone, Copy)]
pub struct Edit<'a> {
    op: u16,
    name: &'a str,
    value: &'a [Part<'a>],
}

macro_rules! edits {
    (named: $($f:ident $op:ident),*; bare: $($g:ident $gop:ident),*; removed: $($h:ident $hop:ident),*) => {
        /// The operations of the contract; see abi/v1/README.md.
        impl<'a> Edit<'a> {
            $(pub fn $f(name: &'a str, value: &'a [Part<'a>]) -> Self { Edit { op: op::$op, name, value } })*
            $(pub fn $g(value: &'a [Part<'a>]) -> Self { Edit { op: op::$gop, name: "", value } })*
            $(pub fn $h(name: &'a str) -> Self { Edit { op: op::$hop, name, value: &[] } })*
        }
    };
}

edits! {
    named: set_header SET_HEADER, add_header ADD_HEADER, set_query SET_QUERY, add_query ADD_QUERY, set_context SET_CONTEXT;
    bare: set_path SET_PATH, set_method SET_METHOD, set_authority SET_AUTHORITY, set_status SET_STATUS, set_body SET_BODY, set_raw_query SET_RAW_QUERY;
    removed: remove_header REMOVE_HEADER, remove_query REMOVE_QUERY
}

/// A token bucket; the host keeps it. An empty key is one bucket for all.
pub struct Bucket<'a> {
    pub name: &'a str,
    pub key: &'a [Part<'a>],
    /// Tokens a second.
    pub rate: f64,
    pub burst: u64,
    pub cost: u64,
}

const DATA: usize = (abi::HEADER_BYTES + abi::MAX_FIELDS * abi::ENTRY_BYTES) as usize;

/// Writes a result: each field once, in any order. Panics when it is full.
pub struct Writer<'a> {
    buf: &'a mut [u8],
    end: usize,
    hook: u16,
    fields: [Option<(u16, usize, usize)>; abi::MAX_FIELDS as usize],
}

impl<'a> Writer<'a> {
    /// A record in `buf`; hook is 0 in the records of a capability.
    pub fn new(buf: &'a mut [u8], hook: u16) -> Self {
        Writer { buf, end: DATA, hook, fields: [None; abi::MAX_FIELDS as usize] }
    }

    fn put(&mut self, b: &[u8]) {
        self.buf[self.end..self.end + b.len()].copy_from_slice(b);
        self.end += b.len();
    }

    fn put32(&mut self, v: usize) {
        self.put(&(v as u32).to_le_bytes());
    }

    fn field(&mut self, id: u16, typ: u16, write: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.end;
        write(self);
        let before = self.fields[id as usize].replace((typ, start, self.end - start));
        assert!(before.is_none(), "field written twice");
        self
    }

    /// Any field, as bytes.
    pub fn raw(&mut self, id: u16, typ: u16, data: &[u8]) -> &mut Self {
        self.field(id, typ, |w| w.put(data))
    }

    /// A field of bytes, by its id in [`abi::result`].
    pub fn bytes(&mut self, id: u16, v: impl AsRef<[u8]>) -> &mut Self {
        self.raw(id, kind::BYTES, v.as_ref())
    }

    pub fn number(&mut self, id: u16, v: u64) -> &mut Self {
        self.raw(id, kind::U64, &v.to_le_bytes())
    }

    pub fn pairs(&mut self, id: u16, pairs: &[(&[u8], &[u8])]) -> &mut Self {
        self.field(id, kind::PAIRS, |w| {
            w.put32(pairs.len());
            for (name, value) in pairs {
                w.put32(name.len());
                w.put32(value.len());
                w.put(name);
                w.put(value);
            }
        })
    }

    pub fn names(&mut self, id: u16, names: &[&str]) -> &mut Self {
        self.field(id, kind::NAMES, |w| {
            w.put32(names.len());
            for name in names {
                w.put32(name.len());
                w.put(name.as_bytes());
            }
        })
    }

    fn template(&mut self, parts: &[Part]) {
        for part in parts {
            let (text, mark) = match part {
                Part::Text(t) => (t, 0),
                Part::Select(t) => (t, 1 << 31),
            };
            self.put(&(text.len() as u32 | mark).to_le_bytes());
            self.put(text.as_bytes());
        }
    }

    fn named(&mut self, name: &str, value: &[Part]) {
        self.put32(name.len());
        let length = self.end;
        self.put32(0);
        self.put(name.as_bytes());
        let start = self.end;
        self.template(value);
        let n = (self.end - start) as u32;
        self.buf[length..length + 4].copy_from_slice(&n.to_le_bytes());
    }

    pub fn value(&mut self, id: u16, parts: &[Part]) -> &mut Self {
        self.field(id, kind::VALUE, |w| w.template(parts))
    }

    pub fn edits(&mut self, edits: &[Edit]) -> &mut Self {
        self.field(result::EDITS, kind::EDITS, |w| {
            w.put32(edits.len());
            for e in edits {
                w.put32(e.op as usize); // u16 op, u16 zero
                w.named(e.name, e.value);
            }
        })
    }

    pub fn buckets(&mut self, buckets: &[Bucket]) -> &mut Self {
        self.field(result::BUCKETS, kind::BUCKETS, |w| {
            w.put32(buckets.len());
            for b in buckets {
                w.put(&b.rate.to_le_bytes());
                w.put(&b.burst.to_le_bytes());
                w.put(&b.cost.to_le_bytes());
                w.named(b.name, b.key);
            }
        })
    }

    pub fn allow(&mut self) -> &mut Self {
        self.number(result::DECISION, decision::ALLOW)
    }

    pub fn deny(&mut self) -> &mut Self {
        self.number(result::DECISION, decision::DENY)
    }

    pub fn reply(&mut self, status: u64) -> &mut Self {
        self.number(result::DECISION, decision::REPLY).number(result::STATUS, status)
    }

    /// Why, for the operator's log.
    pub fn because(&mut self, reason: &str) -> &mut Self {
        self.bytes(result::REASON, reason)
    }

    /// Holds for every request of the route: only for what depends on the request by selectors alone.
    pub fn for_route(&mut self) -> &mut Self {
        self.number(result::SCOPE, scope::ROUTE)
    }

    /// Holds for the identity that configure named.
    pub fn for_identity(&mut self, ttl_ms: u64) -> &mut Self {
        self.number(result::SCOPE, scope::IDENTITY).number(result::TTL_MS, ttl_ms)
    }

    /// The record; empty when no field was written.
    pub fn finish(self) -> &'a [u8] {
        let count = self.fields.iter().flatten().count();
        if count == 0 {
            return &[];
        }
        // The table ends where the data begin, so that nothing moves.
        let start = DATA - (abi::HEADER_BYTES as usize) - count * abi::ENTRY_BYTES as usize;
        let mut at = start;
        let buf = self.buf;
        let mut put = |b: &[u8]| {
            buf[at..at + b.len()].copy_from_slice(b);
            at += b.len();
        };
        put(&abi::MAGIC.to_le_bytes());
        put(&(abi::VERSION as u16).to_le_bytes());
        put(&(count as u16).to_le_bytes());
        put(&((self.end - start) as u32).to_le_bytes());
        put(&u32::from(self.hook).to_le_bytes()); // u16 hook, u16 zero
        for (id, field) in self.fields.iter().enumerate() {
            if let Some((typ, from, len)) = field {
                put(&(id as u16).to_le_bytes());
                put(&typ.to_le_bytes());
                put(&((from - start) as u32).to_le_bytes());
                put(&(*len as u32).to_le_bytes());
            }
        }
        &buf[start..self.end]
    }
}
