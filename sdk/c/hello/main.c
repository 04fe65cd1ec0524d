// Hello is an authorizer: it lets in who sends x-token: let-me-in.
#include "wasmgate.h"

WG_PLUGIN

WG_AUTHORIZE(req, res) {
	if (!wg_equal(wg_header(req, WG("x-token")), WG("let-me-in"))) {
		wg_deny(res);
		return;
	}
	wg_allow(res);
	wg_set(res, WG_RESULT_PRINCIPAL, WG("friend"));
}
