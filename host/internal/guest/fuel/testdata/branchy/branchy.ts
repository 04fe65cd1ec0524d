// Branchy work for the cost of fuel: what policies do, in AssemblyScript.
const text: string = "{\"sub\": \"user-17\", \"scope\": [\"read\", \"write\"], \"exp\": 1767225600, \"deep\": {\"a\": [1, 2.5e3, true, null, \"\\u00e9\\n\"]}}";
const numbers = new StaticArray<u32>(512);

// tokens reads JSON n times and gives the number of its tokens.
export function tokens(n: u32): i64 {
  let found: i64 = 0;
  for (let round: u32 = 0; round < n; round++) {
    for (let i = 0; i < text.length;) {
      const c = text.charCodeAt(i);
      if (c == 34) {
        for (i++; text.charCodeAt(i) != 34; i++) if (text.charCodeAt(i) == 92) i++;
        i++;
        found++;
      } else if ((c >= 48 && c <= 57) || c == 45) {
        while (isNumber(text.charCodeAt(i))) i++;
        found++;
      } else if (c >= 97 && c <= 122) {
        while (text.charCodeAt(i) >= 97 && text.charCodeAt(i) <= 122) i++;
        found++;
      } else {
        if (c != 32) found++;
        i++;
      }
    }
  }
  return found;
}

function isNumber(c: i32): bool {
  return (c >= 48 && c <= 57) || c == 46 || c == 101 || c == 45;
}

// sort sorts 512 numbers n times.
export function sort(n: u32): i64 {
  for (let round: u32 = 0; round < n; round++) {
    let x: u32 = round + 1;
    for (let i = 0; i < 512; i++) numbers[i] = x = x * 1664525 + 1013904223;
    quick(0, 511);
  }
  return numbers[0];
}

function quick(lo: i32, hi: i32): void {
  while (lo < hi) {
    const pivot = numbers[(lo + hi) / 2];
    let i = lo, j = hi;
    while (i <= j) {
      while (numbers[i] < pivot) i++;
      while (numbers[j] > pivot) j--;
      if (i <= j) {
        const t = numbers[i];
        numbers[i++] = numbers[j];
        numbers[j--] = t;
      }
    }
    quick(lo, j);
    lo = i;
  }
}

const patterns: StaticArray<string> = ["/pets/*", "/pets/?/toys", "*/admin/*", "/files/*.png", "/*a*b*c*"];
const paths: StaticArray<string> = ["/pets/17", "/pets/1/toys", "/v1/admin/users", "/files/a/b/c.png", "/aaaaabbbbbccccd"];

// match_paths matches paths with patterns n times.
export function match_paths(n: u32): i64 {
  let hits: i64 = 0;
  for (let round: u32 = 0; round < n; round++) {
    for (let i = 0; i < 5; i++) for (let j = 0; j < 5; j++) if (glob(patterns[i], 0, paths[j], 0)) hits++;
  }
  return hits;
}

function glob(p: string, i: i32, s: string, j: i32): bool {
  for (; i < p.length; i++, j++) {
    const c = p.charCodeAt(i);
    if (c == 42) {
      for (; j <= s.length; j++) if (glob(p, i + 1, s, j)) return true;
      return false;
    }
    if (j >= s.length || (c != 63 && c != s.charCodeAt(j))) return false;
  }
  return j == s.length;
}
