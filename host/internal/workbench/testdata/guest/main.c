// Guest does what the header x-do says, for the tests of the workbench.
#include "wasmgate.h"

WG_PLUGIN

static uint8_t room[4096];

WG_CONFIGURE(req, res) {
	if (wg_get(req, WG_FIELD_CONFIG).len > 20) {
		wg_set(res, WG_RESULT_ERROR, WG("want a short config"));
		return;
	}
	wg_bytes identity[] = {WG("header.x-do")};
	wg_set_names(res, WG_RESULT_IDENTITY, identity, WG_COUNT(identity));
}

__attribute__((noinline)) static void spin(void) {
	for (volatile uint32_t i = 0;; i++) {}
}

// reason sets what came of a capability: the value, or its status in words.
static void reason(wg_result *res, int64_t n) {
	wg_set(res, WG_RESULT_REASON, n < 0 ? wg_status_name(n) : (wg_bytes){room, (uint32_t)n});
}

static void call(wg_result *res, wg_bytes url) {
	static uint8_t buf[1024];
	static wg_result w;
	wg_start(&w, buf, sizeof buf, 0);
	wg_set(&w, WG_RESULT_HTTP_URL, url);
	wg_bytes record = wg_finish(&w);
	int64_t n = wg_http_call(record, room, sizeof room);
	if (n < 0) {
		reason(res, n);
		return;
	}
	wg_record answer = {room, (uint32_t)n};
	wg_set(res, WG_RESULT_REASON, wg_get(answer, WG_FIELD_HTTP_BODY));
}

WG_GUARD(req, res) {
	wg_bytes what = wg_header(req, WG("x-do"));
	if (wg_equal(what, WG("trap"))) __builtin_trap();
	if (wg_equal(what, WG("spin"))) spin();
	if (wg_equal(what, WG("log"))) wg_log(2, WG("about to decide"));
	if (wg_equal(what, WG("remember"))) {
		wg_kv_set(WG("a"), WG("new"), 0);
		reason(res, wg_kv_get(WG("a"), room, sizeof room));
	}
	if (wg_equal(what, WG("recall"))) reason(res, wg_kv_get(WG("a"), room, sizeof room));
	if (wg_equal(what, WG("secret"))) reason(res, wg_secret_get(WG("key"), room, sizeof room));
	if (wg_equal(what, WG("verify"))) reason(res, wg_jwks_verify(WG("https://id.example"), WG("a.b.c")));
	if (wg_cut(&what, WG("call "))) call(res, what);
	wg_allow(res);
}
