package rpc

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/metadata"

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
