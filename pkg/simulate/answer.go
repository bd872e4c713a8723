package simulate

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"text/template"
	"time"
)

//go:embed sections/*.txt
var sectionFiles embed.FS

// parseSections returns the templates of the sections by the sections' names.
func parseSections() (map[string]*template.Template, error) {
	files, err := fs.Glob(sectionFiles, "sections/*.txt")
	if err != nil {
		return nil, fmt.Errorf("listing the simulated sections: %w", err)
	}
	templates := map[string]*template.Template{}
	for _, file := range files {
		text, err := sectionFiles.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading a simulated section: %w", err)
		}
		name := strings.TrimSuffix(strings.TrimPrefix(file, "sections/"), ".txt")
		templates[name], err = template.New(name).Delims("<<", ">>").Parse(string(text))
		if err != nil {
			return nil, fmt.Errorf("reading a simulated section: %w", err)
		}
	}
	return templates, nil
}

// silentSections print nothing on a machine that lacks what they ask for, or the right to ask.
func silentSections() []string {
	return []string{"lvm", "zfs", "btrfs", "firewall", "timesync", "sudoers", "apk", "pacman", "opkg", "snap", "flatpak", "svc_tools"}
}

// A script is what was sent to a host's shell, as far as a simulated one understands it.
type script struct {
	nonce    string
	sections []string
}

// readScript finds the collecting script in what came on standard input.
func readScript(stdin []byte) (script, bool) {
	nonce, rest, ok := begin(stdin)
	line, _, _ := strings.Cut(rest, "\n")
	names, found := strings.CutPrefix(line, "#SECTIONS ")
	if !found || !ok {
		return script{}, false
	}
	return script{nonce: nonce, sections: strings.Fields(names)}, true
}

// answer returns what the script would print on the host at that time, at that execution, as the process group that
// it tells. A section that is not known fails as a missing command does.
func (s *server) answer(h *host, script script, execution, group int64) ([]byte, error) {
	now := s.now()
	filling := h.factsAt(now, execution)
	out := &bytes.Buffer{}
	fmt.Fprintf(out, "@@%s BEGIN %d %d\n", script.nonce, now.Unix(), group)
	for _, name := range script.sections {
		fmt.Fprintf(out, "\n@@%s S %s\n", script.nonce, name)
		status := 0
		if section, known := s.sections[name]; known {
			if err := section.Execute(out, filling); err != nil {
				return nil, fmt.Errorf("filling the simulated section %s: %w", name, err)
			}
		} else if !slices.Contains(silentSections(), name) {
			status = 127
		}
		fmt.Fprintf(out, "\n@@%s E %s %d\n", script.nonce, name, status)
	}
	fmt.Fprintf(out, "\n@@%s END %d\n", script.nonce, s.now().Unix())
	return out.Bytes(), nil
}

// A server is what all hosts of a fleet share.
type server struct {
	sections  map[string]*template.Template
	now       func() time.Time
	publicKey []byte // in wire form; nil if passwords are taken
	password  string
}
