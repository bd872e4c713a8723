package simulate

import (
	"bytes"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// A run is a command that is under way on a host.
type run struct {
	command string
	group   string // that it has told; empty before
	channel ssh.Channel
	end     func()
}

// runs are those of one host, over all its connections. The zero value has none.
type runs struct {
	mu  sync.Mutex
	all map[*run]struct{}
}

func (r *runs) add(one *run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = map[*run]struct{}{}
	}
	r.all[one] = struct{}{}
}

func (r *runs) remove(one *run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, one)
}

func (r *runs) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.all)
}

// tell notes the process group that a run is about to tell.
func (r *runs) tell(one *run, group int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	one.group = strconv.FormatInt(group, 10)
}

// named returns the runs that a stop names.
func (r *runs) named(s stop) []*run {
	r.mu.Lock()
	defer r.mu.Unlock()
	var named []*run
	for one := range r.all {
		if s.group != "" && one.group == s.group || s.group == "" && strings.Contains(one.command, s.nonce) {
			named = append(named, one)
		}
	}
	return named
}

// kill ends the run as the signal KILL does.
func (r *run) kill() {
	_, _ = r.channel.SendRequest("exit-signal", false, ssh.Marshal(struct {
		Signal          string
		Core            bool
		Error, Language string
	}{Signal: "KILL"}))
	r.end()
}

// A stop is a script that ends another command, as far as a simulated host understands it: the process group that the
// command has told, or else the nonce on its command line, and the word to say when nothing is left.
type stop struct {
	word, group, nonce string
}

// readStop finds the stopping script in what came on standard input.
func readStop(stdin []byte) (stop, bool) {
	word, rest, ok := begin(stdin)
	if !ok {
		return stop{}, false
	}
	s := stop{word: word, group: strings.TrimSpace(between(rest, "\nG='", "'"))}
	if sought := between(rest, "grep -lz '[", "'"); len(sought) > 2 && sought[1] == ']' { // which does not find itself
		s.nonce = sought[:1] + sought[2:]
	}
	return s, (s.group != "" || s.nonce != "") && strings.Contains(rest, "@@"+word+" GONE")
}

// begin returns the word behind the mark at which a script begins, and the script.
func begin(stdin []byte) (word, rest string, ok bool) {
	const marker = "#BEGIN-"
	start := 0
	if !bytes.HasPrefix(stdin, []byte(marker)) { // a password that sudo did not want may come first
		start = bytes.Index(stdin, []byte("\n"+marker)) + 1
		if start == 0 {
			return "", "", false
		}
	}
	head := stdin[start+len(marker):]
	word, rest, _ = strings.Cut(string(head[:min(len(head), 16<<10)]), "\n")
	return word, rest, word != "" && len(word) <= 64
}

// between returns what of the text is between the first of the one and the next of the other.
func between(text, before, after string) string {
	_, text, ok := strings.Cut(text, before)
	if !ok {
		return ""
	}
	text, _, ok = strings.Cut(text, after)
	if !ok {
		return ""
	}
	return text
}
