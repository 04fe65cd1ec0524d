package jwks

//go:wasmimport wasmgate.jwks.v1 verify
//go:noescape
func verify(url, token string) int32
