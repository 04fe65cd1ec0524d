// Command gen writes everything that follows from abi.json: abi_gen.go, the SDKs'
// constants, and the tables between the markers of README.md. Run it with go generate;
// its test fails when a file on disk differs from what it would write.
package main
