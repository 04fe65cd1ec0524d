package model_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wasmgate/wasmgate/host/model"
)

func TestNeverUpstream(t *testing.T) {
	for text, want := range map[string]bool{
		"169.254.169.254": true, "169.254.0.1": true, "169.253.255.255": false, "169.255.0.0": false,
		"::ffff:169.254.169.254": true, "64:ff9b::a9fe:a9fe": true, "2002:a9fe:a9fe::1": true, "::169.254.169.254": true,
		"2001:0:1:2:3:4:5601:5601": true, // Teredo of 169.254.169.254
		"fe80::1":                  true, "fe80::1%eth0": true, "fec0::1": false, "fd00:ec2::254": true, "fd20:ce::254": true, "fd20:ce::255": false,
		"100.100.100.200": true, "100.100.100.201": false, "192.0.0.192": true,
		"127.0.0.1": false, "::1": false, "::": false, "10.0.0.1": false, "8.8.8.8": false, "2002:808:808::1": false,
	} {
		assert.Equal(t, want, model.NeverUpstream(netip.MustParseAddr(text)), text)
	}
	assert.False(t, model.NeverUpstream(netip.Addr{}))
}
