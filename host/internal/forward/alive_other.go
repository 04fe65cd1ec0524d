//go:build !unix

package forward

// look cannot peek here: a dead connection shows when it is used.
func look(uintptr) (silent bool) { return true }
