package crypto

import "unsafe"

func sha256(data []byte, sum *[32]byte) {
	if importSHA256(unsafe.Pointer(unsafe.SliceData(data)), uint32(len(data)), unsafe.Pointer(sum)) != 0 {
		panic("crypto: the host cannot hash")
	}
}

func hmacSHA256(secret string, data []byte, sum *[32]byte) int32 {
	return importHMAC(secret, unsafe.Pointer(unsafe.SliceData(data)), uint32(len(data)), unsafe.Pointer(sum))
}

//go:wasmimport wasmgate.crypto.v1 sha256
//go:noescape
func importSHA256(data unsafe.Pointer, length uint32, sum unsafe.Pointer) int32

//go:wasmimport wasmgate.crypto.v1 hmac_sha256
//go:noescape
func importHMAC(secret string, data unsafe.Pointer, length uint32, sum unsafe.Pointer) int32
