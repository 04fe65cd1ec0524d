//go:build !linux

package listen

// lot is where connections wait without a goroutine; here each keeps its own.
type lot struct{}

func newLot() (*lot, error) { return nil, nil }

func (l *lot) add(*conn) bool { return false }
func (l *lot) remove(*conn)   {}
func (l *lot) close()         {}
