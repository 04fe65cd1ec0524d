package host_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/net/http2"
)

// attack is what one connection of an attacker does.
type attack struct {
	name string
	run  func(a *attacker)
}

// attacksHTTP2 are the attacks by frames.
var attacksHTTP2 = []attack{
	{"rapid reset", func(a *attacker) {
		a.hello()
		a.until(func(n uint32) error {
			a.request(2*n+1, "/slow", true)
			return a.frames.WriteRSTStream(2*n+1, http2.ErrCodeCancel)
		})
	}},
	{"reset at the upstream", func(a *attacker) {
		a.hello()
		a.until(func(n uint32) error {
			for i := range uint32(100) {
				a.request(200*n+2*i+1, "/slow", true)
			}
			if err := a.pause(100 * time.Millisecond); err != nil {
				return err
			}
			for i := range uint32(100) {
				if err := a.frames.WriteRSTStream(200*n+2*i+1, http2.ErrCodeCancel); err != nil {
					return err
				}
			}
			return nil
		})
	}},
	{"heads of 60 KiB by references", func(a *attacker) {
		a.hello(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		a.request(1, "/slow", true, "x-large", strings.Repeat("y", 3900))
		bomb := append(bytes.Clone(a.fields("/slow")), bytes.Repeat([]byte{0xbe}, 14)...)
		for n := range uint32(99) {
			a.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*n + 3, BlockFragment: bomb, EndStream: true, EndHeaders: true})
		}
		a.until(func(uint32) error { return a.pause(50 * time.Millisecond) })
	}},
	{"made to reset", func(a *attacker) {
		a.hello()
		a.until(func(n uint32) error {
			a.request(2*n+1, "/slow", true)
			_, err := a.Write([]byte{0, 0, 4, 8, 0, 0, 0, 0, byte(2*n + 1), 0, 0, 0, 0})
			return err
		})
	}},
	{"requests without reading", func(a *attacker) {
		a.hello()
		a.until(func(n uint32) error { return a.request(2*n+1, "/slow", true) })
	}},
	{"CONTINUATION", func(a *attacker) {
		a.hello()
		a.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: a.fields("/")})
		junk := bytes.Repeat([]byte{0}, 16000)
		a.until(func(uint32) error { return a.frames.WriteContinuation(1, false, junk) })
	}},
	{"HPACK bomb, windows shut", func(a *attacker) {
		a.hello(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		a.request(1, "/ok", true, "x-large", strings.Repeat("y", 3900))
		bomb := append(bytes.Clone(a.fields("/ok")), bytes.Repeat([]byte{0xbe}, 16000)...)
		a.until(func(n uint32) error {
			return a.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*n + 3, BlockFragment: bomb, EndStream: true, EndHeaders: true})
		})
	}},
	{"refused heads, windows shut", func(a *attacker) {
		a.hello(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		var many []string
		for i := range 250 {
			many = append(many, fmt.Sprint("x-", i), "y")
		}
		a.until(func(n uint32) error { return a.request(2*n+1, "/ok", true, many...) })
	}},
	{"refused bodies, windows shut", func(a *attacker) {
		a.hello(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		a.until(func(n uint32) error { return a.request(2*n+1, "/ok", false, "content-length", "99999999999") })
	}},
	{"bodies that nobody reads", func(a *attacker) {
		a.hello()
		for n := range uint32(100) {
			a.request(2*n+1, "/slow", false)
		}
		a.until(func(n uint32) error {
			if n >= 60 { // what all windows together hold
				return a.pause(50 * time.Millisecond)
			}
			return a.frames.WriteData(2*(n%100)+1, false, make([]byte, 16000))
		})
	}},
	{"answers of 5 MB, windows of a byte", func(a *attacker) {
		a.hello(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})
		for n := range uint32(100) {
			a.request(2*n+1, "/large", true)
		}
		a.until(func(n uint32) error {
			if err := a.frames.WriteWindowUpdate(2*(n%100)+1, 1); err != nil {
				return err
			}
			return a.pause(time.Millisecond)
		})
	}},
	{"answers of 5 MB, windows shut", func(a *attacker) {
		a.hello(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		for n := range uint32(100) {
			a.request(2*n+1, "/large", true)
		}
		a.until(func(uint32) error { return a.pause(50 * time.Millisecond) })
	}},
	{"answers of 5 MB, nothing read", func(a *attacker) {
		a.hello(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
		a.frames.WriteWindowUpdate(0, 1<<31-1-65535)
		for n := range uint32(100) {
			a.request(2*n+1, "/large", true)
		}
		a.until(func(uint32) error {
			<-time.After(50 * time.Millisecond)
			return a.frames.WritePing(false, [8]byte{})
		})
	}},
	{"bodies of a byte at a time", func(a *attacker) {
		a.hello()
		a.request(1, "/read", false)
		a.until(func(uint32) error {
			if err := a.frames.WriteData(1, false, []byte{'x'}); err != nil {
				return err
			}
			return a.pause(20 * time.Millisecond)
		})
	}},
	{"empty CONTINUATION", func(a *attacker) {
		a.hello()
		a.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: a.fields("/")})
		a.until(func(uint32) error { return a.frames.WriteContinuation(1, false, nil) })
	}},
	{"half a preface", func(a *attacker) {
		io.WriteString(a, http2.ClientPreface[:20])
		a.until(func(uint32) error { return a.pause(50 * time.Millisecond) })
	}},
	{"half a head", func(a *attacker) {
		a.hello()
		a.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: a.fields("/ok")})
		a.until(func(uint32) error { return a.pause(50 * time.Millisecond) })
	}},
	{"SETTINGS", func(a *attacker) {
		a.hello()
		a.until(func(n uint32) error {
			return a.frames.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: n % 65536})
		})
	}},
	{"PING", func(a *attacker) {
		a.hello()
		a.until(func(uint32) error { return a.frames.WritePing(false, [8]byte{}) })
	}},
	{"PRIORITY", func(a *attacker) {
		a.hello()
		a.until(func(uint32) error { return a.frames.WritePriority(9, http2.PriorityParam{StreamDep: 1}) })
	}},
	{"WINDOW_UPDATE", func(a *attacker) {
		a.hello()
		a.until(func(uint32) error { return a.frames.WriteWindowUpdate(0, 1) })
	}},
	{"empty DATA", func(a *attacker) {
		a.hello()
		a.request(1, "/slow", false)
		a.until(func(uint32) error { return a.frames.WriteData(1, false, nil) })
	}},
	{"empty HEADERS", func(a *attacker) {
		a.hello()
		a.until(func(n uint32) error {
			return a.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*n + 1, EndHeaders: true, EndStream: true})
		})
	}},
}

