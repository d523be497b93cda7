package netio

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// Listen opens a listening socket on "host:port": a v4 or v6 address, a host
// name, or an empty host for all addresses; port 0 takes a free one. bound is
// what it got. The caller owns fd: OpClose, or unix.Close when no op has named it.
func Listen(addr string, backlog int) (fd int32, bound string, err error) {
	if _, _, err = net.SplitHostPort(addr); err != nil {
		return -1, "", fmt.Errorf("netio: listen %q: %w", addr, err)
	}
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return -1, "", fmt.Errorf("netio: listen %q: %w", addr, err)
	}
	if tcp.IP == nil { // all addresses, of both families where the host has both
		fd, bound, err = listenOn(unix.AF_INET6, &unix.SockaddrInet6{Port: tcp.Port}, backlog)
		if err != nil {
			fd, bound, err = listenOn(unix.AF_INET, &unix.SockaddrInet4{Port: tcp.Port}, backlog)
		}
	} else if v4 := tcp.IP.To4(); v4 != nil {
		sa := &unix.SockaddrInet4{Port: tcp.Port, Addr: [4]byte(v4)}
		fd, bound, err = listenOn(unix.AF_INET, sa, backlog)
	} else {
		sa := &unix.SockaddrInet6{Port: tcp.Port, Addr: [16]byte(tcp.IP.To16())}
		if sa.ZoneId, err = zoneID(tcp.Zone); err == nil {
			fd, bound, err = listenOn(unix.AF_INET6, sa, backlog)
		}
	}
	if err != nil {
		return -1, "", fmt.Errorf("netio: listen %q: %w", addr, err)
	}
	return fd, bound, nil
}

func zoneID(zone string) (uint32, error) {
	if zone == "" {
		return 0, nil
	}
	if ifi, err := net.InterfaceByName(zone); err == nil {
		return uint32(ifi.Index), nil
	}
	n, err := strconv.ParseUint(zone, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("no interface %q", zone)
	}
	return uint32(n), nil
}

func listenOn(family int, sa unix.Sockaddr, backlog int) (int32, string, error) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, "", fmt.Errorf("socket: %w", err)
	}
	fail := func(what string, err error) (int32, string, error) {
		_ = unix.Close(fd)
		return -1, "", fmt.Errorf("%s: %w", what, err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return fail("SO_REUSEADDR", err)
	}
	if s6, ok := sa.(*unix.SockaddrInet6); ok && netip.AddrFrom16(s6.Addr).IsUnspecified() {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0); err != nil {
			return fail("IPV6_V6ONLY", err)
		}
	}
	setNoDelay(int32(fd))
	if err := unix.Bind(fd, sa); err != nil {
		return fail("bind", err)
	}
	if err := unix.Listen(fd, backlog); err != nil {
		return fail("listen", err)
	}
	got, err := unix.Getsockname(fd)
	if err != nil {
		return fail("getsockname", err)
	}
	return int32(fd), sockaddrString(got), nil
}

func sockaddrString(sa unix.Sockaddr) string {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)).String()
	case *unix.SockaddrInet6:
		ip := netip.AddrFrom16(a.Addr)
		if a.ZoneId != 0 {
			ip = ip.WithZone(strconv.FormatUint(uint64(a.ZoneId), 10))
		}
		return netip.AddrPortFrom(ip, uint16(a.Port)).String()
	}
	return ""
}
