package recording

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
)

// jwt is a token without meaning.
func jwt(claims string) string {
	e := base64.RawURLEncoding.EncodeToString
	return e([]byte(`{"alg":"RS256","kid":"key-2026","typ":"JWT"}`)) + "." + e([]byte(claims)) + "." + strings.Repeat("Zz9-", 20)
}

const claims = `{"iss":"https://id.example","aud":["shop","x"],"sub":"user-4711","exp":1795865137,"phone":4912345678,"address":{"iss":"Main St 5"},"n":"a\"b"}`

func rules(r Rules) *Rules {
	r.Query = append(r.Query, "token", "password", "code")
	return r.ready()
}

func request(t *testing.T, hook abi.Hook, fields casefile.Fields) abi.Request {
	t.Helper()
	record, err := casefile.EncodeRequest(hook, fields)
	require.NoError(t, err)
	q, err := abi.ParseRequest(record)
	require.NoError(t, err)
	return q
}

func raw(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// What is written of a request, by the rules: the value of the field that the test names.
func TestRequest(t *testing.T) {
	token := jwt(claims)
	for name, test := range map[string]struct {
		rules Rules
		field string
		value any
		want  string
		where string
	}{
		"bearer keeps its scheme":  {Rules{}, "headers", [][2]string{{"authorization", "Bearer abcdefghij"}}, `[["authorization","Bearer 0redacted0"]]`, "header.authorization"},
		"basic stays base64":       {Rules{}, "headers", [][2]string{{"authorization", "Basic bWU6cGFzc3dvcmQ="}}, `[["authorization","Basic 0redacted0redac="]]`, "header.authorization"},
		"signature keeps its form": {Rules{}, "headers", [][2]string{{"authorization", "AWS4-HMAC-SHA256 Credential=AK/1/x, Signature=00ff"}}, `[["authorization","AWS4-HMAC-SHA256 0redacted0=ed/c/e, redacted0=edac"]]`, "header.authorization"},
		"a key alone":              {Rules{}, "headers", [][2]string{{"x-api-key", "k1"}, {"a", "k1"}}, `[["x-api-key","0r"],["a","k1"]]`, "header.x-api-key"},
		"cookies keep their names": {Rules{}, "headers", [][2]string{{"cookie", "a=1; sid=2345678"}}, `[["cookie","a=2; sid=2222222"]]`, "header.cookie"},
		"set-cookie":               {Rules{}, "response_headers", [][2]string{{"set-cookie", "sid=secret99; Path=/; HttpOnly"}}, `[["set-cookie","sid=0redacte; Path=/; HttpOnly"]]`, "response_header.set-cookie"},
		"revealed":                 {Rules{Reveal: []string{"header.Cookie"}}, "headers", [][2]string{{"cookie", "a=1"}}, `[["cookie","a=1"]]`, ""},
		"one cookie of those":      {Rules{Reveal: []string{"header.cookie"}, Redact: []string{"cookie.sid"}}, "headers", [][2]string{{"cookie", "a=abcdefghi; sid=jklmnopqr"}}, `[["cookie","a=abcdefghi; sid=0redacted"]]`, "header.cookie"},
		"named by the operator":    {Rules{Redact: []string{"header.X-Tenant"}}, "headers", [][2]string{{"x-tenant", "acme"}}, `[["x-tenant","0red"]]`, "header.x-tenant"},
		"raw query":                {Rules{}, "query", "a=1&ToKen=s3%20cret&token[]=x;code=9&tokens=2", `"a=1&ToKen=1redacted&token[]=2;code=4&tokens=2"`, "query"},
		"name encoded twice":       {Rules{}, "query", "%2574oken=abc&x=abc", `"%2574oken=0re&x=abc"`, "query"},
		"operator's name encoded":  {Rules{Redact: []string{"param.my_key"}}, "query", "my%5Fkey[0]=abc;my_key2=abc", `"my%5Fkey[0]=0re;my_key2=abc"`, "query"},
		"parameters":               {Rules{}, "query_params", [][2]string{{"token", "s3 cret"}, {"a", "s3 cret"}}, `[["token","0r dact"],["a","0r dact"]]`, "param.token param.a"},
		"revealed parameter":       {Rules{Reveal: []string{"param.code"}}, "query_params", [][2]string{{"code", "abcdefgh"}}, `[["code","abcdefgh"]]`, ""},
		"context by its name":      {Rules{}, "context", [][2]string{{"sts.Token", "ab-cd"}, {"tokens", "ab-cd"}, {"a", "x ab-cd"}}, `[["sts.Token","0reda"],["tokens","0reda"],["a","x 0reda"]]`, "context.sts.Token context.tokens context.a"},
		"revealed context":         {Rules{Reveal: []string{"context.code"}}, "context", [][2]string{{"code", "ab-cd"}}, `[["code","ab-cd"]]`, ""},
		"path parameter":           {Rules{Redact: []string{"path_param.id"}}, "path_params", [][2]string{{"id", "42"}}, `[["id","11"]]`, "path_param.id"},
		"principal":                {Rules{Redact: []string{"principal"}}, "principal", "me", `"0r"`, "principal"},
		"JSON body":                {Rules{}, "body", `{"user":"u","Password" : "hunter2\"x","code":1234,"codes":"9"}`, `"{\"user\":\"u\",\"Password\" : \"0redacted0\",\"code\":2222,\"codes\":\"9\"}"`, "body"},
		"form body":                {Rules{}, "body", `user=u&password=hunter2&x=hunter2&y=hunter22`, `"user=u&password=0redact&x=0redact&y=hunter22"`, "body"},
		"multipart body":           {Rules{}, "body", "--b\r\nContent-Disposition: form-data; name=\"password\"\r\nX: y\r\n\r\nhunter2\r\n--b--", `"--b\r\nContent-Disposition: form-data; name=\"password\"\r\nX: y\r\n\r\n0redact\r\n--b--"`, "body"},
		"flags are no secrets":     {Rules{}, "headers", [][2]string{{"cookie", "consent=true; n=12345678"}, {"a", "true 12345678"}}, `[["cookie","consent=0red; n=22222222"],["a","true 22222222"]]`, "header.cookie header.a"},
		"all of a body":            {Rules{Redact: []string{"body"}}, "body", `any thing`, `"0redacted"`, "body"},
		"reference":                {Rules{References: []string{"https://id.example/path", "short", "xy"}}, "path", "/https://id.example/path/short", `"/https://d0.edacted/reda/short"`, "path"},
		"short reference alone":    {Rules{References: []string{"short"}}, "path", "short", `"0reda"`, "path"},
		"token by its form":        {Rules{}, "path", "/x/" + token + "/y", "", "path"},
	} {
		t.Run(name, func(t *testing.T) {
			hook := abi.HookMapRequest
			if strings.HasPrefix(test.field, "response") {
				hook = abi.HookMapResponse
			}
			q := request(t, hook, casefile.Fields{test.field: raw(test.value)})
			r := newRedactor(rules(test.rules))
			r.learnRequest(q)
			fields, cut, err := r.request(q)
			require.NoError(t, err)
			assert.Empty(t, cut)
			var want []string
			if test.where != "" {
				want = strings.Fields(test.where)
			}
			assert.Equal(t, want, r.where)
			if test.want == "" {
				assert.NotContains(t, string(fields[test.field]), token[len(token)-40:])
				return
			}
			var got bytes.Buffer
			e := json.NewEncoder(&got)
			e.SetEscapeHTML(false)
			var v any
			require.NoError(t, json.Unmarshal(fields[test.field], &v))
			require.NoError(t, e.Encode(v))
			assert.Equal(t, test.want, strings.TrimSuffix(got.String(), "\n"))
		})
	}
}

// A token without its secrets is a token, and its claims have one placeholder everywhere.
func TestToken(t *testing.T) {
	r := newRedactor(rules(Rules{Reveal: []string{"claim.n"}}))
	token := jwt(claims)
	got := string(r.learn([]byte(token)).placeholder)
	require.Len(t, got, len(token))
	parts := strings.Split(got, ".")
	header, err := base64.RawURLEncoding.Strict().DecodeString(parts[0])
	require.NoError(t, err)
	assert.Equal(t, `{"alg":"RS256","kid":"0redacte","typ":"JWT"}`, string(header))
	payload, err := base64.RawURLEncoding.Strict().DecodeString(parts[1])
	require.NoError(t, err)
	assert.Equal(t, `{"iss":"https://id.example","aud":["shop","x"],"sub":"0redacted","exp":1795865137,"phone":1111111111,"address":{"iss":"0redacted"},"n":"a\"b"}`, string(payload))
	_, err = base64.RawURLEncoding.Strict().DecodeString(parts[2])
	require.NoError(t, err)
	assert.Equal(t, "to 0redacted!", string(r.text("", []byte("to user-4711!"))))
	assert.Equal(t, "shop", string(r.text("", []byte("shop"))))

	for _, odd := range []string{token + "." + token, "eyJhbGciOiJub25lIn0.bm90IGpzb24", "eyJub3QganNvbiBhdCBhbGw.eyJub3QganNvbiBhdCBhbGw.x", "eyJhbGciOiJub25lIn0.eyJhIjoiXHUwMDQxXFxcIiJ9."} {
		assert.Len(t, r.learn([]byte(odd)).placeholder, len(odd), odd)
	}
}

// Wherever a credential of eight bytes and more stands, and however it is encoded, no eight
// bytes of it are left, and the length stays.
func TestTextLeavesNothing(t *testing.T) {
	encode := map[string]func(string) string{
		"plain":     func(s string) string { return s },
		"query":     url.QueryEscape,
		"twice":     func(s string) string { return url.QueryEscape(url.QueryEscape(s)) },
		"all":       func(s string) string { return percent(s, "%") },
		"all twice": func(s string) string { return strings.ToLower(percent(s, "%25")) },
		"base64":    func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
		"base64 at": func(s string) string { return base64.URLEncoding.EncodeToString([]byte("y" + s + "zz")) },
		"base64 2":  func(s string) string { return url.QueryEscape(base64.StdEncoding.EncodeToString([]byte("yy" + s))) },
		"hex":       func(s string) string { return hex.EncodeToString([]byte(s)) },
		"HEX":       func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) },
		"JSON":      func(s string) string { return jsonText(s, false) },
		"HTML":      func(s string) string { return jsonText(s, true) },
		"piece":     func(s string) string { return s[len(s)/3:] },
	}
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(`[A-Z][ -~]{20,60}[A-Z]`).Draw(t, "secret")
		name := rapid.SampledFrom([]string{"plain", "query", "twice", "all", "all twice", "base64", "base64 at", "base64 2", "hex", "HEX", "JSON", "HTML", "piece"}).Draw(t, "encoding")
		before := rapid.StringMatching(`[a-z/=&]{0,20}`).Draw(t, "before")
		text := before + encode[name](secret) + rapid.StringMatching(`[a-z/=&]{0,20}`).Draw(t, "after")
		r := newRedactor(rules(Rules{}))
		r.learn([]byte("another-credential"))
		r.learn([]byte(secret))
		got := string(r.text("", []byte(text)))
		if len(got) != len(text) {
			t.Fatalf("%q has %d bytes, want %d", got, len(got), len(text))
		}
		separators := strings.NewReplacer(" ", "", ",", "", ";", "", "=", "", "&", "", "/", "", ".", "", ":", "")
		for _, view := range []string{got, unescape(got), unescape(unescape(got)), unbase64(got, len(before)), unhex(got, len(before))} {
			for i := range len(secret) - gram + 1 {
				if piece := secret[i : i+gram]; strings.Contains(view, piece) && len(separators.Replace(piece)) > 2 && !strings.Contains(piece, "redacted") {
					t.Fatalf("%s: %q of the secret %q is left in %q of %q", name, piece, secret, view, text)
				}
			}
		}
	})
}

