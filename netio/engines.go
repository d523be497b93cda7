package netio

// Probe says whether the io_uring engine works here, and why (or why not).
func Probe() (uring bool, why string) { panic("netio: not built yet") }

// NewUring makes a ring on io_uring. It may be made on any thread: the first
// Submit or Reap binds it to its thread.
func NewUring(o Options) (Ring, error) { panic("netio: not built yet") }

// NewEpoll makes a ring on epoll. The first Submit or Reap binds it to its thread.
func NewEpoll(o Options) (Ring, error) { panic("netio: not built yet") }

// Listen opens a listening socket on "host:port": a v4 or v6 address, a host
// name, or an empty host for all addresses; port 0 takes a free one. bound is
// what it got.
func Listen(addr string, backlog int) (fd int32, bound string, err error) {
	panic("netio: not built yet")
}
