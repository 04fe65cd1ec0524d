package host_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
)

// mark is a version as stamps write it: of one length, so that a guest can copy it.
func mark(version int) string { return fmt.Sprintf("%08d", version) }

const (
	stampScratch = 64 << 10
	stampRecords = 1 << 10
)

// stamp is a plugin in 600 bytes that compiles in a millisecond: on the way in, once for a
// route, and on the way out, for each request, it sets x-plugin to its build's version and
// x-config to its config, which is a mark.
func stamp(build int) string {
	m := &Module{Memories: [][2]int{{8, 8}}}
	m.ExportRaw("memory", 2, 0)
	m.Export(abi.Marker, m.Func(Sig(nil, nil), nil))
	m.Export(abi.Scratch, m.Func(Sig(nil, T(I64)), nil, I64Const(stampScratch<<32|stampScratch)))
	hook := Sig(T(I32), T(I64))
	var configure []byte
	at := stampRecords
	scopes := map[abi.Hook]abi.Scope{abi.HookMapRequest: abi.ScopeRoute, abi.HookMapResponse: abi.ScopeRequest}
	for _, h := range slices.Sorted(maps.Keys(scopes)) { // the same build has the same digest
		scope := scopes[h]
		record := stampRecord(h, scope, mark(build))
		m.Data(at, record)
		// The config is the first field of the record: its offset stands behind header, id and type.
		configure = Cat(configure, I32Const(int64(at+bytes.Index(record, []byte(unset)))),
			I32Const(stampScratch), I32Const(stampScratch+20), I32Load(0), I32Add, I32Const(int64(len(unset))), MemoryCopy)
		m.Export(h.Export(), m.Func(hook, nil, I64Const(int64(at)<<32|int64(len(record)))))
		at += len(record)
	}
	m.Export(abi.HookConfigure.Export(), m.Func(hook, nil, configure, I64Const(0)))
	m.Custom(abi.ManifestSection, []byte(`{"id": "stamp", "version": "1", "abi": 1,
		"hooks": {"map_request": {"fields": ["method"]}, "map_response": {"fields": ["status"]}}}`))
	return string(m.Bytes())
}

// unset is where the guest puts its config.
const unset = "########"

func stampRecord(h abi.Hook, scope abi.Scope, version string) []byte {
	var w abi.Writer[abi.ResultField]
	buf := make([]byte, 512)
	w.Start(buf, h, 2)
	w.Uint(abi.ResultScope, uint64(scope))
	w.Edits(abi.ResultEdits, []abi.Edit{
		{Op: abi.OpSetHeader, Name: []byte("x-plugin"), Value: abi.Value(nil).Literal(version)},
		{Op: abi.OpSetHeader, Name: []byte("x-config"), Value: abi.Value(nil).Literal(unset)},
	})
	n, err := w.Finish()
	if err != nil {
		panic(err)
	}
	return buf[:n]
}

// authority issues certificates for tests of the mode files.
type authority struct {
	key   *ecdsa.PrivateKey
	cert  *x509.Certificate
	roots *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	a := &authority{key: key, roots: x509.NewCertPool()}
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	a.roots.AddCert(a.cert)
	return a
}

// issue makes a pair for names, as tls.crt and tls.key, with that serial number.
func (a *authority) issue(t testing.TB, serial int64, names ...string) files {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return files{
		"tls.crt": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		"tls.key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})),
	}
}

// withFiles is the process file's part for the mode files.
const withFiles = "tls: {mode: files, certificates: [{cert: tls.crt, key: tls.key}]}\n"
