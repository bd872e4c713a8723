package ephemeral

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// healthTTL is how long the key that Health writes lives.
const healthTTL = 10 * time.Second

// Health reports whether Redis is fit for its work: it takes a write and gives it back, is a master, and if it
// keeps an append-only file, writes it without error. It ends within a second. An error is of kind
// Unavailable and its message says what is wrong. A reason without an error is what an operator should know
// of a Redis that works, such as that nothing there survives a restart.
func (s *Store) Health(ctx context.Context) (reason string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := s.writeAndRead(ctx); err != nil {
		return "", err
	}
	c, ok := s.client.(*redis.ClusterClient)
	if !ok {
		return serverHealth(ctx, s.client)
	}
	var mu sync.Mutex // ForEachMaster asks all at once
	err = c.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		r, err := serverHealth(ctx, master)
		mu.Lock()
		defer mu.Unlock()
		if r != "" {
			reason = r
		}
		return err
	})
	if _, known := errors.AsType[*fleet.Error](err); err != nil && !known {
		err = unavailable(err)
	}
	if err != nil {
		return "", err
	}
	return reason, nil
}

// writeAndRead proves that writes are taken, which neither PING nor a role does: a full disk or a lack of
// memory stops writes alone.
func (s *Store) writeAndRead(ctx context.Context) error {
	token := rand.Text()
	key := keyPrefix + "health:" + token // of our own, so that two replicas do not read each other's
	if err := s.client.Set(ctx, key, token, healthTTL).Err(); err != nil {
		return refusal(err)
	}
	got, err := s.client.GetDel(ctx, key).Result()
	if errors.Is(err, redis.Nil) || err == nil && got != token {
		return fleet.Errorf(fleet.Unavailable, "redis does not give back what was written to it")
	}
	if err != nil {
		return refusal(err)
	}
	return nil
}

// refusal tells a Redis that answers and refuses from one that does not answer. The first word of its
// answer is a fixed one; the rest may hold anything and is left to the log.
func refusal(err error) error {
	answer, ok := errors.AsType[redis.Error](err)
	if !ok {
		return unavailable(err)
	}
	word, _, _ := strings.Cut(answer.Error(), " ")
	switch word {
	case "READONLY":
		return fleet.Wrap(err, fleet.Unavailable, "redis refuses writes: it is a replica")
	case "MISCONF":
		return fleet.Wrap(err, fleet.Unavailable, "redis refuses writes: it cannot write to its disk")
	case "OOM":
		return fleet.Wrap(err, fleet.Unavailable, "redis refuses writes: its memory is full")
	case "LOADING":
		return fleet.Wrap(err, fleet.Unavailable, "redis is still loading its data")
	case "NOAUTH", "WRONGPASS":
		return fleet.Wrap(err, fleet.Unavailable, "redis refuses the user or password")
	case "NOPERM":
		return fleet.Wrap(err, fleet.Unavailable, "redis does not let this user write under %s*", keyPrefix)
	}
	return fleet.Wrap(err, fleet.Unavailable, "redis answers with an error")
}

// serverHealth looks at the role and the append-only file of one server.
func serverHealth(ctx context.Context, server redis.Cmdable) (reason string, err error) {
	replication, err := server.Info(ctx, "replication").Result()
	if err != nil {
		return withoutInfo(err)
	}
	persistence, err := server.Info(ctx, "persistence").Result()
	if err != nil {
		return withoutInfo(err)
	}
	return judge(infoFields(replication), infoFields(persistence))
}

// withoutInfo is about a server that took a write and does not describe itself, which an in-process Redis or
// a managed one may do.
func withoutInfo(err error) (string, error) {
	if _, ok := errors.AsType[redis.Error](err); !ok {
		return "", unavailable(err)
	}
	return reasonUnknown, nil
}

const (
	reasonUnknown = "in-process or restricted Redis: it does not tell how it keeps its data; assume that nothing survives its restart"
	reasonNoAOF   = "the append-only file is off: what Redis holds is lost when it stops"
	reasonRewrite = "the last rewrite of the append-only file failed; it will keep growing"
)

// judge says what the fields of INFO replication and INFO persistence mean.
func judge(replication, persistence map[string]string) (reason string, err error) {
	switch role := replication["role"]; role {
	case "master":
	case "":
		return reasonUnknown, nil
	default:
		return "", fleet.Errorf(fleet.Unavailable, "redis is not a master but a replica")
	}
	switch enabled, ok := persistence["aof_enabled"]; {
	case !ok:
		return reasonUnknown, nil
	case enabled != "1":
		return reasonNoAOF, nil
	case persistence["aof_last_write_status"] != "ok":
		return "", fleet.Errorf(fleet.Unavailable, "redis could not write its append-only file")
	case persistence["aof_last_bgrewrite_status"] == "err":
		return reasonRewrite, nil
	}
	return "", nil
}

// infoFields reads the name:value lines of INFO.
func infoFields(info string) map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[name] = value
		}
	}
	return fields
}
