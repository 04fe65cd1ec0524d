package listen

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestKeepAliveAndPipelining(t *testing.T) {
	c := start(t, handlerFunc(echo), nil).dial()
	c.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /3?q HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	for i, want := range []string{"GET a /1\n\n", "POST a /2\n\nabc", "GET a /3?q\n\n"} {
		r, body := c.receive("GET")
		require.Equal(t, 200, r.StatusCode)
		require.Equal(t, want, body)
		require.Equal(t, i == 2, r.Close)
		require.NotEmpty(t, r.Header.Get("Date"))
	}
	c.ended()
}
