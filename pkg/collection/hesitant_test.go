package collection_test

import (
	"net"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// startHesitant starts an SSH server that never makes up its mind about a credential, and returns its address.
func startHesitant(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	config := &ssh.ServerConfig{PasswordCallback: func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) {
		<-over
		return nil, ssh.ErrNoAuth
	}}
	hostKey, _ := newKey(t)
	config.AddHostKey(hostKey)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer func() { _ = conn.Close() }()
				_, _, _, _ = ssh.NewServerConn(conn, config)
			})
		}
	})
	t.Cleanup(func() { close(over); _ = listener.Close(); serving.Wait() })
	return listener.Addr().String()
}
