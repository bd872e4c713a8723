package store_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// A method is an exported method of Store, as its source declares it.
type method struct {
	takesScope bool
	results    []string // types, without error
}

// parsed returns the syntax of this directory's files, of the tests or of everything else.
func parsed(t *testing.T, tests bool) []*ast.File {
	t.Helper()
	names, err := fs.Glob(os.DirFS("."), "*.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") != tests {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

func methodsOfStore(t *testing.T) map[string]method {
	t.Helper()
	found := map[string]method{}
	for _, file := range parsed(t, false) {
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv == nil || !f.Name.IsExported() || types.ExprString(f.Recv.List[0].Type) != "*Store" {
				continue
			}
			var m method
			for _, param := range f.Type.Params.List {
				m.takesScope = m.takesScope || types.ExprString(param.Type) == "fleet.Scope"
			}
			if f.Type.Results != nil {
				for _, result := range f.Type.Results.List {
					if kind := types.ExprString(result.Type); kind != "error" {
						m.results = append(m.results, kind)
					}
				}
			}
			found[f.Name.Name] = m
		}
	}
	if len(found) < 30 {
		t.Fatalf("only %d methods found: this test looks in the wrong place", len(found))
	}
	return found
}

// withoutScope names the methods that answer something and take no fleet.Scope, and why that shows nobody a host that
// is not theirs to see.
func withoutScope() map[string]string {
	const (
		machinery  = "moves tasks for the system itself; no door calls it"
		write      = "writes what its service has looked up within the actor's scope; answers what was written"
		clock      = "about the database, not about hosts"
		numbers    = "how much waits in the whole deployment, without a host; new work is admitted by it, and the doctor, who tells, is for admins without a selector"
		housework  = "about tables, and about how long what is kept; how many rows were removed, and hashes of what nobody refers to"
		accounts   = "accounts and their secrets; the service lets admins or the owner call it"
		secrets    = "credentials are told apart by the hosts that use them: the service asks CredentialReaches before it shows or changes one"
		schedules  = "about a schedule that its caller has read with a scope, or that the system fires; firings name collections, which are read with a scope"
		sites      = "names of sites, without a host: health warns everybody of one that nobody serves"
		seals      = "sums and counts of entries of the audit log, without what they say; only unscoped admins are answered"
		collectors = "what is asked of hosts, without a host; the service lets admins write, and everybody may know it"
	)
	return map[string]string{
		"UnservedSites": sites, "Coverages": machinery, "CoverageState": machinery, "CoveringSchedules": machinery, "HostsPicked": machinery,
		"TakeFreshnessPass": machinery, "SettleFreshness": machinery, "ForgetFreshnessChanges": machinery, "MoveStrandedTasks": machinery,
		"RecallUnserved": machinery,

		"Now": clock, "MissingPartitions": clock, "ServerState": clock, "ConnectionState": clock, "Migrations": clock,

		"TakeJob": housework, "Jobs": housework, "Relations": housework, "DatabaseSize": housework, "Growth": housework, "OwnsPartitions": housework,
		"DetachPartition": housework, "DropPartition": housework, "Floors": housework, "KeptSince": housework, "TypeRetentions": housework,
		"SetTypeRetention": housework, "RemoveReportsOfType": housework, "RemoveMetricsOfType": housework, "RemoveChangesOfType": housework,
		"RemovePeriods": housework, "UnusedContents": housework, "RemoveContents": housework,

		"LastAuditSeal": seals, "AuditSeals": seals, "AuditBacklog": seals, "UnsealedAudit": machinery,

		"Waiting": numbers, "WaitingState": numbers, "StuckState": numbers,

		"AnyoneWaits": machinery, "Traces": machinery, "LockLine": machinery, "PromoteDelayed": machinery, "Line": machinery, "WaitingCollections": machinery,
		"TakeTurns": machinery,

		"Outbox": machinery, "Unclaimed": machinery, "RingAgain": machinery, "TakeOver": machinery, "EndHopeless": machinery,
		"ClaimTask": machinery, "RetryTask": machinery, "ReleaseTask": machinery, "ReleaseStray": machinery, "EndTask": machinery,
		"Heartbeat": machinery, "Workers": machinery, "FinishCollections": machinery, "PinMachineID": machinery,
		"RecordHostKey": machinery, "CredentialFor": machinery,

		"AddHost": write, "AddHosts": write, "UpdateHost": write, "RequestCancel": write, "DecideHostKey": write, "SuspendHostKeys": write,

		"User": accounts, "UserByName": accounts, "HasUsers": accounts, "AddFirstUser": accounts, "BeginIdempotent": accounts, "ForgetExpiredAnswers": accounts,
		"Users": accounts, "OtherAdmin": accounts, "EndSessions": accounts, "PasswordReset": accounts,
		"APITokenByHash": accounts, "APITokens": accounts, "RevokeAPIToken": accounts,

		"AddReseal": secrets, "Reseals": secrets, "SealCounts": secrets, "TakeReseals": machinery, "ReplaceSeal": machinery, "SettleReseals": machinery,
		"ForgetReseals": housework,

		"Credential": secrets, "Credentials": secrets, "CredentialsByName": secrets, "CredentialsByID": secrets,

		"Collector": collectors, "Collectors": collectors, "CollectorVersions": collectors, "AddCollector": collectors, "UpdateCollector": collectors,
		"SchedulesNaming": schedules, "AsksLocalHosts": machinery,

		"LockSchedule": schedules, "Firings": schedules, "ScheduleStates": schedules, "OpenSchedules": schedules, "SettledMoments": schedules, "RecordFirings": schedules,
		"TakeDueSchedules": schedules, "TakeWaitingSchedules": schedules, "AddSchedule": schedules, "UpdateSchedule": schedules,
	}
}

// TestEveryReadTakesAScope holds the rule that nobody can forget who may see what: a method of Store that answers
// anything takes a scope, or is named above with a reason.
func TestEveryReadTakesAScope(t *testing.T) {
	t.Parallel()
	methods, reasons := methodsOfStore(t), withoutScope()
	for name, m := range methods {
		reason, excepted := reasons[name]
		switch {
		case len(m.results) > 0 && !m.takesScope && !excepted:
			t.Errorf("Store.%s answers %v and takes no fleet.Scope; give it one, or name it above with the reason why not", name, m.results)
		case excepted && (m.takesScope || len(m.results) == 0):
			t.Errorf("Store.%s needs no exception any more (%s)", name, reason)
		}
	}
	for name := range reasons {
		if _, ok := methods[name]; !ok {
			t.Errorf("there is no Store.%s", name)
		}
	}
}

// TestEveryMethodIsTested fails for an exported method of Store that no test of this package calls.
func TestEveryMethodIsTested(t *testing.T) {
	t.Parallel()
	called := map[string]bool{}
	for _, file := range parsed(t, true) {
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if selector, ok := call.Fun.(*ast.SelectorExpr); ok {
					called[selector.Sel.Name] = true
				}
			}
			return true
		})
	}
	for _, name := range slices.Sorted(maps.Keys(methodsOfStore(t))) {
		if !called[name] {
			t.Errorf("no test calls Store.%s", name)
		}
	}
}
