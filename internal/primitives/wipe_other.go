//go:build !linux

package primitives

// wipeSignalStack overwrites what the last signal saved, on Linux.
func wipeSignalStack() {}