func percent(s, mark string) string {
	out := ""
	for i := range len(s) {
		out += mark + strings.ToUpper(hex.EncodeToString([]byte{s[i]}))
	}
	return out
}

func unescape(s string) string {
	v := newView([]byte(s))
	if next, ok := v.decode(); ok {
		return string(next.text)
	}
	return s
}

func unbase64(s string, from int) string {
	out := make([]byte, len(s))
	n, _ := base64.StdEncoding.Decode(out, []byte(strings.NewReplacer("-", "+", "_", "/").Replace(unescape(s)[from:])))
	return string(out[:n])
}

func unhex(s string, from int) string {
	out, _ := hex.DecodeString(s[from:])
	return string(out)
}

// A config stays JSON of its types; what is no secret stays as it is.
func TestConfig(t *testing.T) {
	r := newRedactor(rules(Rules{Secrets: []string{`k"ey<>\secret`}, References: []string{"https://id.example", "12345678", "info", "100"}}))
	config := `{"key":` + string(raw(`k"ey<>\secret`)) + `,"issuer":"https://id.example","pin":12345678,"level":"info","rate":100,"text":"info 100 x"}`
	got := string(r.config([]byte(config)))
	assert.Len(t, got, len(config))
	var v map[string]any
	require.NoError(t, json.Unmarshal([]byte(got), &v), got)
	assert.EqualValues(t, 11111111, v["pin"])
	assert.EqualValues(t, 100, v["rate"])
	assert.Equal(t, "info 100 x", v["text"])
	assert.NotEqual(t, "info", v["level"])
	assert.Regexp(t, `^https://`, v["issuer"])
	assert.NotContains(t, got, "id.example")
	assert.NotContains(t, got, "secret")
	assert.Equal(t, []string{"config"}, r.where)

	revealed := newRedactor(rules(Rules{References: []string{"https://id.example"}, Reveal: []string{"config"}}))
	assert.Equal(t, config, string(revealed.config([]byte(config))))
	plain := newRedactor(rules(Rules{References: []string{"https://id.example"}}))
	assert.Equal(t, "see https://d0.edacted", string(plain.config([]byte("see https://id.example"))))
	assert.Nil(t, plain.config(nil))
}

