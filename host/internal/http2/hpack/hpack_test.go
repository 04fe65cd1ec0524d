package hpack

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2/hpack"
)

// decode reads a block, checking that what was stored in Checked belongs to the field.
func decode(d *Decoder, block []byte) (out []string, err error) {
	d.Start(block)
	var f Field
	for {
		more, err := d.Next(&f)
		if err != nil || !more {
			return out, err
		}
		out = append(out, fmt.Sprintf("%s: %s", f.Name, f.Value))
		if f.Checked != nil {
			*f.Checked = true
		}
	}
}

func oracle(fields *[]string) *hpack.Decoder {
	return hpack.NewDecoder(DefaultTableSize, func(f hpack.HeaderField) {
		*fields = append(*fields, fmt.Sprintf("%s: %s", f.Name, f.Value))
	})
}

// randomField draws from few names and values, so that tables are used, and some large ones.
func randomField(r *rand.Rand) (string, string) {
	names := []string{":path", "accept", "x-a", "x-long-name-of-a-field", "cookie", "set-cookie", "content-type", "date"}
	value := fmt.Sprint(r.IntN(6))
	switch r.IntN(10) {
	case 0:
		value = strings.Repeat("v", r.IntN(5000))
	case 1:
		b := make([]byte, r.IntN(40))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		value = string(b)
	}
	return names[r.IntN(len(names))], value
}

func TestDecoderReadsWhatTheOracleWrites(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var buf bytes.Buffer
	enc := hpack.NewEncoder(&buf)
	d := NewDecoder(DefaultTableSize)
	for range 5000 {
		buf.Reset()
		if r.IntN(20) == 0 {
			enc.SetMaxDynamicTableSize(uint32(r.IntN(DefaultTableSize + 1)))
		}
		var want []string
		for range r.IntN(12) {
			name, value := randomField(r)
			want = append(want, name+": "+value)
			require.NoError(t, enc.WriteField(hpack.HeaderField{Name: name, Value: value, Sensitive: r.IntN(8) == 0}))
		}
		got, err := decode(d, buf.Bytes())
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	require.LessOrEqual(t, cap(d.dyn.text), 2*DefaultTableSize+64)
	require.LessOrEqual(t, len(d.dyn.entries), 128)
}

func TestOracleReadsWhatTheEncoderWrites(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var got []string
	o := oracle(&got)
	e := NewEncoder(DefaultTableSize, maphash.MakeSeed())
	for range 5000 {
		if r.IntN(20) == 0 {
			for range r.IntN(3) {
				e.SetPeerTableSize(uint32(r.IntN(2 * DefaultTableSize)))
			}
		}
		status := []int{200, 204, 206, 304, 400, 404, 500, 201, 599}[r.IntN(9)]
		block := e.AppendStatus(e.AppendStart(nil), status)
		want := []string{fmt.Sprintf(":status: %d", status)}
		for range r.IntN(12) {
			name, value := randomField(r)
			want = append(want, name+": "+value)
			block = e.AppendField(block, []byte(name), []byte(value))
		}
		got = nil
		_, err := o.Write(block)
		require.NoError(t, err)
		require.NoError(t, o.Close())
		require.Equal(t, want, got)
	}
}

// What is the same in each answer takes a byte from the third one on.
func TestEncoderIndexesWhatRepeats(t *testing.T) {
	e := NewEncoder(DefaultTableSize, maphash.MakeSeed())
	var n int
	for i := range 100 {
		b := e.AppendStatus(e.AppendStart(nil), 200)
		b = e.AppendField(b, []byte("content-type"), []byte("application/json"))
		b = e.AppendField(b, []byte("x-request-id"), fmt.Appendf(nil, "%036d", i))
		n = len(b)
	}
	require.Equal(t, 1+1+1+13+37, n)
	b := e.AppendField(nil, []byte("set-cookie"), []byte("a=b"))
	require.Equal(t, b, e.AppendField(nil, []byte("set-cookie"), []byte("a=b")))
	require.Equal(t, byte(0x1f), b[0], "never indexed")
}

// RFC 7541 appendix C.
func TestExamples(t *testing.T) {
	d := NewDecoder(DefaultTableSize)
	for _, k := range []struct{ block, want string }{
		{"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff", ":method: GET|:scheme: http|:path: /|:authority: www.example.com"},
		{"\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf", ":method: GET|:scheme: http|:path: /|:authority: www.example.com|cache-control: no-cache"},
		{"\x82\x87\x85\xbf\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf",
			":method: GET|:scheme: https|:path: /index.html|:authority: www.example.com|custom-key: custom-value"},
	} {
		got, err := decode(d, []byte(k.block))
		require.NoError(t, err)
		require.Equal(t, k.want, strings.Join(got, "|"))
	}
	require.Equal(t, 164, d.dyn.size)
}

func TestMalformed(t *testing.T) {
	for block, why := range map[string]string{
		"\x80":                         "index 0 (6.1)",
		"\xbe":                         "index beyond the tables (2.3.3)",
		"\xff\xff\xff\xff\xff\xff\x01": "integer overflow (5.1)",
		"\xff":                         "integer without end",
		"\x00":                         "literal without name",
		"\x00\x05abc":                  "string without end (5.2)",
		"\x40\x01a":                    "literal without value",
		"\x7f\x00\x01a":                "name of an index beyond the tables",
		"\x82\x20":                     "size update behind a field (4.2)",
		"\x20\x20\x20\x82":             "three size updates (4.2)",
		"\x3f\xe2\x1f":                 "size update beyond the limit (6.3)",
		"\x00\x81\xff\x00":             "padding of eight bits (5.2)",
		"\x00\x81\x00\x00":             "padding that is not ones (5.2)",
		"\x00\x84\xff\xff\xff\xff\x00": "EOS (5.2)",
		"\x00\x85\xf2\xb2\x43\x7f\xff": "padding longer than seven bits",
	} {
		_, err := decode(NewDecoder(DefaultTableSize), []byte(block))
		require.ErrorIs(t, err, ErrCompression, why)
	}
	for block, why := range map[string]string{
		"":                     "empty block",
		"\x20\x3f\xe1\x1f\x82": "two size updates",
		"\x20":                 "nothing but a size update",
		"\x00\x81\x1f\x00":     "a Huffman-coded a",
		"\x00\x00\x00":         "empty name",
	} {
		_, err := decode(NewDecoder(DefaultTableSize), []byte(block))
		require.NoError(t, err, why)
	}
}

func TestDecodingAllocatesNothing(t *testing.T) {
	var buf bytes.Buffer
	enc := hpack.NewEncoder(&buf)
	d := NewDecoder(DefaultTableSize)
	e := NewEncoder(DefaultTableSize, maphash.MakeSeed())
	name, value := []byte("x-request-id"), []byte("0000")
	var out []byte
	i := 0
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		buf.Reset()
		i++
		value[3], value[2], value[1] = byte('0'+i%10), byte('0'+i/10%10), byte('0'+i/100%10)
		enc.WriteField(hpack.HeaderField{Name: "x-request-id", Value: "c0ffee"})
		buf.WriteString("\x40\x0cx-request-id\x04")
		buf.Write(value)
		d.Start(buf.Bytes())
		var f Field
		for more := true; more; {
			more, _ = d.Next(&f)
		}
		out = e.AppendField(out[:0], name, value)
	}))
}

