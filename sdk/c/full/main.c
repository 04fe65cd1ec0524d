// Full takes part in every hook and uses every power. Its config is a string: the name of the
// header that carries API keys, a blank, and the URL of the service that has the keys of
// tokens, knows which are active, and is the upstream.
#include "wasmgate.h"

WG_PLUGIN

// Where the store keeps the status of an upstream that is out of order.
#define LAST_FAILURE WG("full/last-failure")

// What configure set: the selector of API keys, and the service.
static uint8_t config_area[2048];
static wg_bytes key_selector, service;

// Text that is put together, in a room of its own.
typedef struct {
	uint8_t *at;
	uint32_t cap, len;
} text;

#define TEXT(name, size) \
	uint8_t name##_room[size]; \
	text name = {name##_room, size, 0}

static wg_bytes add(text *t, wg_bytes b) {
	if (b.len > t->cap - t->len) __builtin_trap();
	wg_copy(t->at + t->len, b.ptr, b.len);
	t->len += b.len;
	return (wg_bytes){t->at, t->len};
}

static wg_bytes add_hex(text *t, const uint8_t *bytes, uint32_t count) {
	for (uint32_t i = 0; i < count; i++) {
		uint8_t pair[2] = {(uint8_t)"0123456789abcdef"[bytes[i] >> 4], (uint8_t)"0123456789abcdef"[bytes[i] & 15]};
		add(t, (wg_bytes){pair, 2});
	}
	return (wg_bytes){t->at, t->len};
}

static bool upper_case(wg_bytes b) {
	for (uint32_t i = 0; i < b.len; i++)
		if (b.ptr[i] >= 'A' && b.ptr[i] <= 'Z') return true;
	return false;
}

WG_CONFIGURE(req, res) {
	wg_bytes config = wg_get(req, WG_FIELD_CONFIG), name = {config.ptr, 0};
	while (name.len < config.len && config.ptr[name.len] != ' ') name.len++;
	wg_bytes url = config, scheme = WG("http"), blank = WG(" ");
	url.ptr += name.len, url.len -= name.len;
	if (name.len == 0 || upper_case(name) || !wg_cut(&url, blank) || !wg_cut(&(wg_bytes){url.ptr, url.len}, scheme)) {
		wg_set(res, WG_RESULT_ERROR, WG("want the name of a header, lower case, and a URL"));
		return;
	}
	text kept = {config_area, sizeof config_area, 0};
	add(&kept, WG("header."));
	key_selector = add(&kept, name);
	add(&kept, url);
	service = (wg_bytes){kept.at + key_selector.len, url.len};
	wg_bytes identity[] = {WG("header.authorization")};
	wg_set_names(res, WG_RESULT_IDENTITY, identity, WG_COUNT(identity));
}

static void deny_because(wg_result *res, wg_bytes reason) {
	wg_deny(res);
	wg_set(res, WG_RESULT_REASON, reason);
}

static void reply(wg_result *res, uint64_t status, wg_bytes body) {
	wg_decide(res, WG_DECISION_REPLY);
	wg_set_number(res, WG_RESULT_STATUS, status);
	wg_set(res, WG_RESULT_BODY, body);
}

// What failed, and the capability's status in words.
static wg_bytes failed(text *t, wg_bytes what, int64_t status) {
	add(t, what);
	return add(t, wg_status_name(status));
}

// Refuses the addresses that documents use (RFC 5737).
WG_GUARD(req, res) {
	wg_bytes address = wg_get(req, WG_FIELD_SOURCE_IP);
	if (wg_cut(&address, WG("192.0.2."))) {
		deny_because(res, WG("documentation address"));
		return;
	}
	wg_allow(res);
}

// Asks the service about a token; false is one that is not active, or that nobody knows about.
static bool active(wg_bytes token, wg_bytes *tenant, int64_t *status) {
	static uint8_t call_area[80 << 10], answer_area[64 << 10];
	static wg_result call;
	TEXT(url, 2048);
	add(&url, service);
	wg_start(&call, call_area, sizeof call_area, 0);
	wg_set(&call, WG_RESULT_HTTP_METHOD, WG("POST"));
	wg_set(&call, WG_RESULT_HTTP_URL, add(&url, WG("/active")));
	wg_pair headers[] = {{WG("content-type"), WG("application/jwt")}};
	wg_set_pairs(&call, WG_RESULT_HTTP_HEADERS, headers, WG_COUNT(headers));
	wg_set(&call, WG_RESULT_HTTP_BODY, token);
	int64_t n = wg_http_call(wg_finish(&call), answer_area, sizeof answer_area);
	*status = n < 0 ? n : n > (int64_t)sizeof answer_area ? WG_STATUS_LIMIT : WG_STATUS_OK;
	if (*status != WG_STATUS_OK) return false;
	wg_record answer = {answer_area, (uint32_t)n};
	if (!wg_valid(answer)) __builtin_trap();
	*tenant = wg_get(answer, WG_FIELD_HTTP_BODY);
	uint64_t code;
	return wg_number(answer, WG_FIELD_HTTP_STATUS, &code) && code == 200;
}

// Lets in whose token is signed and active. A real plugin checks the claims too.
WG_AUTHORIZE(req, res) {
	wg_bytes token = wg_header(req, WG("authorization"));
	if (!wg_cut(&token, WG("Bearer "))) {
		wg_deny(res);
		return;
	}
	TEXT(why, 64);
	int64_t status = wg_jwks_verify(service, token);
	if (status != WG_STATUS_OK) {
		wg_log(2, failed(&why, WG("token refused: "), status));
		deny_because(res, wg_status_name(status));
		return;
	}
	wg_bytes tenant;
	if (!active(token, &tenant, &status)) {
		deny_because(res, status == WG_STATUS_OK ? WG("token is not active") : failed(&why, WG("ask about token: "), status));
		return;
	}
	uint8_t sum[32];
	if (wg_sha256(token, sum) != WG_STATUS_OK) __builtin_trap();
	TEXT(principal, 16);
	add(&principal, WG("token:"));
	wg_allow(res);
	wg_for_identity(res, 5 * 60 * 1000);
	wg_set(res, WG_RESULT_PRINCIPAL, add_hex(&principal, sum, 4));
	wg_pair context[] = {{WG("tenant"), tenant}};
	wg_set_pairs(res, WG_RESULT_CONTEXT, context, WG_COUNT(context));
}

WG_IDENTIFY(req, res) {
	(void)req;
	wg_for_route(res);
	wg_set_value(res, WG_RESULT_API_KEY, WG_VALUE(WG_SELECT(key_selector)));
}

WG_THROTTLE(req, res) {
	(void)req;
	wg_for_route(res);
	WG_BUCKETS(res, {.name = WG("address"), .key = WG_VALUE(WG_SELECT(WG("source_ip"))), .rate = 0.1, .burst = 20, .cost = 1},
		{.name = WG("all"), .rate = 1000, .burst = 2000, .cost = 1});
}

// Signs the path, and tells the upstream that it was out of order.
WG_MAP_REQUEST(req, res) {
	uint64_t length;
	if (wg_number(req, WG_FIELD_BODY_LENGTH, &length) && length > 1000) {
		reply(res, 413, WG("too long\n"));
		return;
	}
	uint8_t sum[32], last[16];
	int32_t status = wg_hmac_sha256(WG("signing"), wg_get(req, WG_FIELD_PATH), sum);
	if (status != WG_STATUS_OK) {
		TEXT(why, 64);
		reply(res, 500, WG("not signed\n"));
		wg_set(res, WG_RESULT_REASON, failed(&why, WG("sign: "), status));
		return;
	}
	TEXT(signature, 64);
	int64_t known = wg_kv_get(LAST_FAILURE, last, sizeof last);
	wg_edit edits[] = {
		{WG_OP_SET_HEADER, WG("x-principal"), WG_VALUE(WG_SELECT(WG("principal")))},
		{WG_OP_REMOVE_HEADER, WG("authorization"), {0}},
		{WG_OP_SET_QUERY, WG("v"), WG_VALUE(WG_TEXT(WG("2")))},
		{WG_OP_SET_HEADER, WG("x-signature"), WG_VALUE(WG_TEXT(add_hex(&signature, sum, sizeof sum)))},
		{WG_OP_SET_HEADER, WG("x-last-failure"), WG_VALUE(WG_TEXT(((wg_bytes){last, (uint32_t)known})))},
	};
	bool out_of_order = known >= 0 && known <= (int64_t)sizeof last;
	wg_set_edits(res, edits, WG_COUNT(edits) - (out_of_order ? 0 : 1));
}

WG_CACHE_KEY(req, res) {
	if (!wg_equal(wg_get(req, WG_FIELD_METHOD), WG("GET"))) {
		wg_set_number(res, WG_RESULT_CACHE_BYPASS, 1);
		return;
	}
	wg_set_value(res, WG_RESULT_CACHE_KEY, WG_VALUE(WG_SELECT(WG("path")), WG_SELECT(WG("param.page"))));
	wg_set_number(res, WG_RESULT_CACHE_TTL_MS, 60 * 1000);
}

// Authenticates the gateway by a secret.
WG_INTEGRATE(req, res) {
	(void)req;
	uint8_t key[256];
	int64_t n = wg_secret_get(WG("upstream"), key, sizeof key);
	if (n > (int64_t)sizeof key) n = WG_STATUS_LIMIT;
	if (n < 0) {
		TEXT(why, 64);
		reply(res, 500, WG("no key\n"));
		wg_set(res, WG_RESULT_REASON, failed(&why, WG("read secret: "), n));
		return;
	}
	wg_bytes secret = {key, (uint32_t)n};
	wg_for_route(res);
	wg_set_value(res, WG_RESULT_CALL_URL, WG_VALUE(WG_TEXT(service), WG_SELECT(WG("path"))));
	wg_set_number(res, WG_RESULT_CALL_TIMEOUT_MS, 5000);
	WG_EDITS(res, {WG_OP_SET_HEADER, WG("x-upstream-key"), WG_VALUE(WG_TEXT(secret))});
}

// Hides what an upstream that is out of order says, and remembers it.
WG_MAP_RESPONSE(req, res) {
	uint64_t code = 0;
	wg_number(req, WG_FIELD_STATUS, &code);
	TEXT(why, 64);
	if (code < 500) {
		int32_t status = wg_kv_delete(LAST_FAILURE);
		if (status != WG_STATUS_OK) wg_log(2, failed(&why, WG("forget failure: "), status));
		return;
	}
	uint8_t digits[3] = {(uint8_t)('0' + code / 100 % 10), (uint8_t)('0' + code / 10 % 10), (uint8_t)('0' + code % 10)};
	int32_t status = wg_kv_set(LAST_FAILURE, (wg_bytes){digits, sizeof digits}, 60 * 1000);
	if (status != WG_STATUS_OK) wg_log(2, failed(&why, WG("remember failure: "), status));
	WG_EDITS(res, {WG_OP_SET_HEADER, WG("content-type"), WG_VALUE(WG_TEXT(WG("text/plain")))},
		{WG_OP_SET_BODY, {0}, WG_VALUE(WG_TEXT(WG("out of order\n")))});
}

WG_OBSERVE(req, res) {
	wg_pair labels[] = {{WG("tenant"), wg_first(req, WG_FIELD_CONTEXT, WG("tenant"))}};
	wg_set_pairs(res, WG_RESULT_LABELS, labels, WG_COUNT(labels));
}
