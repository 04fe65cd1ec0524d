// Package wire holds the numbers of the contract, generated from abi/v1/abi.json.
package wire
