package primitives

import "syscall"

// wipeSignalStack overwrites what the last signal saved. Go's runtime interrupts
// goroutines with signals; the kernel then saves the thread's registers, where a key
// may be that is being copied, on the thread's signal stack, and there they stay until
// the next signal. This is one, which the runtime ignores when it didn't send it.
func wipeSignalStack() {
	_, _, _ = syscall.RawSyscall(syscall.SYS_TGKILL, uintptr(syscall.Getpid()), uintptr(syscall.Gettid()), uintptr(syscall.SIGURG))
}