// FuzzDecoder holds the decoder against x/net's on any bytes, two blocks in a row. Ours is
// stricter in what must be an error: a size update behind a field, more than two of them.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte("\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"), []byte("\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf"))
	f.Add([]byte("\x20\x3f\xe1\x1f\x40\x01a\x01b"), []byte("\xbe\x7f\x00\x01c"))
	f.Add([]byte("\x00\x85\xf2\xb2\x43\x7f\xff"), []byte{})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		d := NewDecoder(DefaultTableSize)
		var want []string
		o := oracle(&want)
		for _, block := range [][]byte{first, second} {
			want = nil
			got, err := decode(d, block)
			_, oracleErr := o.Write(block)
			if oracleErr == nil {
				oracleErr = o.Close()
			}
			if err != nil {
				return // what x/net takes beyond that is listed above and in TestMalformed
			}
			require.NoError(t, oracleErr)
			require.Equal(t, want, got)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	var buf bytes.Buffer
	enc := hpack.NewEncoder(&buf)
	for _, f := range []string{":method GET", ":scheme https", ":authority api.example.com", ":path /v1/pets/42?limit=10",
		"user-agent Mozilla/5.0 (X11; Linux x86_64)", "accept application/json", "accept-encoding gzip, deflate, br"} {
		name, value, _ := strings.Cut(f, " ")
		enc.WriteField(hpack.HeaderField{Name: name, Value: value, Sensitive: name == ":path"})
	}
	first := bytes.Clone(buf.Bytes())
	for name, run := range map[string]func(block []byte){
		"ours": func() func([]byte) {
			d := NewDecoder(DefaultTableSize)
			var f Field
			return func(block []byte) {
				d.Start(block)
				for more := true; more; {
					more, _ = d.Next(&f)
				}
			}
		}(),
		"x-net": func() func([]byte) {
			d := hpack.NewDecoder(DefaultTableSize, func(hpack.HeaderField) {})
			return func(block []byte) { d.Write(block); d.Close() }
		}(),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				run(first)
			}
		})
	}
}
