package jwks

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"sync"
	"time"

	abi "github.com/wasmgate/wasmgate/abi/v1"
)

// Options are for [New]. The zero value works.
type Options struct {
	// Roots verify the providers' certificates; nil is the system's.
	Roots *x509.CertPool
	// Timeout is for one fetch, discovery and key set each; 0 is 1.5 seconds.
	Timeout time.Duration
	// MaxBytes is the longest document; 0 is 150,000.
	MaxBytes int64
	// Refresh is the greatest age of a set while its provider answers; 0 is two hours.
	Refresh time.Duration
	// Pause is the least time between two fetches for unknown key ids; 0 is 30 seconds.
	Pause time.Duration
	// Logger gets failed fetches; nil is slog.Default.
	Logger *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Sets are the key sets by URL. It is safe for concurrent use; [Sets.Close] ends it.
type Sets struct {
	options Options
	client  *http.Client
	ctx     context.Context // of all fetches; ended by Close
	cancel  context.CancelFunc
	fetches sync.WaitGroup

	mu     sync.Mutex
	closed bool
	sets   map[string]*set
}

// maxSets bounds what removed policies leave behind.
const maxSets = 1024

// New makes an empty collection; it fetches nothing before it is asked.
func New(o Options) *Sets {
	if o.Timeout == 0 {
		o.Timeout = 1500 * time.Millisecond
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 150_000
	}
	if o.Refresh == 0 {
		o.Refresh = 2 * time.Hour
	}
	if o.Pause == 0 {
		o.Pause = 30 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute,
		DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
	}
	s := &Sets{options: o, sets: map[string]*set{}, client: &http.Client{Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Close ends all fetches and waits for them. Verify answers unavailable afterwards.
func (s *Sets) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.fetches.Wait()
	s.client.CloseIdleConnections()
}

// Verify checks the signature of a compact JWS by the key set at a URL, or at the URL that
// the discovery document of an issuer names. It answers ok; invalid, also for tokens that
// are refused by form; not_found when the set has no such key; unavailable when there is no
// set to be had; timeout when ctx ended first. Claims are the caller's.
func (s *Sets) Verify(ctx context.Context, url string, token []byte) abi.Status {
	t, err := parse(token)
	if err != nil {
		return abi.StatusInvalid
	}
	set := s.set(url)
	if set == nil {
		return abi.StatusUnavailable
	}
	keys, status := set.current(ctx)
	if keys == nil {
		return status
	}
	candidates := keys.find(t.kid, t.hasKID)
	if len(candidates) == 0 {
		if keys, status = set.anew(ctx, keys); keys == nil {
			return status
		}
		candidates = keys.find(t.kid, t.hasKID)
	}
	if len(candidates) == 0 {
		return abi.StatusNotFound
	}
	for _, k := range candidates {
		if k.verifies(t) {
			return abi.StatusOK
		}
	}
	return abi.StatusInvalid
}

func (s *Sets) set(url string) *set {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	now := s.options.Now()
	k := s.sets[url]
	if k == nil {
		if len(s.sets) >= maxSets {
			s.evict()
		}
		k = &set{sets: s, url: url}
		s.sets[url] = k
	}
	k.used = now
	return k
}

// evict forgets the set that was not used for longest.
func (s *Sets) evict() {
	oldest := ""
	for url, k := range s.sets {
		if oldest == "" || k.used.Before(s.sets[oldest].used) {
			oldest = url
		}
	}
	delete(s.sets, oldest)
}

// set is one key set.
type set struct {
	sets *Sets
	url  string
	used time.Time // guarded by Sets.mu

	mu       sync.Mutex
	keys     *keys
	fetching chan struct{} // closed when the fetch at work ends; nil is none
	tried    time.Time     // when the last fetch ended
	asked    time.Time     // when a fetch for an unknown key id last began
	failures int           // in a row
}

// current is the set, fetched when there is none or it is too old. A set that is old but
// not too old is renewed meanwhile.
func (k *set) current(ctx context.Context) (*keys, abi.Status) {
	k.mu.Lock()
	now, refresh := k.sets.options.Now(), k.sets.options.Refresh
	have := k.keys
	var age time.Duration
	if have != nil {
		age = now.Sub(have.fetched)
	}
	if have != nil && age < refresh/4*3 || !k.mayFetch(now) {
		k.mu.Unlock()
		return have, abi.StatusUnavailable
	}
	done := k.fetch()
	k.mu.Unlock()
	if have != nil && age < refresh {
		return have, abi.StatusOK
	}
	return k.wait(ctx, done, have)
}

// anew is the set fetched again because it lacked a key, or the one at hand when that was
// done a moment ago.
func (k *set) anew(ctx context.Context, had *keys) (*keys, abi.Status) {
	k.mu.Lock()
	if k.keys != had { // somebody fetched meanwhile
		defer k.mu.Unlock()
		return k.keys, abi.StatusOK
	}
	if k.fetching == nil {
		now := k.sets.options.Now()
		if now.Sub(k.asked) < k.sets.options.Pause {
			k.mu.Unlock()
			return had, abi.StatusOK
		}
		k.asked = now
	}
	done := k.fetch()
	k.mu.Unlock()
	return k.wait(ctx, done, had)
}

// mayFetch says whether to ask the provider; after failures it is left alone for a while,
// from a second up to Pause. The caller holds the lock.
func (k *set) mayFetch(now time.Time) bool {
	if k.fetching != nil || k.failures == 0 {
		return true
	}
	rest := min(time.Second<<min(k.failures-1, 10), k.sets.options.Pause)
	return now.Sub(k.tried) >= rest
}

func (k *set) wait(ctx context.Context, done <-chan struct{}, had *keys) (*keys, abi.Status) {
	select {
	case <-done:
	case <-ctx.Done():
		return had, abi.StatusTimeout
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keys, abi.StatusUnavailable
}

// fetch joins the fetch at work or begins one. The caller holds the lock.
func (k *set) fetch() <-chan struct{} {
	if k.fetching != nil {
		return k.fetching
	}
	done := make(chan struct{})
	s := k.sets
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.fetches.Add(1)
	}
	s.mu.Unlock()
	if closed {
		close(done)
		return done
	}
	k.fetching = done
	go func() { // ends with its timeouts or Close, which waits for it
		defer s.fetches.Done()
		got, err := s.fetch(s.ctx, k.url)
		k.mu.Lock()
		k.tried = s.options.Now()
		if err == nil {
			got.fetched = k.tried
			k.keys, k.failures = got, 0
		} else {
			k.failures++
		}
		k.fetching = nil
		k.mu.Unlock()
		close(done)
		if err != nil && s.ctx.Err() == nil {
			s.options.Logger.Warn("fetch key set", "url", k.url, "error", err)
		}
	}()
	return done
}
