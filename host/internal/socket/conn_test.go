package socket

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of a test.
const patience = 10 * time.Second

// pair is the two ends of a connection: ours, and a plain one.
func pair(t testing.TB) (*Conn, *net.TCPConn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	dialled, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	peer, err := l.Accept()
	require.NoError(t, err)
	ours, ok := Wrap(dialled).(*Conn)
	require.True(t, ok)
	for _, c := range []net.Conn{ours, peer} {
		c.SetDeadline(time.Now().Add(patience))
		t.Cleanup(func() { c.Close() })
	}
	return ours, peer.(*net.TCPConn)
}

func TestReadAndWrite(t *testing.T) {
	ours, peer := pair(t)
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	var both sync.WaitGroup
	both.Go(func() {
		n, err := ours.Write(sent)
		require.NoError(t, err)
		require.Equal(t, len(sent), n)
		require.NoError(t, ours.CloseWrite())
	})
	both.Go(func() {
		_, err := io.Copy(peer, io.LimitReader(peer, 1<<30)) // an echo
		require.NoError(t, err)
		require.NoError(t, peer.CloseWrite())
	})
	got, err := io.ReadAll(struct{ io.Reader }{ours})
	require.NoError(t, err)
	require.True(t, bytes.Equal(sent, got))
	both.Wait()
	n, err := ours.Read(nil)
	require.NoError(t, err)
	require.Zero(t, n)
	n, err = ours.Write(nil)
	require.NoError(t, err)
	require.Zero(t, n)
}

func TestDeadlines(t *testing.T) {
	ours, _ := pair(t)
	ours.SetDeadline(time.Unix(1, 0))
	_, err := ours.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	_, err = ours.Write([]byte("x"))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	sent, n, err := ours.Exchange([]byte("x"), make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.Zero(t, sent+n)
	ours.SetDeadline(time.Time{})
	ended := make(chan error, 1)
	go func() { // waited for below
		_, err := ours.Read(make([]byte, 1))
		ended <- err
	}()
	ours.SetReadDeadline(time.Unix(1, 0)) // also one that waits
	require.ErrorIs(t, <-ended, os.ErrDeadlineExceeded)
}

func TestClosedByPeer(t *testing.T) {
	ours, peer := pair(t)
	peer.Close()
	_, err := ours.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err)
	require.Eventually(t, func() bool {
		_, err := ours.Write([]byte("x"))
		return err != nil
	}, patience, time.Millisecond)
	_, err = ours.Read(make([]byte, 1))
	require.Error(t, err)
	ours.Close()
	_, err = ours.Read(make([]byte, 1))
	require.ErrorIs(t, err, net.ErrClosed)
}

// echo answers what peer gets until the connection ends, which the caller then waits for.
func echo(peer net.Conn) (answering *sync.WaitGroup) {
	answering = new(sync.WaitGroup)
	answering.Go(func() {
		buf := make([]byte, 64)
		for {
			n, err := peer.Read(buf)
			if err != nil {
				return
			}
			peer.Write(buf[:n])
		}
	})
	return answering
}

func TestExchange(t *testing.T) {
	ours, peer := pair(t)
	answering := echo(peer)
	buf := make([]byte, 64)
	for range 1000 { // an answer is never missed, however early it comes
		sent, n, err := ours.Exchange([]byte("question"), buf)
		require.NoError(t, err)
		require.Equal(t, 8, sent)
		require.Equal(t, "question", string(buf[:n]))
	}
	ours.Close()
	answering.Wait()
}

func TestExchangeRefuses(t *testing.T) {
	for name, act := range map[string]func(peer *net.TCPConn){
		"what nobody asked for": func(peer *net.TCPConn) { peer.Write([]byte("surprise")) },
		"an end":                func(peer *net.TCPConn) { peer.CloseWrite() },
		"a reset": func(peer *net.TCPConn) {
			peer.SetLinger(0)
			peer.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			ours, peer := pair(t)
			act(peer)
			require.Eventually(t, func() bool { return !ours.Silent() }, patience, time.Millisecond)
			sent, n, err := ours.Exchange([]byte("question"), make([]byte, 64))
			require.ErrorIs(t, err, ErrStale)
			require.Zero(t, sent+n)
			if name != "a reset" {
				require.NoError(t, peer.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
				_, err = peer.Read(make([]byte, 1))
				require.ErrorIs(t, err, os.ErrDeadlineExceeded, "not a byte was sent")
			}
		})
	}
}

// A request that the kernel does not take at once is left to Write.
func TestExchangeInParts(t *testing.T) {
	ours, peer := pair(t)
	out := bytes.Repeat([]byte("x"), 16<<20)
	sent, n, err := ours.Exchange(out, make([]byte, 64))
	require.NoError(t, err)
	require.Zero(t, n)
	require.Less(t, sent, len(out))
	var reading sync.WaitGroup
	reading.Go(func() { // ends with the last byte
		_, err := io.CopyN(io.Discard, peer, int64(len(out)))
		require.NoError(t, err)
		peer.Write([]byte("done"))
	})
	_, err = ours.Write(out[sent:])
	require.NoError(t, err)
	buf := make([]byte, 64)
	n, err = ours.Read(buf)
	require.NoError(t, err)
	require.Equal(t, "done", string(buf[:n]))
	reading.Wait()
}

// An end while the answer is waited for is no stale connection: the request was sent.
func TestExchangeThatEnds(t *testing.T) {
	ours, peer := pair(t)
	var reading sync.WaitGroup
	reading.Go(func() {
		peer.Read(make([]byte, 64))
		peer.Close()
	})
	sent, n, err := ours.Exchange([]byte("question"), make([]byte, 64))
	require.Equal(t, io.EOF, err)
	require.Equal(t, 8, sent)
	require.Zero(t, n)
	reading.Wait()
}

func TestWrapKeepsOthers(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	require.Equal(t, a, Wrap(a))
}

func TestExchangeAllocatesNothing(t *testing.T) {
	ours, peer := pair(t)
	answering := echo(peer)
	out, in := []byte("question"), make([]byte, 64)
	require.Zero(t, testing.AllocsPerRun(200, func() {
		if _, _, err := ours.Exchange(out, in); err != nil {
			t.Error(err)
		}
	}))
	ours.Close()
	answering.Wait()
}