// Bodies are cut, after their secrets were learnt.
func TestBodiesAreCut(t *testing.T) {
	body := strings.Repeat("x", maxBody-4) + "secret-of-the-body&password=secret-of-the-body"
	q := request(t, abi.HookMapRequest, casefile.Fields{"body": raw(body), "query": raw("a=secret-of-the-body")})
	r := newRedactor(rules(Rules{}))
	r.learnRequest(q)
	fields, cut, err := r.request(q)
	require.NoError(t, err)
	assert.Equal(t, []string{"body"}, cut)
	assert.Equal(t, "1", string(fields["body_truncated"]))
	assert.Equal(t, `"a=0redacted0redacted"`, string(fields["query"]))
	var got string
	require.NoError(t, json.Unmarshal(fields["body"], &got))
	assert.Len(t, got, maxBody)
}

func FuzzText(f *testing.F) {
	f.Add([]byte("secret-value"), []byte("x=secret%2dvalue&y=%2573ecret-value"))
	f.Add([]byte("%25%37%33ecret"), []byte("%25%37%33ecret%"))
	f.Add([]byte(jwt(claims)), []byte("Bearer "+jwt(claims)))
	f.Fuzz(func(t *testing.T, secret, text []byte) {
		if len(secret) > 4096 || len(text) > 4096 {
			return
		}
		r := newRedactor(rules(Rules{References: []string{string(text)}}))
		r.credentials("authorization", secret)
		r.learnQuery(text)
		r.learnBody(text)
		for _, got := range [][]byte{r.text("a", text), r.part("b", text), r.body("body", text), r.header("header", "cookie", text), r.header("header", "authorization", text)} {
			if len(got) != len(text) {
				t.Fatalf("%q has %d bytes, want %d", got, len(got), len(text))
			}
		}
		if c := r.config(text); json.Valid(text) && !json.Valid(c) {
			t.Fatalf("config %q became %q", text, c)
		}
		if len(secret) >= gram && !bytes.ContainsAny(secret, separators) && len(bytes.Trim(secret, "0123456789")) > 0 && !bytes.Contains(secret, []byte("redacted")) && !tokenForm.Match(secret) && bytes.Contains(r.text("", append(text, secret...)), secret) {
			t.Fatalf("%q is left", secret)
		}
	})
}
