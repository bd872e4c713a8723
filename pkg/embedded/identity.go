package embedded

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// nobodyID is the user and group number that a server sees as its own inside a user namespace.
const nobodyID = 65534

// An identity is who a server runs as. The zero value is whoever runs this process.
type identity struct {
	account   string // name of the account; empty: our own, or a namespace
	uid, gid  int
	namespace bool // our own account as seen from outside, but without any of its privileges
}

// owner returns who has to own the server's files.
func (id identity) owner() (uid, gid int) {
	if id.account != "" {
		return id.uid, id.gid
	}
	return os.Geteuid(), os.Getegid()
}

// chooseIdentity decides who runs the server at bin over data below dir. Anybody but root runs it himself. For root it is
// the first of the accounts that can reach both, and has the server's program run.
//
// The user namespace comes last although it needs no account: as seen from outside its files are root's and so is
// its process, which may therefore still write what root owns. It serves directories that no account can reach,
// such as those below /root.
func chooseIdentity(ctx context.Context, log *slog.Logger, dir, bin string, accounts ...string) (identity, error) {
	if os.Geteuid() != 0 {
		return identity{}, nil
	}
	if err := openDir(dir); err != nil {
		return identity{}, err
	}
	var refused []string
	for _, name := range accounts {
		id, err := lookupAccount(name)
		if err == nil {
			err = reachable(id, dir)
		}
		if err == nil {
			err = reachable(id, filepath.Dir(bin))
		}
		if err == nil {
			err = probe(ctx, id, bin)
		}
		if err == nil {
			return id, nil
		}
		refused = append(refused, err.Error())
	}
	if haveNamespaces() {
		id := identity{namespace: true}
		err := probe(ctx, id, bin)
		if err == nil {
			log.WarnContext(ctx, "no account can run the server, using a user namespace", "program", bin, "dir", dir, "reasons", refused)
			return id, nil
		}
		refused = append(refused, "no user namespace: "+err.Error())
	}
	return identity{}, fleet.Errorf(fleet.Unavailable,
		"%s must not run as root, and nobody else can run it over %s (%s); choose a directory that others may pass through, such as /var/lib/rollcall",
		filepath.Base(bin), dir, strings.Join(refused, "; "))
}

// openDir lets the servers' accounts, if we are root, pass through our own directory; they still cannot list it.
func openDir(dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("looking at %s: %w", dir, err)
	}
	if uid, _ := ownerOf(info); uid != os.Geteuid() || info.Mode().Perm()&0o011 == 0o011 {
		return nil
	}
	if err := os.Chmod(dir, info.Mode().Perm()|0o011); err != nil {
		return fmt.Errorf("letting the servers into %s: %w", dir, err)
	}
	return nil
}

func lookupAccount(name string) (identity, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return identity{}, err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return identity{}, fmt.Errorf("the account %s has no numeric ID", name)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return identity{}, fmt.Errorf("the account %s has no numeric group", name)
	}
	if uid == 0 {
		return identity{}, fmt.Errorf("the account %s is root's", name)
	}
	return identity{account: name, uid: uid, gid: gid}, nil
}

// reachable says which directory on the way to dir, if any, the account may not pass through.
func reachable(id identity, dir string) error {
	for at := dir; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			return fmt.Errorf("looking at %s: %w", at, err)
		}
		if !passable(id, info) {
			return fmt.Errorf("the account %s cannot pass through %s (mode %04o)", id.account, at, info.Mode().Perm())
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}

func passable(id identity, info fs.FileInfo) bool {
	uid, gid := ownerOf(info)
	switch {
	case uid == id.uid:
		return info.Mode()&0o100 != 0
	case gid == id.gid:
		return info.Mode()&0o010 != 0
	default:
		return info.Mode()&0o001 != 0
	}
}

// probe has the identity run the program once, which tells what no permission bit does: a kernel that refuses
// namespaces, a mount without exec, a missing library.
func probe(ctx context.Context, id identity, bin string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := run(ctx, command{path: bin, args: []string{"--version"}, id: id, death: syscall.SIGKILL})
	return err
}

// own gives dir and everything in it to the identity, unless dir is its own already. It follows no symbolic link
// out of dir, because what is in there was written by a server that we do not trust with root's rights.
func own(dir string, id identity) error {
	if os.Geteuid() != 0 {
		return nil
	}
	uid, gid := id.owner()
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("looking at %s: %w", dir, err)
	}
	if u, _ := ownerOf(info); u == uid {
		return nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("opening %s: %w", dir, err)
	}
	defer func() { _ = root.Close() }()
	err = fs.WalkDir(root.FS(), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == "." {
			return err
		}
		return root.Lchown(path, uid, gid)
	})
	if err == nil {
		err = root.Lchown(".", uid, gid) // last, so that a change cut short is taken up again
	}
	if err != nil {
		return fmt.Errorf("giving %s to the server's account: %w", dir, err)
	}
	return nil
}
