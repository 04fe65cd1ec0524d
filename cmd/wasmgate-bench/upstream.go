package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
)

// bodies are the upstream's answers by path.
func bodies() map[string][]byte {
	small := []byte(`{"id":42,"name":"a fixed answer","filler":"`)
	small = append(small, bytes.Repeat([]byte("x"), 254-len(small))...)
	return map[string][]byte{
		"/256": append(small, `"}`...),
		"/16k": bytes.Repeat([]byte("0123456789abcdef"), 16<<10/16),
		"/1m":  bytes.Repeat([]byte("0123456789abcdef"), 1<<20/16),
	}
}

// upstream is the fixed upstream: HTTP/1.1 with keep-alive, bodies read and thrown away, whole
// answers made beforehand, one write each, so that it takes as little of the machine as
// it can. A last path segment that it does not know is 404.
type upstream struct {
	listener net.Listener
	answers  map[string][]byte
	mu       sync.Mutex
	conns    map[net.Conn]bool
	running  sync.WaitGroup
}

// startUpstream listens on a port of the kernel's choice until ctx ends; the caller waits
// for running.
func startUpstream(ctx context.Context) (*upstream, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	u := &upstream{listener: listener, answers: map[string][]byte{}, conns: map[net.Conn]bool{}}
	for path, body := range bodies() {
		u.answers[path] = fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"+
			"Cache-Control: max-age=3600\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	context.AfterFunc(ctx, u.close)
	u.running.Go(u.accept)
	return u, nil
}

func (u *upstream) address() string { return u.listener.Addr().String() }

func (u *upstream) accept() {
	for {
		conn, err := u.listener.Accept()
		if err != nil {
			return // closed
		}
		u.mu.Lock()
		u.conns[conn] = true
		u.mu.Unlock()
		u.running.Go(func() { u.serve(conn) })
	}
}

func (u *upstream) close() {
	u.listener.Close()
	u.mu.Lock()
	defer u.mu.Unlock()
	for conn := range u.conns {
		conn.Close()
	}
}

func (u *upstream) serve(conn net.Conn) {
	defer func() {
		conn.Close()
		u.mu.Lock()
		delete(u.conns, conn)
		u.mu.Unlock()
	}()
	for r := bufio.NewReaderSize(conn, 16<<10); ; {
		path, err := readRequest(r)
		if err != nil {
			return
		}
		answer, ok := u.answers[path]
		if !ok {
			answer = []byte("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

// readRequest reads one request and gives the last segment of its path.
func readRequest(r *bufio.Reader) (path string, err error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	_, target, ok := strings.Cut(string(line), " ")
	target, _, found := strings.Cut(target, " ")
	if !ok || !found {
		return "", errors.New("no request line")
	}
	target, _, _ = strings.Cut(target, "?")
	path = target[max(0, strings.LastIndexByte(target, '/')):]
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return "", err
		}
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			_, err := r.Discard(length)
			return path, err
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return "", err
			}
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			return "", errors.New("a chunked body is no part of this benchmark")
		}
	}
}
