package ephemeral

import (
	"context"
	"maps"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// A ServerState is how Redis is set and how full it is. What the server does not tell is empty or zero.
type ServerState struct {
	Version string // 7.0.15
	Policy  string // what it does when its memory is full: noeviction is the only one that forgets nothing
	Used    int64  // bytes
	Max     int64  // bytes it may use; 0: no bound
	AOF     string // "on", "off", or empty where it does not tell
}

// ServerState asks Redis how it is set; of a cluster, one of its servers. A server that works and does not describe
// itself, such as an in-process one, is no error.
func (s *Store) ServerState(ctx context.Context) (ServerState, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var state ServerState
	fields := map[string]string{}
	for _, section := range []string{"server", "memory", "persistence"} {
		text, err := s.client.Info(ctx, section).Result()
		if _, refused := err.(redis.Error); refused { //nolint:errorlint // go-redis returns it as it is
			continue
		}
		if err != nil {
			return state, unavailable(err)
		}
		maps.Copy(fields, infoFields(text))
	}
	state.Version, state.Policy = fields["redis_version"], fields["maxmemory_policy"]
	state.Used, _ = strconv.ParseInt(fields["used_memory"], 10, 64) // 0 where it does not tell
	state.Max, _ = strconv.ParseInt(fields["maxmemory"], 10, 64)
	switch fields["aof_enabled"] {
	case "1":
		state.AOF = "on"
	case "0":
		state.AOF = "off"
	}
	return state, nil
}
