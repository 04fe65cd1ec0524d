// Full takes part in every hook. Its config is a string: the name of the header that carries API keys.
#include "wasmgate.h"

WG_PLUGIN

#define ISSUER WG("https://id.example")

// key_selector is what configure set: header. and the name.
static uint8_t key_selector[WG_MAX_SELECTOR_BYTES];
static uint32_t key_selector_len;

static bool upper_case(wg_bytes b) {
	for (uint32_t i = 0; i < b.len; i++)
		if (b.ptr[i] >= 'A' && b.ptr[i] <= 'Z') return true;
	return false;
}

WG_CONFIGURE(req, res) {
	wg_bytes name = wg_get(req, WG_FIELD_CONFIG), prefix = WG("header.");
	if (name.len == 0 || name.len > sizeof key_selector - prefix.len || upper_case(name)) {
		wg_set(res, WG_RESULT_ERROR, WG("want the name of a header, lower case"));
		return;
	}
	wg_copy(key_selector, prefix.ptr, prefix.len);
	wg_copy(key_selector + prefix.len, name.ptr, name.len);
	key_selector_len = prefix.len + name.len;
	wg_bytes identity[] = {WG("header.authorization")};
	wg_set_names(res, WG_RESULT_IDENTITY, identity, WG_COUNT(identity));
}

// Refuses the addresses that documents use (RFC 5737).
WG_GUARD(req, res) {
	wg_bytes address = wg_get(req, WG_FIELD_SOURCE_IP);
	if (wg_cut(&address, WG("192.0.2."))) {
		wg_deny(res);
		wg_set(res, WG_RESULT_REASON, WG("documentation address"));
		return;
	}
	wg_allow(res);
}

static wg_bytes principal(wg_bytes token, uint8_t out[14]) {
	uint8_t sum[32];
	if (wg_sha256(token, sum) != WG_STATUS_OK) __builtin_trap();
	wg_copy(out, "token:", 6);
	for (int i = 0; i < 4; i++) {
		out[6 + 2 * i] = (uint8_t)"0123456789abcdef"[sum[i] >> 4];
		out[7 + 2 * i] = (uint8_t)"0123456789abcdef"[sum[i] & 15];
	}
	return (wg_bytes){out, 14};
}

// Lets in whose token is signed. A real plugin checks the claims too.
WG_AUTHORIZE(req, res) {
	wg_bytes token = wg_header(req, WG("authorization"));
	if (!wg_cut(&token, WG("Bearer "))) {
		wg_deny(res);
		return;
	}
	int32_t status = wg_jwks_verify(ISSUER, token);
	if (status != WG_STATUS_OK) {
		wg_log(2, WG("token refused"));
		wg_deny(res);
		wg_set(res, WG_RESULT_REASON, wg_status_name(status));
		return;
	}
	uint8_t room[14];
	wg_allow(res);
	wg_for_identity(res, 5 * 60 * 1000);
	wg_set(res, WG_RESULT_PRINCIPAL, principal(token, room));
	wg_pair context[] = {{WG("tenant"), wg_first(req, WG_FIELD_STAGE_VARIABLES, WG("tenant"))}};
	wg_set_pairs(res, WG_RESULT_CONTEXT, context, WG_COUNT(context));
}

WG_IDENTIFY(req, res) {
	(void)req;
	wg_bytes selector = {key_selector, key_selector_len};
	wg_for_route(res);
	wg_set_value(res, WG_RESULT_API_KEY, WG_VALUE(WG_SELECT(selector)));
}

WG_THROTTLE(req, res) {
	(void)req;
	wg_for_route(res);
	WG_BUCKETS(res, {.name = WG("address"), .key = WG_VALUE(WG_SELECT(WG("source_ip"))), .rate = 10, .burst = 20, .cost = 1},
		{.name = WG("all"), .rate = 1000, .burst = 2000, .cost = 1});
}

WG_MAP_REQUEST(req, res) {
	uint64_t length;
	if (wg_number(req, WG_FIELD_BODY_LENGTH, &length) && length > 1000) {
		wg_decide(res, WG_DECISION_REPLY);
		wg_set_number(res, WG_RESULT_STATUS, 413);
		wg_set(res, WG_RESULT_BODY, WG("too long\n"));
		return;
	}
	WG_EDITS(res, {WG_OP_SET_HEADER, WG("x-principal"), WG_VALUE(WG_SELECT(WG("principal")))},
		{WG_OP_REMOVE_HEADER, WG("authorization"), {0}}, {WG_OP_SET_QUERY, WG("v"), WG_VALUE(WG_TEXT(WG("2")))});
}

WG_CACHE_KEY(req, res) {
	if (!wg_equal(wg_get(req, WG_FIELD_METHOD), WG("GET"))) {
		wg_set_number(res, WG_RESULT_CACHE_BYPASS, 1);
		return;
	}
	wg_set_value(res, WG_RESULT_CACHE_KEY, WG_VALUE(WG_SELECT(WG("path")), WG_SELECT(WG("param.page"))));
	wg_set_number(res, WG_RESULT_CACHE_TTL_MS, 60 * 1000);
}

WG_INTEGRATE(req, res) {
	(void)req;
	wg_for_route(res);
	wg_set_value(res, WG_RESULT_CALL_URL, WG_VALUE(WG_TEXT(WG("https://up.example")), WG_SELECT(WG("path"))));
	wg_set_number(res, WG_RESULT_CALL_TIMEOUT_MS, 5000);
}

WG_MAP_RESPONSE(req, res) {
	uint64_t status;
	if (!wg_number(req, WG_FIELD_STATUS, &status) || status < 500) return;
	WG_EDITS(res, {WG_OP_SET_HEADER, WG("content-type"), WG_VALUE(WG_TEXT(WG("text/plain")))},
		{WG_OP_SET_BODY, {0}, WG_VALUE(WG_TEXT(WG("out of order\n")))});
}

WG_OBSERVE(req, res) {
	wg_pair labels[] = {{WG("tenant"), wg_first(req, WG_FIELD_CONTEXT, WG("tenant"))}};
	wg_set_pairs(res, WG_RESULT_LABELS, labels, WG_COUNT(labels));
}
