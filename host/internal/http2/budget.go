package http2

// budget pays for what a client makes us do that moves no request forward (RFC 9113
// 10.5): it is full at first, useful work and time fill it up again, and a client that
// has used it up is told to calm down. That bounds rapid resets (CVE-2023-44487), resets
// that we are provoked to (CVE-2025-8671), and floods of SETTINGS, PING, PRIORITY,
// WINDOW_UPDATE, CONTINUATION, empty and unknown frames.
type budget struct {
	left int64
	at   int64 // until when time was counted
}

const (
	budgetFull      = 2000
	budgetPerSecond = 100

	costFrame    = 1  // PING, PRIORITY, WINDOW_UPDATE, unknown, on a closed stream
	costEmpty    = 5  // DATA or a header fragment without content
	costPart     = 2  // CONTINUATION
	costReset    = 10 // a request for nothing: reset by the client or for its fault
	costRefused  = 5  // a request that was refused
	costSettings = 20
	// A block may hold very many references to one field; one more for each so many of them.
	fieldsPerCost = 50

	gainRequest = 5 // an answer that was sent whole
	gainData    = 2 // a DATA frame that was sent, and one for each gainBytes in it:
	gainBytes   = 1 << 10
)

func (b *budget) init(now int64) { b.left, b.at = budgetFull, now }

// spend takes n; false when that is more than is left.
func (b *budget) spend(n int64, now int64) bool {
	if gain := (now - b.at) * budgetPerSecond / 1e9; gain > 0 {
		b.earn(gain)
		b.at = now
	}
	b.left -= n
	return b.left >= 0
}

func (b *budget) earn(n int64) { b.left = min(b.left+n, budgetFull) }

// charge is spend as the reading goroutine's fault.
func (c *conn) charge(n int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.chargeLocked(n)
}

func (c *conn) chargeLocked(n int64) error {
	if c.budget.spend(n, c.s.o.Now()) {
		return nil
	}
	return faultBudget
}
