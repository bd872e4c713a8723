package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/embedded"
	"github.com/rollcallhq/rollcall/pkg/simulate"
)

// outage starts private databases whose death and return the test decides on.
type outage struct {
	t        *testing.T
	dir      string
	postgres *embedded.Postgres
	redis    *embedded.Redis
}

func (o *outage) startPostgres() {
	o.t.Helper()
	server, err := embedded.StartPostgres(o.t.Context(), embedded.PostgresOptions{Dir: o.dir + "/pg"})
	if err != nil {
		o.t.Fatal(err)
	}
	o.postgres = server
}

func (o *outage) startRedis() {
	o.t.Helper()
	server, err := embedded.StartRedis(o.t.Context(), embedded.RedisOptions{Dir: o.dir + "/redis"})
	if err != nil {
		o.t.Fatal(err)
	}
	o.redis = server
}

func (o *outage) stopPostgres() { _ = o.postgres.Stop(context.WithoutCancel(o.t.Context())) }
func (o *outage) stopRedis()    { _ = o.redis.Stop(context.WithoutCancel(o.t.Context())) }

func TestDatabasesThatAreDownAndComeBack(t *testing.T) {
	t.Parallel()
	o := &outage{t: t, dir: dataDir(t, os.Geteuid())}
	o.startPostgres()
	o.startRedis()
	t.Cleanup(func() { o.stopPostgres(); o.stopRedis() })
	s := newStack(t)
	s.env["DATABASE_URL"], s.env["REDIS_URL"] = o.postgres.URL(), o.redis.URL()

	o.stopPostgres() // down at start
	api, worker, scheduler := s.start("api", nil), s.start("worker", nil), s.start("scheduler", nil)
	for _, p := range []*process{api, worker, scheduler} {
		eventually(t, 20*time.Second, p.name+" saying what is down", func() error {
			if !strings.Contains(p.log.String(), `"backend":"PostgreSQL"`) {
				return fmt.Errorf("it says %s", p.log)
			}
			return status(p.ops+"/healthz", http.StatusOK)
		})
		if err := status(p.ops+"/readyz", http.StatusServiceUnavailable); err != nil {
			t.Errorf("%s without PostgreSQL: %v", p.name, err)
		}
	}
	if err := status(s.http+"/api/v1/hosts", http.StatusServiceUnavailable); err != nil {
		t.Errorf("a request without PostgreSQL: %v", err)
	}
	o.startPostgres()
	for _, p := range []*process{api, worker, scheduler} {
		p.ready()
	}
	s.signIn()
	var plain struct {
		Token string `json:"token"`
	}
	s.post("/api/v1/tokens", map[string]any{"name": "outage"}, http.StatusCreated, &plain)
	s.simulated(simulate.Options{Hosts: 3})

	s.redisDown(t, o, plain.Token)
	s.postgresDown(t, o, api)
}

// redisDown: access tokens are refused as unavailable, API tokens go on, and what is accepted is collected later.
func (s *stack) redisDown(t *testing.T, o *outage, apiToken string) {
	t.Helper()
	access := s.token
	o.stopRedis()
	began := time.Now()
	var problem struct {
		Code string `json:"code"`
	}
	s.do(http.MethodGet, "/api/v1/hosts", nil, http.StatusServiceUnavailable, &problem)
	if problem.Code != "session_store_unavailable" || time.Since(began) > 3*time.Second {
		t.Errorf("an access token without Redis: %s after %s", problem.Code, time.Since(began))
	}
	s.token = apiToken
	var accepted struct {
		ID      string `json:"id"`
		Delayed bool   `json:"delayed"`
	}
	s.post("/api/v1/collections", map[string]any{"selector": "*", "report_types": []string{"os"}}, http.StatusAccepted, &accepted)
	if !accepted.Delayed {
		t.Error("a collection without Redis is not said to be delayed")
	}
	eventually(t, 5*time.Second, "health down, readiness degraded", func() error {
		if err := status(s.http+"/health", http.StatusServiceUnavailable); err != nil {
			return err
		}
		return status(s.http+"/readyz", http.StatusOK)
	})
	o.startRedis()
	if c := s.await(accepted.ID, 60*time.Second); c.State != "succeeded" {
		t.Errorf("what was accepted without Redis ended as %+v", c)
	}
	s.token = access
}

// postgresDown: everything is refused at once, readiness says so, and it comes back by itself.
func (s *stack) postgresDown(t *testing.T, o *outage, api *process) {
	t.Helper()
	o.stopPostgres()
	began := time.Now()
	s.do(http.MethodGet, "/api/v1/hosts", nil, http.StatusServiceUnavailable, nil)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a request without PostgreSQL took %s", took)
	}
	eventually(t, 5*time.Second, "readiness down", func() error { return status(api.ops+"/readyz", http.StatusServiceUnavailable) })
	o.startPostgres()
	api.ready()
	if c := s.collect(map[string]any{"selector": "*", "report_types": []string{"os"}}, 60*time.Second); c.State != "succeeded" {
		t.Errorf("after PostgreSQL is back: %+v", c)
	}
}
