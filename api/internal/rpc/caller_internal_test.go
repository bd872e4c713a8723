package rpc

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	rollcallv1 "github.com/rollcallhq/rollcall/proto/rollcall/v1"
)

// sessions is an Authenticator whose only session can end.
type sessions struct {
	ended bool
	asked int
}

func (s *sessions) Authenticate(context.Context, string) (fleet.Actor, error) {
	s.asked++
	if s.ended {
		return fleet.Actor{}, fleet.Errorf(fleet.Unauthenticated, "the session has ended").WithCode("session_ended")
	}
	return fleet.Actor{Kind: fleet.ActorUser, Name: "v", Role: fleet.Viewer}, nil
}

func TestALongCallEndsSoonAfterItsSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		accounts := &sessions{}
		s := &server{Config: Config{Accounts: accounts}}
		ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer x"))
		ctx, err := s.admit(ctx, rollcallv1.ReportService_WatchCollection_FullMethodName)
		if err != nil {
			t.Fatal(err)
		}
		for range 40 { // ten seconds
			if _, err := s.renewed(ctx); err != nil {
				t.Fatal(err)
			}
			<-time.After(250 * time.Millisecond)
		}
		if accounts.asked < 2 || accounts.asked > 4 {
			t.Errorf("authenticated %d times in 10s, want every %s", accounts.asked, renewEvery)
		}
		accounts.ended = true
		<-time.After(renewEvery)
		if _, err := s.renewed(ctx); fleet.CodeOf(err) != "session_ended" {
			t.Errorf("after the end of the session, renewed = %v", err)
		}
	})
}

func TestACallComesFromWhereTrustedProxiesSay(t *testing.T) {
	t.Parallel()
	s := &server{Config: Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}
	tests := []struct {
		name, from string
		forwarded  []string
		want       string
	}{
		{"a client", "192.0.2.7:1234", nil, "192.0.2.7"},
		{"a client that makes up where it is", "192.0.2.7:1234", []string{"198.51.100.1"}, "192.0.2.7"},
		{"a client behind a proxy, and what it made up", "10.0.0.1:1234", []string{"203.0.113.66", "198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"a line of the log behind a proxy", "10.0.0.1:1234", []string{"x level=ERROR"}, "10.0.0.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx := metadata.NewIncomingContext(t.Context(), metadata.MD{"x-forwarded-for": tt.forwarded})
			ctx = peer.NewContext(ctx, &peer.Peer{Addr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(tt.from))})
			if got := s.addressOf(ctx); got != tt.want {
				t.Errorf("addressOf = %q, want %q", got, tt.want)
			}
		})
	}
	if got := s.addressOf(t.Context()); got != "" {
		t.Errorf("a call from nowhere comes from %q", got)
	}
}
