// Branchy work for the cost of fuel: what policies do, in C.
typedef unsigned char u8;
typedef unsigned u32;

static const u8 text[] = "{\"sub\": \"user-17\", \"scope\": [\"read\", \"write\"], \"exp\": 1767225600, \"deep\": {\"a\": [1, 2.5e3, true, null, \"\\u00e9\\n\"]}}";
static u32 numbers[512];

// tokens reads JSON n times and gives the number of its tokens.
__attribute__((export_name("tokens"))) long long tokens(u32 n) {
	long long found = 0;
	for (u32 round = 0; round < n; round++) {
		for (u32 i = 0; i < sizeof text - 1;) {
			u8 c = text[i];
			if (c == '"') {
				for (i++; text[i] != '"'; i++)
					if (text[i] == '\\') i++;
				i++, found++;
			} else if ((c >= '0' && c <= '9') || c == '-') {
				while ((text[i] >= '0' && text[i] <= '9') || text[i] == '.' || text[i] == 'e' || text[i] == '-') i++;
				found++;
			} else if (c >= 'a' && c <= 'z') {
				while (text[i] >= 'a' && text[i] <= 'z') i++;
				found++;
			} else {
				if (c != ' ') found++;
				i++;
			}
		}
	}
	return found;
}

static void quick(u32 *a, int lo, int hi) {
	while (lo < hi) {
		u32 pivot = a[(lo + hi) / 2];
		int i = lo, j = hi;
		while (i <= j) {
			while (a[i] < pivot) i++;
			while (a[j] > pivot) j--;
			if (i <= j) {
				u32 t = a[i];
				a[i++] = a[j], a[j--] = t;
			}
		}
		quick(a, lo, j);
		lo = i;
	}
}

// sort sorts 512 numbers n times.
__attribute__((export_name("sort"))) long long sort(u32 n) {
	for (u32 round = 0; round < n; round++) {
		u32 x = round + 1;
		for (int i = 0; i < 512; i++) numbers[i] = x = x * 1664525 + 1013904223;
		quick(numbers, 0, 511);
	}
	return numbers[0];
}

static int glob(const u8 *p, const u8 *s) {
	for (; *p; p++, s++) {
		if (*p == '*') {
			do
				if (glob(p + 1, s)) return 1;
			while (*s++);
			return 0;
		}
		if (*p != '?' && *p != *s) return 0;
		if (!*s) return 0;
	}
	return !*s;
}

// match_paths matches paths with patterns n times.
__attribute__((export_name("match_paths"))) long long match_paths(u32 n) {
	static const char *const patterns[] = {"/pets/*", "/pets/?/toys", "*/admin/*", "/files/*.png", "/*a*b*c*"};
	static const char *const paths[] = {"/pets/17", "/pets/1/toys", "/v1/admin/users", "/files/a/b/c.png", "/aaaaabbbbbccccd"};
	long long hits = 0;
	for (u32 round = 0; round < n; round++)
		for (int i = 0; i < 5; i++)
			for (int j = 0; j < 5; j++) hits += glob((const u8 *)patterns[i], (const u8 *)paths[j]);
	return hits;
}
