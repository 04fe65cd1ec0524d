package log

//go:wasmimport wasmgate.log.v1 write
//go:noescape
func write(level int32, line string)
