package serve

import (
	"net/http"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// An effect is what becomes of a request by somebody with the role whose scope leaves out what it is about.
type effect string

const (
	plain        effect = "the scope does not matter"
	hidden       effect = "there is no such thing: 404, in the words of a thing that there is not"
	filtered     effect = "answered, without what lies outside"
	refused      effect = "the scope forbids it: 403"
	unscopedOnly effect = "whoever has a scope is refused, whatever it leaves out: 403"
	empty        effect = "it picks no host: 422"
)

// A rule is who may make a request, and a request that succeeds for whoever may. $names stand for what there is and,
// with new, for what is made for that request.
type rule struct {
	role   fleet.Role // needed; empty: nobody has to sign in
	effect effect
	path   string // with its query
	body   string
	media  string // of the body; JSON where it is empty
	events bool   // the answer is a stream
	self   int    // what an API token is answered with where only a user who has signed in may; 0: it may, too
	once   bool   // asked by nobody and by the admin with an access token only
}

const (
	merge  = "application/merge-patch+json"
	ndjson = "application/x-ndjson"
)

// rules returns the rule of each operation of the OpenAPI document, by its ID.
func rules() map[string]rule {
	const (
		viewer, operator, admin = fleet.Viewer, fleet.Operator, fleet.Admin
		long                    = "2020-01-01T00:00:00Z"
	)
	return map[string]rule{
		"login":       {effect: plain, once: true, path: "/api/v1/auth/login", body: `{"username":"signer","password":"correct horse battery"}`},
		"refresh":     {effect: plain, path: "/api/v1/auth/refresh", body: `{"refresh_token":"$new_refresh"}`},
		"logout":      {role: viewer, effect: plain, self: http.StatusUnprocessableEntity, path: "/api/v1/auth/logout"},
		"me":          {role: viewer, effect: plain, path: "/api/v1/auth/me"},
		"listTokens":  {role: viewer, effect: plain, path: "/api/v1/tokens"},
		"createToken": {role: viewer, effect: plain, self: http.StatusForbidden, path: "/api/v1/tokens", body: `{"name":"another"}`},
		"revokeToken": {role: viewer, effect: plain, self: http.StatusForbidden, path: "/api/v1/tokens/$own_token"},

		"changePassword": {role: viewer, effect: plain, self: http.StatusForbidden, once: true, path: "/api/v1/auth/password", body: `{"current_password":"correct horse battery","new_password":"another horse battery"}`},
		"resetPassword":  {effect: plain, once: true, path: "/api/v1/auth/reset", body: `{"token":"$new_reset","password":"another horse battery"}`},
		"listSessions":   {role: viewer, effect: plain, self: http.StatusForbidden, path: "/api/v1/auth/sessions"},
		"revokeSession":  {role: viewer, effect: plain, self: http.StatusForbidden, path: "/api/v1/auth/sessions/$own_session"},
		"revokeSessions": {role: viewer, effect: plain, self: http.StatusForbidden, path: "/api/v1/auth/sessions?keep_current=true"},

		"listUsers":          {role: admin, effect: unscopedOnly, path: "/api/v1/users"},
		"createUser":         {role: admin, effect: unscopedOnly, path: "/api/v1/users", body: `{"username":"$unique","role":"viewer"}`},
		"getUser":            {role: admin, effect: unscopedOnly, path: "/api/v1/users/$new_user"},
		"updateUser":         {role: admin, effect: unscopedOnly, path: "/api/v1/users/$new_user", media: merge, body: `{"role":"operator"}`},
		"deleteUser":         {role: admin, effect: unscopedOnly, path: "/api/v1/users/$new_user"},
		"resetUser":          {role: admin, effect: unscopedOnly, path: "/api/v1/users/$new_user/reset"},
		"listUserSessions":   {role: admin, effect: unscopedOnly, path: "/api/v1/users/$new_user/sessions"},
		"revokeUserSessions": {role: admin, effect: unscopedOnly, path: "/api/v1/users/$new_user/sessions"},
		"revokeUserSession":  {role: admin, effect: unscopedOnly, path: "/api/v1/users/$session_user/sessions/$session_of"},
		"listUserTokens":     {role: admin, effect: unscopedOnly, path: "/api/v1/users/$new_user/tokens"},
		"revokeUserToken":    {role: admin, effect: unscopedOnly, path: "/api/v1/users/$token_user/tokens/$token_of"},
		"listAudit":          {role: admin, effect: unscopedOnly, path: "/api/v1/audit?action=host.*"},
		"listAuditSeals":     {role: admin, effect: unscopedOnly, path: "/api/v1/audit/seals"},

		"listHosts":     {role: viewer, effect: filtered, path: "/api/v1/hosts"},
		"createHost":    {role: admin, effect: refused, path: "/api/v1/hosts", body: `{"name":"$unique","address":"192.0.2.9","site":"amber","labels":{"env":"staging"}}`},
		"getHost":       {role: viewer, effect: hidden, path: "/api/v1/hosts/$host"},
		"updateHost":    {role: admin, effect: hidden, path: "/api/v1/hosts/$new_host", media: merge, body: `{"port":2222}`},
		"retireHost":    {role: admin, effect: hidden, path: "/api/v1/hosts/$new_host"},
		"importHosts":   {role: admin, effect: filtered, path: "/api/v1/hosts/import", media: ndjson, body: `{"name":"$unique","address":"192.0.2.9","labels":{"env":"staging"}}` + "\n"},
		"listSites":     {role: viewer, effect: filtered, path: "/api/v1/sites"},
		"listWorkers":   {role: viewer, effect: filtered, path: "/api/v1/workers"},
		"listHostKeys":  {role: viewer, effect: hidden, path: "/api/v1/hosts/$host/host-keys"},
		"trustHostKey":  {role: admin, effect: hidden, path: "/api/v1/hosts/$host/host-keys/$new_key/trust"},
		"revokeHostKey": {role: admin, effect: hidden, path: "/api/v1/hosts/$host/host-keys/$new_key/revoke"},

		"listFreshness":   {role: viewer, effect: filtered, path: "/api/v1/freshness"},
		"streamFreshness": {role: viewer, effect: filtered, events: true, path: "/api/v1/freshness/events?since=" + long},

		"listCredentials":  {role: viewer, effect: filtered, path: "/api/v1/credentials"},
		"getCredential":    {role: viewer, effect: hidden, path: "/api/v1/credentials/$credential"},
		"createCredential": {role: admin, effect: plain, path: "/api/v1/credentials", body: `{"name":"$unique","kind":"password","username":"u","password":"p"}`},
		"updateCredential": {role: admin, effect: hidden, path: "/api/v1/credentials/$used_credential", media: merge, body: `{"username":"v"}`},
		"deleteCredential": {role: admin, effect: plain, path: "/api/v1/credentials/$new_credential"},

		"listSeals":         {role: admin, effect: unscopedOnly, path: "/api/v1/credentials/seals"},
		"resealCredentials": {role: admin, effect: unscopedOnly, path: "/api/v1/credentials/reseal"},
		"listReseals":       {role: admin, effect: unscopedOnly, path: "/api/v1/collections/$new_reseal/reseals"},

		"collect":          {role: operator, effect: empty, path: "/api/v1/collections", body: `{"selector":"env=staging","report_types":["os"]}`},
		"listCollections":  {role: viewer, effect: filtered, path: "/api/v1/collections"},
		"getCollection":    {role: viewer, effect: hidden, path: "/api/v1/collections/$collection"},
		"listTasks":        {role: viewer, effect: hidden, path: "/api/v1/collections/$collection/tasks"},
		"streamCollection": {role: viewer, effect: hidden, events: true, path: "/api/v1/collections/$collection/events"},
		"cancelCollection": {role: operator, effect: hidden, path: "/api/v1/collections/$new_open/cancel"},
		"retryCollection":  {role: operator, effect: hidden, path: "/api/v1/collections/$collection/retry"},

		"listReports":     {role: viewer, effect: filtered, path: "/api/v1/reports"},
		"getReport":       {role: viewer, effect: hidden, path: "/api/v1/reports/$report"},
		"diffReport":      {role: viewer, effect: hidden, path: "/api/v1/reports/$earlier_report/diff?to=$report"},
		"listHostReports": {role: viewer, effect: hidden, path: "/api/v1/hosts/$host/reports?since=true"},
		"getHostReport":   {role: viewer, effect: hidden, path: "/api/v1/hosts/$host/reports/os"},
		"getHistory":      {role: viewer, effect: hidden, path: "/api/v1/hosts/$host/history?type=os&path=what"},
		"getMetrics":      {role: viewer, effect: hidden, path: "/api/v1/hosts/$host/metrics?type=os&path=uptime_seconds"},
		"query":           {role: viewer, effect: filtered, path: "/api/v1/query?type=os"},
		"listChanges":     {role: viewer, effect: filtered, path: "/api/v1/changes"},
		"streamChanges":   {role: viewer, effect: filtered, events: true, path: "/api/v1/changes/events?since=" + long},

		"listSchedules":  {role: viewer, effect: filtered, path: "/api/v1/schedules"},
		"createSchedule": {role: admin, effect: plain, path: "/api/v1/schedules", body: `{"name":"$unique","cron":"@daily","selector":"env=staging","report_types":["os"]}`},
		"getSchedule":    {role: viewer, effect: hidden, path: "/api/v1/schedules/$schedule"},
		"updateSchedule": {role: admin, effect: hidden, path: "/api/v1/schedules/$new_schedule", media: merge, body: `{"cron":"@hourly"}`},
		"deleteSchedule": {role: admin, effect: hidden, path: "/api/v1/schedules/$new_schedule"},
		"runSchedule":    {role: operator, effect: hidden, path: "/api/v1/schedules/$schedule/run"},
		"nextFirings":    {role: viewer, effect: hidden, path: "/api/v1/schedules/$schedule/next"},
		"listFirings":    {role: viewer, effect: hidden, path: "/api/v1/schedules/$schedule/firings"},

		"listCollectors":   {role: viewer, effect: plain, path: "/api/v1/collectors"},
		"getCollector":     {role: viewer, effect: plain, path: "/api/v1/collectors/os"},
		"createCollector":  {role: admin, effect: unscopedOnly, path: "/api/v1/collectors", body: `{"name":"$new_name","os":{"linux":"echo a=1"},"parser":{"format":"kv"},"schema":{"properties":{"a":{"type":"integer","maximum":1000}}}}`},
		"replaceCollector": {role: admin, effect: unscopedOnly, path: "/api/v1/collectors/$new_collector", body: `{"name":"$same","os":{"linux":"echo a=2"},"parser":{"format":"kv"},"schema":{"properties":{"a":{"type":"integer","maximum":1000}}}}`},
		"updateCollector":  {role: admin, effect: unscopedOnly, path: "/api/v1/collectors/$new_collector", media: merge, body: `{"description":"two"}`},
		"deleteCollector":  {role: admin, effect: unscopedOnly, path: "/api/v1/collectors/$new_collector"},
		"tryCollector":     {role: admin, effect: empty, path: "/api/v1/collectors/$collector/try", body: `{"host_id":"$host"}`},
		"getTrial":         {role: admin, effect: hidden, path: "/api/v1/collections/$trial/trial"},
		"getSudoers":       {role: viewer, effect: plain, path: "/api/v1/sudoers"},

		"doctor":         {role: admin, effect: unscopedOnly, once: true, path: "/api/v1/system/doctor"},
		"getStorage":     {role: viewer, effect: unscopedOnly, path: "/api/v1/system/storage"},
		"listRetention":  {role: viewer, effect: plain, path: "/api/v1/system/retention"},
		"setRetention":   {role: admin, effect: unscopedOnly, path: "/api/v1/system/retention/os", body: `{"days":30}`},
		"unsetRetention": {role: admin, effect: unscopedOnly, path: "/api/v1/system/retention/$new_retention"},
	}
}

// notYet returns the operations that answer everybody that they are not supported yet.
func notYet() []string {
	return []string{
		"checkHost",
		"listWebhooks", "createWebhook", "getWebhook", "updateWebhook", "deleteWebhook", "listDeliveries", "replayDelivery",
	}
}

// furtherReads returns requests beside those of the rules whose answers are looked through: filters that ask for what
// lies outside, in the names that they may be asked by, and other formats.
func furtherReads() []string {
	return []string{
		"/api/v1/hosts?q=quartz", "/api/v1/hosts?q=amber", "/api/v1/hosts?selector=env%3Dprod", "/api/v1/hosts?site=quartz", "/api/v1/hosts?status=failing",
		"/api/v1/hosts?limit=1", "/api/v1/reports?host_id=$quartz_host", "/api/v1/reports?host_id=$host",
		"/api/v1/query?type=os&format=csv", "/api/v1/query?type=os&format=ndjson", "/api/v1/query?type=os&select=of,what", "/api/v1/query?type=os&selector=*",
		"/api/v1/query?type=os&as_of=2999-01-01T00:00:00Z", "/api/v1/changes?group=true", "/api/v1/changes?order=newest", "/api/v1/changes?host_id=$quartz_host",
		"/api/v1/changes?selector=*", "/api/v1/changes?path=what", "/api/v1/freshness?host_id=$quartz_host", "/api/v1/freshness?status=failing", "/api/v1/freshness?selector=*",
		"/api/v1/collections/$both", "/api/v1/collections/$both/tasks", "/api/v1/collections/$both_open", "/api/v1/collections/$both_open/tasks",
		"/api/v1/schedules/$everything", "/api/v1/schedules/$everything/firings", "/api/v1/schedules?name=everything",
		"/healthz", "/readyz", "/health", "/openapi.json", "/docs",
	}
}
