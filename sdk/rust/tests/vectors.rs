//! The contract's vectors, abi/v1/vectors, decoded and encoded again.

use wasmgate::abi::{field, kind};
use wasmgate::{Request, Writer};

fn vectors(text: &str) -> Vec<Vec<u8>> {
    let hex = |line: &str| {
        let digits = line.rsplit_once("\"hex\":\"")?.1.split('"').next()?;
        Some((0..digits.len() / 2).map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap()).collect())
    };
    text.replace("\"hex\": ", "\"hex\":").lines().filter_map(hex).collect()
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

/// Reads known fields first, as plugins do: a field that is not as the contract has it panics.
fn read(bytes: &[u8]) -> Option<()> {
    let record = Request::parse(bytes)?;
    record.bytes(field::METHOD);
    record.number(field::TIME_MS);
    record.pairs(field::HEADERS).count();
    (0..record.count()).for_each(|i| drop(record.raw(i)));
    Some(())
}

#[test]
fn malformed_requests_are_refused() {
    std::panic::set_hook(Box::new(|_| {})); // their panics are wanted
    let text = include_str!("../../../abi/v1/vectors/malformed.json");
    let mut refused = 0;
    for line in text.lines().filter(|l| l.contains("\"kind\": \"request\"")) {
        let got = std::panic::catch_unwind(|| read(&vectors(line)[0]));
        let want = line.contains("\"refusal\"");
        assert_eq!(!matches!(got, Ok(Some(()))), want, "{line}");
        refused += usize::from(want);
    }
    assert!(refused > 20, "{refused} were refused");
}
