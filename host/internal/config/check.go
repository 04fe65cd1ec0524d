package config

import (
	"strings"

	"github.com/wasmgate/wasmgate/host/internal/document"
)

// check refuses keys that contradict each other.
func (l *loader) check(c *Config) {
	refuse := func(wrong bool, key, got, want string) {
		if !wrong {
			return
		}
		if v, ok := l.layers.Get(key).(document.Value); ok {
			v.Report(got, want)
			return
		}
		l.problem(c.File, got+" for "+key, want)
	}
	tls := c.TLS
	files, acme := tls.Mode == ModeFiles, tls.Mode == ModeACME
	refuse(files && len(tls.Certificates) == 0, "tls.mode", `"files" without tls.certificates`, "at least one certificate")
	refuse((acme || tls.Mode == ModeInternal) && len(tls.Certificates) > 0, "tls.certificates", "certificates with another tls.mode than files", `tls.mode "files", or none`)
	refuse(acme && len(tls.ACME.Domains) == 0, "tls.mode", `"acme" without tls.acme.domains`, "at least one domain")
	refuse(acme && !tls.ACME.HTTPChallenge && !tls.ACME.TLSALPNChallenge, "tls.mode", `"acme" with no challenge on`, "tls.acme.http_challenge or tls.acme.tls_alpn_challenge true")
	refuse(acme && !tls.ACME.TLSALPNChallenge && c.Listen.HTTP == "", "listen.http", "no plain listener, which http-01 needs", "an address")
	same := func(a, b string) bool { return a != "" && a == b && !strings.HasSuffix(a, ":0") }
	refuse(same(c.Listen.HTTP, c.Listen.HTTPS), "listen.http", "the address of listen.https", "another one")
	refuse(same(c.Listen.Admin, c.Listen.HTTPS), "listen.admin", "the address of listen.https", "another one")
	refuse(same(c.Listen.Admin, c.Listen.HTTP), "listen.admin", "the address of listen.http", "another one")
}
