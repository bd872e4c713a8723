package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
)

// An upstream is a name of nginx for the replicas behind a host.
type upstream struct {
	name, host, port string
	ready            string // path
	asked            string // port that ready is asked at
}

// list is the flag of upstreams.
type list []upstream

// String is for the flag package.
func (l *list) String() string { return strconv.Itoa(len(*l)) }

// Set adds one.
func (l *list) Set(s string) error {
	u, err := parse(s)
	if err == nil {
		*l = append(*l, u)
	}
	return err
}

// parse reads NAME=HOST:PORT/READY[@ASKEDPORT]. What it accepts is safe to write into a configuration of nginx.
func parse(s string) (upstream, error) {
	m := regexp.MustCompile(`^([a-z][a-z0-9_]*)=([a-zA-Z0-9._-]+):([0-9]{1,5})(/[a-zA-Z0-9/_-]*)(?:@([0-9]{1,5}))?$`).FindStringSubmatch(s)
	if m == nil {
		return upstream{}, errors.New("the form is NAME=HOST:PORT/READY or NAME=HOST:PORT/READY@ASKEDPORT")
	}
	return upstream{name: m[1], host: m[2], port: m[3], ready: m[4], asked: cmp.Or(m[5], m[3])}, nil
}

// block returns the upstream in nginx's words. Without an address it is one that refuses at once.
func (u upstream) block(addresses []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "upstream %s {\n\tzone %s 128k;\n", u.name, u.name)
	for _, a := range addresses {
		fmt.Fprintf(&b, "\tserver %s max_fails=2 fail_timeout=2s;\n", net.JoinHostPort(a, u.port))
	}
	if len(addresses) == 0 {
		b.WriteString("\tserver 127.0.0.1:9; # nobody is there\n")
	}
	fmt.Fprintf(&b, "\tkeepalive %d;\n\tkeepalive_requests 100000;\n\tkeepalive_timeout 60s;\n}\n", keepAlive)
	return b.String()
}
