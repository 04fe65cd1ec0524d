// Branchy work for the cost of fuel: what policies do, in Rust.
#![no_std]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! { core::arch::wasm32::unreachable() }

const TEXT: &[u8] = b"{\"sub\": \"user-17\", \"scope\": [\"read\", \"write\"], \"exp\": 1767225600, \"deep\": {\"a\": [1, 2.5e3, true, null, \"\\u00e9\\n\"]}}";

/// Reads JSON n times and gives the number of its tokens.
#[no_mangle]
pub extern "C" fn tokens(n: u32) -> i64 {
    let mut found = 0;
    for _ in 0..n {
        let mut rest = core::hint::black_box(TEXT);
        while let Some((&c, tail)) = rest.split_first() {
            rest = match c {
                b'"' => {
                    let mut i = 0;
                    while tail[i] != b'"' { i += if tail[i] == b'\\' { 2 } else { 1 } }
                    found += 1;
                    &tail[i + 1..]
                }
                b'0'..=b'9' | b'-' => { found += 1; skip(tail, |c| matches!(c, b'0'..=b'9' | b'.' | b'e' | b'-')) }
                b'a'..=b'z' => { found += 1; skip(tail, |c| c.is_ascii_lowercase()) }
                b' ' => tail,
                _ => { found += 1; tail }
            };
        }
    }
    found
}

fn skip(text: &[u8], of: impl Fn(u8) -> bool) -> &[u8] {
    let end = text.iter().position(|&c| !of(c)).unwrap_or(text.len());
    &text[end..]
}

/// Sorts 512 numbers n times.
#[no_mangle]
pub extern "C" fn sort(n: u32) -> i64 {
    let mut numbers = [0u32; 512];
    for round in 0..n {
        let mut x = round + 1;
        for v in numbers.iter_mut() {
            x = x.wrapping_mul(1664525).wrapping_add(1013904223);
            *v = x;
        }
        numbers.sort_unstable();
    }
    numbers[0] as i64
}

fn glob(p: &[u8], s: &[u8]) -> bool {
    match (p.split_first(), s.split_first()) {
        (None, None) => true,
        (Some((b'*', p)), _) => (0..=s.len()).any(|i| glob(p, &s[i..])),
        (Some((c, p)), Some((d, s))) => (*c == b'?' || c == d) && glob(p, s),
        _ => false,
    }
}

/// Matches paths with patterns n times.
#[no_mangle]
pub extern "C" fn match_paths(n: u32) -> i64 {
    let patterns: [&[u8]; 5] = [b"/pets/*", b"/pets/?/toys", b"*/admin/*", b"/files/*.png", b"/*a*b*c*"];
    let paths: [&[u8]; 5] = [b"/pets/17", b"/pets/1/toys", b"/v1/admin/users", b"/files/a/b/c.png", b"/aaaaabbbbbccccd"];
    let mut hits = 0;
    for _ in 0..n {
        for p in core::hint::black_box(patterns) {
            for s in core::hint::black_box(paths) { hits += glob(p, s) as i64 }
        }
    }
    hits
}
