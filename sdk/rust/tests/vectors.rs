//! The contract's vectors, abi/v1/vectors, decoded and encoded again.

use wasmgate::abi::kind;
use wasmgate::{Request, Writer};

fn vectors(text: &str) -> Vec<Vec<u8>> {
    let hex = |line: &str| {
        let digits = line.rsplit_once("\"hex\":\"")?.1.split('"').next()?;
        Some((0..digits.len() / 2).map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap()).collect())
    };
    text.lines().filter_map(hex).collect()
}

fn again(bytes: &[u8]) -> Vec<u8> {
    let record = Request::parse(bytes).expect("a good record");
    let mut room = vec![0; 1 << 20];
    let mut out = Writer::new(&mut room, u16::from_le_bytes([bytes[12], bytes[13]]));
    for i in 0..record.count() {
        let (id, typ, data) = record.raw(i);
        match typ {
            kind::U64 => out.number(id, record.number(id).unwrap()),
            kind::PAIRS => out.pairs(id, &record.pairs(id).collect::<Vec<_>>()),
            kind::BYTES => out.bytes(id, record.bytes(id).unwrap()),
            _ => out.raw(id, typ, data),
        };
    }
    out.finish().to_vec()
}

#[test]
fn good_records_come_back() {
    for text in [include_str!("../../../abi/v1/vectors/requests.json"), include_str!("../../../abi/v1/vectors/results.json")] {
        let list = vectors(text);
        assert!(list.len() > 5, "{} vectors", list.len());
        for bytes in list.iter().filter(|b| b[6..8] != [0, 0]) {
            assert_eq!(&again(bytes), bytes);
        }
    }
}

#[test]
fn cut_off_records_are_refused() {
    for bytes in vectors(include_str!("../../../abi/v1/vectors/requests.json")) {
        for n in 0..bytes.len() {
            assert!(Request::parse(&bytes[..n]).is_none(), "{n} bytes of {}", bytes.len());
        }
    }
}
