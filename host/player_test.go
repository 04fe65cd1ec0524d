package host_test

import (
	"bufio"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// asked is a request that a player got: all of its bytes, and the number of its connection.
type asked struct {
	request    string
	connection int
}

func (a asked) target() string {
	_, after, _ := strings.Cut(a.request, " ")
	target, _, _ := strings.Cut(after, " ")
	return target
}

// player is an upstream of raw sockets, whose answers need not be HTTP.
type player struct {
	url string

	mu          sync.Mutex
	list        []asked
	connections int
}

// play serves until the test ends. answer gets each whole canonical request and says
// whether its connection goes on.
func play(t testing.TB, answer func(a asked, c net.Conn) bool) *player {
	return playRaw(t, func(p *player, number int, c net.Conn) {
		br := bufio.NewReader(c)
		for {
			request, err := readCanonical(br)
			if err != nil {
				return
			}
			a := asked{request, number}
			p.note(a)
			if !answer(a, c) {
				return
			}
		}
	})
}

// playRaw is play for what does not wait for whole requests.
func playRaw(t testing.TB, serve func(p *player, number int, c net.Conn)) *player {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &player{url: "http://" + l.Addr().String()}
	var serving sync.WaitGroup
	serving.Go(func() { // ends when l is closed; waited for below
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			p.connections++
			number := p.connections
			p.mu.Unlock()
			serving.Go(func() { // ends when the gateway closes c, after a minute at most
				defer c.Close()
				c.SetDeadline(time.Now().Add(time.Minute))
				serve(p, number, c)
			})
		}
	})
	t.Cleanup(func() { // after the gateway's, which started later
		l.Close()
		serving.Wait()
	})
	return p
}

func (p *player) note(a asked) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, a)
}

// take is what was asked since the last take.
func (p *player) take() []asked {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.list
	p.list = nil
	return list
}
