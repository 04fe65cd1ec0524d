package guest

import (
	"sync"
	"time"
)

// lineLimit lets so many lines a second pass and counts the others.
type lineLimit struct {
	mu      sync.Mutex
	second  int64
	lines   int
	dropped int
}

// take asks for one line. dropped is told once, with the first line of a later second.
func (l *lineLimit) take(now time.Time) (pass bool, dropped int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := now.Unix(); s != l.second {
		l.second, l.lines = s, 0
		dropped, l.dropped = l.dropped, 0
	}
	if l.lines < maxLines {
		l.lines++
		return true, dropped
	}
	l.dropped++
	return false, dropped
}