// attacksHTTP1 are those by bytes.
var attacksHTTP1 = []attack{
	{"slow heads", func(a *attacker) {
		io.WriteString(a, "GET /ok HTTP/1.1\r\nHost: 127.0.0.1\r\n")
		a.until(func(uint32) error {
			if _, err := a.Write([]byte{'x'}); err != nil {
				return err
			}
			return a.pause(20 * time.Millisecond)
		})
	}},
	{"slow bodies", func(a *attacker) {
		io.WriteString(a, "POST /read HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\n")
		a.until(func(uint32) error {
			if _, err := a.Write([]byte{'x'}); err != nil {
				return err
			}
			return a.pause(20 * time.Millisecond)
		})
	}},
	{"slow readers", func(a *attacker) {
		io.WriteString(a, "GET /large HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
		a.until(func(uint32) error {
			<-time.After(20 * time.Millisecond)
			_, err := a.Read(make([]byte, 1))
			return err
		})
	}},
	{"pipelines", func(a *attacker) {
		many := []byte(strings.Repeat("GET /ok HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400))
		a.until(func(uint32) error { _, err := a.Write(many); return err })
	}},
}

// attacksTCP are those that never finish a TLS handshake.
var attacksTCP = []attack{
	{"half-open hellos", func(a *attacker) {
		io.WriteString(a, "\x16\x03\x01\x02\x00\x01\x00")
		a.until(func(uint32) error { return a.pause(50 * time.Millisecond) })
	}},
	{"hellos of a byte at a time", func(a *attacker) {
		io.WriteString(a, "\x16\x03\x01\x02\x00")
		a.until(func(uint32) error {
			if _, err := a.Write([]byte{1}); err != nil {
				return err
			}
			return a.pause(50 * time.Millisecond)
		})
	}},
}
