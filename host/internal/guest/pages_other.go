//go:build !linux

package guest

// pages is the content of a memory from which instances start again and again.
type pages struct{ content []byte }

func newPages(content []byte, _ *pagemap) (*pages, error) {
	return &pages{append([]byte(nil), content...)}, nil
}

// attach gives a memory of their size the pages' content.
func (p *pages) attach(l *linear) error { return p.restore(l) }

// restore makes a memory that was attached what it was then; what lies beyond the pages'
// content becomes zero.
func (p *pages) restore(l *linear) error {
	clear(l.reserved[copy(l.reserved, p.content):l.size])
	return nil
}

func (p *pages) close() {}

// pagemap is of use on Linux only.
type pagemap struct{}

// scan too.
type scan struct{}

func openPagemap() *pagemap { return nil }

func (m *pagemap) close() error { return nil }
