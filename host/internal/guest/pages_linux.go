package guest

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pages is the content of a memory from which instances start again and again: a file in
// memory that each maps for itself, so that all share what none of them wrote to.
type pages struct {
	fd      int
	view    []byte // of the file, for reading
	pagemap *pagemap
}

func newPages(content []byte, m *pagemap) (p *pages, err error) {
	p = &pages{fd: -1, pagemap: m}
	if len(content) == 0 {
		return p, nil
	}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.fd, err = unix.MemfdCreate("wasmgate guest", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING); err != nil {
		return nil, fmt.Errorf("create a file in memory: %w", err)
	}
	for at := 0; at < len(content); {
		n, err := unix.Pwrite(p.fd, content[at:], int64(at))
		if err != nil && err != unix.EINTR {
			return nil, fmt.Errorf("write a file in memory: %w", err)
		}
		at += max(n, 0)
	}
	// Whatever is wrong with an instance, it cannot be in what the others start from.
	if _, err = unix.FcntlInt(uintptr(p.fd), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE); err != nil {
		return nil, fmt.Errorf("seal a file in memory: %w", err)
	}
	if p.view, err = unix.Mmap(p.fd, 0, len(content), unix.PROT_READ, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("map a file in memory: %w", err)
	}
	return p, nil
}

// attach gives a memory of their size the pages' content.
func (p *pages) attach(l *linear) error {
	l.scan = &scan{}
	if len(p.view) == 0 {
		return nil
	}
	_, err := unix.MmapPtr(p.fd, 0, unsafe.Pointer(unsafe.SliceData(l.reserved)), uintptr(len(p.view)),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_FIXED)
	if err != nil {
		return fmt.Errorf("map a file in memory: %w", err)
	}
	return nil
}

// restore makes a memory that was attached what it was then; what lies beyond the pages'
// content becomes zero. Pages that were written to are the instance's own by then. A few
// are copied back or cleared, and stay: taking them away, to be faulted in anew when they are
// next written to, costs ten times as much, and calls write to the same pages.
func (p *pages) restore(l *linear) error {
	if l.size == 0 {
		return nil
	}
	written, ok := p.pagemap.written(l.scan, l.reserved[:l.size])
	if !ok {
		if err := unix.Madvise(l.reserved[:l.size], unix.MADV_DONTNEED); err != nil {
			return fmt.Errorf("drop pages: %w", err)
		}
		return nil
	}
	first := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(l.reserved))))
	for _, r := range written {
		from, to := r.start-first, r.end-first
		clear(l.reserved[from+uint64(copy(l.reserved[from:to], p.view[min(from, uint64(len(p.view))):])) : to])
	}
	return nil
}

// close gives the file back; no instance may be attached to it.
func (p *pages) close() {
	if p.view != nil {
		_ = unix.Munmap(p.view) // it was mapped by newPages
	}
	if p.fd >= 0 {
		_ = unix.Close(p.fd) // nothing is to be written
	}
	p.view, p.fd = nil, -1
}

// pagemap tells which pages were written to, by PAGEMAP_SCAN of Linux 6.7.
type pagemap struct{ fd int } // -1 is none

// openPagemap never fails: without it pages are restored at a greater cost.
func openPagemap() *pagemap {
	fd, err := unix.Open("/proc/self/pagemap", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		fd = -1
	}
	return &pagemap{fd}
}

func (m *pagemap) close() error {
	if m.fd < 0 {
		return nil
	}
	return unix.Close(m.fd)
}

// scan is room for what the kernel is asked and answers. It must not be on a stack, which
// may move while the kernel is told where it is.
type scan struct {
	question scanQuestion
	found    [maxWritten]pageRange
}

// maxWritten is how many pages of an instance are copied back at most. With more, all are
// dropped, so that pages which are written to no more do not cost for ever.
const maxWritten = 128

// pageRange is the kernel's struct page_region, whose categories are not looked at.
type pageRange struct{ start, end, _ uint64 }

// scanQuestion is the kernel's struct pm_scan_arg (linux/fs.h).
type scanQuestion struct {
	size, flags, start, end, walkEnd, vector, vectorLength, maxPages uint64
	categoryInverted, categoryMask, categoryAnyOf, returnMask        uint64
}

const (
	pagemapScan   = 0xc0606610 // _IOWR('f', 16, struct pm_scan_arg)
	pageIsFile    = 1 << 2
	pageIsPresent = 1 << 3
	pageIsSwapped = 1 << 4
	pageIsZero    = 1 << 5
)

// written are the ranges of a memory whose pages were written to; false when that is not
// known or there are too many. Such a page is there, in memory or swapped out, and is neither
// the file's nor the one page of zeros that stands for what was only read.
func (m *pagemap) written(s *scan, b []byte) ([]pageRange, bool) {
	if m.fd < 0 {
		return nil, false
	}
	start := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b))))
	s.question = scanQuestion{
		size: uint64(unsafe.Sizeof(s.question)), start: start, end: start + uint64(len(b)),
		vector: uint64(uintptr(unsafe.Pointer(&s.found))), vectorLength: maxWritten, maxPages: maxWritten,
		categoryInverted: pageIsFile | pageIsZero, categoryMask: pageIsFile | pageIsZero, categoryAnyOf: pageIsPresent | pageIsSwapped, returnMask: pageIsFile,
	}
	n, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(m.fd), pagemapScan, uintptr(unsafe.Pointer(&s.question)))
	if errno != 0 || s.question.walkEnd != s.question.end {
		return nil, false
	}
	return s.found[:n], true
}
